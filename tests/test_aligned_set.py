"""The aligned set: bad photos skipped with a reason, nothing done twice, stopped runs go on."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import save_photo
from PIL import Image

from helpers import aligned_set
from helpers.aligned_set import FaceArray, build_aligned_set, read_images, read_rows
from helpers.faces import folder_of_people


@pytest.fixture
def photos(tmp_path, some_orl):
    """A folder of people: 2 x 3 good photos, one wall without a face, one file that is no photo."""
    for i in (0, 1, 2, 4, 5, 6):
        path = tmp_path / "photos" / f"person {some_orl.labels[i]}" / f"{i}, good.png"
        save_photo(some_orl, i, path)
    Image.new("RGB", (120, 90), "grey").save(tmp_path / "photos" / "person 0" / "wall.png")
    (tmp_path / "photos" / "person 1" / "broken.jpg").write_text("no picture")
    return folder_of_people(tmp_path / "photos")


def test_good_photos_are_aligned_and_bad_ones_listed(tmp_path, photos):
    faces = build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    assert len(faces) == 6 and read_images(faces, tmp_path / "set").shape == (6, 3, 112, 112)
    assert sorted(set(faces.names) - {"debug"}) == ["person 0", "person 1"]
    with open(tmp_path / "set" / "skipped.csv", newline="") as file:
        why = {row["photo"]: row["why"] for row in csv.DictReader(file)}
    assert (
        why["person 0/wall.png"] == "MTCNN sees no face"
        and "not a picture" in why["person 1/broken"]
        and len(why) == 2
    )
    assert (tmp_path / "set" / "debug" / "landmarks.jpg").exists()
    rows = [row for row in read_rows(tmp_path / "set") if not row["skipped"]]
    assert all(float(row["left_eye_x"]) < float(row["right_eye_x"]) for row in rows)


@pytest.mark.parametrize(
    "central, taken", [(False, "largest"), (True, "one nearest to its middle")]
)
def test_which_of_several_faces_is_taken_is_told(tmp_path, some_orl, central, taken):
    two = torch.cat([some_orl.photo(0), some_orl.photo(4)], 2)
    (tmp_path / "photos" / "ada").mkdir(parents=True)
    Image.fromarray(two.permute(1, 2, 0).numpy()).save(tmp_path / "photos" / "ada" / "two.png")
    photos, told = replace(folder_of_people(tmp_path / "photos"), central=central), []
    build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False, tell=told.append)
    assert f"several faces, of which the {taken} is taken: ada/two.png" in told[-1]


def test_a_second_run_does_nothing(tmp_path, photos, monkeypatch):
    build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)

    def times():
        return {
            path: path.stat().st_mtime_ns
            for path in (tmp_path / "set").rglob("*")
            if path.suffix in (".jpg", ".csv")
        }

    before = times()
    monkeypatch.setattr(aligned_set, "find_faces", None)  # would fail if it were called
    build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    assert times() == before


def test_a_stopped_run_goes_on_where_it_was(tmp_path, photos, monkeypatch):
    whole = build_aligned_set(photos, None, tmp_path / "whole", "MTCNN", progress=False)
    monkeypatch.setattr(aligned_set, "CHUNK", 3)
    original, calls = aligned_set.find_faces, []

    def dies_in_the_second_chunk(images, *rest):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(images, *rest)

    monkeypatch.setattr(aligned_set, "find_faces", dies_in_the_second_chunk)
    with pytest.raises(KeyboardInterrupt):
        build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    with open(tmp_path / "set" / "photos.csv", "a") as file:
        file.write("person 1/4, go")  # a line that a kill cut short
    again = build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    assert calls[2:] and sum(calls[2:]) < len(photos)
    assert again.files[0].relative_to(tmp_path / "set") == whole.files[0].relative_to(
        tmp_path / "whole"
    )
    difference = (
        read_images(again, tmp_path / "set")[:].int()
        - read_images(whole, tmp_path / "whole")[:].int()
    )
    # MTCNN rounds differently in batches of another size
    assert difference.abs().float().mean() < 0.5
    assert len(read_rows(tmp_path / "set")) == len(photos)


def test_another_maker_starts_afresh(tmp_path, photos):
    build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    (tmp_path / "set" / "person 0" / "stale.jpg").write_bytes(b"")
    assert len(build_aligned_set(photos, None, tmp_path / "set", "another", progress=False)) == 6
    assert np.all([row["photo"] != "stale" for row in read_rows(tmp_path / "set")])


def test_photos_without_any_face_end_in_a_sentence(tmp_path):
    (tmp_path / "photos" / "wall").mkdir(parents=True)
    Image.new("RGB", (120, 90), "grey").save(tmp_path / "photos" / "wall" / "1.png")
    with pytest.raises(ValueError, match="No face was found in any of the 1 photos"):
        build_aligned_set(
            folder_of_people(tmp_path / "photos"), None, tmp_path / "set", "MTCNN", progress=False
        )


def test_faces_in_one_array_are_the_pictures_however_they_are_asked_for(
    tmp_path, photos, monkeypatch
):
    faces = build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    images = read_images(faces, tmp_path / "set")
    assert isinstance(images.array, np.memmap)
    assert all(torch.equal(images[i], faces.photo(i)) for i in range(6))
    monkeypatch.setattr(aligned_set, "write_array", None)  # would fail if the array were made again
    some = read_images(faces.subset([4, 1]), tmp_path / "set")
    picked = torch.tensor([True, False])
    for index in (slice(1, 2), np.array([1]), torch.tensor([1]), ~picked, ~picked.numpy()):
        assert torch.equal(some[index], faces.photo(1)[None])
    assert FaceArray(images.array, [])[:].shape == (0, 3, 112, 112)


def test_an_array_cut_short_by_a_kill_is_made_again(tmp_path, photos, monkeypatch):
    faces = build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    # an older array that lacks photos
    aligned_set.write_text(tmp_path / "set" / "faces.csv", "person 0/0, good.png\n")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            aligned_set, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
        )
        read_images(faces, tmp_path / "set")
    assert torch.equal(read_images(faces, tmp_path / "set")[5], faces.photo(5))
    (tmp_path / "set" / "faces.npy").unlink()
    assert torch.equal(read_images(faces.subset([3]), tmp_path / "set")[0], faces.photo(3))


def test_a_photo_that_was_replaced_is_aligned_again(tmp_path, photos, some_orl):
    read_images(
        build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False), tmp_path / "set"
    )
    Image.fromarray(some_orl.photo(3).permute(1, 2, 0).numpy()).save(
        tmp_path / "photos" / "person 0" / "wall.png"
    )
    Image.new("RGB", (120, 90), "grey").save(tmp_path / "photos" / "person 0" / "0, good.png")
    faces = build_aligned_set(photos, None, tmp_path / "set", "MTCNN", progress=False)
    keys = [faces.key(i) for i in range(len(faces))]
    assert "person 0/wall.png" in keys and "person 0/0, good.png" not in keys and len(keys) == 6
    assert read_images(faces, tmp_path / "set").shape == (6, 3, 112, 112)
    assert {row["photo"]: row["skipped"] for row in read_rows(tmp_path / "set")}[
        "person 0/0, good.png"
    ] == "MTCNN sees no face"
