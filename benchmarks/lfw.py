"""LFW's own test, View 2 (Huang et al. 2007): are these 6,000 pairs one person or two?

Ten folds, the threshold of each chosen on the other nine. For final figures only: whoever chooses
anything by it has no test left.
"""

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers import metrics
from helpers.encoders import embed
from helpers.faces import load_faces
from helpers.model_files import load_encoder
from helpers.networks import hourglass, recogniser_source
from helpers.photos import PHOTO_SUFFIXES
from helpers.recognition import aligned_faces
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings

FPR = 1e-3


def main(arguments: list[str]) -> None:
    """Embed the photos of the pairs, and print accuracy with its standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks lfw", description=__doc__)
    parser.add_argument("--photos", required=True, help="LFW's folder of people")
    parser.add_argument("--pairs", required=True, help="View 2's pairs.txt")
    # the shipped hourglass learned from 4,151 photos of LFW, the detector (mtcnn) did not
    before = {"recogniser": "--encoder", "hourglass": "--landmarks"}
    add_flags(parser, "recogniser", "hourglass", "device", before=before)
    parser.add_argument(
        "--leave-out",
        metavar="CSV",
        help="the figures without the pairs of these photos stand beside: a "
        "table with a column file, such as the landmarks that the hourglass learned from; where "
        "there is a column split, its rows `train` alone",
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options, dataset=options.photos)
    first, second, same, fold = read_pairs(options.pairs)
    learned = learned_photos(options.leave_out) if options.leave_out else set()
    row, embeddings = embed_photos(settings, set(first) | set(second))
    found = np.array([a in row and b in row for a, b in zip(first, second)])
    similarity = np.full(len(same), -1.0)  # a photo without a face is like nobody
    similarity[found] = [
        embeddings[row[a]] @ embeddings[row[b]] for a, b, f in zip(first, second, found) if f
    ]
    labels = np.array([sorted((person(a), person(b))) for a, b in zip(first, second)])
    result = figures(similarity, same, fold, labels)
    print_figures(f"{len(same)} pairs, landmarks: {settings.hourglass}", result, found)
    if options.leave_out:
        kept = np.array([a not in learned and b not in learned for a, b in zip(first, second)])
        if kept.all() or any(not kept[fold == k].any() for k in np.unique(fold)):
            parser.error(
                f"{options.leave_out} names photos of {(~kept).sum()} of {len(kept)} pairs: some "
                "of each fold must be left, and some left out"
            )
        result["without"] = figures(similarity[kept], same[kept], fold[kept], labels[kept]) | {
            "pairs": int(kept.sum())
        }
        print_figures(
            f"{kept.sum()} pairs without the photos of {Path(options.leave_out).name}",
            result["without"],
            found[kept],
        )
    print(json.dumps(result))


def figures(similarity: np.ndarray, same: np.ndarray, fold: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracy with its standard error over the folds, and the TPR.

    At an FPR that the pairs of people (N, 2) can carry.
    """
    accuracy = [
        share_right(
            similarity[fold == k],
            same[fold == k],
            best_threshold(similarity[fold != k], same[fold != k]),
        )
        for k in np.unique(fold)
    ]
    number = len(np.unique(labels[~same], axis=0))
    tpr, threshold = metrics.tpr_at_fpr(similarity, same, FPR)
    return {
        "accuracy": round(float(np.mean(accuracy)), 5),
        "standard_error": round(float(np.std(accuracy, ddof=1) / len(accuracy) ** 0.5), 5),
        "tpr_at_fpr": metrics.rates_as_json([FPR], [tpr], number),
        "threshold": round(float(threshold), 4),
    }


def print_figures(title: str, result: dict, found: np.ndarray) -> None:
    """A few lines for people."""
    print(f"{title}; in {(~found).sum()} a photo shows no face that the detector finds")
    print(f"accuracy {result['accuracy']:.2%}, standard error {result['standard_error']:.2%}")
    tpr = result["tpr_at_fpr"][f"{FPR:g}"]
    print(
        f"TPR at FPR {FPR:g}: "
        + (
            "left out, too few pairs of people"
            if tpr is None
            else f"{tpr:.3f}, threshold {result['threshold']:.2f}"
        )
    )


