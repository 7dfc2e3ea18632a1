"""Widgets: upload photos, move the tolerated FPR, pick a face. Each has a plain function, too."""

import html
import io
import zipfile
from collections import Counter
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw

from . import plots
from .folders import count_other, counted, is_hidden, is_picture, short_names
from .gallery import Gallery, name_or_unknown
from .photos import guard
from .pipeline import Face, FacePipeline, read_smaller
from .verdicts import name_faces, verdicts
from .verification import Verifier

AS_IT_IS = {"align_self": "flex-start", "max_width": "100%"}  # a box would stretch its pictures
MAX_UPLOAD = 100_000_000  # bytes, unpacked; more belongs into a folder


def read_uploads(
    files: list[tuple[str, bytes]],
) -> tuple[list[torch.Tensor], list[str], list[str]]:
    """Photos, names and sentences about what was skipped; a zip gives the pictures in it.

    Nothing is written to disk, so no zip can write outside its folder.
    """
    photos, names, skipped = [], [], []
    for name, data in _unpacked(files, skipped):
        with guard(name, skipped.append):
            photos.append(read_smaller(io.BytesIO(data), name))
            names.append(Path(*(part for part in Path(name).parts if part not in ("/", ".."))))
    return photos, short_names(names, ""), skipped


def _unpacked(files, skipped):
    total = 0
    for name, data in files:
        data = bytes(data)
        total += len(data)
        others = Counter()
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for member in archive.infolist():
                    path = Path(member.filename)
                    if member.is_dir() or any(map(is_hidden, path.parts)):
                        continue
                    if not is_picture(path.name):
                        count_other(path.name, others)
                        continue
                    total += member.file_size
                    if total > MAX_UPLOAD:
                        break
                    yield member.filename, archive.read(member)
        except zipfile.BadZipFile:
            if zipfile.is_zipfile(io.BytesIO(data)):
                skipped.append(f"{name} is damaged and can't be unpacked to its end.")
            elif total <= MAX_UPLOAD:
                yield name, data
        except Exception as error:  # locked or damaged: each way of packing has its errors
            skipped.append(f"{name} can't be unpacked to its end ({type(error).__name__}).")
        if others:
            skipped.append(
                f"{name}: left out, not pictures that can be read here: {counted(others)}."
            )
        if total > MAX_UPLOAD:
            skipped.append(
                f"{name}: more than {MAX_UPLOAD // 1_000_000} MB in all; this and what follows was "
                "left out: put the photos into a folder instead."
            )
            return


