"""From photos to faces: sizes mixed, bad photos apart, one face or many."""

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from kornia.filters import gaussian_blur2d
from PIL import Image
from safetensors.torch import load_file
from skimage.data import astronaut

from helpers import detection, mtcnn
from helpers.detection import detect
from helpers.encoders import Encoder
from helpers.faces import orl
from helpers.integral_images import area_crops, area_resize, integral_images
from helpers.photo_names import person_in
from helpers.pipeline import FacePipeline, largest_faces, read_folder


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    return FacePipeline(None, Encoder("resnet10_small", 32, 64).eval())


@pytest.fixture(scope="module")
def colour():
    return torch.from_numpy(astronaut()).permute(2, 0, 1)


def test_photos_of_all_sizes_go_together_and_keep_their_order(pipeline, some_orl, colour):
    wall = torch.full((3, 77, 200), 90, dtype=torch.uint8)
    tiny = torch.zeros(3, 1, 1, dtype=torch.uint8)
    found = pipeline([some_orl.photo(0), wall, colour, tiny, some_orl.photo(5)])
    assert [len(faces) for faces in found] == [1, 0, 1, 0, 1]
    assert [faces[0].photo for faces in found if faces] == [0, 2, 4]
    face = found[2][0]
    assert face.face.shape == (3, 112, 112) and face.embedding.shape == (32,)
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    left, right = face.landmarks[0], face.landmarks[1]
    assert 180 < left[0] < right[0] < 270 and 90 < left[1] < 130  # where the astronaut's eyes are


def test_two_faces_in_one_photo_come_largest_first(pipeline, some_orl):
    small = torch.nn.functional.interpolate(some_orl.photo(5)[None].float(), scale_factor=0.75)[
        0
    ].byte()
    both = torch.full((3, 168, 168 + 126), 90, dtype=torch.uint8)
    both[:, :126, :126], both[:, :, 126:] = small, some_orl.photo(0)
    [faces] = pipeline([both])
    assert len(faces) == 2 and faces[0].box[0] > faces[1].box[0]


def test_a_large_photo_gives_the_same_box_as_its_small_copy(colour):
    large = torch.nn.functional.interpolate(colour[None].float(), scale_factor=4, mode="bilinear")[
        0
    ].byte()
    [small_found], [large_found] = detect([colour]), detect([large])
    assert np.abs(large_found.boxes[0] / 4 - small_found.boxes[0]).max() < 5


def test_no_photos_give_no_faces(pipeline):
    assert pipeline([]) == []


def test_a_folder_is_read_by_name_and_bad_files_are_told(tmp_path, some_orl):
    for name in ("ada_10.png", "ada_2.png", "Боб 1.png", "ada_①.png"):
        Image.fromarray(some_orl.photo(0).permute(1, 2, 0).numpy()).save(tmp_path / name)
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    (tmp_path / "notes.txt").write_text("not a photo, and not looked at")
    photos, names, skipped = read_folder(tmp_path)
    assert names == ["ada_2", "ada_10", "ada_①", "Боб 1"] and len(photos) == 4
    assert [person_in(name) for name in names] == ["ada", "ada", "ada_①", "Боб 1"] and person_in(
        "ada_smith"
    ) == "ada_smith"
    assert len(skipped) == 1 and "paper.jpg" in skipped[0]


def test_an_empty_folder_says_what_belongs_in_it(tmp_path):
    with pytest.raises(ValueError, match="ada_1.jpg"):
        read_folder(tmp_path)


def test_photos_without_faces_are_named(pipeline, some_orl, capsys):
    wall = torch.full((3, 100, 100), 90, dtype=torch.uint8)
    assert len(largest_faces(pipeline([wall, some_orl.photo(0)]), ["wall", "ada"])) == 1
    assert "wall" in capsys.readouterr().out
    with pytest.raises(ValueError, match="No photo shows a face"):
        largest_faces([[], []], ["wall", "floor"])


def test_hints_name_what_is_wrong_with_a_face(pipeline, some_orl, colour):
    [[good]] = pipeline([colour])
    assert good.hints() == []
    small = torch.nn.functional.interpolate(
        colour[None].float(), scale_factor=0.4, mode="bilinear", antialias=True
    )[0].byte()
    [[face]] = pipeline([small])
    assert any("small" in hint for hint in face.hints())
    good.face = gaussian_blur2d(good.face[None].float(), (13, 13), (2, 2))[0].byte()
    assert [hint.split(":")[0] for hint in good.hints()] == ["blurred"]
    good.residual = 11.0
    assert "fit badly" in good.hints()[1]


