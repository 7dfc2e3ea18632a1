"""Between stations: a whole dataset of aligned faces on disk, made once, in pieces that survive being stopped.

    data/aligned/<dataset>_top<N>/<person>/<photo>.jpg   the aligned faces
                                  photos.csv             one line for each photo: box, landmarks, residual, or why skipped
                                  skipped.csv            the skipped ones alone
                                  debug/                 sheets of photos with the landmarks drawn on them
                                  faces.npy, faces.csv   all aligned faces in one array, and their order
                 <dataset>_top<N>_files.csv              fingerprints of the photos

What lies here is biometric data: `python -m helpers forget NAME` deletes a person.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from .alignment import align_found, geometry
from .detection import find_faces
from .faces import LANDMARK_COLUMNS, FaceSet
from .file_fingerprints import file_fingerprints
from .files import alone_in, enough_room, read_csv, short_name, to_csv, write_atomically, write_text
from .folders import listed, natural_order
from .photos import guard, together_or_alone
from .progress import progress_bar

BOX = ["box_left", "box_top", "box_right", "box_bottom"]
COLUMNS = [
    "photo",
    "person",
    "file",
    "fingerprint",
    "skipped",
    "others",
    "residual",
    *BOX,
    *LANDMARK_COLUMNS,
]
CHUNK = 128  # photos between two writes, or fewer if they are large
JPEG_QUALITY = 95


def build_aligned_set(
    faces, hourglass, folder, aligner_id, device="cpu", progress=True, tell=print
):
    """Align every photo of a FaceSet into `folder`; return the FaceSet of aligned faces.

    maker: a line that names what found the landmarks. The same maker twice does nothing the second time, and goes on
    where it was stopped; another maker, or another geometry of the faces, starts the folder afresh. Photos whose content
    changed are aligned again, and faces of photos that are gone are deleted. Of several faces in a photo the largest
    is taken. tell: called with sentences about photos that were left out or show several faces.
    hourglass: a StackedHourglass, or None to take MTCNN's own landmarks.
    """
    aligner_id = f"{aligner_id}\n{geometry()} canvas {faces.canvas}{' central' * faces.central} JPEG {JPEG_QUALITY}\n{','.join(COLUMNS)}"
    keys = [faces.key(i) for i in range(len(faces))]
    prints = file_fingerprints(faces.files, folder.with_name(f"{folder.name}_files.csv"))
    aligner_file, sheet = (
        folder / "aligner.txt",
        _debug_folder(folder, faces.names) / "landmarks.jpg",
    )

    def state():
        same = aligner_file.exists() and aligner_file.read_text() == aligner_id
        rows = read_rows(folder) if same else []
        done = {(row["photo"], row["fingerprint"]) for row in rows}
        gone = [
            row for row in rows if row["photo"] not in asked and not os.path.lexists(row["file"])
        ]
        return same, [i for i in range(len(faces)) if (keys[i], prints[i]) not in done], gone

    asked = set(keys)
    _, todo, gone = state()
    if todo or gone or not sheet.exists():
        with alone_in(folder):
            same, todo, gone = state()  # again: another process may just have finished
            if folder.exists() and not same:
                shutil.rmtree(folder)
            write_text(aligner_file, aligner_id)
            if todo or gone:
                forget_array(
                    folder
                )  # it is collected anew, with what is new and without what is gone
            forget_rows(folder, gone)
            with progress_bar(
                total=len(todo), desc="aligning", unit="photo", disable=not (progress and todo)
            ) as bar:
                for photos, numbers, bad in faces.pieces(todo, CHUNK):
                    rows = _align(faces, photos, numbers, bad, prints, hourglass, folder, device)
                    _append_rows(folder / "photos.csv", rows)
                    bar.update(len(rows))
            skipped = [
                (row["photo"], row["skipped"]) for row in read_rows(folder) if row["skipped"]
            ]
            write_text(folder / "skipped.csv", to_csv([("photo", "why"), *skipped]))
            _write_debug_sheet(faces, sheet)
    _tell_of([row for row in read_rows(folder) if row["photo"] in asked], folder, tell)
    return load_aligned_set(folder, asked)


def _debug_folder(folder, labels):
    name = "debug"
    while name in labels:
        name += "_"
    return folder / name


def _tell_of(rows, folder, tell):
    skipped = [f"{row['photo']} ({row['skipped']})" for row in rows if row["skipped"]]
    if skipped:
        tell(
            f"{len(skipped)} of {len(rows)} photos are left out: {listed(skipped, 3)}; {folder / 'skipped.csv'} lists them."
        )
    if several := [row["photo"] for row in rows if row["others"] not in ("", "0")]:
        tell(
            f"{len(several)} of {len(rows)} photos show several faces, of which the largest is taken: {listed(several, 3)}; "
            f"the column 'others' of {folder / 'photos.csv'} says which."
        )


def forget_array(folder):
    """Delete the array of all faces and their order; `read_images` collects it anew."""
    for name in ("faces.csv", "faces.npy"):
        (folder / name).unlink(missing_ok=True)


def forget_rows(folder, rows):
    """Delete the aligned faces that these rows of photos.csv tell of, the rows, and the sheets, which may show them."""
    if not rows:
        return
    lost = {row["photo"] for row in rows}
    kept = [
        [row[column] for column in COLUMNS] for row in read_rows(folder) if row["photo"] not in lost
    ]
    write_text(folder / "photos.csv", to_csv([COLUMNS, *kept]))
    for row in rows:
        face = face_file(folder, row["person"], row["photo"])
        face.unlink(missing_ok=True)
        if face.parent.is_dir() and not any(face.parent.iterdir()):
            face.parent.rmdir()
    for sheets in folder.glob("debug*/landmarks.jpg"):
        sheets.unlink()


def face_file(folder, person, key):
    """Where the aligned face of a photo lies: `<person>/<photo>.jpg`, with long names cut and folders joined."""
    return folder / short_name(person) / f"{short_name(key.removeprefix(f'{person}/'))}.jpg"


def load_aligned_set(folder, keys):
    """The FaceSet of aligned faces in a folder that build_aligned_set made, as far as their keys are asked for."""
    rows = read_rows(folder)
    good = [row for row in rows if row["photo"] in keys and not row["skipped"]]
    if not good:
        raise ValueError(
            f"No face was found in any of the {len(rows)} photos; {folder / 'skipped.csv'} says why."
        )
    names = sorted({row["person"] for row in good}, key=lambda name: natural_order(Path(name)))
    number = {name: i for i, name in enumerate(names)}
    good.sort(key=lambda row: (number[row["person"]], *natural_order(Path(row["photo"]))))
    return FaceSet(
        folder.name,
        [face_file(folder, row["person"], row["photo"]) for row in good],
        np.array([number[row["person"]] for row in good]),
        names,
        keys=[row["photo"] for row in good],
    )


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
    """The aligned faces of a FaceSet as a FaceArray, of one memory-mapped uint8 array, which is made on first use.

    The array lies beside the pictures, since thousands of small files are slow to open again and again.
    """
    path, order = folder / "faces.npy", folder / "faces.csv"
    keys = [faces.key(i) for i in range(len(faces))]
    row_of = {row[0]: i for i, row in enumerate(read_csv(order))} if path.exists() else {}
    if not set(keys) <= row_of.keys():
        order.unlink(missing_ok=True)  # a kill from here on leaves no order, and so no array
        everyone = load_aligned_set(folder, {row["photo"] for row in read_rows(folder)})
        row_of = {everyone.key(i): i for i in range(len(everyone))}
        write_atomically(path, lambda part: _write_array(part, everyone))
        write_text(order, to_csv([[key] for key in row_of]))
    return FaceArray(np.load(path, mmap_mode="r"), [row_of[key] for key in keys])


def _write_array(path, faces):
    about = {"descr": "|u1", "fortran_order": False, "shape": (len(faces), *faces.photo(0).shape)}
    with (
        open(path, "wb") as file
    ):  # written, not memory-mapped: there, a full disk would kill the process without a word
        np.lib.format.write_array_header_1_0(file, about)
        for i in progress_bar(
            range(len(faces)), desc="collecting faces", disable=len(faces) < 5000
        ):
            file.write(faces.photo(i).numpy().tobytes())


def read_rows(folder):
    """The rows of photos.csv as dicts; none if nothing was made yet. A row cut short by a kill does not count.

    Of a photo that was replaced and aligned again the last row counts.
    """
    last = {}
    for row in read_csv(folder / "photos.csv")[1:]:
        if len(row) == len(COLUMNS):
            last[row[0]] = dict(zip(COLUMNS, row))
    return list(last.values())


def _align(faces, photos, numbers, bad, prints, hourglass, folder, device):
    def work(some):
        found = find_faces(some, device, True, faces.central)
        return list(zip(found, align_found(some, found, hourglass)))

    answers = together_or_alone(work, photos, numbers, bad, lambda i: faces.files[i])
    rows = {}
    for i in sorted({*numbers, *bad}):
        person, key = faces.names[faces.labels[i]], faces.key(i)
        found, aligned = answers.get(i, (None, []))
        path = face_file(folder, person, key)
        path.unlink(missing_ok=True)  # it may be that of an older photo of this name
        if aligned:
            with guard(faces.files[i], lambda sentence, i=i: bad.update({i: sentence})):
                path.parent.mkdir(parents=True, exist_ok=True)
                save_jpeg(Image.fromarray(aligned[0].face.permute(1, 2, 0).numpy()), path)
        why = bad.get(i) or ("" if aligned else "MTCNN sees no face")
        again = (
            ": left out: " in why
        )  # no fault of the photo's content: it is tried again the next time
        rows[i] = [key, person, os.path.abspath(faces.files[i]), "" if again else prints[i], why]
        if not why:
            one = aligned[0]
            numbers_of = (one.residual, *one.box, *one.landmarks.flatten())
            rows[i] += [found.others, *(f"{number:.2f}" for number in numbers_of)]
        rows[i] += [""] * (len(COLUMNS) - len(rows[i]))
    return list(rows.values())


def _append_rows(path, rows):
    begun = path.exists() and path.stat().st_size > 0
    if begun:
        with open(path, "rb") as file:  # its end alone: the table of all of CelebA is 40 MB
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
        if not whole:  # a kill cut the last line short
            text = path.read_bytes()
            text = text[: text.rfind(b"\n") + 1]
            write_atomically(path, lambda part: part.write_bytes(text))
            begun = bool(text)
    with (
        enough_room(path),
        open(path, "a", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        file.write(to_csv(rows if begun else [COLUMNS, *rows]))


def _write_debug_sheet(faces, path, columns=10, rows=8, side=160):
    """One picture of the first photos of many people, with box and landmarks drawn on the original photo."""
    row_of = {row["photo"]: row for row in read_rows(path.parents[1]) if not row["skipped"]}
    _, first = np.unique(faces.labels, return_index=True)
    chosen = [i for k in range(2) for i in first + k if i < len(faces) and faces.key(i) in row_of][
        : columns * rows
    ]
    if not chosen:
        return
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side))
    for place, i in enumerate(chosen):
        picture = Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy())
        scale = side / max(picture.size)
        picture = picture.resize([max(1, round(s * scale)) for s in picture.size])
        row, draw = row_of[faces.key(i)], ImageDraw.Draw(picture)
        draw.rectangle([float(row[column]) * scale for column in BOX], outline=(255, 200, 0))
        for x, y in (
            np.array([row[column] for column in LANDMARK_COLUMNS], float).reshape(5, 2) * scale
        ):
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(255, 60, 60))
        sheet.paste(picture, (place % columns * side, place // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_jpeg(sheet, path)


def save_jpeg(picture, path):
    """Write a PIL picture as a JPEG in one atomic step."""
    write_atomically(path, lambda part: picture.save(part, "JPEG", quality=JPEG_QUALITY))
