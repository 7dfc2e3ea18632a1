"""Between stations: a whole dataset of straight faces on disk, made once, in pieces that survive being stopped.

    data/aligned/<dataset>_top<N>/<person>/<photo>.jpg   the straight faces
                                  photos.csv             one line for each photo: box, points, residual, or why skipped
                                  skipped.csv            the skipped ones alone
                                  debug/                 sheets of photos with the points drawn on them
                                  faces.npy, faces.csv   all straight faces in one array, and their order
"""
import csv
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from .alignment import align_faces
from .detection import detect_largest
from .faces import POINT_COLUMNS, folder_of_people
from .files import alone_in, enough_room, to_csv, write_atomically, write_text
from .progress import progress_bar

BOX = ["box_left", "box_top", "box_right", "box_bottom"]
COLUMNS = ["photo", "bytes", "skipped", "residual", *BOX, *POINT_COLUMNS]
CHUNK = 128  # photos between two writes


def build_aligned_set(faces, hourglass, folder, maker, device="cpu", progress=True):
    """Straighten every photo of a FaceSet into `folder`; return the FaceSet of straight faces.

    maker: a line that names what found the points. The same maker twice does nothing the second time, and goes on
    where it was stopped; another maker starts the folder afresh. Of several faces in a photo the largest is taken.
    hourglass: a StackedHourglass, or None to take MTCNN's own points.
    """
    maker = f"{maker}\n{','.join(COLUMNS)}"  # an older layout of photos.csv is made anew as well
    maker_file, sheet = folder / "maker.txt", folder / "debug" / "points.jpg"

    def look():
        same = maker_file.exists() and maker_file.read_text() == maker
        done = {(row["photo"], row["bytes"]) for row in read_rows(folder)} if same else set()
        return same, [i for i in range(len(faces)) if _mark(faces, i) not in done]

    if look()[1] or not sheet.exists():
        with alone_in(folder):
            same, todo = look()  # again: another process may just have finished
            if folder.exists() and not same:
                shutil.rmtree(folder)
            write_text(maker_file, maker)
            if todo:
                (folder / "faces.csv").unlink(missing_ok=True)  # the array is collected anew, with what is new
            chunks = range(0, len(todo), CHUNK)
            for start in progress_bar(chunks, desc="straightening", unit="chunk", disable=not (progress and todo)):
                rows = _straighten(faces, todo[start:start + CHUNK], hourglass, folder, device)
                _append_rows(folder / "photos.csv", rows)
            skipped = [(row["photo"], row["skipped"]) for row in read_rows(folder) if row["skipped"]]
            write_text(folder / "skipped.csv", to_csv([("photo", "why"), *skipped]))
            _write_debug_sheet(faces, sheet)
    return load_aligned_set(folder, {faces.key(i) for i in range(len(faces))})


def _mark(faces, i):
    """A photo's key and its size in bytes, as photos.csv has them: a photo that was replaced is straightened again."""
    path = Path(faces.files[i])
    return faces.key(i), str(path.stat().st_size) if path.exists() else ""


def load_aligned_set(folder, keys):
    """The FaceSet of straight faces in a folder that build_aligned_set made, as far as their keys are asked for."""
    rows = read_rows(folder)
    if all(row["skipped"] for row in rows):
        raise ValueError(f"No face was found in any of the {len(rows)} photos; {folder / 'skipped.csv'} says why.")
    faces = folder_of_people(folder, name=folder.name)
    return faces.subset([faces.key(i) in keys for i in range(len(faces))])


class FaceArray:
    """Some rows of an array too large to copy: indexing reads just those faces, as uint8 tensors."""

    def __init__(self, array, rows):
        self.array, self.rows = array, np.asarray(rows, int)
        self.shape = (len(self.rows), *array.shape[1:])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        rows = self.rows[np.asarray(index) if torch.is_tensor(index) else index]
        return torch.from_numpy(np.asarray(np.take(self.array, rows, axis=0)))


