"""A zoo of a thousand odd files through every command: how many crash, and which?

How many crash, how many are left out without a word, and why not. Every mode and format that Pillow
writes, sizes from 1x1 to 64x64 and extreme ratios, files cut short, wrong endings, links, pipes,
hostile names, nested and system folders, damaged tables; among them some photos of faces, which
must get their answer.
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.__main__ import main as command
from helpers.aligned_set import read_rows
from helpers.faces import celeba, orl, photos_with_landmarks
from helpers.files import printable
from helpers.folders import is_hidden, is_picture
from helpers.gallery import Gallery

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
TABLES = (
    "",
    "<html>quota</html>",
    "file,left_eye_x\na,1\n",
    "\0\1\2",
    "image_id;x\n1.jpg;2\n",
    "000001.jpg\n",
    "4\n",
    "a,b\n\n\n",
    "file," * 5000,
    '"',
    "000001.jpg 1 2 3\n000001.jpg 1 2",
    "\ufeffimage_id\n",
)


@contextlib.contextmanager
def inside(folder: str | Path) -> Iterator[None]:
    """Within it this is the current folder (contextlib.chdir came with Python 3.11)."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main(arguments: list[str]) -> int:
    """Make the zoo, lead it through the commands, print the counts; exit code 1 if one is not 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks odd-files", description=__doc__)
    parser.add_argument(
        "--step",
        type=int,
        default=2,
        help="between sizes from 1x1 to 64x64; larger is quicker (default: 2)",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, inside(folder):
        os.environ["FACES_DATA_DIR"] = str(Path(folder) / "data")
        people = Path("people")
        good = make_zoo(people, options.step)
        files = [Path(here) / name for here, _, names in os.walk(people) for name in names]
        photos = [
            file for file in files if is_picture(file.name) and not any(map(is_hidden, file.parts))
        ]
        print(f"{len(files)} files, {len(photos)} of them called pictures, {len(good)} with a face")
        result = {
            "files": len(files),
            "pictures": len(photos),
            "crashes": 0,
            "silent": 0,
            "sentences": 0,
            "faces_lost": 0,
        }
        for name, words in (
            ("arrange", ["people"]),
            ("identify", ["--gallery", "people", "--", *map(str, photos)]),
            ("evaluate", ["people"]),
            ("map", ["people"]),
        ):
            said, answer, crashed = run([name, "--json", *words])
            taken = answered(name, answer, photos, said)
            silent, lost = set(photos) - taken, set(good) - taken
            print(
                f"{name:10s} crashes {int(crashed)}, silent {len(silent)}, sentences "
                f"{len(said.splitlines())}",
                flush=True,
            )
            for file in sorted(silent)[:5]:
                print("   silent:", printable(file))
            result["crashes"] += crashed
            result["silent"] += len(silent)
            result["faces_lost"] += len(lost)
            result["sentences"] += len(said.splitlines())
        crashed = sum(run(["predict", str(good[0]), str(file)])[2] for file in photos[::20])
        unnamed = bad_tables(Path("tables"))
        print(
            f"predict    crashes {crashed} of {len(photos[::20])}\ntables     {unnamed} of "
            f"{2 * len(TABLES)} end without a sentence"
        )
        result["crashes"] += crashed + unnamed
        print(json.dumps(result))
        return int(bool(result["crashes"] or result["silent"] or result["faces_lost"]))


def run(words: list[str]) -> tuple[str, dict | None, bool]:
    """A command in this process.

    What it said, its JSON or None, and whether it crashed (an own sentence is no crash).
    """
    out, said = io.StringIO(), io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            command(words)
    except BaseException as error:
        return f"{said.getvalue()}{error!r}", None, True
    text = out.getvalue()
    answer = json.loads(text) if text.startswith("{") else None
    return (
        said.getvalue() + (text if answer is None else ""),
        answer,
        "This failed" in said.getvalue(),
    )


def answered(name: str, answer: dict | None, photos: list[Path], said: str) -> set[Path]:
    """The photos that a command used, or named with a reason."""
    told = {file for file in photos if printable(file) in said}
    if answer is None:
        return told
    if name == "arrange":
        used = set(answer["photos"])
        return told | {
            file
            for file in photos
            if {short(file), short(file).rpartition(".")[0]} & used
            or f"{printable(short(file))}: no face" in said
            or f"{printable(short(file).rpartition('.')[0])}: no face" in said
        }
    if name == "identify":
        [gallery] = Path("outputs/gallery").glob("*.safetensors")
        known = Gallery.load(gallery)
        enrolled = " ".join(known.sources + known.faceless)
        return {
            file
            for file in told
            if short(file).removesuffix(".jpg") in enrolled or "not a picture" in said
        }
    [folder] = [path for path in Path("data/aligned").iterdir() if path.is_dir()]
    rows = {
        row["photo"] for row in read_rows(folder)
    }  # each with its reason in skipped.csv, of which the command tells
    return {file for file in photos if {short(file), short(file).removesuffix(".jpg")} & rows}


def short(file: Path) -> str:
    """A photo's path below people/."""
    return file.relative_to("people").as_posix()


