"""Cross entropy, margins and triplets from the same first weights, photos and number of faces.

Closed-set accuracy: who of the people trained on is on a photo held out? By the loss's own
classifier, and by the nearest training photos (kNN). TPR: of people never trained on. The intervals
are over people; the difference from the first loss is paired, of the same people; how much another
seed would change, they don't say (--seed). A stopped benchmark goes on with the run it was at.
"""

import argparse
import json
import os
from dataclasses import replace

import numpy as np
import torch

from helpers import metrics, recognition
from helpers.configured import batches_of, configured_loss
from helpers.faces import load_faces
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings

FLAGS = (  # settings
    "dataset",
    "split",
    "epochs",
    "batch_size",
    "lr",
    "encoder",
    "encoder_size",
    "weights",
    "seed",
    "device",
)
BEFORE = {"dataset": "--people", "split": "--roles", "encoder_size": "--size"}
WHO = ("people", "probe_people", "distractor_people", "split")  # settings that say who is held out
KEYS = ("accuracy", "knn_accuracy", "tpr")


def main(arguments: list[str]) -> None:
    """Train every loss that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks losses", description=__doc__)
    add_flags(parser, *FLAGS, command="losses", before=BEFORE)
    parser.add_argument(
        "--losses",
        default="ce,arcface,triplet",
        help="of helpers/config/loss (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options, "losses")
    if not (settings.split or any(f"FACES_{name.upper()}" in os.environ for name in WHO)):
        settings = with_a_quarter_held_out(settings)
    data, results = recognition.recognition_data(settings), {}
    print(
        f"{len(data.train)} photos of {data.num_classes} people to train on, "
        f"{len(data.test)} held out; "
        f"{len(data.probe)} photos of unseen people, {len(data.distractors)} of distractors"
    )
    first, *others = options.losses.split(",")
    columns = ("", "accuracy", "kNN accuracy", "TPR at FPR 0.01", f"minus {first}")
    print("".join(f"{column:22s}" for column in columns) + "minutes")
    for name in (first, *others):
        results[name], minutes = one_loss(name, data, settings)
        cells = [recognition.shown(results[name], key) for key in KEYS]
        cells.append(recognition.difference(results[name], results[first]) if name != first else "")
        print("".join(f"{cell:22s}" for cell in (name, *cells)) + f"{minutes:.1f}", flush=True)
    number = metrics.pairs_of_people(data.probe_labels, data.distractor_labels)
    if sentence := metrics.left_out(recognition.FPR, number):
        print(sentence)
    enough = metrics.carries(recognition.FPR, number)
    print(json.dumps({name: rounded(result, enough) for name, result in results.items()}))


def with_a_quarter_held_out(settings: Settings) -> Settings:
    """The settings with a quarter of the dataset's people as probe identities."""
    people = len(np.unique(load_faces(settings.dataset, settings.data_dir).labels))
    unseen = max(2, people // 4)
    return replace(settings, people=people - unseen, probe_people=unseen, distractor_people=0)


def rounded(result: dict, enough: bool) -> dict[str, float | None]:
    """The figures of a loss; TPR is None where the people are not enough for it."""
    figures = {key: round(result[key], 4) for key in KEYS if key in result}
    return figures if enough else figures | {"tpr": None}


def one_loss(
    name: str, data: recognition.RecognitionData, settings: Settings
) -> tuple[dict, float]:
    """Train with one loss; return its figures and the minutes it took."""
    torch.manual_seed(settings.seed)
    loss, photos_each = configured_loss(name, settings.embedding, data.num_classes)
    batches = batches_of(photos_each, data.train_labels, settings.batch_size)
    encoder, run = recognition.train_recogniser(
        f"benchmark_{name}", loss, data, settings, batches=batches
    )
    return recognition.figures(encoder, data, loss), run.seconds / 60
