"""Who is who, by command:

    python -m helpers predict A B [C ...]              are these photos of one person?
    python -m helpers arrange DIR                      similarities and groups of all photos in a folder
    python -m helpers identify --gallery DIR PHOTO...  whose faces are these? DIR has a folder of photos for each person
    python -m helpers evaluate DIR                     what an encoder is worth on a folder of people it never saw
    python -m helpers map DIR                          an HTML map of a folder of people

Exit codes: 0 done (predict: all of one person), 1 not all of one person, 2 something is missing or can't be read.
Pictures and tables are written to outputs/. For learning; it must not decide about anybody.
"""
import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import course, gates, metrics, plots, recognition
from .embedding_map import embedding_map
from .encoders import embed
from .faces import folder_of_people
from .files import to_csv, write_atomically, write_text
from .folders import picture_files
from .photos import PhotoError, read_photo
from .pipeline import NO_PICTURE, FacePipeline, enrol_folder, person_in, read_pictures
from .progress import progress_bar
from .settings import load_settings
from .verification import clusters, measure, verdicts

FPRS = (1e-3, 1e-2, 1e-1)


def predict(options, pipeline, verifier):
    """The largest faces of two photos or more, each pair with its similarity, verdict and probability."""
    faces = []
    for path, found in zip(options.photos, pipeline([read_photo(path) for path in options.photos])):
        if not found:
            raise PhotoError(f"{path}: no face was found; use a photo with a face of 20 pixels or more.")
        faces.append(found[0])
        for hint in found[0].hints():
            say(options, f"{path}: {hint}")
    threshold, pairs = verifier.threshold(options.fpr), verdicts(faces, options.photos, verifier, options.fpr)
    for pair in pairs:
        say(options, "{photo} and {and}: similarity {similarity:.2f}, {verdict}; probability {probability:.2f}".format(**pair))
    say(options, f"the threshold for an FPR of {options.fpr:g} is {threshold:.2f}")
    result = [{"photos": [pair["photo"], pair["and"]], "similarity": round(pair["similarity"], 4),
               "same": pair["similarity"] > threshold, "probability": round(pair["probability"], 4)} for pair in pairs]
    return {"pairs": result, "threshold": round(threshold, 4)}, int(not all(pair["same"] for pair in result))


def arrange(options, pipeline, verifier):
    """All photos of a folder: matrix.png, similarity.csv and groups.csv."""
    names, faces, skipped = faces_in(options, pipeline)
    embeddings = np.stack([face.embedding for face in faces])
    similarity, threshold = embeddings @ embeddings.T, verifier.threshold(options.fpr)
    groups = clusters(similarity, threshold)
    folder = options.out / "arrange"
    write_text(folder / "similarity.csv", to_csv([["", *names], *([n, *row] for n, row in zip(names, similarity.round(4)))]))
    write_text(folder / "groups.csv", to_csv([("photo", "group"), *zip(names, groups.tolist())]))
    figure = plots.similarity_matrix(similarity, [face.face for face in faces], names, f"Similarity of the photos in "
                                     f"{Path(options.folder).name}/", threshold, [person_in(name) for name in names])
    save_figure(figure, folder / "matrix.png")
    for group in range(groups.max() + 1):
        say(options, f"group {group}: {', '.join(name for name, of in zip(names, groups) if of == group)}")
    say(options, f"written to {folder}/")
    return {"photos": names, "groups": groups.tolist(), "threshold": round(threshold, 4), "skipped": skipped}, 0


def faces_in(options, pipeline, piece=64):
    """The largest face of every photo of a folder that shows one, a few photos in memory at a time: their names, the Faces
    (whose own number counts within its piece), and a sentence for each file that is no readable picture."""
    paths, names, faces, skipped = picture_files(options.folder), [], [], []
    for start in progress_bar(range(0, len(paths), piece), unit="batch", disable=len(paths) <= piece):
        photos, some, bad = read_pictures(paths[start:start + piece])
        found = pipeline(photos)
        for sentence in bad + [f"{name}: no face was found" for name, own in zip(some, found) if not own]:
            say(options, sentence)
        names += [name for name, own in zip(some, found) if own]
        faces += [own[0] for own in found if own]
        skipped += bad
    if not faces:
        raise PhotoError(NO_PICTURE.format(options.folder) if len(skipped) == len(paths) else
                         f"{options.folder}: no photo shows a face that the detector finds.")
    return names, faces, skipped