def test_faces_that_the_detector_is_unsure_of_are_left_out(some_orl):
    [sure] = detect([some_orl.photo(0)])
    assert len(sure) and (sure.scores >= 0.9).all()
    score = float(sure.scores[0])
    assert len(detect([some_orl.photo(0)], min_score=score - 1e-6)[0]) == 1
    assert len(detect([some_orl.photo(0)], min_score=score + 1e-6)[0]) == 0


def test_the_face_in_the_middle_may_stand_for_the_photo_in_place_of_the_largest(monkeypatch):
    large, middle = [0, 0, 100, 100], [90, 140, 150, 200]
    both = detection.Detections(
        np.array([large, middle], np.float32),
        np.ones(2, np.float32),
        np.zeros((2, 5, 2), np.float32),
    )
    monkeypatch.setattr(detection, "detect", lambda photos, *_, **__: [both for _ in photos])
    # higher than wide: its middle is (120, 170)
    photo = torch.zeros(3, 340, 240, dtype=torch.uint8)
    for central, expected in ((False, large), (True, middle)):
        [found] = detection.find_faces([photo], largest=True, central=central)
        assert found.boxes.tolist() == [expected] and found.others == 1


def test_the_detectors_weights_are_those_of_facenet_pytorch_without_its_pickles(monkeypatch):
    folder = Path(importlib.util.find_spec("facenet_pytorch").origin).parent / "data"
    shipped = load_file(mtcnn.WEIGHTS)
    for name in ("pnet", "rnet", "onet"):
        for key, weight in torch.load(folder / f"{name}.pt", weights_only=True).items():
            assert torch.equal(shipped.pop(f"{name}.{key}"), weight)
    assert not shipped

    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(torch, "load", refuse)
    mtcnn.load_mtcnn.__wrapped__("cpu")


def test_the_detector_finds_what_facenet_pytorchs_finds(colour):
    photo, orl_photos = colour.permute(1, 2, 0), orl()
    orls = torch.stack([orl_photos.photo(i).permute(1, 2, 0) for i in range(0, 100, 25)])
    theirs = MTCNN(keep_all=True, select_largest=True, min_face_size=30).eval()
    theirs = theirs.to(memory_format=torch.channels_last)
    edge = photo[60:250, 190:320]  # the face is cut off on two sides
    for photos in (photo[None], orls, torch.zeros_like(orls), edge[None], photo[None, :, :250]):
        for ours, box, score, five in zip(
            mtcnn.run_mtcnn(photos.numpy(), min_face=30),
            *theirs.detect(photos.numpy(), landmarks=True),
        ):
            if box is None:
                assert not len(ours[0])
                continue
            for mine, other in zip(ours, (box, score, five)):  # alike, but for rounding
                assert np.allclose(mine, np.asarray(list(other), np.float32), atol=1e-3)


def test_a_photo_smaller_than_the_smallest_face_has_none():
    [(boxes, scores, landmarks)] = mtcnn.run_mtcnn(np.zeros((1, 15, 15, 3), np.uint8))
    assert (boxes.shape, scores.shape, landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


@pytest.mark.parametrize("size", [(24, 24), (61, 47), (200, 5)])
def test_integral_images_resize_as_torch_by_area(colour, size):
    photos = torch.stack([colour, colour.flip(2)])
    sums = integral_images(photos.permute(0, 2, 3, 1))
    by_area = partial(torch.nn.functional.interpolate, mode="area")
    assert torch.equal(area_resize(sums, size), by_area(photos.float(), size))
    boxes = torch.tensor([[0, 0, 100, 90], [37, 11, 38, 12], [20, 40, 31, 47]])
    photo = torch.tensor([1, 0, 1])
    for crop, i, (left, top, right, bottom) in zip(
        area_crops(sums, photo, boxes, 24), photo, boxes
    ):
        cut = photos[i : i + 1, :, top:bottom, left:right].float()
        assert torch.equal(crop, by_area(cut, (24, 24))[0])