def make_zoo(people: Path, step: int) -> list[Path]:
    """Write all files; the photos with a face that must be found."""
    faces, good, number = orl(), [], 0
    for i in (0, 1, 2, 10, 11, 12, 20, 21, 22):
        path = people / f"p{i // 10}" / f"face_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy()).save(path)
        good.append(path)
    draw, face = np.random.default_rng(0), good[0].read_bytes()
    for height in range(1, 65, step):
        for width in range(1, 65, step):
            Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).save(
                people / "p0" / f"s{height}x{width}.png"
            )
    for long in (100, 1000, 4000):
        for short_side in (1, 2, 15, 33):
            Image.new("RGB", (long, short_side)).save(
                people / "p1" / f"wide{long}x{short_side}.png"
            )
            Image.new("L", (short_side, long)).save(people / "p1" / f"high{long}x{short_side}.png")
    picture = Image.open(good[0])
    for mode in MODES:
        for form, ending in FORMATS.items():
            with contextlib.suppress(Exception):  # Pillow does not write every mode in every format
                odd = (
                    Image.new(mode, (40, 30))
                    if mode in ("I;16", "PA", "LAB")
                    else picture.convert(mode)
                )
                odd.save(people / "p1" / f"mode_{mode.replace(';', '')}_{form}.{ending}", form)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG")
    for share in range(1, 60):
        for whole, ending in ((jpeg.getvalue(), "jpg"), (face, "png")):
            (people / "p2" / f"cut{share}.{ending}").write_bytes(whole[: len(whole) * share // 60])
    for name, start in STARTS.items():
        (people / "p2" / f"{name}.jpg").write_bytes(start)
    for name in NAMES:
        number += 1
        for ending in (".png", ".jpg"):
            (people / "p2" / f"{name}{ending}").write_bytes(face if number % 2 else b"no picture")
    for name in (
        "nested/deep/1.png",
        "@eaDir/1.png",
        "__MACOSX/._1.png",
        "._2.png",
        "x.heic",
        "x.raw",
        "Thumbs.db",
    ):
        (people / "p2" / name).parent.mkdir(parents=True, exist_ok=True)
        (people / "p2" / name).write_bytes(face)
    for name, target in (
        ("gone.jpg", "nowhere"),
        ("self.jpg", "self.jpg"),
        ("good.png", good[0].resolve()),
        ("loop", people.resolve()),
    ):
        (people / "p2" / name).symlink_to(target)
    if hasattr(os, "mkfifo"):
        os.mkfifo(people / "p2" / "pipe.jpg")
    return good


def bad_tables(folder: Path) -> int:
    """How many damaged tables end in anything but a sentence."""
    (folder / "celeba" / "img_align_celeba").mkdir(parents=True)
    unnamed = 0
    for table in TABLES:
        (folder / "landmarks.csv").write_text(table)
        (folder / "celeba" / "list_landmarks_align_celeba.csv").write_text(table)
        (folder / "celeba" / "identity_CelebA.txt").write_text("000001.jpg 1\n")
        for read in (
            lambda: photos_with_landmarks(folder, folder / "landmarks.csv"),
            lambda: celeba(folder),
        ):
            try:
                read()
            except (ValueError, FileNotFoundError) as error:
                unnamed += ".csv" not in str(error) and ".txt" not in str(error)
            except Exception:
                unnamed += 1
            else:
                unnamed += 1
    return unnamed
