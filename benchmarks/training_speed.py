"""How fast does `fit` train? Beside (a) the bare loop: the same model and batch on the device, no augmentation, and (b) the
usual ImageFolder + DataLoader + torchvision transforms, which reads the same aligned faces as JPEGs in worker processes.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from helpers.augment import Jitter
from helpers.devices import best_precision
from helpers.encoders import Encoder
from helpers.losses import MarginHead
from helpers.optimisers import OPTIMIZERS, parameter_groups
from helpers.training import fit

PEOPLE = 64


def main(arguments):
    """Time the three in turns, so that a noisy machine is noisy for all, and print the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks training-speed", description=__doc__
    )
    parser.add_argument("--faces", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--encoder", default="resnet10_small")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    faces, labels = some_faces(options.faces)
    times = {"fit": [], "bare": [], "imagefolder": []}
    with tempfile.TemporaryDirectory() as folder:
        write_folder(faces, labels, Path(folder) / "jpeg")
        for turn in range(options.rounds):
            times["fit"].append(fit_speed(faces, labels, Path(folder) / f"run{turn}", options))
            times["bare"].append(bare_speed(faces, labels, options))
            times["imagefolder"].append(imagefolder_speed(Path(folder) / "jpeg", options))
    speed = {name: statistics.median(values) for name, values in times.items()}
    labels = {
        "fit": "fit, with Jitter",
        "bare": "bare loop, no augmentation",
        "imagefolder": "ImageFolder + DataLoader",
    }
    for name, label in labels.items():
        print(f"{label:32s}{speed[name]:8.0f} faces a second")
    result = {
        "of_bare": speed["fit"] / speed["bare"],
        "over_imagefolder": speed["fit"] / speed["imagefolder"],
    }
    print(json.dumps({key: round(value, 3) for key, value in (result | speed).items()}))


def some_faces(n, side=112):
    """Pieces of one photo, uint8 (n, 3, side, side), with people (n,)."""
    photo, draw = (
        torch.from_numpy(np.ascontiguousarray(astronaut())).permute(2, 0, 1),
        np.random.default_rng(0),
    )
    corners = draw.integers(0, 512 - side, (n, 2))
    return torch.stack([photo[:, y : y + side, x : x + side] for y, x in corners]), torch.arange(
        n
    ) % PEOPLE


def new_model(options):
    """The same encoder and head for all three."""
    torch.manual_seed(0)
    return Encoder(options.encoder, 128, options.size).to(options.device), MarginHead(
        128, PEOPLE
    ).to(options.device)


def fit_speed(faces, labels, folder, options):
    """Faces a second of `fit`, of the second of its two epochs."""
    encoder, loss = new_model(options)
    run = fit(
        encoder,
        loss,
        faces,
        labels,
        folder,
        epochs=2,
        batch_size=options.batch_size,
        augment=Jitter(size=options.size),
        progress=False,
    )
    return run.history[-1]["photos_per_second"]


def bare_speed(faces, labels, options):
    """Faces a second of the plainest loop over one tensor that lies on the device already, in the model's own size."""
    encoder, loss = new_model(options)
    small = torch.nn.functional.interpolate(
        faces.float(), (options.size,) * 2, mode="bilinear", antialias=True
    ).byte()
    on_device = small.to(options.device), labels.to(options.device)
    batches = lambda: zip(*(part.split(options.batch_size) for part in on_device))
    return loop(encoder, loss, batches, options)


def imagefolder_speed(folder, options):
    """Faces a second of the usual way: a worker for each core, random changes by torchvision on PIL pictures."""
    encoder, loss = new_model(options)
    usual = transforms.Compose(
        [
            transforms.RandomAffine(15, (0.08, 0.08), (0.85, 1.15)),
            transforms.RandomHorizontalFlip(),
            transforms.Resize(options.size),
            transforms.ColorJitter(0.4, 0.4),
            transforms.PILToTensor(),
        ]
    )
    loader = DataLoader(
        ImageFolder(folder, usual),
        options.batch_size,
        shuffle=True,
        num_workers=os.cpu_count(),
        persistent_workers=True,
        pin_memory=options.device != "cpu",
    )
    batches = lambda: (
        (x.to(options.device, non_blocking=True), y.to(options.device)) for x, y in loader
    )
    return loop(encoder, loss, batches, options)


def loop(encoder, loss, batches, options):
    """Two epochs of training steps in the precision that `fit` would take; the speed of the second."""
    optimiser = OPTIMIZERS["adamw"](
        [*parameter_groups(encoder, 0.05), *parameter_groups(loss, 0.05)], lr=1e-3
    )
    precision, kinds = (
        best_precision(options.device),
        {"bf16": "bfloat16", "fp16": "float16", "no": "float32"},
    )
    for _ in range(2):
        started, seen = time.perf_counter(), 0
        for faces, labels in batches():
            with torch.autocast(
                options.device, getattr(torch, kinds[precision]), enabled=precision != "no"
            ):
                value, _ = loss(encoder(faces), labels)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            seen += len(labels)
        if options.device == "cuda":
            torch.cuda.synchronize()
    return seen / (time.perf_counter() - started)


def write_folder(faces, labels, folder):
    """The faces as ImageFolder wants them: a folder of JPEGs for each person."""
    for i, (face, person) in enumerate(zip(faces, labels.tolist())):
        (folder / str(person)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(
            folder / str(person) / f"{i}.jpg", quality=95
        )
