"""System E's recipe on LFW split by person: Mamba, first all triplets, then only hard ones.

Half of the people are trained on, the others are never seen while training. People with a single
photo make no positive pair and are left out. All networks answer for the same unseen people: the
untrained one, the first stage, the control (all triplets for as many steps as both stages), and the
recipe, its second stage at a tenth of the rate and at the rate of the first. A stopped benchmark
goes on with the run it was at.
"""

import argparse
import json
from dataclasses import replace

import numpy as np
import torch

from helpers import metrics
from helpers.aligned_data import RecognitionData, aligned_faces, aligned_folder
from helpers.aligned_set import FaceArray
from helpers.encoders import Encoder, embed
from helpers.face_set import FaceSet
from helpers.faces import load_faces
from helpers.losses import TripletLoss
from helpers.networks import hourglass, hourglass_id, new_encoder
from helpers.recognisers import train_recogniser
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings
from helpers.splits import splits_csv

FLAGS = ("dataset", "epochs", "batch_size", "encoder_size", "lr", "seed", "device")  # settings
MAMBA = {  # the network, for one CPU core, and what its batches and its rate are
    "encoder": "mamba",
    "encoder_options": {"width": 64, "depth": 2, "patch": 8},
    "embedding": 128,
    "weights": "none",
    "photos_each": 4,
    "schedule": "warmup",
}
CONTROL = "all, all of the steps"
FIGURES = ("recall@1", "r_precision", "map@r")


def with_pairs(photos: FaceSet, most: int) -> FaceSet:
    """The people with two photos or more, the first `most` photos of each."""
    labels, place = photos.labels, np.zeros(len(photos), int)
    counts = np.bincount(labels, minlength=len(photos.names))
    for person in np.flatnonzero(counts):
        place[labels == person] = np.arange(counts[person])
    return photos.subset((counts[labels] > 1) & (place < most))


def main(arguments: list[str]) -> None:
    """Train the recipe and its control, and print what each is worth on unseen people."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mamba-lfw", description=__doc__)
    add_flags(parser, *FLAGS, command="mamba_lfw", before={"dataset": "--photos"})
    parser.add_argument(
        "--most", type=int, default=8, help="photos of one person (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options, "mamba_lfw", **MAMBA)
    data = lfw_data(settings, options.most)
    print(
        f"{len(data.train)} photos of {data.num_classes} people to train on, "
        f"{len(data.probe)} photos of {len(np.unique(data.probe_labels))} unseen people"
    )
    encoders, steps = trained(data, settings, settings.epochs)
    rows = table({name: embed(net, data.probe) for name, net in encoders.items()}, data)
    for name, row in rows.items():
        print(f"{name}: {steps[name]} steps")
        for figure, cells in row.items():
            print(f"    {figure:12s} " + "   ".join(f"{key} {cell}" for key, cell in cells.items()))
    print(json.dumps({"steps": steps, "rows": rows}))


def lfw_data(settings: Settings, most: int) -> RecognitionData:
    """LFW's aligned faces, half of the people to train on, the other half as probes."""
    photos = with_pairs(load_faces(settings.dataset, settings.data_dir), most)
    photos = replace(photos, central=True)  # the person of an LFW photo is in its middle
    people = np.random.default_rng(settings.split_seed).permutation(np.unique(photos.labels))
    seen = np.isin(photos.labels, people[: len(people) // 2])
    model = hourglass(settings)
    aligned, split, images = aligned_faces(
        photos,
        np.where(seen, "train", "probe"),
        model,
        aligned_folder(settings, everybody=True),
        settings.torch_device,
    )
    train, names = split == "train", np.array(aligned.names)[aligned.labels]
    labels = torch.from_numpy(np.unique(names[train], return_inverse=True)[1])
    nobody = FaceArray(images.array, images.rows[:0])
    return RecognitionData(
        train=FaceArray(images.array, images.rows[train]),
        train_labels=labels,
        test=nobody,
        test_labels=labels[:0],
        probe=FaceArray(images.array, images.rows[~train]),
        probe_labels=aligned.labels[~train],
        probe_names=dict(enumerate(aligned.names)),
        distractors=nobody,
        distractor_labels=aligned.labels[:0],
        splits=splits_csv(photos, np.where(seen, "train", "probe")),
        train_keys=[aligned.key(i) for i in np.flatnonzero(train)],
        landmarks=hourglass_id(model),
    )


def trained(
    data: RecognitionData, settings: Settings, epochs: int
) -> tuple[dict[str, Encoder], dict[str, int]]:
    """The untrained encoder, stage 1, the control and the recipe; how many steps each took.

    The second stage is tried at the rate of the first, as system E had it, and at a tenth, as in
    notebook 3.
    """
    half, first = epochs // 2, "all, half of the steps"
    stages = {  # mining, what it begins from, epochs, the highest rate
        first: ("all", None, half, settings.lr),
        CONTROL: ("all", None, epochs, settings.lr),
        "all, then hard, a tenth of the rate": ("hard", first, epochs - half, settings.lr / 10),
        "all, then hard": ("hard", first, epochs - half, settings.lr),
    }
    encoders, steps = {"untrained": new_encoder(settings).eval()}, {"untrained": 0}
    for name, (mining, start, part, lr) in stages.items():
        encoder = new_encoder(settings)
        if start:
            encoder.load_state_dict(encoders[start].state_dict())
        encoders[name], run = train_recogniser(
            f"mamba_{mining}",
            TripletLoss(mining=mining),
            data,
            settings,
            encoder,
            epochs=part,
            lr=lr,
        )
        steps[name] = len(run.history) * run.settings["steps_an_epoch"] + steps.get(start, 0)
        last = {key: f"{value:.3g}" for key, value in run.history[-1].items()}
        print(f"{name}, the last epoch: {last}", flush=True)
    return encoders, steps


def table(embeddings: dict[str, np.ndarray], data: RecognitionData) -> dict[str, dict]:
    """Each figure with its interval over people, and how far it is above that of the control.

    Args:
        embeddings: {name: (N, D)} of data.probe.
    """
    labels = data.probe_labels
    ranked = {name: metrics.retrieval(found, labels) for name, found in embeddings.items()}
    rows = {}
    for name, found in ranked.items():
        rows[name] = {}
        for figure in FIGURES:
            cells = {"value": with_interval(found[figure], found["people"])}
            if name != CONTROL:
                gain = found[figure] - ranked[CONTROL][figure]
                cells["minus control"] = with_interval(gain, found["people"], True)
            rows[name][figure] = cells
    return rows


def with_interval(values: np.ndarray, people: np.ndarray, difference: bool = False) -> str:
    """The mean and its 95 % interval over people, in three digits, since these are small."""
    low, high = metrics.interval(values, people, difference=difference)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"
