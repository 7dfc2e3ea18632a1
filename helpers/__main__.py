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
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from . import course, plots, recognition
from .embedding_map import embedding_map
from .encoders import Encoder, embed, weights_id
from .faces import folder_of_people
from .files import to_csv, write_atomically, write_text
from .gallery import Gallery
from .photos import PhotoError, read_photo
from .pipeline import FacePipeline, read_folder
from .progress import progress_bar
from .settings import load_settings
from .verification import clusters, measure

FPRS = (1e-3, 1e-2, 1e-1)


def predict(options, pipeline, verifier):
    """The largest faces of two photos or more, each pair with its similarity, verdict and probability."""
    threshold, faces = verifier.threshold(options.fpr), []
    for path, found in zip(options.photos, pipeline([read_photo(path) for path in options.photos])):
        if not found:
            raise PhotoError(f"{path}: no face was found; use a photo with a face of 20 pixels or more.")
        faces.append(found[0])
        for hint in found[0].hints():
            say(options, f"{path}: {hint}")
    results = []
    for a, b in combinations(range(len(faces)), 2):
        similarity = float(faces[a].embedding @ faces[b].embedding)
        results.append({"photos": [options.photos[a], options.photos[b]], "similarity": round(similarity, 4),
                        "same": similarity > threshold, "probability": round(float(verifier.probability(similarity)), 4)})
        say(options, f"{options.photos[a]} and {options.photos[b]}: similarity {similarity:.2f}, "
                     f"{'the same person' if similarity > threshold else 'different people'} at a threshold of {threshold:.2f} "
                     f"(FPR {options.fpr:g}); probability {verifier.probability(similarity):.2f}")
    return {"pairs": results, "threshold": round(threshold, 4)}, int(not all(pair["same"] for pair in results))


def arrange(options, pipeline, verifier):
    """All photos of a folder: matrix.png, similarity.csv and groups.csv."""
    photos, names, skipped = read_folder(options.folder)
    found = in_pieces(pipeline, photos)
    for sentence in skipped + [f"{name}: no face was found" for name, faces in zip(names, found) if not faces]:
        say(options, sentence)
    faces = [faces[0] for faces in found if faces]
    if not faces:
        raise PhotoError(f"{options.folder}: no photo shows a face that the detector finds.")
    names, embeddings = [names[face.photo] for face in faces], np.stack([face.embedding for face in faces])
    similarity, threshold = embeddings @ embeddings.T, verifier.threshold(options.fpr)
    groups = clusters(similarity, threshold)
    folder = options.out / "arrange"
    figure = plots.similarity_matrix(similarity, [face.face for face in faces], names, f"Similarity of the photos in "
                                     f"{Path(options.folder).name}/", threshold, [name.rpartition("_")[0] for name in names])
    write_atomically(folder / "matrix.png", lambda part: figure.savefig(part, format="png", dpi=110))
    write_text(folder / "similarity.csv", to_csv([["", *names], *([n, *row] for n, row in zip(names, similarity.round(4)))]))
    write_text(folder / "groups.csv", to_csv([("photo", "group"), *zip(names, groups.tolist())]))
    for group in range(groups.max() + 1):
        say(options, f"group {group}: {', '.join(name for name, of in zip(names, groups) if of == group)}")
    say(options, f"written to {folder}/")
    return {"photos": names, "groups": groups.tolist(), "threshold": round(threshold, 4), "skipped": skipped}, 0


def identify(options, pipeline, verifier):
    """Every face of some photos, named after the most similar person of a gallery, or unknown; framed pictures of them."""
    known, results, threshold = new_gallery(options, pipeline), [], verifier.threshold(options.fpr)
    for path in options.photos:
        photo = read_photo(path)
        [faces] = pipeline([photo])
        names, similarity = known.identify(np.stack([f.embedding for f in faces]), threshold) if faces else ([], [])
        for face, name, value in zip(faces, names, similarity):
            results.append({"photo": path, "box": [round(float(side)) for side in face.box], "name": str(name),
                            "similarity": round(float(value), 4), "hints": face.hints()})
            say(options, f"{path}: {name} (similarity {value:.2f}) {'; '.join(face.hints())}")
        if not faces:
            say(options, f"{path}: no face was found")
        save_framed(options.out / "identify" / f"{Path(path).stem}.jpg", photo, faces, names)
    return {"faces": results, "threshold": round(threshold, 4), "enrolled": len(known)}, 0


