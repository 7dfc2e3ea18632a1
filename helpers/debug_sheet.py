"""One picture of many photos with box and landmarks: look at it when faces come out wrong."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .face_set import FaceSet
from .faces import LANDMARK_COLUMNS
from .files import write_atomically
from .photos import guard

BOX = ["box_left", "box_top", "box_right", "box_bottom"]
JPEG_QUALITY = 95


def write_debug_sheet(
    faces: FaceSet,
    table: Iterable[Mapping],
    path: Path,
    columns: int = 10,
    rows: int = 8,
    side: int = 160,
) -> None:
    """Draw box and landmarks on the original photos, the first ones of many people.

    Args:
        faces: the photos.
        table: rows of photos.csv.
        path: where the picture goes, as a JPEG. Without any face none is written.
        columns, rows: how many photos beside and below each other, at most.
        side: of each, pixels.
    """
    row_of = {row["photo"]: row for row in table if not row["skipped"]}
    _, first = np.unique(faces.labels, return_index=True)
    chosen = [i for k in range(2) for i in first + k if i < len(faces) and faces.key(i) in row_of][
        : columns * rows
    ]
    if not chosen:
        return
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side))
    for place, i in enumerate(chosen):
        picture = Image.new("RGB", (side, side))
        with guard(faces.files[i], lambda sentence: None):  # it may be gone by now
            picture = Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy())
        scale = side / max(picture.size)
        picture = picture.resize([max(1, round(s * scale)) for s in picture.size])
        row, draw = row_of[faces.key(i)], ImageDraw.Draw(picture)
        draw.rectangle([float(row[column]) * scale for column in BOX], outline=(255, 200, 0))
        five = np.array([row[column] for column in LANDMARK_COLUMNS], float).reshape(5, 2)
        for x, y in five * scale:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(255, 60, 60))
        sheet.paste(picture, (place % columns * side, place // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_jpeg(sheet, path)


def save_jpeg(picture: Image.Image, path: Path) -> None:
    """Write a PIL picture as a JPEG in one atomic step."""
    write_atomically(path, lambda part: picture.save(part, "JPEG", quality=JPEG_QUALITY))


def debug_folder(folder: Path, people: Iterable[str]) -> Path:
    """Where the sheets of an aligned set lie: debug/, unless a person is called so."""
    name, people = "debug", {person.lower() for person in people}
    while name in people:
        name += "_"
    return folder / name
