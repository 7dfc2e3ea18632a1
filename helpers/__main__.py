"""Who is who, by command:

    python -m helpers predict A B [C ...]              are these photos of one person?
    python -m helpers arrange DIR                      similarities and groups of all photos in a folder
    python -m helpers identify --gallery DIR PHOTO...  whose faces are these? DIR has a folder of photos for each person
    python -m helpers evaluate DIR                     what an encoder is worth on a folder of people it never saw
    python -m helpers map DIR                          an HTML map of a folder of people
    python -m helpers forget NAME                      delete what was made of a person's photos, everywhere

Exit codes: 0 done (predict: all of one person), 1 not all of one person, 2 something is missing, can't be read or failed.
Pictures and tables are written to outputs/. For learning; it must not decide about anybody.
"""

import argparse
import json
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import gates, metrics, plots
from .aligned_data import unseen_faces
from .comparison import shown
from .embedding_map import embedding_map
from .encoders import embed
from .evaluation import unseen_figures
from .faces import folder_of_people
from .files import printable, short_name, to_csv, write_atomically, write_text
from .folders import look_into, short_names
from .forget import forget
from .gallery import name_or_unknown
from .model_files import SHIPPED_RECOGNISER, load_encoder, load_verifier, save_verifier
from .networks import hourglass
from .photos import PhotoError, guard, plain_cause
from .pipeline import (
    NO_PICTURE,
    FacePipeline,
    doubts,
    enrol_folder,
    faces_of,
    longest_side,
    no_face,
    person_in,
    read_smaller,
)
from .progress import progress_bar
from .settings import load_settings
from .verification import UNDECIDED, clusters, measure, verdicts

FPRS = (1e-3, 1e-2, 1e-1)


def predict(options, pipeline, verifier):
    """The largest faces of two photos or more, each pair with its similarity, verdict and probability."""
    faces = []
    for path, _, found, sentence in faces_of(pipeline, read_smaller, options.photos):
        if not found:
            raise PhotoError(sentence or f"{no_face(path)}.")
        faces.append(found[0])
        for doubt in doubts(found):
            answer(options, f"{path}: {doubt}")
    threshold, pairs = (
        verifier.threshold(options.fpr),
        verdicts(faces, options.photos, verifier, options.fpr),
    )
    for pair in pairs:
        answer(
            options,
            "{photo} and {and}: {verdict}; similarity {similarity:.2f}, probability that it is one person "
            "{probability:.2f}".format(**pair),
        )
    ends = verifier.fpr_interval(options.fpr)
    interval = f" (95 % interval over people: {ends[0]:.2g} to {ends[1]:.2g})" if ends else ""
    answer(
        options,
        f"The threshold is {threshold:.2f}: a share of {options.fpr:g}{interval} of pairs of different people is "
        "more alike. A larger --fpr accepts more pairs, and more wrong ones.",
    )
    if any(pair["verdict"] == UNDECIDED for pair in pairs):
        answer(
            options,
            "Undecided: the similarity and the threshold that was asked for point different ways.",
        )
    result = [
        {
            "photos": [pair["photo"], pair["and"]],
            "similarity": round(pair["similarity"], 4),
            "same": pair["similarity"] > threshold,
            "verdict": pair["verdict"],
            "probability": round(pair["probability"], 4),
        }
        for pair in pairs
    ]
    return {"pairs": result, "threshold": round(threshold, 4)}, int(
        not all(pair["same"] for pair in result)
    )


def arrange(options, pipeline, verifier):
    """All photos of a folder: matrix.png, similarity.csv and groups.csv."""
    names, faces, skipped = faces_in(options, pipeline)
    embeddings = np.stack([face.embedding for face in faces])
    similarity, threshold = embeddings @ embeddings.T, verifier.threshold(options.fpr)
    groups = clusters(similarity, threshold)
    folder = options.out / "arrange"
    write_text(
        folder / "similarity.csv",
        to_csv([["", *names], *([n, *row] for n, row in zip(names, similarity.round(4)))]),
    )
    write_text(folder / "groups.csv", to_csv([("photo", "group"), *zip(names, groups.tolist())]))
    figure = plots.similarity_matrix(
        similarity,
        [face.face for face in faces],
        names,
        f"Similarity of the photos in {Path(options.folder).name}/",
        threshold,
        [person_in(name) for name in names],
    )
    save_figure(figure, folder / "matrix.png")
    for group in range(groups.max() + 1):
        answer(
            options,
            f"group {group}: {', '.join(name for name, of in zip(names, groups) if of == group)}",
        )
    answer(options, f"written to {folder}/")
    return {
        "photos": names,
        "groups": groups.tolist(),
        "threshold": round(threshold, 4),
        "skipped": skipped,
    }, 0