def save_framed(path, photo, faces, names):
    """The photo with a frame and a name for each face: green for known people, red for unknown."""
    picture = Image.fromarray(photo.permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(picture)
    for face, name in zip(faces, names):
        pen.rectangle(face.box.tolist(), outline="red" if name == "unknown" else "lime", width=3)
        pen.text(face.box[:2].tolist(), str(name), fill="white", stroke_width=2, stroke_fill="black")
    write_atomically(path, lambda part: picture.save(part, "JPEG"))


def new_gallery(options, pipeline):
    """The largest face of every photo in a folder of people, enrolled; the others are left out with a sentence."""
    people = folder_of_people(options.gallery)
    photos, numbers, bad = people.read()
    for sentence in bad.values():
        say(options, sentence)
    known = Gallery(pipeline.encoder.dim, maker=weights_id(pipeline.encoder))
    for number, faces in zip(numbers, in_pieces(pipeline, photos)):
        if faces:
            known.add(faces[0].embedding[None], [people.names[people.people[number]]], [people.key(number)])
        else:
            say(options, f"{people.key(number)}: no face was found")
    say(options, f"{len(known)} photos of {len(set(known.people))} people enrolled")
    return known


def evaluate(options, pipeline, _):
    """The identification rate and retrieval of strangers; with --keep the encoder file remembers their thresholds."""
    data = recognition.strangers(replace(load_settings(), dataset=options.folder, roles=""))
    result = recognition.strangers_figures(pipeline.encoder, data, FPRS)
    if options.keep:
        verifier = measure(embed(pipeline.encoder, data.query), data.query_people)
        course.keep_note(options.encoder, verifier=verifier.to_text())
    for key in ("recall@1", "r_precision", "map@r"):
        say(options, f"{key:20s} {recognition.shown(result, key)}")
    for i, fpr in enumerate(FPRS):
        say(options, f"TPR at FPR {fpr:<9g} {result['tpr'][i]:.2f} [{result['tpr_low'][i]:.2f}, {result['tpr_high'][i]:.2f}]")
    return {key: result[key] for key in ("recall@1", "r_precision", "map@r")} | {
        "tpr_at_fpr": dict(zip(map(str, FPRS), result["tpr"])), "photos": len(data.query), "skipped": data.skipped}, 0


def draw_map(options, pipeline, _):
    """outputs/map.html of a folder of people."""
    data = recognition.strangers(replace(load_settings(), dataset=options.folder, roles=""))
    people = [data.query_names[person] for person in data.query_people]
    path = options.out / "map.html"
    embedding_map(embed(pipeline.encoder, data.query), data.query[:], people, people, path)
    say(options, f"written to {path}: open it in a browser")
    return {"map": str(path), "photos": len(people)}, 0


def in_pieces(pipeline, photos, size=64):
    """The pipeline's answer for many photos, with a bar."""
    pieces = [photos[start:start + size] for start in range(0, len(photos), size)]
    return [faces for piece in progress_bar(pieces, unit="batch", disable=len(pieces) < 2) for faces in pipeline(piece)]


def say(options, sentence):
    """Print for people; with --json to stderr, so that stdout is one line of JSON."""
    print(sentence, file=sys.stderr if options.json else sys.stdout)


def main(arguments=None):
    """Read the command, load the models, run it; returns the exit code."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--fpr", type=float, default=0.01, help="tolerated share of false matches; default 0.01")
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
            command.add_argument("--keep", action="store_true", help="write the thresholds into the encoder's file")
    options = parser.parse_args(arguments)
    if options.run is predict and len(options.photos) < 2:
        parser.error("predict compares two photos or more")
    try:
        settings = load_settings()
        encoder = course.load_model(Encoder, options.encoder, settings.torch_device)
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
