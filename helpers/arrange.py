"""The command `arrange`: every photo of a folder against every other, and who belongs together."""

import argparse
import os
from pathlib import Path

import numpy as np

from . import plots
from .command_output import answer, save_figure
from .files import to_csv, write_text
from .folders import look_into, short_names
from .photo_names import person_in
from .photos import PhotoError
from .pipeline import NO_PICTURE, Face, FacePipeline, doubts, faces_of, no_face, read_smaller
from .progress import progress_bar
from .report import write_report
from .verdicts import clusters
from .who_is_who import Recogniser


def arrange(options: argparse.Namespace, recogniser: Recogniser) -> tuple[dict, int]:
    """All photos of a folder: report.html, matrix.png, similarity.csv and groups.csv."""
    pipeline, verifier = recogniser
    names, faces, left_out, skipped = faces_in(options, pipeline)
    embeddings = np.stack([face.embedding for face in faces])
    similarity, threshold = embeddings @ embeddings.T, verifier.threshold(options.fpr)
    groups = clusters(similarity, threshold)
    folder, name = options.out / "arrange", Path(options.folder).resolve().name
    rows = [["", *names], *([n, *row] for n, row in zip(names, similarity.round(4)))]
    write_text(folder / "similarity.csv", to_csv(rows))
    write_text(folder / "groups.csv", to_csv([("photo", "group"), *zip(names, groups.tolist())]))
    figure = plots.similarity_matrix(
        similarity,
        [face.face for face in faces],
        names,
        f"Similarity of the photos in {name}/",
        threshold,
        [person_in(name) for name in names],
    )
    save_figure(figure, folder / "matrix.png")
    write_report(
        folder / "report.html", name, names, faces, groups, verifier, options.fpr, left_out
    )
    for group in range(groups.max() + 1):
        members = [name for name, of in zip(names, groups) if of == group]
        answer(options, f"group {group}: {', '.join(members)}")
    answer(options, f"written to {folder}/: open report.html in a browser")
    return {
        "photos": names,
        "groups": groups.tolist(),
        "threshold": round(threshold, 4),
        "skipped": skipped,
    }, 0


def faces_in(
    options: argparse.Namespace, pipeline: FacePipeline
) -> tuple[list[str], list[Face], list[str], list[str]]:
    """The largest face of every photo of a folder that shows one, a few photos in memory at a time.

    Returns:
        The photos' names, their Faces (whose number counts within its piece), a sentence for each
        photo that was left out, and those of these that could not be read.
    """
    folder = Path(options.folder)
    paths, notes = look_into(folder)
    # pictures that a command drew are no photos; they may lie below the folder
    drawn = tuple(os.path.realpath(options.out / name) + os.sep for name in ("arrange", "identify"))
    paths = [path for path in paths if not os.path.realpath(path).startswith(drawn)]
    left_out, skipped = list(notes), list(notes)
    for sentence in notes:
        answer(options, sentence)
    name_of, names, faces = dict(zip(paths, short_names(paths, folder))), [], []
    bar = progress_bar(paths, unit="photo", disable=len(paths) <= 64)
    for path, _, found, sentence in faces_of(pipeline, read_smaller, bar):
        for doubt in doubts(found):
            answer(options, f"{path}: {doubt}")
        if found:
            names.append(name_of[path])
            faces.append(found[0])
        else:
            left_out.append(sentence or no_face(path, name_of[path]))
            answer(options, left_out[-1])
            skipped += [sentence] if sentence else []
    if not faces:
        raise PhotoError(
            NO_PICTURE.format(folder)
            if len(skipped) >= len(paths)
            else f"{folder}: no photo shows a face that the detector finds."
        )
    return names, faces, left_out, skipped