def faces_in(options, pipeline):
    """The largest face of every photo of a folder that shows one, a few photos in memory at a time: their names, the Faces
    (whose own number counts within its piece), and a sentence for each file that was left out."""
    folder = Path(options.folder)
    paths, skipped = look_into(folder)
    for sentence in skipped:
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
            answer(options, sentence or no_face(path, name_of[path]))
            skipped += [sentence] if sentence else []
    if not faces:
        raise PhotoError(
            NO_PICTURE.format(folder)
            if len(skipped) >= len(paths)
            else f"{folder}: no photo shows a face that the detector finds."
        )
    return names, faces, skipped


def identify(options, pipeline, verifier):
    """Every face of some photos, named after the most similar person of a gallery, or unknown; framed pictures of them."""
    known, results, skipped = new_gallery(options, pipeline), [], []
    threshold = verifier.gallery_threshold(len(known), options.fpr)
    if (least := verifier.fprs[0] * len(known)) > options.fpr:
        answer(
            options,
            f"{len(known)} photos are many for this recogniser: up to {min(1, least):.2g} of all strangers' faces may "
            "get a name.",
        )
    answer(
        options,
        f"A face gets a name if it is more similar than {threshold:.2f} to an enrolled photo; --fpr "
        f"{min(0.5, options.fpr * 10):g} names more faces, and more of them wrongly (now {options.fpr:g}).",
    )
    for number, (path, photo, faces, sentence) in enumerate(
        faces_of(pipeline, read_smaller, options.photos, most=8), 1
    ):
        if not faces:
            skipped += [sentence] if sentence else []
            answer(options, sentence or no_face(path))  # the others still get their answers
            continue
        embeddings = np.stack([face.embedding for face in faces])
        names, similarity = known.identify(embeddings, threshold)
        nearest = known.people_of(known.search(embeddings, 1)[1])[:, 0]
        labels = [f"{name_or_unknown(name)} {value:.2f}" for name, value in zip(names, similarity)]
        for face, name, candidate, value, label in zip(faces, names, nearest, similarity, labels):
            box = face.box * max(
                1, longest_side(path) / max(photo.shape)
            )  # it was made smaller to be looked at
            results.append(
                {
                    "photo": path,
                    "box": [round(float(side)) for side in box],
                    "name": name,
                    "nearest": str(candidate),
                    "similarity": round(float(value), 4),
                    "hints": face.hints(),
                }
            )
            likest = [f"most like {name_or_unknown(candidate)}"] if name is None else []
            answer(options, "; ".join([f"{path}: {label}", *likest, *face.hints()]))
        picture = options.out / "identify" / f"{short_name(f'{number}_{Path(path).stem}')}.png"
        with guard(path, lambda sentence: answer(options, sentence)):
            save_figure(
                plots.boxes_on(photo, faces, labels, [name is not None for name in names]), picture
            )
    result = {
        "faces": results,
        "threshold": round(threshold, 4),
        "enrolled": len(known),
        "skipped": skipped,
    }
    return result, 2 if len(skipped) == len(options.photos) else 0


