"""A zoo of a thousand odd files through every command: how many crash, and which?

How many are left out without a word? Every mode and format that Pillow writes, sizes from 1x1 to
64x64 and extreme ratios, files cut short, wrong endings, links, pipes, hostile names, nested and
system folders, damaged tables; among them some photos of faces, which must get their answer.
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

from helpers.__main__ import main as command
from helpers.aligned_set import read_rows
from helpers.faces import celeba, photos_with_landmarks
from helpers.files import printable
from helpers.folders import is_hidden, is_picture
from helpers.gallery import Gallery

from ._zoo import make_zoo

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
        result = through_commands(make_zoo(Path("people"), options.step))
    print(json.dumps(result))
    return int(bool(result["crashes"] or result["silent"] or result["faces_lost"]))


def through_commands(good: list[Path]) -> dict[str, int]:
    """The files below people/ through every command, and damaged tables through their readers.

    Args:
        good: the photos whose face must be found.

    Returns:
        Numbers of files, pictures, crashes, photos left out in silence, sentences and faces lost.
    """
    files = [Path(here) / name for here, _, names in os.walk("people") for name in names]
    photos = [
        file for file in files if is_picture(file.name) and not any(map(is_hidden, file.parts))
    ]
    print(f"{len(files)} files, {len(photos)} of them called pictures, {len(good)} with a face")
    counts = dict.fromkeys(("crashes", "silent", "sentences", "faces_lost"), 0)
    result = {"files": len(files), "pictures": len(photos)} | counts
    for name, words in (
        ("arrange", ["people"]),
        ("identify", ["--gallery", "people", "--", *map(str, photos)]),
        ("evaluate", ["people"]),
        ("map", ["people"]),
    ):
        said, answer, crashed = run([name, "--json", *words])
        taken, sentences = answered(name, answer, photos, said), len(said.splitlines())
        silent, lost = set(photos) - taken, set(good) - taken
        print(
            f"{name:10s} crashes {int(crashed)}, silent {len(silent)}, sentences {sentences}",
            flush=True,
        )
        for file in sorted(silent)[:5]:
            print("   silent:", printable(file))
        result["crashes"] += crashed
        result["silent"] += len(silent)
        result["faces_lost"] += len(lost)
        result["sentences"] += sentences
    some = photos[::20]
    crashed = sum(run(["predict", str(good[0]), str(file)])[2] for file in some)
    unnamed = bad_tables(Path("tables"))
    print(f"predict    crashes {crashed} of {len(some)}")
    print(f"tables     {unnamed} of {2 * len(TABLES)} end without a sentence")
    result["crashes"] += crashed + unnamed
    return result


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
    # each with its reason in skipped.csv, of which the command tells
    rows = {row["photo"] for row in read_rows(folder)}
    return {file for file in photos if {short(file), short(file).removesuffix(".jpg")} & rows}


def short(file: Path) -> str:
    """A photo's path below people/."""
    return file.relative_to("people").as_posix()


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
