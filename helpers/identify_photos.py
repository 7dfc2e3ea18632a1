"""The command `identify`: every face of some photos, named after the people of a gallery."""

import argparse
from dataclasses import replace
from pathlib import Path

from . import plots
from .command_output import answer, save_figure
from .enrolment import enrol_folder
from .faces import folder_of_people
from .files import append_csv, read_csv, short_name
from .gallery import Gallery, name_or_unknown
from .photos import guard
from .pipeline import FacePipeline, faces_of, longest_side, no_face, read_smaller
from .verdicts import name_faces
from .verification import Verifier
from .who_is_who import Recogniser

LIST = "pictures.csv"  # beside them: each with its photo and the names on it


def identify(options: argparse.Namespace, recogniser: Recogniser) -> tuple[dict, int]:
    """Every face of some photos, named after the most similar person of a gallery, or unknown."""
    pipeline, verifier = recogniser
    known, results, skipped = new_gallery(options, pipeline), [], []
    tell_threshold(options, verifier, len(known))
    folder = options.out / "identify"
    clear_pictures(folder)
    for number, (path, photo, faces, sentence) in enumerate(
        faces_of(pipeline, read_smaller, options.photos, most=8), 1
    ):
        if not faces:
            skipped += [sentence] if sentence else []
            answer(options, sentence or no_face(path))  # the others still get their answers
            continue
        found = name_faces(faces, known, verifier, options.fpr)
        labels = [f"{name_or_unknown(one.name)} {one.similarity:.2f}" for one in found]
        shrunk = max(1, longest_side(path) / max(photo.shape))  # it was read smaller
        for one, label in zip(found, labels):
            results.append(
                {
                    "photo": path,
                    "box": [round(side * shrunk) for side in one.box],
                    "name": one.name,
                    "nearest": one.nearest,
                    "similarity": round(one.similarity, 4),
                    "hints": list(one.hints),
                }
            )
            nearest = [f"most like {name_or_unknown(one.nearest)}"] if one.name is None else []
            answer(options, "; ".join([f"{path}: {label}", *nearest, *one.hints]))
        picture = folder / f"{short_name(f'{number}_{Path(path).stem}')}.png"
        folder.mkdir(exist_ok=True)
        names = [one.name for one in found if one.name is not None]
        append_csv(folder / LIST, ("picture", "photo", "names"), [(picture.name, path, *names)])
        with guard(path, lambda sentence: answer(options, sentence)):
            named = [one.name is not None for one in found]
            save_figure(plots.boxes_on(photo, faces, labels, named), picture)
    if results:
        answer(options, f"written to {folder}/: the photos, with a frame and a name on each face")
    result = {
        "faces": results,
        "threshold": round(verifier.gallery_threshold(len(known), options.fpr), 4),
        "enrolled": len(known),
        "skipped": skipped,
    }
    return result, 2 if len(skipped) == len(options.photos) else 0


def clear_pictures(folder: Path) -> None:
    """Delete the pictures that an earlier `identify` drew here, those of its list alone."""
    for name, *_ in read_csv(folder / LIST)[1:]:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    (folder / LIST).unlink(missing_ok=True)


def tell_threshold(options: argparse.Namespace, verifier: Verifier, photos: int) -> None:
    """What a face needs for a name, and what this costs in a large gallery."""
    if (least := verifier.fprs[0] * photos) > options.fpr:
        answer(
            options,
            f"{photos} photos are many for this recogniser: up to {min(1, least):.2g} of all "
            "faces of people not enrolled may get a name.",
        )
    advice, more = f" (--fpr {options.fpr:g}).", min(0.5, options.fpr * 10)
    if more > options.fpr:
        advice = (
            f"; --fpr {more:g} names more faces, and more of them wrongly (now {options.fpr:g})."
        )
    answer(
        options,
        "A face gets a name if it is more similar than "
        f"{verifier.gallery_threshold(photos, options.fpr):.2f} to an enrolled photo{advice}",
    )


def new_gallery(options: argparse.Namespace, pipeline: FacePipeline) -> Gallery:
    """The largest face of every photo in a folder of people, enrolled; the others are told."""
    name = short_name(replace(options.settings, dataset=options.gallery).dataset_name)
    people = folder_of_people(options.gallery)
    for note in people.notes:
        answer(options, note)
    known = enrol_folder(
        pipeline,
        people,
        options.out / "gallery" / f"{name}.safetensors",
        lambda sentence: answer(options, sentence),
    )
    if not len(known):
        raise ValueError(
            f"{options.gallery}: none of the {len(people)} photos shows a face that the detector "
            "finds, so nobody is enrolled."
        )
    answer(
        options,
        f"{len(known)} of {len(people)} photos enrolled, of {len(set(known.people))} people",
    )
    return known