def identify(options, pipeline, verifier):
    """Every face of some photos, named after the most similar person of a gallery, or unknown; framed pictures of them."""
    known, results, skipped = new_gallery(options, pipeline), [], []
    threshold = verifier.gallery_threshold(len(known), options.fpr)
    if (least := verifier.fprs[0] * len(known)) > options.fpr:
        say(options, f"{len(known)} photos are many for this recogniser: up to {min(1, least):.2g} of all strangers' faces may "
                     "get a name.")
    for number, path in enumerate(options.photos, 1):
        try:
            photo = read_photo(path)
        except PhotoError as error:  # the others still get their answers
            skipped.append(str(error))
            say(options, error)
            continue
        [faces] = pipeline([photo])
        if not faces:
            say(options, f"{path}: no face was found")
            continue
        names, similarity = known.identify(np.stack([face.embedding for face in faces]), threshold)
        labels = [f"{name} {value:.2f}" for name, value in zip(names, similarity)]
        for face, name, value, label in zip(faces, names, similarity, labels):
            results.append({"photo": path, "box": [round(float(side)) for side in face.box], "name": str(name),
                            "similarity": round(float(value), 4), "hints": face.hints()})
            say(options, f"{path}: {label} {'; '.join(face.hints())}")
        save_figure(plots.boxes_on(photo, faces, labels, names != "unknown"),
                    options.out / "identify" / f"{number}_{Path(path).stem}.png")
    result = {"faces": results, "threshold": round(threshold, 4), "enrolled": len(known), "skipped": skipped}
    return result, 2 if len(skipped) == len(options.photos) else 0


def save_figure(figure, path):
    """Write a figure as a PNG in one atomic step."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=110))


def new_gallery(options, pipeline):
    """The largest face of every photo in a folder of people, enrolled; the others are left out with a sentence."""
    name = replace(load_settings(), dataset=options.gallery).dataset_name
    points = course.maker_of(pipeline.hourglass).rpartition(" ")[2]  # faces straightened otherwise don't compare
    known = enrol_folder(pipeline, folder_of_people(options.gallery), options.out / "gallery" / f"{name}_{points}.safetensors",
                         lambda sentence: say(options, sentence))
    say(options, f"{len(known)} photos of {len(set(known.people))} people enrolled")
    return known


def evaluate(options, pipeline, _):
    """The identification rate and retrieval of strangers; with --keep the encoder file remembers their thresholds."""
    data = recognition.strangers(replace(load_settings(), dataset=options.folder, roles=""))
    result = recognition.strangers_figures(pipeline.encoder, data, FPRS)
    if options.keep:
        verifier = measure(embed(pipeline.encoder, data.query), data.query_people)
        course.keep_verifier(options.encoder, verifier)
    for key in ("recall@1", "r_precision", "map@r"):
        say(options, f"{key:20s} {recognition.shown(result, key)}")
    number = result["pairs_of_people"]
    for line in metrics.rates_as_lines(FPRS, result["tpr"], result["tpr_low"], result["tpr_high"], number):
        say(options, line)
    return {key: result[key] for key in ("recall@1", "r_precision", "map@r")} | {
        "tpr_at_fpr": metrics.rates_as_json(FPRS, result["tpr"], number), "pairs_of_people": number,
        "photos": len(data.query), "skipped": data.skipped}, 0


def draw_map(options, pipeline, _):
    """outputs/map.html of a folder of people."""
    data = recognition.strangers(replace(load_settings(), dataset=options.folder, roles=""))
    people = [data.query_names[person] for person in data.query_people]
    path = options.out / "map.html"
    embedding_map(embed(pipeline.encoder, data.query), data.query[:], people, people, path)
    say(options, f"written to {path}: open it in a browser")
    return {"map": str(path), "photos": len(people)}, 0


def say(options, sentence):
    """Print for people; with --json to stderr, so that stdout is one line of JSON."""
    print(sentence, file=sys.stderr if options.json else sys.stdout)


def main(arguments=None):
    """Read the command, load the models, run it; returns the exit code."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--fpr", type=gates.share_text, default=0.01, help="tolerated share of false matches: of pairs of two people, and "
                        "for identify of strangers' faces that get a name; default 0.01")
    common.add_argument("--encoder", default=course.SHIPPED_RECOGNISER, help="default: the shipped recogniser")
    common.add_argument("--out", type=Path, default=Path("outputs"))
    common.add_argument("--json", action="store_true", help="one line of JSON on stdout, sentences on stderr")
    parser = argparse.ArgumentParser(prog="python -m helpers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, run in (("predict", predict), ("arrange", arrange), ("identify", identify), ("evaluate", evaluate),
                      ("map", draw_map)):
        command = commands.add_parser(name, parents=[common], help=run.__doc__)
        command.set_defaults(run=run)
        if name in ("predict", "identify"):
            command.add_argument("photos", nargs="+")
        else:
            command.add_argument("folder")
        if name == "identify":
            command.add_argument("--gallery", required=True, help="a folder with a folder of photos for each person")
        if name == "evaluate":
            command.add_argument("--keep", action="store_true",
                                 help="write the thresholds into the encoder's file, in place of its own")
    options = parser.parse_args(arguments)
    if options.run is predict and len(options.photos) < 2:
        parser.error("predict compares two photos or more")
    try:
        settings = load_settings()
        encoder = course.load_encoder(options.encoder, settings.torch_device)
        verifier = course.load_verifier(options.encoder) if options.run in (predict, arrange, identify) else None
        result, code = options.run(options, FacePipeline(course.hourglass(settings), encoder), verifier)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    return code


if __name__ == "__main__":
    sys.exit(main())
