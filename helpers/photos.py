"""Before the first station: one picture file of any kind -> uint8 RGB (3, H, W)."""
import re
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torchvision.utils import make_grid

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"}
MAX_PIXELS = 100_000_000  # a larger picture is refused: it would decode to over 300 MB


class PhotoError(ValueError):
    """A single photo that can't be used; the sentence says why. Callers skip the photo and go on."""


def read_photo(path, name=None):
    """Read one picture of any common kind, upright, as uint8 RGB (3, H, W); raise PhotoError if it is none.

    path: of a file, or an open file, with a name for the error's sentence.
    """
    name = name or path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning: ours is the error below
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PhotoError(f"{name}: {picture.width}x{picture.height} pixels is more than "
                                     f"{MAX_PIXELS // 1_000_000} million; make it smaller.")
                picture = ImageOps.exif_transpose(picture)
                if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit and float: scale to 8 bits
                    values = np.asarray(picture, np.float32)
                    top = 65535 if values.max() > 255 else 255
                    picture = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
                array = np.array(picture.convert("RGB"))
    except PhotoError:
        raise
    except Exception as error:  # Pillow raises many kinds, for truncated and hostile files
        raise PhotoError(f"{name}: not a picture that can be read ({type(error).__name__}); "
                         "save it again as JPEG or PNG, or take it out.") from None
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def paste_on_canvas(photo, side):
    """Paste a (3, H, W) photo on the middle of a (3, side, side) canvas of its border's median colour.

    MTCNN was trained on heads with room around them; a photo cut at the ears has none.
    """
    _, height, width = photo.shape
    top, left = (side - height) // 2, (side - width) // 2
    border = torch.cat([photo[:, 0], photo[:, :, 0], photo[:, :, -1]], dim=1)
    canvas = border.median(dim=1).values[:, None, None].repeat(1, side, side)
    canvas[:, top:top + height, left:left + width] = photo
    return canvas


def tiled(photos, columns, side):
    """Photos (3, H, W) beside and below each other in one picture, each on a square canvas, scaled to `side` pixels."""
    squares = [paste_on_canvas(photo, max(photo.shape)).float() for photo in photos]
    tiles = [F.interpolate(square[None], (side, side), mode="bilinear", antialias=True)[0].byte() for square in squares]
    return make_grid(tiles, columns, padding=0)


def picture_files(folder):
    """The files of a folder whose names end like a picture's, sorted by name, 2 before 10."""
    return sorted((f for f in Path(folder).iterdir() if f.suffix.lower() in PHOTO_SUFFIXES), key=natural_order)


def natural_order(path):
    """A sorting key that puts `photo 2` before `photo 10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
