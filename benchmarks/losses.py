"""Cross entropy, margins and triplets from the same first weights, photos and number of faces.

Closed-set accuracy: who of the people trained on is on a photo held out? By the loss's own
classifier, and by the nearest training photos (kNN). TPR: of people never trained on. The intervals
are over people; how much another seed would change,
they don't say (--seed). A stopped benchmark goes on with the run it was at.
"""

import argparse
import json
from dataclasses import replace

import numpy as np
import torch

from helpers import metrics, recognition
from helpers.configured import batches_of, configured_loss
from helpers.faces import load_faces
from helpers.settings import Settings, load_settings


def main(arguments: list[str]) -> None:
    """Train every loss that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks losses", description=__doc__)
    parser.add_argument(
        "--people",
        default="orl",
        help="a folder with a folder of photos for each person, or a dataset",
    )
    parser.add_argument(
        "--split",
        "--roles",
        default="",
        help="a CSV file,person,split; default: a quarter of all people is held out",
    )
    parser.add_argument(
        "--losses",
        default="ce,arcface,triplet",
        help="of helpers/config/loss (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--encoder", default="resnet10_small")
    parser.add_argument(
        "--size", type=int, default=64, help="side of the faces that the encoder sees"
    )
    parser.add_argument(
        "--weights", default="none", help="none, imagenet, or an encoder that this course saved"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    settings = replace(
        load_settings(),
        dataset=options.people,
        split=options.split,
        seed=options.seed,
        encoder=options.encoder,
        encoder_size=options.size,
        weights=options.weights,
        epochs=options.epochs,
        batch_size=options.batch_size,
    )
    if not options.split:
        people = len(np.unique(load_faces(options.people, settings.data_dir).labels))
        unseen = max(2, people // 4)
        settings = replace(
            settings, people=people - unseen, probe_people=unseen, distractor_people=0
        )
    data, results = recognition.recognition_data(settings), {}
    print(
        f"{len(data.train)} photos of {data.num_classes} people to train on, "
        f"{len(data.test)} held out; "
        f"{len(data.probe)} photos of unseen people, {len(data.distractors)} of distractors"
    )
    print(f"{'':18s}{'accuracy':20s}{'kNN accuracy':20s}{'TPR at FPR 0.01':20s}minutes")
    for name in options.losses.split(","):
        results[name], minutes = one_loss(name, data, settings, options.lr)
        cells = (
            recognition.shown(results[name], key) for key in ("accuracy", "knn_accuracy", "tpr")
        )
        print(
            f"{name:18s}" + "".join(f"{cell:20s}" for cell in cells) + f"{minutes:.1f}", flush=True
        )
    number = metrics.pairs_of_people(data.probe_labels, data.distractor_labels)
    if sentence := metrics.left_out(recognition.FPR, number):
        print(sentence)
    print(
        json.dumps(
            {
                name: {
                    key: round(result[key], 4)
                    if key != "tpr" or metrics.carries(recognition.FPR, number)
                    else None
                    for key in ("accuracy", "knn_accuracy", "tpr")
                    if key in result
                }
                for name, result in results.items()
            }
        )
    )


def one_loss(
    name: str, data: recognition.RecognitionData, settings: Settings, lr: float
) -> tuple[dict, float]:
    """Train with one loss; return its figures and the minutes it took."""
    torch.manual_seed(settings.seed)
    loss, photos_each = configured_loss(name, settings.embedding, data.num_classes)
    batches = batches_of(photos_each, data.train_labels, settings.batch_size)
    encoder, run = recognition.train_recogniser(
        f"benchmark_{name}", loss, data, settings, batches=batches, lr=lr
    )
    return recognition.figures(encoder, data, loss), run.seconds / 60
