"""Tables of people and landmarks, read by their header, in any order and with any separator."""

import csv
from pathlib import Path


def read_table(path: str | Path, wanted: list[str]) -> list[dict[str, str]]:
    """The rows of a table that has all `wanted` columns, as {column: text}; others are kept too.

    Commas, semicolons, tabs or spaces stand between the fields. ValueError if it is no such table.
    """
    header, *rows = split_lines(path) or [[]]
    header = [name.strip().lower() for name in header]
    if missing := [name for name in wanted if name not in header]:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}: its first line must be {','.join(wanted)}."
        )
    for row in rows:
        if len(row) > len(header):
            raise ValueError(
                f"{path}: the line of {row[0]} has {len(row)} fields, but there are {len(header)} "
                "columns; perhaps decimal commas. Mend it or take it out."
            )
    return [dict(zip(header, row + [""] * len(header))) for row in rows]  # short ones: nothing


def number(text: str, whole: bool = False) -> float:
    """A pixel, or a whole number such as a person's; a ValueError where a text says neither.

    >>> number("12.5"), number("7", whole=True)
    (12.5, 7.0)
    """
    value = float(text)
    if not abs(value) <= FARTHEST or whole and (value < 0 or value != int(value)):
        raise ValueError
    return value


def split_lines(path: str | Path) -> list[list[str]]:
    """The lines of a table that are not empty, cut into fields."""
    data = Path(path).read_bytes()
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is no table: it holds bytes that are no text.")
    unicode = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = data.decode(unicode, "surrogateescape").splitlines()
    lines = [line for line in lines if line.strip()]
    mark = next((mark for mark in "\t;," if any(mark in line for line in lines[:3])), None)
    if mark is None:
        return [[field.strip("\"'") for field in line.split()] for line in lines]
    return [[field.strip() for field in row] for row in csv.reader(lines, delimiter=mark)]


CELEBA_LANDMARKS = [
    f"{landmark}_{axis}"
    for landmark in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    for axis in "xy"
]
COLUMNS = {
    "list_landmarks_align_celeba": CELEBA_LANDMARKS,
    "identity_CelebA": ["identity"],
    "list_eval_partition": ["partition"],
}
FARTHEST = 100_000  # pixels, and people: a larger number is damaged, and so is what is not finite
PARTS = {"train": 0, "valid": 1, "test": 2}
CELEBA_BY_HAND = (
    "Place these by hand in {folder}: the folder img_align_celeba (from img_align_celeba.zip), "
    "identity_CelebA.txt, list_landmarks_align_celeba.txt and list_eval_partition.txt, all from "
    "mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Kaggle's copy (jessicali9530/celeba-dataset), with "
    ".csv in place of .txt, will do as well, but it lacks identity_CelebA.txt: take that one from "
    "the address above."
)


def celeba_tables(folder: Path, part: str | None = None) -> dict[str, dict]:
    """CelebA's tables of landmarks, identities and, for a part, of parts: {name: {photo: numbers}}.

    Refused if one lacks photos that another has.
    """
    tables = {}
    for name, wanted in list(COLUMNS.items())[: 2 if part is None else 3]:
        path = next(
            (
                folder / f"{name}{end}"
                for end in (".txt", ".csv")
                if (folder / f"{name}{end}").exists()
            ),
            None,
        )
        if path is None:
            raise FileNotFoundError(
                f"{folder / name}.txt is missing. {CELEBA_BY_HAND.format(folder=folder)}"
            )
        tables[name] = celeba_table(path, wanted)
    photos = set().union(*tables.values())
    for name, table in tables.items():
        if lacking := photos - set(table):
            raise ValueError(
                f"{folder / name}.txt lacks {len(lacking)} of {len(photos)} photos that another "
                f"table lists, such as {min(lacking)}: it was cut short; fetch it again."
            )
    return tables


def celeba_table(path: str | Path, wanted: list[str]) -> dict[str, list[float]]:
    """{photo: numbers} of one of CelebA's tables, official or Kaggle's: `wanted` are their columns.

    The official ones may begin with their number of lines, have a header without the photo's
    column, or, of two columns, none at all. ValueError names what is wrong, and the line.
    """
    rows = list(enumerate(split_lines(path), 1))
    count, header = None, None
    if rows and len(rows[0][1]) == 1 and rows[0][1][0].isdecimal():
        count, rows = int(rows[0][1][0]), rows[1:]
    if rows and not any(map(_is_photo, rows[0][1])):
        header, rows = [name.lower() for name in rows[0][1]], rows[1:]
    places = [_is_photo(field) for field in rows[0][1]] if rows else []
    if sum(places) != 1:
        raise ValueError(
            f"{path} is no table of CelebA's: expected photos such as 000001.jpg with "
            f"{', '.join(wanted)}; it begins with {_start(path)}. Fetch it again."
        )
    photo, width = places.index(True), len(places)
    columns, table = _columns(path, header, wanted, photo, width), {}
    for line, row in rows:
        try:
            if len(row) != width or not _is_photo(row[photo]):
                raise ValueError
            values = [number(row[column], len(wanted) == 1) for column in columns]
        except (ValueError, IndexError):
            raise ValueError(
                f"{path}: line {line} does not hold a photo and its numbers "
                f"({' '.join(row)[:60]}): it was cut short or edited; fetch it again."
            ) from None
        if table.setdefault(row[photo], values) != values:
            raise ValueError(
                f"{path}: line {line} says of {row[photo]} what another line does not."
            )
    if count is not None and count != len(table):
        raise ValueError(
            f"{path} holds {len(table)} of the {count} photos that its first line promises: "
            "it was cut short; fetch it again."
        )
    return table


def _columns(path, header, wanted, photo, width):
    """The places of the wanted columns in a row of this width, whose photo stands at `photo`."""
    if header is None:
        header = [wanted[0]] * 2 if width == 2 and len(wanted) == 1 else []
        header[photo : photo + 1] = ["image_id"]
    elif len(header) == width - 1:
        header.insert(photo, "image_id")
    if missing := [name for name in wanted if name not in header]:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}: its header must name {', '.join(wanted)}."
        )
    return [header.index(name) for name in wanted]


def _is_photo(field):
    return field.lower().endswith((".jpg", ".png", ".jpeg"))


def _start(path):
    start = Path(path).read_bytes()[:40].decode("utf-8", "replace")
    return repr(" ".join(start.split())) if start.strip() else "nothing"
