"""The widgets' plain functions, and the widgets without a browser."""

import io
import zipfile
from datetime import datetime

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.gallery import Gallery
from helpers.interactive import (
    compare_app,
    matrix_picture,
    picker_app,
    read_uploads,
    uploaded,
)
from helpers.pipeline import Face
from helpers.verdicts import verdicts
from helpers.verification import Verifier

VERIFIER = Verifier(
    np.geomspace(1e-4, 0.3, 40).tolist(), np.linspace(0.9, 0.1, 40).tolist(), 10.0, -5.0, 500, 10**6
)


def some_faces(n, dim=16):
    draw = np.random.default_rng(0)
    embeddings = (
        draw.normal(size=(n, dim)) + 2 * draw.normal(size=(n // 2 + 1, dim))[np.arange(n) // 2]
    )
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    faces = torch.from_numpy(draw.integers(0, 256, (n, 3, 112, 112), np.uint8))
    return [
        Face(i, np.array([10.0, 10, 90, 90]), 1.0, np.zeros((5, 2)), 2.0, faces[i], embeddings[i])
        for i in range(n)
    ]


def png(side=40, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)).save(
        file, kind
    )
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_uploads_are_pictures_or_zips_of_pictures_and_the_rest_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = zipped(
        {
            "../../evil.png": png(30),
            "Ада 1.jpg": png(31, "JPEG"),
            "notes.txt": b"no",
            "broken.png": b"no picture",
        }
    )
    photos, names, skipped = read_uploads(
        [("a.png", memoryview(png())), ("many.zip", archive), ("paper.jpg", b"%PDF-1.7")]
    )
    assert names == ["a", "evil", "Ада 1"] and [photo.shape[-1] for photo in photos] == [40, 30, 31]
    assert len(skipped) == 2 and "broken.png" in skipped[0] and "paper.jpg" in skipped[1]
    assert list(tmp_path.rglob("*")) == [] and not (tmp_path.parents[1] / "evil.png").exists(), (
        "nothing is written"
    )


def test_uploads_that_are_too_large_or_broken_are_refused_with_a_sentence(monkeypatch):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(200_000_000))
    photos, _, skipped = read_uploads(
        [("a.png", png()), ("bomb.zip", bomb.getvalue()), ("late.png", png())]
    )
    assert len(photos) == 1 and "more than 100 MB" in skipped[0]
    broken = bytearray(zipped({"a.png": png()}))
    broken[60:80] = bytes(20)
    assert "can't be unpacked" in read_uploads([("broken.zip", bytes(broken))])[2][0]
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            archive.writestr("a.png", png(200))
        damaged = bytearray(packed.getvalue())
        damaged[45:70] = bytes(25)
        photos, _, skipped = read_uploads([("damaged.zip", bytes(damaged)), ("a.png", png())])
        assert len(photos) == 1 and "can't be unpacked" in skipped[0]


def test_verdicts_follow_the_tolerated_fpr():
    faces = some_faces(6)
    names = [str(i) for i in range(6)]
    strict, loose = (
        sum(
            row["similarity"] > VERIFIER.threshold(fpr)
            for row in verdicts(faces, names, VERIFIER, fpr)
        )
        for fpr in (1e-3, 0.2)
    )
    rows = verdicts(faces, names, VERIFIER, 0.01)
    assert len(rows) == 15 and strict < loose
    assert sorted(rows, key=lambda row: row["similarity"]) == sorted(
        rows, key=lambda row: row["probability"]
    )


def test_a_moved_slider_changes_the_verdicts_of_fifty_faces():
    faces = some_faces(50)
    app = compare_app(None, VERIFIER, faces, [f"<b>{i}</b>" for i in range(50)])
    slider, summary, matrix, table = app.children[0].children[1], *app.children[1:]
    before, picture = summary.value, matrix.value
    slider.value = slider.options[-1]
    assert summary.value != before and matrix.value != picture and "<b>0</b>" not in table.value


def give(upload, *names):
    """Hand files to a FileUpload as the browser does: ipywidgets 8, or Colab's version 7."""
    if upload.has_trait("_counter"):  # version 7
        upload.metadata = [{"name": name} for name in names]
        upload.data = [png() for _ in names]
        upload._counter += len(names)
        return
    about = {"type": "image/png", "size": 9, "last_modified": datetime.now()}
    upload.value = [{"name": name, "content": memoryview(png()), **about} for name in names]


def test_the_upload_goes_through_the_pipeline():
    faces = some_faces(2)
    app = compare_app(lambda photos: [[faces[0]], []][: len(photos)], VERIFIER)
    give(app.children[0].children[0], "ada.png", "wall.png")
    assert (
        "0 of 0 pairs" in app.children[1].value
        and "wall: no face was found" in app.children[3].value
    )


def test_a_picked_face_is_looked_up():
    faces = some_faces(4)
    gallery = Gallery(16)
    gallery.add(faces[2].embedding[None], ["<i>Ada</i>"])
    app = picker_app(
        lambda photos: [faces], torch.zeros(3, 100, 100, dtype=torch.uint8), gallery, VERIFIER
    )
    buttons, answer = app.children[0].children[0], app.children[2]
    assert "unknown" in answer.value
    buttons.value = 2
    assert "&lt;i&gt;Ada" in answer.value
    nobody = picker_app(
        lambda photos: [[]], torch.zeros(3, 100, 100, dtype=torch.uint8), gallery, VERIFIER
    )
    assert "No face" in nobody.children[2].value


@pytest.mark.parametrize("n", [1, 7, 120])
def test_the_matrix_picture_fits_a_page(n):
    faces = some_faces(n)
    picture = matrix_picture(np.eye(n), faces, 0.5)
    last = picture.width - 1
    assert picture.width == picture.height <= 1100 and picture.getpixel((last, last)) == (
        213,
        94,
        0,
    )


def test_uploads_are_read_as_ipywidgets_7_and_8_give_them():
    seven = {"ada.jpg": {"metadata": {"name": "ada.jpg", "size": 3}, "content": b"abc"}}
    eight = ({"name": "ada.jpg", "type": "image/jpeg", "size": 3, "content": memoryview(b"abc")},)
    for value in (seven, eight):
        [(name, content)] = uploaded(value)
        assert name == "ada.jpg" and bytes(content) == b"abc"
    assert uploaded({}) == uploaded(()) == []
