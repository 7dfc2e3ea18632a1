"""Before the first station: one picture file of any kind -> uint8 RGB (3, H, W)."""

import errno
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps

from .unreadable import plain_cause, why_not

with suppress(ImportError):  # iPhones' HEIC, where the package is installed
    from pillow_heif import register_heif_opener

    register_heif_opener()

# the formats that are opened, by Pillow's names, and their endings; none starts another program,
# as Pillow's EPS does (Ghostscript)
KINDS = {
    "JPEG": ".jpg .jpeg .jpe .jfif .jif .mpo",
    "PNG": ".png .apng",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "DIB": ".dib",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "TIFF": ".tif .tiff",
    "GIF": ".gif",
    "AVIF": ".avif .avifs",
    "HEIF": ".heic .heif .hif",
    "JPEG2000": ".jp2 .j2k .jpx .jpf .j2c .jpc",
    "ICO": ".ico",
    "PCX": ".pcx",
    "QOI": ".qoi",
    "SGI": ".sgi",
}
Image.init()
FORMATS = [kind for kind in KINDS if kind in Image.OPEN]  # AVIF and others: if this Pillow has them
PHOTO_SUFFIXES = {ending for kind in FORMATS for ending in KINDS[kind].split()}
MAX_PIXELS = 100_000_000  # a larger picture is refused: it would decode to over 300 MB
PIECE_PIXELS = 2**26  # of all photos that are in memory at once: 200 MB


class PhotoError(ValueError):
    """A single photo that can't be used; the sentence says why. Callers skip it and go on."""


def read_photo(
    path: str | os.PathLike | IO[bytes], name: str | os.PathLike | None = None
) -> torch.Tensor:
    """Read one picture of the kinds named above, upright, as uint8 RGB (3, H, W).

    path: of a file, or an open file, with a name for the error's sentence. What is transparent
    becomes grey. Of several frames the first is taken. Raises PhotoError if it is no picture.
    """
    name = name or path
    try:
        if isinstance(path, (str, os.PathLike)):
            _look_at(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning: ours is the error below
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PhotoError(
                        f"{name}: {picture.width}x{picture.height} pixels is more than "
                        f"{MAX_PIXELS // 1_000_000} million; make it smaller."
                    )
                array = np.array(_rgb(picture))
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise PhotoError(
            f"{name}: it has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller."
        ) from None
    except Exception as error:  # Pillow raises many kinds, for truncated and hostile files
        raise PhotoError(
            f"{name}: not a picture that can be read: {why_not(error, path)}"
        ) from None
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _look_at(path):
    """Refuse what is no file before it is opened: a pipe would be waited for without end."""
    about = os.stat(path)
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError
    if not stat.S_ISREG(about.st_mode):
        raise OSError("it is no file, but a pipe or a device.")
    if not about.st_size:
        raise OSError("it is empty, of 0 bytes; copy or fetch it again.")


def _rgb(picture):
    """A PIL picture upright, as RGB of 8 bits, scaled by what its mode can hold."""
    form = picture.format
    picture.load()
    with suppress(Exception):  # of damaged EXIF data; the picture itself may be whole
        picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode == "I" and form == "TIFF":
        raise OSError(
            "of 32-bit whole numbers nobody knows which one is white; save it with 8 or 16 bits."
        )
    if mode.startswith("I"):  # 16 bits
        return _grey(np.asarray(picture, np.float32) / 257)
    if mode == "F":  # 0 to 1, as most programs write them, or 0 to 255, as Pillow does
        values = np.asarray(picture, np.float32)
        if not np.isfinite(values).all() or values.max() > 255 or values.min() < 0:
            raise OSError(
                "its numbers are not all from 0 to 1, or 0 to 255; save it with 8 or 16 bits."
            )
        return _grey(values * 255 if values.max() <= 1 else values)
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    return picture.convert("RGB")


def _grey(values):
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")


@contextmanager
def guard(name: object, tell: Callable[[str], None]) -> Iterator[None]:
    """The one guard of every loop over photos.

    Whatever goes wrong with this one, `tell` gets a sentence that names it, and the loop goes on.
    Only a full disk ends the work: it is no photo's fault.
    """
    try:
        yield
    except PhotoError as error:
        tell(str(error))
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        tell(f"{name}: left out: {plain_cause(error)}.")


def in_pieces(
    read: Callable,
    items: Iterable,
    name: Callable = str,
    most: int = 64,
    pixels: int = PIECE_PIXELS,
) -> Iterator[tuple[list, list, dict]]:
    """Read photos one after another, in pieces that fit into memory whatever their size.

    read(item) -> uint8 (3, H, W); name(item) is for sentences. Yields photos (at most `most`, and
    of so many pixels together, or one), their items, and {item: sentence} of those left out.
    """
    photos, kept, bad, held = [], [], {}, 0
    for item in items:
        photo, wrong = None, []
        with guard(name(item), wrong.append):
            photo = read(item)
        size = 0 if photo is None else photo.shape[1] * photo.shape[2]
        if len(photos) + len(bad) >= most or photos and held + size > pixels:
            yield photos, kept, bad
            photos, kept, bad, held = [], [], {}, 0
        if wrong:
            bad[item] = wrong[-1]
        if photo is not None:
            photos.append(photo)
            kept.append(item)
            held += size
    if photos or bad:
        yield photos, kept, bad


def together_or_alone(
    work: Callable, photos: list, items: list, bad: dict, name: Callable = str
) -> dict:
    """{item: answer}, where work(photos) gives an answer for each photo.

    Should it fail, each photo is tried alone, so that none takes the others with it. Where one
    alone fails, bad[item] becomes a sentence.
    """
    try:
        return dict(zip(items, work(photos)))
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
    answers = {}
    for item, photo in zip(items, photos):
        with guard(name(item), lambda sentence, item=item: bad.update({item: sentence})):
            [answers[item]] = work([photo])
    return answers


def paste_on_canvas(photo: torch.Tensor, side: int) -> torch.Tensor:
    """Paste a photo (3, H, W) in the middle of a canvas (3, side, side) of its border's colour.

    MTCNN was trained on heads with room around them; a photo cut at the ears has none.
    """
    _, height, width = photo.shape
    top, left = (side - height) // 2, (side - width) // 2
    border = torch.cat([photo[:, 0], photo[:, :, 0], photo[:, :, -1]], dim=1)
    canvas = border.median(dim=1).values[:, None, None].repeat(1, side, side)
    canvas[:, top : top + height, left : left + width] = photo
    return canvas
