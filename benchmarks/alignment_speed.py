"""How fast do faces become straight?

Our batch beside a loop over scikit-image, on the same photos and landmarks. From decoded photos and
five landmarks in each to aligned faces of 112x112. Beside it, how fast the shipped hourglass is:
one crop on one core, and in batches on all.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from skimage.data import astronaut
from skimage.transform import estimate_transform
from skimage.transform import warp as skimage_warp

from helpers import course
from helpers.alignment import FACE, REFERENCE, align
from helpers.landmarks import StackedHourglass, predict_landmarks
from helpers.setting_flags import add_flags, settings_of


def main(arguments: list[str]) -> None:
    """Time both in turns, so that a noisy machine is noisy for both, and print the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks alignment-speed", description=__doc__
    )
    parser.add_argument(
        "--photos",
        type=int,
        default=256,
        help="how many copies of a 250x250 photo (default: %(default)s)",
    )
    add_flags(parser, "device")
    options = parser.parse_args(arguments)
    device = str(settings_of(options).torch_device)
    photo = np.ascontiguousarray(astronaut()[:250, 100:350])
    draw = torch.Generator().manual_seed(0)
    landmarks = torch.tensor([[95.0, 110], [145, 112], [122, 135], [100, 165], [140, 167]])
    landmarks = landmarks + torch.randn(options.photos, 5, 2, generator=draw) * 3
    photos = torch.from_numpy(photo).permute(2, 0, 1).repeat(options.photos, 1, 1, 1)
    result = speeds(photos, landmarks, device)
    print(f"{'photos a second, batch':42s}{result['batch']:10.0f}")
    print(f"{'photos a second, loop over scikit-image':42s}{result['loop']:10.0f}")
    print(f"{'ratio':42s}{result['ratio']:10.1f}")
    result |= hourglass_speed(photos, device)
    print(f"{'hourglass: one crop on one core, ms':42s}{result['crop_ms']:10.1f}")
    print(f"{'hourglass: crops a second, in batches':42s}{result['crops_per_second']:10.0f}")
    print(f"{'the same with mirror images':42s}{result['mirrored_per_second']:10.0f}")
    print(json.dumps({key: round(value, 2) for key, value in result.items()}))


def speeds(
    photos: torch.Tensor, landmarks: torch.Tensor, device: str, repeats: int = 5
) -> dict[str, float]:
    """Photos per second of both ways and their ratio, medians of interleaved runs.

    They must agree within 2 levels.
    """
    arrays, five_landmarks, target = (
        photos.permute(0, 2, 3, 1).numpy(),
        landmarks.numpy(),
        REFERENCE.numpy(),
    )

    def batch() -> torch.Tensor:
        parts = zip(photos.split(64), landmarks.split(64))
        faces = [align(part.to(device), five.to(device))[0].cpu() for part, five in parts]
        return torch.cat(faces).permute(0, 2, 3, 1).numpy()

    def loop() -> np.ndarray:
        return np.stack([one(image, five, target) for image, five in zip(arrays, five_landmarks)])

    assert np.abs(batch().astype(int) - loop()).max() <= 2
    times = {"batch": [], "loop": []}
    for _ in range(repeats):
        for name, way in (("batch", batch), ("loop", loop)):
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    result = {name: len(photos) / statistics.median(spent) for name, spent in times.items()}
    return result | {
        "ratio": statistics.median(b / a for a, b in zip(times["batch"], times["loop"]))
    }


def one(image: np.ndarray, landmarks: np.ndarray, target: np.ndarray) -> np.ndarray:
    """An aligned face as scikit-image makes it, uint8."""
    similarity = estimate_transform("similarity", landmarks, target)  # a SimilarityTransform
    face = skimage_warp(
        image,
        similarity.inverse,
        output_shape=(FACE, FACE),
        order=1,
        mode="reflect",
        preserve_range=True,
    )
    return face.round().astype(np.uint8)


def hourglass_speed(photos: torch.Tensor, device: str) -> dict[str, float]:
    """Milliseconds for one 128x128 crop on one core, and crops per second in batches on all."""
    crops = photos[:, :, :128, :128].contiguous()
    threads = torch.get_num_threads()
    model = course.load_model(StackedHourglass, course.SHIPPED_HOURGLASS)
    torch.set_num_threads(1)
    single = _median_seconds(lambda: predict_landmarks(model, crops[:1]), 20)
    torch.set_num_threads(threads)
    model = model.to(device)
    return {
        "crop_ms": single * 1000,
        "crops_per_second": len(crops)
        / _median_seconds(lambda: predict_landmarks(model, crops), 3),
        "mirrored_per_second": len(crops)
        / _median_seconds(lambda: predict_landmarks(model, crops, mirror=True), 3),
    }


def _median_seconds(work, repeats):
    work()
    spent = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)
