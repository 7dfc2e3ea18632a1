"""How far off are five landmarks? The shipped hourglass and MTCNN against landmarks set by hand.

The error (NME) is the mean distance of the five landmarks over the distance between the true eyes.
Both see the same photos and the face that MTCNN finds nearest to the true landmarks; the hourglass
is asked as the pipeline asks it. Photos where MTCNN finds none are counted apart.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from helpers import metrics
from helpers.alignment import crop_heads, invert, transform, warp
from helpers.detection import detect
from helpers.faces import FaceSet, photos_with_landmarks
from helpers.landmark_set import CHUNK, inside, nearest_face
from helpers.landmarks import StackedHourglass, nme, predict_landmarks
from helpers.networks import hourglass
from helpers.photo_names import person_in
from helpers.progress import progress_bar
from helpers.setting_flags import add_flags, settings_of


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks landmarks", description=__doc__)
    parser.add_argument("--photos", required=True, help="folder that the column `file` starts from")
    parser.add_argument(
        "--landmarks",
        "--points",
        required=True,
        help="CSV: file, split, left_eye_x, left_eye_y, ... right_mouth_y",
    )
    parser.add_argument("--rows", help="only those of this split, for instance test")
    # what --rows was called before, which is now the name of a setting
    parser.add_argument("--split", dest="rows", help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    parser.add_argument(
        "--jitter", action="store_true", help="turn, scale and shift each photo, and grey a third"
    )
    add_flags(parser, "hourglass", before={"hourglass": "--model"})
    options = parser.parse_args(arguments)
    faces = photos_with_landmarks(options.photos, options.landmarks, options.rows)
    model = hourglass(settings_of(options, device="cpu"))
    if model is None:
        parser.error("MTCNN is measured beside an hourglass: name one.")
    errors, owners, missed, skipped = measure(faces, model, options.jitter)
    result = {"photos": len(errors["mtcnn"]), "missed": missed, "skipped": skipped}
    print(
        f"{len(faces)} photos: {result['photos']} measured, {missed} where MTCNN finds no such "
        f"face, {skipped} unusable"
    )
    print(f"{'':12s}{'NME':>8s}{'median':>8s}{'above 10 %':>12s}")
    for name, error in errors.items():
        row = {"nme": error.mean(), "median": np.median(error), "fail10": (error > 0.1).mean()}
        print(
            f"{name:12s}" + "".join(f"{row[key]:{width}.2%}" for key, width in zip(row, (8, 8, 12)))
        )
        result[name] = {key: round(float(value), 5) for key, value in row.items()}
    difference = errors["hourglass"] - errors["mtcnn"]
    low, high = metrics.interval(difference, owners, difference=True)
    print(
        f"hourglass minus MTCNN, the same photos: {difference.mean():+.2%} "
        f"[{low:+.2%}, {high:+.2%}], 95 % interval over {len(np.unique(owners))} people"
    )
    result["difference"] = [round(float(value), 5) for value in (difference.mean(), low, high)]
    print(json.dumps(result))


def measure(
    faces: FaceSet, model: StackedHourglass, jitter: bool = False
) -> tuple[dict[str, np.ndarray], list[str], int, int]:
    """Measure both on the same photos.

    Returns:
        {"hourglass": (N,), "mtcnn": (N,)} of errors; whose photos they are, by their names; how
        many photos were missed and skipped.
    """
    errors, owners, missed, skipped = {"hourglass": [], "mtcnn": []}, [], 0, 0
    draw = np.random.default_rng(0)
    for start in progress_bar(range(0, len(faces), CHUNK), desc="measuring", unit="chunk"):
        photos, numbers, bad = faces.read(range(start, min(start + CHUNK, len(faces))))
        usable = [k for k, i in enumerate(numbers) if inside(faces.landmarks[i], photos[k])]
        skipped += len(bad) + len(photos) - len(usable)
        if not usable:
            continue
        photos, truth = [photos[k] for k in usable], [faces.landmarks[numbers[k]] for k in usable]
        if jitter:
            photos, truth = zip(
                *(shake(photo, landmarks, draw) for photo, landmarks in zip(photos, truth))
            )
        found = detect(photos)
        which = [nearest_face(f, landmarks) for f, landmarks in zip(found, truth)]
        seen = [k for k, face in enumerate(which) if face is not None]
        missed += len(which) - len(seen)
        if not seen:
            continue
        truth = torch.from_numpy(np.stack([truth[k] for k in seen]))
        crops, matrices = crop_heads(
            [photos[k] for k in seen],
            torch.from_numpy(np.stack([found[k].boxes[which[k]] for k in seen])),
        )
        landmarks = transform(predict_landmarks(model, crops, mirror=True)[0], invert(matrices))
        rough = torch.from_numpy(np.stack([found[k].landmarks[which[k]] for k in seen]))
        owners += [person_in(Path(faces.files[numbers[usable[k]]]).stem) for k in seen]
        errors["hourglass"].append(nme(landmarks, truth))
        errors["mtcnn"].append(nme(rough, truth))
    if not errors["mtcnn"]:
        raise SystemExit(
            f"None of the {len(faces)} photos could be measured: {missed} without a face "
            "that MTCNN finds, "
            f"{skipped} unusable. Do the paths and landmarks of the CSV fit the folder?"
        )
    joined = {name: torch.cat(parts).numpy() for name, parts in errors.items()}
    return joined, owners, missed, skipped


def shake(
    photo: torch.Tensor, landmarks: np.ndarray, draw: np.random.Generator
) -> tuple[torch.Tensor, np.ndarray]:
    """The photo and its landmarks, changed at random.

    Turned within 30 degrees, scaled within 15 %, shifted within 8 % of the face, a third grey.
    """
    angle, scale = np.deg2rad(draw.uniform(-30, 30)), draw.uniform(0.85, 1.15)
    centre, size = (
        landmarks.mean(0),
        4.9 * np.linalg.norm(landmarks - landmarks.mean(0), axis=-1).mean(),
    )
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = centre - turn @ centre + draw.uniform(-0.08, 0.08, 2) * size
    matrix = torch.from_numpy(np.concatenate([turn, shift[:, None]], 1).astype(np.float32))[None]
    photo = warp(photo[None], matrix, max(photo.shape[1:]))[0]
    if draw.random() < 1 / 3:
        photo = photo.float().mean(0, keepdim=True).round().byte().repeat(3, 1, 1)
    return photo, transform(torch.from_numpy(landmarks)[None], matrix)[0].numpy()