def learned_photos(path: str | Path) -> set[str]:
    """The photos that a table names, such as `Ada_Lovelace_0001`.

    Those of the split train, or all if it has no splits.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if "file" not in (table.fieldnames or []):
            raise ValueError(
                f"{path} has no column file, in which the photos to leave out would be named."
            )
        return {stem(row["file"]) for row in table if row.get("split", "train") == "train"}


def read_pairs(path: str | Path) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """The pairs of a View 2 file.

    First and second photo, such as `Ada_Lovelace_0001`, same (bool), and fold, each (N,).
    """
    rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines()]
    try:
        folds, each = map(int, rows[0])
        pairs = [
            (row[0], row[1], row[0], row[2]) if len(row) == 3 else tuple(row) for row in rows[1:]
        ]
        first, second = (
            [f"{name}_{int(number):04d}" for name, number in ((p[k], p[k + 1]) for p in pairs)]
            for k in (0, 2)
        )
        if len(pairs) != folds * each * 2:
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"{path} is not LFW's View 2: its first line says how many folds and pairs, such as "
            "10 and 300, and each other line names a pair, its parts set apart by tabs."
        ) from None
    same = np.array([len(row) == 3 for row in rows[1:]])
    return first, second, same, np.arange(len(pairs)) // (2 * each)


def embed_photos(settings: Settings, wanted: set[str]) -> tuple[dict[str, int], np.ndarray]:
    """{photo: row} and embeddings of the wanted photos that show a face.

    Args:
        settings: dataset, recogniser and hourglass are used.
        wanted: names such as `Ada_Lovelace_0001`.
    """
    encoder = load_encoder(recogniser_source(settings), settings.torch_device)
    name = f"{settings.dataset_name}_listed"
    if settings.hourglass != "shipped":
        name += f"_{Path(settings.hourglass).stem}"
    # the person of an LFW photo is in its middle
    photos = replace(load_faces(settings.dataset, settings.data_dir), central=True)
    photos = photos.subset([stem(photos.key(i)) in wanted for i in range(len(photos))])
    missing = wanted - {stem(photos.key(i)) for i in range(len(photos))}
    if missing:
        raise ValueError(
            f"{settings.dataset} lacks {len(missing)} photos of the pairs, such as {min(missing)}: "
            "bring all of LFW."
        )
    folder = Path(settings.data_dir) / "aligned" / name
    aligned, _, faces = aligned_faces(
        photos, ["probe"] * len(photos), hourglass(settings), folder, settings.torch_device
    )
    return {stem(aligned.key(i)): i for i in range(len(aligned))}, embed(encoder, faces)


def stem(key: str) -> str:
    """`Ada_Lovelace_0001` of `Ada_Lovelace/Ada_Lovelace_0001.webp`."""
    name = Path(key).name
    return Path(name).stem if Path(name).suffix.lower() in PHOTO_SUFFIXES else name


def person(photo: str) -> str:
    """`Ada_Lovelace` of `Ada_Lovelace_0001`."""
    return photo.rpartition("_")[0]


def best_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    """The threshold that judges the most pairs rightly; a pair above it is one person."""
    order = np.argsort(similarity)
    values = similarity[order]
    # with this pair and all below it judged different
    right = same.sum() + np.cumsum(np.where(same[order], -1, 1))
    right[:-1][np.diff(values) == 0] = -1  # equal ones can't be parted
    return values[right.argmax()] if right.max() > same.sum() else values[0] - 1


def share_right(similarity: np.ndarray, same: np.ndarray, threshold: float) -> float:
    """The share of pairs judged rightly."""
    return float(((similarity > threshold) == same).mean())
