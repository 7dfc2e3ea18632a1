"""How fast does `fit` train, and how fast are its batches ready?

Beside (a) the bare loop: the same model and batch on the device, no augmentation, and (b) the usual
ImageFolder + DataLoader + torchvision transforms, which reads the same aligned faces as JPEGs in a
worker process for each core. Then without a network, which hides what its loader costs: batches on
the device, augmented, of photos in random order and of people by photos.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from helpers.aligned_set import FaceArray
from helpers.augment import Jitter
from helpers.batches import people_by_photos, shuffled
from helpers.devices import ahead, best_precision, move, take
from helpers.encoders import Encoder
from helpers.losses import MarginHead
from helpers.optimisers import OPTIMIZERS, parameter_groups
from helpers.setting_flags import add_flags, settings_of
from helpers.training import fit

PEOPLE = 64
LABELS = {
    "fit": "fit, with Jitter",
    "bare": "bare loop, no augmentation",
    "imagefolder": "ImageFolder + DataLoader",
    "ready": "no network: batches, with Jitter",
    "ready_pk": "no network: P x K batches, with Jitter",
    "ready_imagefolder": "no network: ImageFolder + DataLoader",
}


def main(arguments: list[str]) -> None:
    """Time them in turns, so that a noisy machine is noisy for all, and print the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks training-speed", description=__doc__
    )
    parser.add_argument("--faces", type=int, default=2048)
    names = ("batch_size", "encoder", "encoder_size", "device")
    add_flags(parser, *names, command="training_speed", before={"encoder_size": "--size"})
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    settings = settings_of(options, "training_speed")
    options.batch_size, options.encoder = settings.batch_size, settings.encoder
    options.size, options.device = settings.encoder_size, str(settings.torch_device)
    faces, labels = some_faces(options.faces)
    times = {name: [] for name in LABELS}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_folder(faces, labels, folder / "jpeg")
        np.save(folder / "faces.npy", faces.numpy())
        on_disk = FaceArray(np.load(folder / "faces.npy", mmap_mode="r"), np.arange(len(faces)))
        plain = shuffled(len(faces), options.batch_size)
        by_person = people_by_photos(labels, options.batch_size // 4, 4)
        for turn in range(options.rounds):
            times["fit"].append(fit_speed(on_disk, labels, folder / f"run{turn}", options))
            times["bare"].append(bare_speed(faces, labels, options))
            times["imagefolder"].append(imagefolder_speed(folder / "jpeg", options))
            times["ready"].append(ready_speed(on_disk, labels, plain, options))
            times["ready_pk"].append(ready_speed(on_disk, labels, by_person, options))
            usual = imagefolder_batches(folder / "jpeg", options)
            times["ready_imagefolder"].append(rate_of(usual, options.device))
    speed = {name: statistics.median(values) for name, values in times.items()}
    for name, label in LABELS.items():
        print(f"{label:44s}{speed[name]:8.0f} faces a second")
    result = {
        "of_bare": speed["fit"] / speed["bare"],
        "over_imagefolder": speed["fit"] / speed["imagefolder"],
        "ready_over_imagefolder": speed["ready"] / speed["ready_imagefolder"],
    }
    print(json.dumps({key: round(value, 3) for key, value in (result | speed).items()}))


def some_faces(n: int, side: int = 112) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces of one photo, uint8 (n, 3, side, side), with labels (n,)."""
    photo = torch.from_numpy(np.ascontiguousarray(astronaut())).permute(2, 0, 1)
    corners = np.random.default_rng(0).integers(0, 512 - side, (n, 2))
    faces = torch.stack([photo[:, y : y + side, x : x + side] for y, x in corners])
    return faces, torch.arange(n) % min(PEOPLE, n // 4)  # four photos each, or more


def new_model(options: argparse.Namespace) -> tuple[Encoder, MarginHead]:
    """The same encoder and head for all three."""
    torch.manual_seed(0)
    return Encoder(options.encoder, 128, options.size).to(options.device), MarginHead(
        128, PEOPLE
    ).to(options.device)


def fit_speed(
    faces: FaceArray, labels: torch.Tensor, folder: Path, options: argparse.Namespace
) -> float:
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


def bare_speed(faces: torch.Tensor, labels: torch.Tensor, options: argparse.Namespace) -> float:
    """Faces a second of the plainest loop: one tensor on the device, in the model's own size."""
    encoder, loss = new_model(options)
    small = torch.nn.functional.interpolate(
        faces.float(), (options.size,) * 2, mode="bilinear", antialias=True
    ).byte()
    on_device = small.to(options.device), labels.to(options.device)
    batches = lambda: zip(*(part.split(options.batch_size) for part in on_device))
    return loop(encoder, loss, batches, options)


def imagefolder_speed(folder: Path, options: argparse.Namespace) -> float:
    """Faces a second of the same steps behind the usual loader."""
    return loop(*new_model(options), imagefolder_batches(folder, options), options)


def imagefolder_batches(folder: Path, options: argparse.Namespace) -> Callable:
    """The usual way: a worker for each core, random changes by torchvision on PIL pictures."""
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
    return lambda: (
        (x.to(options.device, non_blocking=True), y.to(options.device)) for x, y in loader
    )


def ready_speed(
    faces: FaceArray, labels: torch.Tensor, batches: Callable, options: argparse.Namespace
) -> float:
    """Faces a second on the device and augmented, as `fit` makes them ready, without a network."""
    device, augment = torch.device(options.device), Jitter(size=options.size)

    def load(index: torch.Tensor) -> tuple:
        return [take(source, index, device) for source in (faces, labels)]

    def epoch() -> None:
        for rows in ahead(load, batches(0, 0)):
            yield augment(*(move(part, device) for part in rows))

    return rate_of(epoch, options.device)


def rate_of(batches: Callable, device: str) -> float:
    """Faces a second of the second of two epochs of batches, which nobody learns from."""
    for _ in range(2):
        started, seen = time.perf_counter(), 0
        for _, labels in batches():
            seen += len(labels)
        if device == "cuda":
            torch.cuda.synchronize()
    return seen / (time.perf_counter() - started)


def loop(
    encoder: Encoder, loss: MarginHead, batches: Callable, options: argparse.Namespace
) -> float:
    """Faces a second of the second of two epochs of steps, in the precision of `fit`."""
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


def write_folder(faces: torch.Tensor, labels: torch.Tensor, folder: Path) -> None:
    """The faces as ImageFolder wants them: a folder of JPEGs for each person."""
    for i, (face, person) in enumerate(zip(faces, labels.tolist())):
        (folder / str(person)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(
            folder / str(person) / f"{i}.jpg", quality=95
        )
