"""Which loss for the recogniser?

Cross validation inside the people to train on; unseen people are never looked at. The people are
dealt into folds; each fold is held out once while the recipe of notebooks 2 and 3 learns the
others, with the same number of steps and photos for every loss. The difference from the first one
is paired: the same people, drawn anew within each fold.
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
    pairs = sum(metrics.pairs_of_people(out) for out in deal)  # of all folds
    result = {}
    for name in RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            found = [
                one_fold(name, faces, labels, torch.from_numpy(out), settings, Path(folder, str(k)))
                for k, out in enumerate(deal)
            ]
        result[name] = over_folds(found, pairs)
        paired = recognition.difference(result[name], result[RECIPES[0]])
        print(
            f"{name:16s} TPR at FPR {recognition.FPR}: {recognition.shown(result[name], 'tpr'):20s}"
            + (f" minus {RECIPES[0]}: {paired}" if name != RECIPES[0] else ""),
            flush=True,
        )
    carried = metrics.carries(recognition.FPR, pairs)
    print(
        json.dumps(
            {name: round(row["tpr"], 4) if carried else None for name, row in result.items()}
        )
    )


def over_folds(found: list[dict], pairs: int) -> dict:
    """The mean of the folds, whose people are drawn anew within each, as `shown` takes it.

    Args:
        found: of each fold what `metrics.verification_rate` returned.
        pairs: of people that stand behind all of them.
    """
    draws = np.mean([fold["resampled"] for fold in found], axis=0)
    people = sum(fold["people"] for fold in found)
    low, high = metrics.bootstrap_interval(draws, people)
    return {
        "tpr": float(np.mean([fold["tpr"] for fold in found])),
        "tpr_low": float(low),
        "tpr_high": float(high),
        "tpr_resampled": draws.tolist(),
        "people": people,
        "pairs_of_people": pairs,
    }


def one_fold(
    name: str,
    faces: torch.Tensor,
    labels: torch.Tensor,
    held_out: torch.Tensor,
    settings: Settings,
    folder: Path,
) -> dict:
    """Train on everybody but the people held out; return their `metrics.verification_rate`."""
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
    return metrics.verification_rate(embed(encoder, faces[out]), labels[out], fpr=recognition.FPR)
