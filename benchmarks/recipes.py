"""Which loss for the recogniser?

Cross validation inside the people to train on; unseen people are never looked at. The people are
dealt into folds; each fold is held out once while the recipe of notebooks 2 and 3 learns the
others, with the same number of steps and photos for every loss.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from helpers import course, metrics, recognition
from helpers.augment import Jitter
from helpers.configured import batches_of, configured_loss
from helpers.encoders import embed
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings
from helpers.training import fit

RECIPES = ("ce", "margin0", "arcface", "triplet", "triplet_arcface")  # of helpers/config/loss


def main(arguments: list[str]) -> None:
    """Train every recipe on every fold and print the verification rate of the people held out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recipes", description=__doc__)
    parser.add_argument("--folds", type=int, default=4)
    add_flags(parser, "dataset", "epochs", "batch_size", "encoder", "seed", "device")
    options = parser.parse_args(arguments)
    folds, settings = options.folds, settings_of(options)
    data = recognition.recognition_data(settings)
    faces, labels = (
        torch.cat([data.train[:], data.test[:]]),
        torch.cat([data.train_labels, data.test_labels]),
    )
    deal = np.array_split(np.random.default_rng(settings.seed).permutation(data.num_classes), folds)
    result = {}
    for name in RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            rates = [
                one_fold(name, faces, labels, torch.from_numpy(out), settings, Path(folder))
                for out in deal
            ]
        pairs = [
            metrics.pairs_of_people(out) for out in deal
        ]  # the mean rests on those of all folds
        of_folds = [
            round(rate, 3) if metrics.carries(recognition.FPR, n) else None
            for rate, n in zip(rates, pairs)
        ]
        mean = (
            round(float(np.mean(rates)), 3)
            if metrics.carries(recognition.FPR, sum(pairs))
            else None
        )
        result[name] = {"tpr": mean, "folds": of_folds}
        print(f"{name:20s} TPR at FPR {recognition.FPR}: {mean}   folds {of_folds}", flush=True)
    if sentence := metrics.left_out(recognition.FPR, min(pairs)):
        print("of single folds:", sentence)
    print(json.dumps(result))


def one_fold(
    name: str,
    faces: torch.Tensor,
    labels: torch.Tensor,
    held_out: torch.Tensor,
    settings: Settings,
    folder: Path,
) -> float:
    """Train on everybody but the people held out; return their verification rate."""
    out = torch.isin(labels, held_out)
    numbers = labels[~out].unique(return_inverse=True)[1]
    encoder = course.new_encoder(settings)
    loss, photos_each = configured_loss(name, settings.embedding, int(numbers.max()) + 1)
    fit(
        encoder,
        loss,
        faces[~out],
        numbers,
        folder / "fold",
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        batches=batches_of(photos_each, numbers, settings.batch_size),
        augment=Jitter(size=settings.encoder_size),
        seed=settings.seed,
        progress=False,
    )
    return float(
        metrics.verification_rate(embed(encoder, faces[out]), labels[out], fpr=recognition.FPR)[
            "tpr"
        ]
    )
