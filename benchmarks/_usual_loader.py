"""The loader that most projects use, for `training-speed` to compare with: JPEGs in ImageFolder."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode


def imagefolder_batches(
    folder: Path,
    options: argparse.Namespace,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
) -> Callable:
    """The usual way: a worker for each core, random changes by torchvision on PIL pictures.

    Unless told otherwise torchvision rotates by the nearest pixel, which is faster and coarser.
    """
    usual = transforms.Compose(
        [
            transforms.RandomAffine(15, (0.08, 0.08), (0.85, 1.15), interpolation=interpolation),
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


def write_folder(faces: torch.Tensor, labels: torch.Tensor, folder: Path) -> None:
    """The faces as ImageFolder wants them: a folder of JPEGs for each person."""
    for i, (face, person) in enumerate(zip(faces, labels.tolist())):
        (folder / str(person)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(
            folder / str(person) / f"{i}.jpg", quality=95
        )
