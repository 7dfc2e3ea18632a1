"""One odd picture file: read or refused in a sentence that names the cause, at any size."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from skimage.data import astronaut

from helpers import detection
from helpers.detection import find_faces, smallest_face
from helpers.folders import look_into
from helpers.photos import PhotoError, guard, in_pieces, read_photo, together_or_alone


def test_no_picture_starts_another_program(tmp_path, monkeypatch):
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started")
    )
    data = io.BytesIO()
    Image.new("RGB", (30, 30)).save(data, "EPS")
    for name in ("photo.jpg", "photo.eps", "photo"):
        (tmp_path / name).write_bytes(data.getvalue())
        with pytest.raises(PhotoError, match="PostScript"):
            read_photo(tmp_path / name)


def test_brightness_depends_on_the_depth_not_on_the_brightest_pixel(tmp_path):
    dark = np.full((20, 20), 200, np.uint16)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    assert read_photo(tmp_path / "dark.png").max() == 1  # 200 of 65,535
    Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)).save(
        tmp_path / "float.tif"
    )
    assert read_photo(tmp_path / "float.tif").max() == 255
    for number, values in enumerate(
        (np.full((9, 9), 300, np.int32), np.full((9, 9), np.nan, np.float32))
    ):
        Image.fromarray(values).save(tmp_path / f"{number}.tif")
        with pytest.raises(PhotoError, match="8 or 16 bits"):
            read_photo(tmp_path / f"{number}.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_grey(tmp_path, mode):
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).convert(mode).save(tmp_path / "clear.png")
    assert (read_photo(tmp_path / "clear.png").int() - 128).abs().max() <= 1


@pytest.mark.parametrize(
    "name,form",
    [
        ("a.jfif", "JPEG"),
        ("a.JPE", "JPEG"),
        ("a.avif", "AVIF"),
        ("a.jp2", "JPEG2000"),
        ("a.png", "JPEG"),
        ("a.pbm", "PPM"),
        ("a.apng", "PNG"),
        ("a.mpo", "MPO"),
    ],
)
def test_endings_that_pillow_reads_are_read_whatever_is_in_them(tmp_path, name, form):
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow has no {form}")
    Image.new("RGB", (30, 20), "red").save(tmp_path / name, form)
    [path], notes = look_into(tmp_path)
    assert read_photo(path).shape == (3, 20, 30) and not notes


def test_the_sentence_names_the_true_cause(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    for name, start in (
        ("page.jpg", b"<!DOCTYPE html>"),
        ("a.heic.jpg", b"\0\0\0\x18ftypheic"),
        ("b.jpg", b"PK\3\4"),
    ):
        (tmp_path / name).write_bytes(start + b"\0" * 50)
    for name, cause in (
        ("pipe.jpg", "a pipe"),
        ("empty.jpg", "empty"),
        ("folder.jpg", "a folder"),
        ("page.jpg", "web page"),
        ("link.jpg", "a link to gone.jpg"),
        ("a.heic.jpg", "pip install pillow-heif"),
        ("b.jpg", "zip"),
        ("none.jpg", "no such file"),
        ("*.jpg", "pattern"),
        ("x" * 300, "too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(PhotoError, match=cause):
            read_photo(tmp_path / name)


@pytest.mark.parametrize("height", [1, 2, 12, 15, 31, 33, 63])
@pytest.mark.parametrize("width", [1, 14, 30, 64, 2000])
@pytest.mark.parametrize("largest", [True, False])
def test_photos_of_every_size_go_through_detection(height, width, largest):
    [found] = find_faces(
        [torch.randint(0, 256, (3, height, width), dtype=torch.uint8)], largest=largest
    )
    assert found.boxes.shape == (len(found), 4)


def test_a_photo_on_its_side_is_found_and_aligned_like_the_upright_one(pipeline):
    upright = torch.from_numpy(astronaut()).permute(2, 0, 1)[:, :380]
    dark = torch.nn.functional.pad(upright, (0, 100))  # not square
    [[straight]] = pipeline([dark])
    for turn in (1, 2, 3):
        lying = torch.rot90(dark, turn, (1, 2)).contiguous()
        [[face]] = pipeline([lying])
        eyes = torch.zeros(dark.shape[1:])
        for x, y in straight.landmarks[:2].round().astype(int):
            eyes[y, x] = 1
        # where they lie on the turned photo
        there = torch.rot90(eyes, turn, (0, 1)).nonzero().flip(1)
        assert np.abs(np.sort(face.landmarks[:2], 0) - np.sort(there.numpy(), 0)).max() < 12, turn


def test_a_small_face_on_a_large_photo_is_found_at_the_second_look_or_its_size_is_told():
    small = torch.nn.functional.interpolate(
        torch.from_numpy(astronaut()).permute(2, 0, 1)[None],
        scale_factor=0.45,
        mode="bilinear",
        antialias=True,
    )[0]
    wall = torch.full((3, 3000, 4000), 120, dtype=torch.uint8)
    wall[:, 600 : 600 + small.shape[1], 1900 : 1900 + small.shape[2]] = small
    assert len(detection.detect([wall])[0]) == 0, "else there is nothing to look at again"
    [found] = find_faces([wall])
    assert len(found) == 1 and 1950 < found.boxes[0, 0] < 2150
    assert smallest_face(1000) == 20 and smallest_face(8192) == 80


def test_one_photo_takes_none_of_the_others_with_it():
    def work(photos):
        if any(photo.min() == 7 for photo in photos):
            raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
        return [int(photo.max()) for photo in photos]

    photos, bad = [torch.full((3, 4, 4), n, dtype=torch.uint8) for n in (5, 7, 9)], {}
    assert together_or_alone(work, photos, ["a", "b", "c"], bad) == {"a": 5, "c": 9}
    assert list(bad) == ["b"] and bad["b"].startswith("b: left out: torch.cat()")
    told = []
    for error in (
        MemoryError(),
        OSError(36, "File name too long"),
        KeyError("EXIF"),
        PhotoError("ours"),
    ):
        with guard("photo", told.append):
            raise error
    assert told == [
        "photo: left out: there is not enough memory for it.",
        "photo: left out: file name too long.",
        "photo: left out: 'EXIF' (KeyError).",
        "ours",
    ]
    with pytest.raises(OSError), guard("photo", told.append):
        raise OSError(28, "No space left on device")


def test_pieces_are_cut_by_pixels():
    sizes = [10, 10, 30, 10, 10, 200, 10]

    def read(i):
        if i == 3:
            raise MemoryError
        return torch.zeros(3, 1, sizes[i], dtype=torch.uint8)

    pieces = list(in_pieces(read, range(7), pixels=50))
    assert [kept for _, kept, _ in pieces] == [[0, 1, 2], [4], [5], [6]]
    assert [i for _, _, bad in pieces for i in bad] == [3]
    for most in (1, 2, 3, 4):  # a bad photo may end a piece, or begin one
        pieces = list(in_pieces(read, range(7), most=most))
        assert sorted(i for _, kept, bad in pieces for i in (*kept, *bad)) == list(range(7))
        assert max(len(kept) + len(bad) for _, kept, bad in pieces) <= most
