"""Between stations: a whole dataset of aligned faces on disk, made once, in pieces.

    data/aligned/<dataset>_top<N>/<person>/<photo>.jpg   the aligned faces
                                  photos.csv             box, landmarks, residual, or the reason
                                  skipped.csv            the skipped ones alone
                                  debug/                 photos with the landmarks drawn on them
                                  faces.npy, faces.csv   all aligned faces in one array, in order
                 <dataset>_top<N>_files.csv              fingerprints of the photos

What lies here is biometric data: `python -m helpers forget NAME` deletes a person.
"""

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .alignment import align_found, geometry
from .debug_sheet import BOX, JPEG_QUALITY, debug_folder, save_jpeg, write_debug_sheet
from .detection import find_faces
from .face_array import FaceArray, write_array
from .faces import LANDMARK_COLUMNS, FaceSet
from .file_fingerprints import file_fingerprints
from .files import alone_in, append_csv, read_csv, short_name, to_csv, write_atomically, write_text
from .folders import listed, natural_order
from .landmarks import StackedHourglass
from .photos import guard, together_or_alone
from .progress import progress_bar

COLUMNS = "photo person file fingerprint skipped others residual".split() + BOX + LANDMARK_COLUMNS
OWN_FILES = {"photos.csv", "skipped.csv", "aligner.txt", "faces.csv", "faces.npy"}
CHUNK = 128  # photos between two writes, or fewer if they are large


def build_aligned_set(
    faces: FaceSet,
    hourglass: StackedHourglass | None,
    folder: Path,
    aligner_id: str,
    device: torch.device | str = "cpu",
    progress: bool = True,
    tell: Callable[[str], object] = print,
) -> FaceSet:
    """Align every photo of a FaceSet into a folder.

    The same aligner twice does nothing the second time, and goes on where it was stopped; another
    one, or another geometry of the faces, starts the folder afresh. Photos whose content changed
    are aligned again, and faces of photos that are gone are deleted. Of several faces in a photo
    the largest is taken, or the one nearest to its middle, see FaceSet.central.

    Args:
        faces: the photos.
        hourglass: finds the landmarks; None takes MTCNN's.
        folder: where the aligned faces go.
        aligner_id: a line that stands for what found the landmarks.
        device: where MTCNN and the hourglass work.
        progress: show a progress bar.
        tell: called with sentences about photos that were left out or show several faces.

    Returns:
        The FaceSet of aligned faces.

    Raises:
        ValueError: no photo shows a face.
    """
    how = f"canvas {faces.canvas}{' central' * faces.central} JPEG {JPEG_QUALITY}"
    aligner_id = f"{aligner_id}\n{geometry()} {how}\n{','.join(COLUMNS)}"
    keys = [faces.key(i) for i in range(len(faces))]
    prints = file_fingerprints(faces.files, folder.with_name(f"{folder.name}_files.csv"))
    sheet, asked = debug_folder(folder, faces.names) / "landmarks.jpg", set(keys)

    _, todo, gone = _state(folder, aligner_id, keys, prints)
    if todo or gone or not sheet.exists():
        with alone_in(folder):
            # again: another process may just have finished
            todo = _begin(folder, aligner_id, keys, prints)
            _align_all(faces, todo, prints, hourglass, folder, device, progress)
            rows = read_rows(folder)
            skipped = [(row["photo"], row["skipped"]) for row in rows if row["skipped"]]
            write_text(folder / "skipped.csv", to_csv([("photo", "why"), *skipped]))
            write_debug_sheet(faces, rows, sheet)
    taken = "the one nearest to its middle" if faces.central else "the largest"
    _tell_of([row for row in read_rows(folder) if row["photo"] in asked], folder, taken, tell)
    return load_aligned_set(folder, asked)


def _state(folder, aligner_id, keys, prints):
    """Did this aligner make the folder? Which photos are to do, and rows of those that are gone."""
    path, asked = folder / "aligner.txt", set(keys)
    same = path.exists() and path.read_text() == aligner_id
    rows = read_rows(folder) if same else []
    done = {(row["photo"], row["fingerprint"]) for row in rows}
    gone = [r for r in rows if r["photo"] not in asked and not os.path.lexists(r["file"])]
    return same, [i for i in range(len(keys)) if (keys[i], prints[i]) not in done], gone