def read_images(faces, folder):
    """The straight faces of a FaceSet as a FaceArray, of one memory-mapped uint8 array, which is made on first use.

    The array lies beside the pictures, since thousands of small files are slow to open again and again.
    """
    path, order = folder / "faces.npy", folder / "faces.csv"
    keys = [faces.key(i) for i in range(len(faces))]
    row_of = {key: row for row, key in enumerate(_read_column(order))} if order.exists() and path.exists() else {}
    if not set(keys) <= row_of.keys():
        order.unlink(missing_ok=True)  # a kill from here on leaves no order, and so no array
        everyone = load_aligned_set(folder, {row["photo"] for row in read_rows(folder)})
        row_of = {everyone.key(i): i for i in range(len(everyone))}
        write_atomically(path, lambda part: _write_array(part, everyone))
        write_text(order, to_csv([[key] for key in row_of]))
    return FaceArray(np.load(path, mmap_mode="r"), [row_of[key] for key in keys])


def _read_column(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [row[0] for row in csv.reader(file)]


def _write_array(path, faces):
    about = {"descr": "|u1", "fortran_order": False, "shape": (len(faces), *faces.photo(0).shape)}
    with open(path, "wb") as file:  # written, not memory-mapped: there, a full disk would kill the process without a word
        np.lib.format.write_array_header_1_0(file, about)
        for i in progress_bar(range(len(faces)), desc="collecting faces", disable=len(faces) < 5000):
            file.write(faces.photo(i).numpy().tobytes())


def read_rows(folder):
    """The rows of photos.csv as dicts; none if nothing was made yet. A row cut short by a kill does not count.

    Of a photo that was replaced and straightened again the last row counts.
    """
    path = folder / "photos.csv"
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list({row["photo"]: row for row in csv.DictReader(file) if row[COLUMNS[-1]] is not None}.values())


def _straighten(faces, index, hourglass, folder, device):
    photos, kept, bad = faces.read(index)
    found = detect_largest(photos, device)
    why = bad | {i: "MTCNN sees no face" for i, detections in zip(kept, found) if not len(detections)}
    rows = {i: dict(zip(COLUMNS, (*_mark(faces, i), why.get(i, "")))) for i in index}
    for i in why:  # it may be that of an older photo of this name
        (folder / f"{faces.key(i)}.jpg").unlink(missing_ok=True)
    good = [k for k, detections in enumerate(found) if len(detections)]
    if good:
        boxes = np.stack([found[k].boxes[0] for k in good])
        rough = torch.from_numpy(np.stack([found[k].points[0] for k in good]))
        straight, points, residual = align_faces([photos[k] for k in good], boxes, rough, hourglass)
        for k, box, face, five, rest in zip(good, boxes, straight, points, residual):
            key = faces.key(kept[k])
            (folder / key).parent.mkdir(exist_ok=True)
            save_jpeg(Image.fromarray(face.permute(1, 2, 0).numpy()), folder / f"{key}.jpg")
            numbers = [f"{v:.2f}" for v in (rest, *box, *five.flatten())]
            rows[kept[k]] |= dict(zip(COLUMNS[3:], numbers))
    return [rows[i] for i in index]


def _append_rows(path, rows):
    whole = path.read_bytes() if path.exists() else b""
    if whole and not whole.endswith(b"\n"):  # a kill cut the last line short
        whole = whole[:whole.rfind(b"\n") + 1]
        write_atomically(path, lambda part: part.write_bytes(whole))
    with enough_room(path), open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        if not whole:
            writer.writeheader()
        writer.writerows(rows)


def _write_debug_sheet(faces, path, columns=10, rows=8, side=160):
    """One picture of the first photos of many people, with box and points drawn on the original photo."""
    row_of = {row["photo"]: row for row in read_rows(path.parents[1]) if not row["skipped"]}
    _, first = np.unique(faces.people, return_index=True)
    chosen = [i for k in range(2) for i in first + k if i < len(faces) and faces.key(i) in row_of][:columns * rows]
    if not chosen:
        return
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side))
    for place, i in enumerate(chosen):
        picture = Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy())
        scale = side / max(picture.size)
        picture = picture.resize([max(1, round(s * scale)) for s in picture.size])
        row, draw = row_of[faces.key(i)], ImageDraw.Draw(picture)
        draw.rectangle([float(row[column]) * scale for column in BOX], outline=(255, 200, 0))
        for x, y in np.array([row[column] for column in POINT_COLUMNS], float).reshape(5, 2) * scale:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(255, 60, 60))
        sheet.paste(picture, (place % columns * side, place // columns * side))
    path.parent.mkdir(exist_ok=True)
    save_jpeg(sheet, path)


def save_jpeg(picture, path):
    """Write a PIL picture as a JPEG in one atomic step."""
    write_atomically(path, lambda part: picture.save(part, "JPEG", quality=95))
