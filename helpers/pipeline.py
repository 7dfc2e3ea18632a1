"""Photos in, faces with embeddings out: detection, landmarks, alignment and encoder in one call."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from .alignment import align_found
from .detection import find_faces, shrink, smallest_face
from .encoders import embed
from .folders import look_into, short_names
from .photos import FORMATS, guard, in_pieces, read_photo, together_or_alone

LONGEST = 2048  # pixels; a longer photo is made smaller
NO_PICTURE = (
    "{} holds no picture that can be read: put photos in it, named so that one person's sort "
    "together, such as ada_1.jpg and ada_2.jpg."
)
SMALLEST = 40  # pixels of the photo: the shorter side of a good face's box
WORST_LANDMARKS = 8.0  # pixels of the aligned face
BLURRED = 0.012  # see `sharpness`


def read_folder(folder: str | Path) -> tuple[list[torch.Tensor], list[str], list[str]]:
    """`read_pictures` of every picture of a folder, by name; a ValueError if there is none."""
    files, notes = look_into(folder)
    photos, names, skipped = read_pictures(files, short_names(files, folder))
    if not photos:
        raise ValueError(" ".join([NO_PICTURE.format(folder), *skipped[:3], *notes]))
    return photos, names, skipped + notes


def read_pictures(
    paths: Iterable[Path], names: list[str] | None = None
) -> tuple[list[torch.Tensor], list[str], list[str]]:
    """Read pictures, all of them in memory at once, so those of more than 2,048 pixels smaller.

    Returns:
        Photos uint8 (3, H, W), their names, and a sentence for each file that can't be read.
    """
    photos, read, skipped = [], [], []
    for path, name in zip(paths, names or [path.stem for path in paths]):
        with guard(path, skipped.append):
            photos.append(read_smaller(path))
            read.append(name)
    return photos, read, skipped


def read_smaller(path: str | Path, name: str | None = None) -> torch.Tensor:
    """`read_photo`, made smaller if it is longer than 2,048 pixels."""
    photo = read_photo(path, name)
    return shrink(photo, min(1, LONGEST / max(photo.shape)))


def longest_side(path: str | Path) -> int:
    """Of a photo on disk, in pixels; 0 if that can't be told."""
    side = 0
    with guard(path, lambda sentence: None), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning
        with Image.open(path, formats=FORMATS) as picture:
            side = max(picture.size)
    return side


def no_face(path: str | Path, name: str | None = None) -> str:
    """The sentence that no face was found on a photo, with how small one may be there."""
    smallest = smallest_face(longest_side(path))
    return (
        f"{name or path}: no face was found; one of {smallest} pixels or more is needed on a "
        "photo of this size, its eyes, nose and mouth to be seen"
    )


def largest_faces(found: list[list["Face"]], names: list[str]) -> list["Face"]:
    """The largest face of each photo that has one; prints the names of those that have none."""
    missing = [name for name, faces in zip(names, found) if not faces]
    if missing:
        print("No face was found in:", ", ".join(missing))
    if len(missing) == len(names):
        raise ValueError(
            "No photo shows a face that the detector finds: use photos with faces of 20 pixels "
            "or more."
        )
    return [faces[0] for faces in found if faces]


@dataclass
class Face:
    """One face of one photo, with all that the pipeline found out about it.

    photo: the number of the photo.  box: (4,) and landmarks: (5, 2), in pixels of the photo.
    score: the detector's, 0 to 1.  residual: of the alignment, in pixels of the aligned face.
    face: aligned, uint8 (3, 112, 112).  embedding: of unit length (D,).
    others: how many other faces the photo shows.
    """

    photo: int
    box: np.ndarray
    score: float
    landmarks: np.ndarray
    residual: float
    face: torch.Tensor
    embedding: np.ndarray
    others: int = 0

    def hints(self) -> list[str]:
        """Warnings about this face, as sentences; none for a good one."""
        side, blur, found = int((self.box[2:] - self.box[:2]).min()), sharpness(self.face), []
        if side < SMALLEST:
            found.append(f"small: {side} pixels wide, {SMALLEST} or more are better")
        if blur < BLURRED:
            found.append(f"blurred: sharpness {blur:.3f}, of good photos it is above {BLURRED}")
        if self.residual > WORST_LANDMARKS:
            found.append(
                f"the landmarks fit badly: off by {self.residual:.1f} pixels of the aligned face"
            )
        return found


def sharpness(face: torch.Tensor) -> float:
    """How much of an aligned face uint8 (3, 112, 112) is fine detail.

    The variance of its Laplacian over that of its grey. Of photos of LFW, CelebA and ORL one in a
    hundred is below 0.026; blurred by 1.5 pixels, half of them are below 0.012.
    """
    grey = face.float().mean(0)[None, None, 24:104, 20:92]  # the face itself, without the border
    laplacian = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(grey, laplacian).var() / grey.var().clamp(min=1))


class FacePipeline:
    """Photos in, faces with embeddings out, all in batches.

    hourglass: finds the landmarks; None takes the detector's.  encoder: embeds aligned faces.
    """

    def __init__(self, hourglass: nn.Module | None, encoder: nn.Module):
        self.hourglass, self.encoder = hourglass, encoder

    def __call__(self, photos: list[torch.Tensor], largest: bool = False) -> list[list[Face]]:
        """Photos uint8 (3, H, W) -> a list of faces for each, largest first; empty for none.

        largest: only the largest face of each photo is wanted, which takes half the time.
        """
        device = next(self.encoder.parameters()).device
        found = find_faces(photos, device, largest)
        aligned = align_found(photos, found, self.hourglass)
        faces = [one.face for of_photo in aligned for one in of_photo]
        embeddings = iter(embed(self.encoder, torch.stack(faces)) if faces else ())
        return [
            [
                Face(
                    photo=i,
                    **vars(one),
                    embedding=next(embeddings),
                    others=max(len(of_photo) - 1, found[i].others),
                )
                for one in of_photo
            ]
            for i, of_photo in enumerate(aligned)
        ]


def faces_of(
    pipeline: FacePipeline,
    read: Callable,
    items: Iterable,
    name: Callable = str,
    largest: bool = False,
    most: int = 64,
) -> Iterator[tuple]:
    """The faces of photos, whatever their number and size; every loop over photos is this one.

    Args:
        pipeline: finds the faces.
        read: read(item) -> the photo, uint8 (3, H, W).
        items: paths, or whatever `read` takes.
        name: name(item) is what sentences call it.
        largest: only the largest face of each photo is wanted.
        most: photos in memory at a time.

    Yields:
        (item, photo, list of Face, None), or, of a photo that could not be used, (item, None,
        [], sentence).
    """
    given = {}

    def numbered() -> Iterator[int]:
        for number, given[number] in enumerate(items):
            yield number

    def called(number: int) -> str:
        return name(given[number])

    for photos, kept, bad in in_pieces(
        lambda number: read(given[number]), numbered(), called, most
    ):
        answers = together_or_alone(
            lambda some: pipeline(some, largest=largest), photos, kept, bad, called
        )
        photo_of = dict(zip(kept, photos))
        for number in sorted({*kept, *bad}):
            sentence = bad.get(number)
            photo = None if sentence else photo_of.pop(number)
            yield given.pop(number), photo, answers.get(number, []), sentence


def doubts(faces: list[Face]) -> list[str]:
    """What to know where only the largest face counts: that there are others, and its hints."""
    if not faces:
        return []
    others = getattr(faces[0], "others", 0)
    several = [f"{others + 1} faces, of which the largest is taken"] if others else []
    return several + (faces[0].hints() if hasattr(faces[0], "hints") else [])
