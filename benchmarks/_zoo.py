"""A thousand odd files for `odd-files`: modes, formats, sizes, cuts, starts, names and links.

Among them are some photos of faces, which must be found.
"""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.faces import orl

MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
)
FORMATS = {
    "PNG": "png",
    "JPEG": "jpg",
    "TIFF": "tif",
    "BMP": "bmp",
    "GIF": "gif",
    "WEBP": "webp",
    "PPM": "ppm",
    "JPEG2000": "jp2",
    "AVIF": "avif",
    "ICO": "ico",
    "PCX": "pcx",
    "SGI": "sgi",
    "EPS": "jpg",
    "TGA": "tga",
}
NAMES = (
    "ж" * 120,
    "a\nb",
    "\x1b[31mred",
    "$\\frac{",
    "<script>",
    "-x",
    "😀 小明",
    "caf\udce9",
    "a;b,c\"d'",
    "%s{}",
    " ",
    "unknown",
    "IMG_0001",
    "a" * 240,
    "ß İ",
    "con",
    "..x",
    "1" * 100,
)
STARTS = {
    "pdf": b"%PDF-1.7",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "zip": b"PK\3\4",
    "page": b"<!DOCTYPE html>",
    "none": b"",
    "heic": b"\0\0\0\x18ftypheic",
    "zeros": b"\0" * 999,
    "text": b"no picture",
    "psd": b"8BPS",
    "film": b"\0\0\0\x18ftypmp42",
}
ELSEWHERE = (  # in folders of systems, or hidden, or of a kind that Pillow does not read
    "nested/deep/1.png",
    "@eaDir/1.png",
    "__MACOSX/._1.png",
    "._2.png",
    "x.heic",
    "x.raw",
    "Thumbs.db",
)


def make_zoo(people: Path, step: int) -> list[Path]:
    """Write all files below a folder of people.

    Args:
        people: the folder.
        step: between the sizes from 1x1 to 64x64.

    Returns:
        The photos with a face that must be found.
    """
    good = photos_of_faces(people)
    odd_sizes(people / "p0", people / "p1", step)
    odd_modes(people / "p1", good[0])
    cut_short(people / "p2", good[0])
    odd_names(people / "p2", good[0].read_bytes())
    links(people / "p2", good[0], people)
    return good


def photos_of_faces(people: Path) -> list[Path]:
    """Three photos each of three people of ORL."""
    faces, good = orl(), []
    for i in (0, 1, 2, 10, 11, 12, 20, 21, 22):
        path = people / f"p{i // 10}" / f"face_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy()).save(path)
        good.append(path)
    return good


def odd_sizes(small: Path, narrow: Path, step: int) -> None:
    """Noise from 1x1 to 64x64 pixels, and pictures up to 4,000 times as long as wide."""
    draw = np.random.default_rng(0)
    for height in range(1, 65, step):
        for width in range(1, 65, step):
            noise = draw.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(noise).save(small / f"s{height}x{width}.png")
    for long in (100, 1000, 4000):
        for side in (1, 2, 15, 33):
            Image.new("RGB", (long, side)).save(narrow / f"wide{long}x{side}.png")
            Image.new("L", (side, long)).save(narrow / f"high{long}x{side}.png")


def odd_modes(folder: Path, photo: Path) -> None:
    """A photo in every mode and format that Pillow writes."""
    picture = Image.open(photo)
    for mode in MODES:
        for form, ending in FORMATS.items():
            path = folder / f"mode_{mode.replace(';', '')}_{form}.{ending}"
            with contextlib.suppress(Exception):  # Pillow does not write every mode in every format
                made = mode in ("I;16", "PA", "LAB")  # nothing is converted to these
                odd = Image.new(mode, (40, 30)) if made else picture.convert(mode)
                odd.save(path, form)


def cut_short(folder: Path, photo: Path) -> None:
    """A photo as JPEG and PNG cut at 59 places, and files that only begin like something."""
    jpeg = io.BytesIO()
    Image.open(photo).save(jpeg, "JPEG")
    for share in range(1, 60):
        for whole, ending in ((jpeg.getvalue(), "jpg"), (photo.read_bytes(), "png")):
            (folder / f"cut{share}.{ending}").write_bytes(whole[: len(whole) * share // 60])
    for name, start in STARTS.items():
        (folder / f"{name}.jpg").write_bytes(start)


def odd_names(folder: Path, face: bytes) -> None:
    """Photos and no photos under hostile names, and in places where none should lie."""
    for number, name in enumerate(NAMES, 1):
        for ending in (".png", ".jpg"):
            (folder / f"{name}{ending}").write_bytes(face if number % 2 else b"no picture")
    for name in ELSEWHERE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(face)


def links(folder: Path, photo: Path, people: Path) -> None:
    """Links to nothing, to themselves, to a photo, to the folder above, and a pipe."""
    targets = {
        "gone.jpg": "nowhere",
        "self.jpg": "self.jpg",
        "good.png": photo.resolve(),
        "loop": people.resolve(),
    }
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