def _begin(folder, aligner_id, keys, prints):
    """Clear away what another aligner made, and faces of photos gone; which photos are to do."""
    same, todo, gone = _state(folder, aligner_id, keys, prints)
    if folder.exists() and not same:
        shutil.rmtree(folder)
    write_text(folder / "aligner.txt", aligner_id)
    if todo or gone:  # the array is collected anew, without what is gone
        forget_array(folder)
    forget_rows(folder, gone)
    return todo


def _tell_of(rows, folder, taken, tell):
    if skipped := [f"{row['photo']} ({row['skipped']})" for row in rows if row["skipped"]]:
        tell(
            f"{len(skipped)} of {len(rows)} photos are left out: {listed(skipped, 3)}; "
            f"{folder / 'skipped.csv'} lists them."
        )
    if several := [row["photo"] for row in rows if row["others"] not in ("", "0")]:
        tell(
            f"{len(several)} of {len(rows)} photos show several faces, of which {taken} is taken: "
            f"{listed(several, 3)}; the column 'others' of {folder / 'photos.csv'} says which."
        )


def forget_array(folder: Path) -> None:
    """Delete the array of all faces and their order; `read_images` collects it anew."""
    for name in ("faces.csv", "faces.npy"):
        (folder / name).unlink(missing_ok=True)


def forget_rows(folder: Path, rows: Collection[dict]) -> None:
    """Delete these rows of photos.csv, their aligned faces, and the sheets, which may show them."""
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


def face_file(folder: Path, person: str, key: str) -> Path:
    """Where a photo's aligned face lies: `<person>/<photo>.jpg`, long names cut, folders joined."""
    name = short_name(f"{person}/" if person.lower() in OWN_FILES else person)
    return folder / name / f"{short_name(key.removeprefix(f'{person}/'))}.jpg"


def load_aligned_set(folder: Path, keys: Collection[str]) -> FaceSet:
    """The aligned faces of the photos with these keys, in a folder that build_aligned_set made.

    Raises:
        ValueError: no photo shows a face.
    """
    rows = read_rows(folder)
    good = [row for row in rows if row["photo"] in keys and not row["skipped"]]
    if not good:
        raise ValueError(
            f"No face was found in any of the {len(rows)} photos; {folder / 'skipped.csv'} says "
            "why."
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


def read_images(faces: FaceSet, folder: Path) -> FaceArray:
    """The aligned faces of a FaceSet, of one memory-mapped array, which is made on first use."""
    path, order = folder / "faces.npy", folder / "faces.csv"
    keys = [faces.key(i) for i in range(len(faces))]
    row_of = {row[0]: i for i, row in enumerate(read_csv(order))} if path.exists() else {}
    if not set(keys) <= row_of.keys():
        order.unlink(missing_ok=True)  # a kill from here on leaves no order, and so no array
        everyone = load_aligned_set(folder, {row["photo"] for row in read_rows(folder)})
        row_of = {everyone.key(i): i for i in range(len(everyone))}
        write_atomically(path, lambda part: write_array(part, everyone))
        write_text(order, to_csv([[key] for key in row_of]))
    return FaceArray(np.load(path, mmap_mode="r"), [row_of[key] for key in keys])


def read_rows(folder: Path) -> list[dict]:
    """The rows of photos.csv; none if nothing was made yet. A row cut short by a kill is left out.

    Of a photo that was replaced and aligned again the last row counts.
    """
    last = {}
    for row in read_csv(folder / "photos.csv")[1:]:
        if len(row) == len(COLUMNS):
            last[row[0]] = dict(zip(COLUMNS, row))
    return list(last.values())


def _align_all(faces, todo, prints, hourglass, folder, device, progress):
    with progress_bar(total=len(todo), desc="aligning", disable=not (progress and todo)) as bar:
        for photos, numbers, bad in faces.pieces(todo, CHUNK):
            rows = _align(faces, photos, numbers, bad, prints, hourglass, folder, device)
            append_csv(folder / "photos.csv", COLUMNS, rows)
            bar.update(len(rows))


def _align(faces, photos, numbers, bad, prints, hourglass, folder, device):
    def work(some: list[torch.Tensor]) -> list[tuple]:
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
        again = ": left out: " in why  # not the photo's fault: it is tried again the next time
        rows[i] = [key, person, os.path.abspath(faces.files[i]), "" if again else prints[i], why]
        if not why:
            one = aligned[0]
            numbers_of = (one.residual, *one.box, *one.landmarks.flatten())
            rows[i] += [found.others, *(f"{number:.2f}" for number in numbers_of)]
        rows[i] += [""] * (len(COLUMNS) - len(rows[i]))
    return list(rows.values())
