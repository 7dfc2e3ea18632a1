"""CelebA simulated for `celeba-scale`: drawn faces as JPEGs and tables in the official layout."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from helpers.files import write_text

EACH = 20  # photos of each person
WIDTH, HEIGHT = 178, 218  # of a photo, as in CelebA
EYES_NOSE_MOUTH = np.array([(69, 111), (108, 111), (88, 135), (73, 152), (105, 152)])


def write_photos(folder: Path, photos: int) -> None:
    """The dataset itself: a thousand drawn faces again and again, each file with other bytes."""
    draw = np.random.default_rng(0)
    place = folder / "celeba" / "img_align_celeba"
    place.mkdir(parents=True)
    scratch = folder / "face.jpg"
    drawn = []
    for _ in range(min(photos, 1000)):
        draw_face(draw).save(scratch, quality=60)
        drawn.append(scratch.read_bytes())
    names = [f"{i + 1:06d}.jpg" for i in range(photos)]
    for i, name in enumerate(names):  # decoders ignore what follows the end of the picture
        (place / name).write_bytes(drawn[i % len(drawn)] + b"%d" % i)
    shift = draw.integers(-2, 3, (photos, 5, 2))
    numbers = (EYES_NOSE_MOUTH + shift).reshape(photos, 10)
    header = " ".join(
        f"{point}_{axis}"
        for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        for axis in "xy"
    )
    lines = [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, numbers.tolist())]
    tables = folder / "celeba"
    write_text(tables / "list_landmarks_align_celeba.txt", "\n".join([str(photos), header, *lines]))
    people = draw.permutation(photos) % people_of(photos) + 1
    lines = [f"{name} {person}" for name, person in zip(names, people.tolist())]
    write_text(tables / "identity_CelebA.txt", "\n".join(lines))
    lines = [f"{name} {int(person % 10 == 0)}" for name, person in zip(names, people.tolist())]
    write_text(tables / "list_eval_partition.txt", "\n".join(lines))


def draw_face(draw: np.random.Generator) -> Image.Image:
    """An oval with eyes, nose and mouth where CelebA has them, in colours drawn by luck."""
    colour = lambda: tuple(draw.integers(0, 256, 3).tolist())
    picture = Image.new("RGB", (WIDTH, HEIGHT), colour())
    pen = ImageDraw.Draw(picture)
    pen.ellipse((40, 55, 138, 185), fill=colour())
    for x, y in EYES_NOSE_MOUTH[:3].tolist():
        pen.ellipse((x - 6, y - 4, x + 6, y + 4), fill=colour())
    pen.line([*map(tuple, EYES_NOSE_MOUTH[3:].tolist())], fill=colour(), width=5)
    return picture


def people_of(photos: int) -> int:
    """How many people the photos show."""
    return max(10, photos // EACH)
