"""Photos for notebook 5: the reader's own, or samples of the dataset."""

import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.utils import make_grid

from .folders import picture_files
from .photos import paste_on_canvas
from .settings import Settings
from .splits import split_faces


def photo_folder(settings: Settings, names: list[str], each: int = 3) -> Path:
    """`test_images/` if there are pictures in it, else a folder of sample photos.

    Args:
        settings: the dataset from which samples are taken.
        names: probe identities whose photos are taken.
        each: photos of each of them, at most.
    """
    given = Path("test_images")
    if given.is_dir() and picture_files(given):
        return given
    folder = settings.run_dir / "sample_photos"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    probe = split_faces(settings)[1]
    for name in names:
        photos = probe.of_people([probe.names.index(name)])
        for k in range(min(each, len(photos))):
            picture = Image.fromarray(photos.photo(k).permute(1, 2, 0).numpy())
            picture.save(folder / f"{name}_{k + 1}.png")
    return folder


def tiled(photos: list[torch.Tensor], columns: int, side: int) -> torch.Tensor:
    """A made-up group photo: photos (3, H, W) in rows, each on a square scaled to `side` pixels."""
    squares = [paste_on_canvas(photo, max(photo.shape)).float() for photo in photos]
    tiles = [
        F.interpolate(square[None], (side, side), mode="bilinear", antialias=True)[0].byte()
        for square in squares
    ]
    return make_grid(tiles, columns, padding=0)
