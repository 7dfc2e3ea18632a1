"""First station: photos of people, read one by one; and the folders in which they lie."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .folders import is_hidden, listed, look_into, natural_order
from .photos import in_pieces, paste_on_canvas, read_photo


@dataclass
class FaceSet:
    """Photos of people. `people` holds indices into `names`; a subset keeps the numbers of the whole.

    files: paths, N of them.  people: int64 (N,).  names: every person's name.
    landmarks: float32 (N, 5, 2) in pixels of the photo, set by hand, or None.
    canvas: side of the square that each photo is pasted on when read, or None.
    central: of several faces the person's is the one nearest to the middle, as in LFW; else it is the largest.
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

    def __len__(self):
        return len(self.files)

    def photo(self, i):
        """Photo i, uint8 (3, H, W); PhotoError if it can't be read."""
        photo = read_photo(self.files[i])
        return photo if self.canvas is None else paste_on_canvas(photo, self.canvas)

    def key(self, i):
        """`person/photo`, the name of photo i in lists and in the aligned set, without .jpg but with any other ending."""
        if self.keys is not None:
            return self.keys[i]
        return f"{self.names[self.labels[i]]}/{Path(self.files[i]).name.removesuffix('.jpg')}"

    def pieces(self, index=None, most=64):
        """The photos (of an index) a few at a time, as `in_pieces` yields them: photos, numbers, {number: sentence}."""
        return in_pieces(
            self.photo, range(len(self)) if index is None else index, lambda i: self.files[i], most
        )

    def read(self, index=None):
        """The photos (of an index) that can be read, their numbers, and {number: sentence} for those that can't."""
        photos, numbers, bad = [], [], {}
        for some, own, left_out in self.pieces(index):
            photos += some
            numbers += own
            bad |= left_out
        return photos, numbers, bad

    def subset(self, index):
        """The photos that `index` (a boolean mask or integers) picks."""
        index = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index, int)
        return replace(
            self,
            files=[self.files[i] for i in index],
            labels=self.labels[index],
            keys=None if self.keys is None else [self.keys[i] for i in index],
            landmarks=None if self.landmarks is None else self.landmarks[index],
        )

    def of_people(self, labels):
        """All photos of the given people (their numbers)."""
        return self.subset(np.isin(self.labels, labels))

    def top_people(self, n):
        """All photos of the n people with the most photos; equal counts go by number."""
        labels, counts = np.unique(self.labels, return_counts=True)
        return self.of_people(labels[np.lexsort((labels, -counts))[:n]])


def folder_of_people(path, name=None, canvas=None):
    """`path/<person>/<photo>` -> FaceSet; people and photos in the order of their names, 2 before 10.

    Photos in folders below a person's are that person's too. What is left out stands in `notes`.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(
            f"{path} is no folder: expected one with a folder of photos for each person."
        )
    labels = sorted(
        (p for p in path.iterdir() if p.is_dir() and not is_hidden(p.name)), key=natural_order
    )
    photos, notes = [], []
    for person in labels:
        own, left_out = look_into(person)
        photos.append(own)
        notes += left_out
        if below := {file.parent.relative_to(person).as_posix() for file in own} - {"."}:
            notes.append(
                f"{person}: photos in folders below ({listed(sorted(below))}) are taken for {person.name}'s."
            )
    loose = [p for p in path.iterdir() if not p.is_dir() and not is_hidden(p.name)]
    if loose:
        notes.append(
            f"{path}: left out: {listed(sorted(p.name for p in loose))}, which lie in no person's folder."
        )
    if empty := [person.name for person, own in zip(labels, photos) if not own]:
        notes.append(f"{path}: no photo of {listed(empty)}, so they are left out.")
    if not any(photos):
        raise ValueError(
            f"{path} holds no photos: expected a folder for each person with pictures in it, "
            f"such as {path / 'Ada' / 'one.jpg'}. {' '.join(notes)}".strip()
        )
    files = [file for own in photos for file in own]
    return FaceSet(
        name or path.name,
        files,
        np.repeat(np.arange(len(labels)), [len(own) for own in photos]),
        [p.name for p in labels],
        canvas=canvas,
        keys=keys_of(files, path),
        notes=tuple(notes),
    )


def keys_of(files, folder):
    """`person/photo` of files below a folder, without .jpg where that leaves no two alike."""
    whole = [file.relative_to(folder).as_posix() for file in files]
    known = set(whole)
    return [key if key.removesuffix(".jpg") in known else key.removesuffix(".jpg") for key in whole]
