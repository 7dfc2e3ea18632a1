"""First station: photos of people, read one by one; and the folders in which they lie."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .folders import dotted, is_hidden, listed, look_into, natural_order
from .photos import in_pieces, paste_on_canvas, read_photo


@dataclass
class FaceSet:
    """Photos of people; a subset keeps the numbers of the whole.

    Args:
        name: of the dataset.
        files: paths, N of them.
        labels: int64 (N,), indices into `names`.
        names: every person's name.
        landmarks: float32 (N, 5, 2) in pixels of the photo, set by hand, or None.
        canvas: side in pixels of the square that each photo is pasted on when read, or None.
        central: of several faces the person's is the one nearest to the middle, as in LFW; else
            it is the largest.
        keys: a name for each photo that no other has, or None: `person/file`.
        notes: sentences about what was left out or doubtful when the set was made.
    """

    name: str
    files: list
    labels: np.ndarray
    names: list
    landmarks: np.ndarray | None = None
    canvas: int | None = None
    central: bool = False
    keys: list | None = None
    notes: tuple = ()

    def __len__(self) -> int:
        return len(self.files)

    def photo(self, i: int) -> torch.Tensor:
        """Photo i, uint8 (3, H, W); PhotoError if it can't be read."""
        photo = read_photo(self.files[i])
        return photo if self.canvas is None else paste_on_canvas(photo, self.canvas)

    def key(self, i: int) -> str:
        """`person/photo`, the name of photo i in lists, without .jpg but with any other ending."""
        if self.keys is not None:
            return self.keys[i]
        return f"{self.names[self.labels[i]]}/{Path(self.files[i]).name.removesuffix('.jpg')}"

    def pieces(
        self, index: Iterable[int] | None = None, most: int = 64
    ) -> Iterator[tuple[list, list, dict]]:
        """The photos (of an index) a few at a time: photos, numbers, {number: sentence}."""
        return in_pieces(
            self.photo, range(len(self)) if index is None else index, lambda i: self.files[i], most
        )

    def read(self, index: Iterable[int] | None = None) -> tuple[list, list, dict]:
        """The photos (of an index) that can be read, their numbers, and {number: sentence}.

        The sentences are about photos that can't be read.
        """
        photos, numbers, bad = [], [], {}
        for some, their_numbers, left_out in self.pieces(index):
            photos += some
            numbers += their_numbers
            bad |= left_out
        return photos, numbers, bad

    def subset(self, index: Sequence | np.ndarray) -> "FaceSet":
        """The photos that `index` selects, a boolean mask or integers."""
        index = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index, int)
        return replace(
            self,
            files=[self.files[i] for i in index],
            labels=self.labels[index],
            keys=None if self.keys is None else [self.keys[i] for i in index],
            landmarks=None if self.landmarks is None else self.landmarks[index],
        )

    def of_people(self, labels: Sequence[int] | np.ndarray) -> "FaceSet":
        """All photos of the given people (their numbers)."""
        return self.subset(np.isin(self.labels, labels))

    def top_people(self, n: int) -> "FaceSet":
        """All photos of the n people with the most photos; equal counts go by number."""
        labels, counts = np.unique(self.labels, return_counts=True)
        return self.of_people(labels[np.lexsort((labels, -counts))[:n]])


def folder_of_people(
    path: str | Path, name: str | None = None, canvas: int | None = None
) -> FaceSet:
    """`path/<person>/<photo>` -> FaceSet; people and photos in the order of their names.

    2 comes before 10. Photos in folders below a person's are that person's, too.

    Args:
        path: of the folder.
        name: of the dataset; None: that of the folder.
        canvas: see FaceSet.

    Returns:
        The FaceSet, whose `notes` say what was left out.

    Raises:
        ValueError: there is no such folder, or no photo in it.
    """
    if not str(path).strip():  # pathlib would take it for the folder that one is in
        raise ValueError("The path is empty: expected that of a folder of people.")
    path = Path(path)
    if not path.is_dir():
        raise ValueError(
            f"{path} is no folder: expected one with a folder of photos for each person."
        )
    people = sorted(
        (p for p in path.iterdir() if p.is_dir() and not is_hidden(p.name)), key=natural_order
    )
    photos, notes = [], [*dotted(os.listdir(path), path), *_alike([p.name for p in people])]
    for person in people:
        files, left_out = _photos_of(person)
        photos.append(files)
        notes += left_out
    notes += _left_out(path, [person.name for person, files in zip(people, photos) if not files])
    if not any(photos):
        raise ValueError(
            f"{path} holds no photos: expected a folder for each person with pictures in it, "
            f"such as {path / 'Ada' / 'one.jpg'}. {' '.join(notes)}".strip()
        )
    labels = np.repeat(np.arange(len(people)), [len(files) for files in photos])
    files = [file for files in photos for file in files]
    return FaceSet(
        name or path.name,
        files,
        labels,
        [person.name for person in people],
        canvas=canvas,
        keys=keys_of(files, path),
        notes=tuple(notes),
    )


def _left_out(path, without_photos):
    """Sentences about files in no person's folder, and about people without a photo."""
    notes = []
    loose = [p.name for p in path.iterdir() if not p.is_dir() and not is_hidden(p.name)]
    if loose:
        where = "which lie in no person's folder."
        notes.append(f"{path}: left out: {listed(sorted(loose))}, {where}")
    if without_photos:
        notes.append(f"{path}: no photo of {listed(without_photos)}, so they are left out.")
    return notes


def _alike(names):
    """A sentence about names of people that look alike but are spelled otherwise, if any."""
    groups = {}
    for name in names:
        groups.setdefault(unicodedata.normalize("NFKC", name).strip().casefold(), []).append(name)
    found = [listed(group) for group in groups.values() if len(group) > 1]
    what = "These names differ in case, spaces or accents alone, but each is a person's of its own"
    return [f"{what}: {'; '.join(found)}."] if found else []


def _photos_of(person):
    """The photos in a person's folder, and sentences about what was left out or is doubtful."""
    files, notes = look_into(person)
    if below := {file.parent.relative_to(person).as_posix() for file in files} - {"."}:
        taken = f"photos in folders below ({listed(sorted(below))}) are taken for {person.name}'s."
        notes = [*notes, f"{person}: {taken}"]
    return files, notes


def keys_of(files: list[Path], folder: Path) -> list[str]:
    """`person/photo` of files below a folder, without .jpg where that leaves no two alike."""
    whole = [file.relative_to(folder).as_posix() for file in files]
    known = set(whole)
    return [key if key.removesuffix(".jpg") in known else key.removesuffix(".jpg") for key in whole]
