"""Before the first station: what lies in a folder, and what of it is left out, in a sentence."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .photos import PHOTO_SUFFIXES, plain_cause

# what systems leave beside photos; names that begin with a dot, ._ of macOS among them, as well
SYSTEM = {
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "#recycle",
    "lost+found",
    "icon\r",
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    ".ipynb_checkpoints",
    ".git",
    ".thumbnails",
    ".spotlight-v100",
    ".fseventsd",
    ".trashes",
    ".trash",
}
# nobody takes these for photos: lists, notes and what cameras write beside a photo
NO_PHOTOS = {".txt", ".md", ".csv", ".json", ".xml", ".ini", ".aae", ".xmp", ".thm"}
TO_DO = {ending: " (pip install pillow-heif)" for ending in (".heic", ".heif", ".hif")}
TO_DO |= {".avif": " (pip install -U pillow)", ".zip": " (unpack it)"}


def is_hidden(name: str) -> bool:
    """Is this a system's own file or folder, such as @eaDir, __MACOSX, ._1.jpg or Thumbs.db?"""
    return name.startswith(".") and name.strip(".") != "" or name.lower() in SYSTEM


def dotted(names: Iterable[str], folder: Path) -> list[str]:
    """A sentence about photos and folders left out as hidden, but for those of systems; or none."""
    odd = sorted(
        name
        for name in names
        if name.startswith(".") and not name.startswith("._") and is_hidden(name)
        if name.lower() not in SYSTEM
        if is_picture(name) or os.path.isdir(folder / name)
    )
    why = "left out, since a name that begins with a dot is hidden"
    return [f"{folder}: {why}: {listed(odd)}."] if odd else []


def is_picture(name: str) -> bool:
    """Does a name end like a picture that can be read?"""
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def natural_order(path: Path) -> tuple[list[int | str], str]:
    """A sorting key that puts `photo 2` before `photo 10`; equal numbers go by their letters."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def picture_files(folder: str | Path) -> list[Path]:
    """The pictures in a folder and in those below it, by name, 2 before 10."""
    return look_into(folder)[0]


def look_into(folder: str | Path) -> tuple[list[Path], list[str]]:
    """The pictures in a folder and below it, by name, and sentences about what else is there."""
    folder, pictures, others, notes = Path(folder), [], Counter(), []
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name one with photos in it.")
    todo, seen, root = [folder], set(), os.path.realpath(folder)
    while todo:
        here = todo.pop()
        if (place := os.path.realpath(here)) in seen:  # a link that leads back
            continue
        seen.add(place)
        try:
            names = os.listdir(here)
        except OSError as error:
            notes.append(f"{here}: left out: {plain_cause(error)}.")
            continue
        notes += dotted(names, here)
        for name in names:
            if is_hidden(name):
                continue
            if os.path.isdir(here / name):
                if root.startswith(os.path.join(os.path.realpath(here / name), "")):
                    notes.append(f"{here / name}: left out: it is a link to a folder above.")
                    continue
                todo.append(here / name)
            elif is_picture(name):
                pictures.append(here / name)
            else:
                count_other(name, others)
    pictures.sort(
        key=lambda file: [natural_order(Path(part)) for part in file.relative_to(folder).parts]
    )
    if others:
        notes.append(f"{folder}: left out, not pictures that can be read here: {counted(others)}.")
    return pictures, notes


def count_other(name: str, others: Counter) -> None:
    """Count a file that is no picture by its ending, unless nobody would take it for one."""
    ending = os.path.splitext(name)[1].lower()
    if ending not in NO_PHOTOS:
        others[ending or "without an ending"] += 1


def counted(others: dict[str, int]) -> str:
    """`3 .heic (pip install pillow-heif), 2 .txt`, of {ending: how many}."""
    return ", ".join(
        f"{number} {ending}{TO_DO.get(ending, '')}" for ending, number in sorted(others.items())
    )


def listed(names: Iterable, most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def short_names(files: list[Path], folder: str | Path) -> list[str]:
    """What to call files: without folder and ending, as far as that tells them apart."""
    paths = [file.relative_to(folder).as_posix() for file in files]
    bare = [path[: -len(Path(path).suffix)] if Path(path).suffix else path for path in paths]
    often = Counter(bare)
    return [path if often[name] > 1 else name for path, name in zip(paths, bare)]
