"""How fast does `fit` train, and how fast are its batches ready?

Beside (a) the bare loop: the same model, its photos on the device and in its size, without and with
the same augmentation, and (b) the usual ImageFolder + DataLoader + torchvision transforms, which
reads the same aligned faces as JPEGs in a worker process for each core. Then without a network,
which hides what its loader costs: batches on the device, augmented, of photos in random order and
of people by photos. `--also` measures `fit` with other settings: compile, or a precision.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut
from torchvision.transforms import InterpolationMode

from helpers.aligned_set import FaceArray
from helpers.augment import Jitter
from helpers.batches import people_by_photos, shuffled
from helpers.devices import ahead, best_precision, move, take
from helpers.encoders import Encoder
from helpers.losses import MarginHead
from helpers.optimisers import OPTIMIZERS, parameter_groups
from helpers.setting_flags import add_flags, settings_of
from helpers.training import fit

from ._usual_loader import imagefolder_batches, write_folder

PEOPLE = 64
LABELS = {
    "fit": "fit, with Jitter",
    "bare": "bare loop, no augmentation",
    "bare_jitter": "bare loop, with the same Jitter",
    "imagefolder": "ImageFolder + DataLoader",
    "ready": "no network: batches, with Jitter",
    "ready_pk": "no network: P x K batches, with Jitter",
    "ready_imagefolder": "no network: ImageFolder + DataLoader",
    "ready_bilinear": "the same, rotated bilinearly as Jitter does",
}


def main(arguments: list[str]) -> None:
    """Print medians over the rounds, of speeds and of their ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks training-speed", description=__doc__
    )
    parser.add_argument("--faces", type=int, default=2048)
    names = ("batch_size", "encoder", "encoder_size", "device")
    add_flags(parser, *names, command="training_speed", before={"encoder_size": "--size"})
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--also", nargs="*", default=[], help="compile, bf16, float32, tf32, fp16")
    options = parser.parse_args(arguments)
    settings = settings_of(options, "training_speed")
    options.batch_size, options.encoder = settings.batch_size, settings.encoder
    options.size, options.device = settings.encoder_size, str(settings.torch_device)
    rounds = timed_rounds(options)
    names = LABELS | {name: f"fit, with Jitter, {name}" for name in options.also}
    speed = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    for name, label in names.items():
        print(f"{label:44s}{speed[name]:8.0f} faces a second")
    print(f"share of the time that `fit` waits for its batches: {speed['waiting']:.3f}")
    ratios = {
        "of_bare": ("fit", "bare"),
        "of_bare_jitter": ("fit", "bare_jitter"),
        "over_imagefolder": ("fit", "imagefolder"),
        "ready_over_imagefolder": ("ready", "ready_imagefolder"),
        "ready_over_bilinear": ("ready", "ready_bilinear"),
        **{f"{name}_gain": (name, "fit") for name in options.also},
    }
    result = {
        ratio: statistics.median(row[above] / row[below] for row in rounds)
        for ratio, (above, below) in ratios.items()
    }
    print(json.dumps({key: round(value, 3) for key, value in (result | speed).items()}))


def timed_rounds(options: argparse.Namespace) -> list[dict[str, float]]:
    """Everything once a round, one after another: what a round compares met the same noise."""
    faces, labels = some_faces(options.faces)
    also = {
        name: {"compile": True} if name == "compile" else {"precision": name}
        for name in options.also
    }
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_folder(faces, labels, folder / "jpeg")
        np.save(folder / "faces.npy", faces.numpy())
        on_disk = FaceArray(np.load(folder / "faces.npy", mmap_mode="r"), np.arange(len(faces)))
        plain = shuffled(len(faces), options.batch_size)
        by_person = people_by_photos(labels, options.batch_size // 4, 4)
        for turn in range(options.rounds):
            curves = fit_curves(on_disk, labels, folder / f"run{turn}", options)
            row = {"fit": curves["photos_per_second"], "waiting": curves["waiting"]}
            for name, more in also.items():
                curves = fit_curves(on_disk, labels, folder / f"{name}{turn}", options, **more)
                row[name] = curves["photos_per_second"]
            row["bare"] = bare_speed(faces, labels, options)
            row["bare_jitter"] = bare_speed(faces, labels, options, augmented=True)
            row["imagefolder"] = imagefolder_speed(folder / "jpeg", options)
            row["ready"] = ready_speed(on_disk, labels, plain, options)
            row["ready_pk"] = ready_speed(on_disk, labels, by_person, options)
            usual = imagefolder_batches(folder / "jpeg", options)
            row["ready_imagefolder"] = rate_of(usual, options.device)
            usual = imagefolder_batches(folder / "jpeg", options, InterpolationMode.BILINEAR)
            row["ready_bilinear"] = rate_of(usual, options.device)
            rounds.append(row)
    return rounds


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


def fit_curves(
    faces: FaceArray,
    labels: torch.Tensor,
    folder: Path,
    options: argparse.Namespace,
    **more: object,
) -> dict:
    """The curves' row of the second of two epochs of `fit`, `more` of whose options are given."""
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
        **more,
    )
    return run.history[-1]


def bare_speed(
    faces: torch.Tensor,
    labels: torch.Tensor,
    options: argparse.Namespace,
    augmented: bool = False,
) -> float:
    """Faces a second of the plainest loop: one tensor on the device.

    It is in the model's own size, or augmented into it as `fit` does.
    """
    encoder, loss = new_model(options)
    if not augmented:
        faces = torch.nn.functional.interpolate(
            faces.float(), (options.size,) * 2, mode="bilinear", antialias=True
        ).byte()
    on_device = faces.to(options.device), labels.to(options.device)
    batches = lambda: zip(*(part.split(options.batch_size) for part in on_device))
    jitter = Jitter(size=options.size)
    if augmented:
        return loop(encoder, loss, lambda: itertools.starmap(jitter, batches()), options)
    return loop(encoder, loss, batches, options)


def imagefolder_speed(folder: Path, options: argparse.Namespace) -> float:
    """Faces a second of the same steps behind the usual loader."""
    return loop(*new_model(options), imagefolder_batches(folder, options), options)


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