def save_figure(figure, path):
    """Write a figure as a PNG in one atomic step."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=110))


def new_gallery(options, pipeline):
    """The largest face of every photo in a folder of people, enrolled; the others are left out with a sentence."""
    name = short_name(replace(load_settings(), dataset=options.gallery).dataset_name)
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
            f"{options.gallery}: none of the {len(people)} photos shows a face that the detector finds, so nobody "
            "is enrolled."
        )
    answer(
        options,
        f"{len(known)} of {len(people)} photos enrolled, of {len(set(known.people))} people",
    )
    return known


def people_in(options):
    """The aligned faces of a folder of people; what was left out is told."""
    settings = replace(load_settings(), dataset=options.folder, split="")
    return unseen_faces(settings, lambda sentence: answer(options, sentence))


def evaluate(options, pipeline, _):
    """The verification rate and retrieval of strangers; with --save the encoder file remembers their thresholds."""
    data = people_in(options)
    result = unseen_figures(pipeline.encoder, data, FPRS)
    if options.save:
        verifier = measure(embed(pipeline.encoder, data.probe), data.probe_labels)
        save_verifier(options.encoder, verifier)
    for key in ("recall@1", "r_precision", "map@r"):
        answer(options, f"{key:20s} {shown(result, key)}")
    number = result["pairs_of_people"]
    for line in metrics.rates_as_lines(
        FPRS, result["tpr"], result["tpr_low"], result["tpr_high"], number
    ):
        answer(options, line)
    return {key: result[key] for key in ("recall@1", "r_precision", "map@r")} | {
        "tpr_at_fpr": metrics.rates_as_json(FPRS, result["tpr"], number),
        "pairs_of_people": number,
        "photos": len(data.probe),
        "skipped": data.skipped,
    }, 0


def draw_map(options, pipeline, _):
    """outputs/map.html of a folder of people."""
    data = people_in(options)
    people = [data.probe_names[person] for person in data.probe_labels]
    path = options.out / "map.html"
    embedding_map(embed(pipeline.encoder, data.probe), data.probe, people, people, path)
    answer(options, f"written to {path}: open it in a browser")
    return {"map": str(path), "photos": len(people)}, 0


def forget_person(options, settings):
    """Delete a person from galleries, aligned sets and pictures; photos, and weights trained on them, are told."""
    done = forget(options.name, settings.data_dir, settings.runs_dir, options.out)
    answer(options, "\n".join(done))
    return {"forgotten": options.name, "done": done}, 0


def answer(options, sentence):
    """Print for people; with --json to stderr, so that stdout is one line of JSON."""
    print(printable(sentence), file=sys.stderr if options.json else sys.stdout)


def main(arguments=None):
    """Read the command, load the models, run it; returns the exit code."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--fpr",
        type=gates.share_text,
        default=0.01,
        help="tolerated share of false matches: of pairs of two people, and "
        "for identify of strangers' faces that get a name; default 0.01",
    )
    common.add_argument(
        "--encoder", default=SHIPPED_RECOGNISER, help="default: the shipped recogniser"
    )
    common.add_argument("--out", type=Path, default=Path("outputs"))
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    common.add_argument(
        "--json", action="store_true", help="one line of JSON on stdout, sentences on stderr"
    )
    parser = argparse.ArgumentParser(
        prog="python -m helpers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, run in (
        ("predict", predict),
        ("arrange", arrange),
        ("identify", identify),
        ("evaluate", evaluate),
        ("map", draw_map),
        ("forget", forget_person),
    ):
        command = commands.add_parser(name, parents=[common], help=run.__doc__)
        command.set_defaults(run=run)
        if name in ("predict", "identify"):
            command.add_argument("photos", nargs="+")
        else:
            command.add_argument("name" if name == "forget" else "folder")
        if name == "identify":
            command.add_argument(
                "--gallery", required=True, help="a folder with a folder of photos for each person"
            )
        if name == "evaluate":
            command.add_argument(
                "--save",
                "--keep",
                action="store_true",
                help="write the thresholds into the encoder's file, in place of its own",
            )
    options = parser.parse_args(arguments)
    if options.run is predict and len(options.photos) < 2:
        parser.error("predict compares two photos or more")
    try:
        settings = load_settings()
        if options.run is forget_person:
            needs = [settings]
        else:
            encoder = load_encoder(options.encoder, settings.torch_device)
            needs = [
                FacePipeline(hourglass(settings), encoder),
                load_verifier(options.encoder)
                if options.run in (predict, arrange, identify)
                else None,
            ]
        result, code = options.run(options, *needs)
    except (
        Exception
    ) as error:  # whatever it is, a crash must not read as a verdict, which is code 0 or 1
        if options.debug:
            traceback.print_exc()
        usual = isinstance(error, (ValueError, OSError)) and str(error)
        print(
            printable(
                error if usual else f"This failed: {plain_cause(error)}. --debug shows where."
            ),
            file=sys.stderr,
        )
        return 2
    if options.json:
        print(
            json.dumps(result, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
        )  # names may be no text
    return code


if __name__ == "__main__":
    sys.exit(main())