def matrix_picture(
    similarity: np.ndarray, faces: list[Face], threshold: float, cell: int = 80
) -> Image.Image:
    """The similarity matrix (N, N) as a picture, drawn in milliseconds.

    Faces stand along both sides, orange frames around cells above the threshold; a cell has
    `cell` pixels or, where there are many faces, fewer.
    """
    n = len(faces)
    cell = max(8, min(cell, 900 // (n + 1)))
    colours = (colormaps["viridis"](np.clip(similarity, 0, 1))[..., :3] * 255).astype(np.uint8)
    canvas = np.full(((n + 1) * cell, (n + 1) * cell, 3), 255, np.uint8)
    canvas[cell:, cell:] = colours.repeat(cell, 0).repeat(cell, 1)
    picture = Image.fromarray(canvas)
    for i, face in enumerate(faces):
        small = Image.fromarray(np.asarray(face.face).transpose(1, 2, 0)).resize((cell, cell))
        picture.paste(small, (0, (i + 1) * cell))
        picture.paste(small, ((i + 1) * cell, 0))
    pen = ImageDraw.Draw(picture)
    for i, j in zip(*np.nonzero(similarity > threshold)):
        pen.rectangle(
            [(j + 1) * cell, (i + 1) * cell, (j + 2) * cell - 1, (i + 2) * cell - 1],
            outline=(213, 94, 0),
            width=2,
        )
    return picture


def uploaded(value: tuple | dict) -> list[tuple[str, bytes]]:
    """(name, content) of each file in a FileUpload: a tuple of dicts, in ipywidgets 7 a dict."""
    if isinstance(value, dict):  # {name: {"content": ..., "metadata": ...}}
        return [(name, file["content"]) for name, file in value.items()]
    return [(file["name"], file["content"]) for file in value]


def compare_app(
    pipeline: FacePipeline, verifier: Verifier, faces: list[Face] = (), names: list[str] = ()
) -> widgets.VBox:
    """Upload photos, move the slider: how many pairs pass at this FPR, which, and the matrix.

    It starts with the given faces and their names.
    """
    upload = widgets.FileUpload(accept="image/*,.zip", multiple=True, description="your photos")
    slider = _fpr_slider(verifier)
    summary, table, matrix = (
        widgets.HTML(),
        widgets.HTML(),
        widgets.Image(format="png", layout=AS_IT_IS),
    )
    shown = {"faces": list(faces), "names": list(names), "notes": []}

    def draw(_: object = None) -> None:
        found, labels = shown["faces"], shown["names"]
        fpr = slider.value
        threshold, rows = verifier.threshold(fpr), verdicts(found, labels, verifier, fpr)
        passed = sum(row["similarity"] > threshold for row in rows)
        summary.value = (
            f"<b>{passed} of {len(rows)} pairs pass</b> at a threshold of {threshold:.2f}"
        )
        most_alike = sorted(rows, key=lambda row: -row["similarity"])[:20]
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in shown["notes"])
        table.value = plots.table(most_alike).data + notes
        if found:
            embeddings = np.stack([face.embedding for face in found])
            matrix.value = _png(matrix_picture(embeddings @ embeddings.T, found, threshold))

    def take(_: object) -> None:
        shown.update(_faces_of_uploads(pipeline, uploaded(upload.value)))
        draw()

    upload.observe(take, "value")
    slider.observe(draw, "value")
    draw()
    return widgets.VBox([widgets.HBox([upload, slider]), summary, matrix, table])


def _faces_of_uploads(pipeline, files):
    """The largest faces of uploaded photos, their names, and notes on what is missing or odd."""
    photos, labels, notes = read_uploads(files)
    faces, names, hints = [], [], []
    for label, answer in zip(labels, pipeline(photos)):
        if not answer:
            notes = [*notes, f"{label}: no face was found"]
            continue
        faces.append(answer[0])
        names.append(label)
        hints += [f"{label}: {hint}" for hint in answer[0].hints()]
    return {"faces": faces, "names": names, "notes": notes + hints}


def picker_app(
    pipeline: FacePipeline, photo: torch.Tensor, gallery: Gallery, verifier: Verifier
) -> widgets.VBox:
    """Every face of a group photo (3, H, W) as a button.

    The one that is pressed is looked up in the gallery, at the slider's FAR.
    """
    [faces] = pipeline([photo])
    slider = _fpr_slider(verifier, "FAR")
    buttons = widgets.ToggleButtons(
        options=[(f"face {i + 1}", i) for i in range(len(faces))], description="who is"
    )
    picture, answer = widgets.Image(format="png", layout=AS_IT_IS), widgets.HTML()

    def draw(_: object = None) -> None:
        if not faces:
            answer.value = "No face was found in this photo."
            return
        face = faces[buttons.value or 0]
        [found] = name_faces([face], gallery, verifier, slider.value)
        framed = Image.fromarray(np.asarray(photo).transpose(1, 2, 0))
        ImageDraw.Draw(framed).rectangle(
            face.box.tolist(), outline=(230, 159, 0), width=max(2, framed.width // 150)
        )
        framed.thumbnail((480, 480))
        picture.value = _png(framed)
        answer.value = (
            f"<b>{html.escape(name_or_unknown(found.name))}</b>, similarity "
            f"{found.similarity:.2f} " + "; ".join(found.hints)
        )

    for control in (slider, buttons):
        control.observe(draw, "value")
    draw()
    return widgets.VBox([widgets.HBox([buttons, slider]), picture, answer])


def _fpr_slider(verifier, name="FPR"):
    measured = [
        float(f"{fpr:.2g}")
        for fpr in np.geomspace(verifier.fprs[0] * 1.06, verifier.fprs[-1] * 0.94, 25)
    ]
    nearest = min(measured, key=lambda fpr: abs(np.log(fpr / 0.01)))
    return widgets.SelectionSlider(
        options=measured, value=nearest, description=name, continuous_update=False
    )


def _png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
