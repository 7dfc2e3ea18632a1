"""Photos with landmarks become crops with landmarks; what can't be learned from is skipped."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.__main__ import benchmark
from benchmarks.landmarks import shake
from helpers import course
from helpers.alignment import REFERENCE, WIDEN
from helpers.detection import Detections, detect
from helpers.faces import LANDMARK_COLUMNS, photos_with_landmarks
from helpers.landmark_set import box_about, landmark_crops, nearest_face
from helpers.landmarks import CROP, StackedHourglass, decode_heatmaps, encode_heatmaps
from helpers.train_hourglass import ROOM, gather, hold_out
from helpers.train_hourglass import main as train_hourglass


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, some_orl):
    """Eight ORL photos and a CSV of MTCNN's own landmarks in them: its error is then nothing."""
    folder = tmp_path_factory.mktemp("labelled")
    photos = [some_orl.photo(i) for i in range(8)]
    rows = [["file", "split", *LANDMARK_COLUMNS]]
    for i, (photo, found) in enumerate(zip(photos, detect(photos))):
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
        rows.append([f"{i}.png", "train" if i < 6 else "test", *found.landmarks[0].flatten()])
    write(folder / "landmarks.csv", rows)
    return folder


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_crops_hold_the_whole_head_and_its_landmarks(labelled):
    faces = photos_with_landmarks(labelled, labelled / "landmarks.csv")
    crops, landmarks, skipped = landmark_crops(faces, size=160, progress=False)
    assert (
        crops.shape == (8, 3, 160, 160)
        and crops.dtype == torch.uint8
        and landmarks.shape == (8, 5, 2)
        and not skipped
    )
    assert landmarks.min() > 20 and landmarks.max() < 140
    assert (landmarks[:, 0, 0] < landmarks[:, 1, 0]).all()


def test_without_landmarks_by_hand_mtcnn_is_the_teacher(labelled):
    faces = photos_with_landmarks(labelled, labelled / "landmarks.csv")
    by_hand = landmark_crops(faces, progress=False)
    faces.landmarks = None
    taught = landmark_crops(faces, progress=False)
    assert torch.equal(by_hand[0], taught[0]) and torch.allclose(by_hand[1], taught[1], atol=1e-2)


def test_photos_that_cannot_be_learned_from_are_skipped_with_the_reason(labelled):
    landmarks = [
        [50, 60, 90, 60, 70, 80, 55, 100, 85, 100],
        [50, 60, 900, 60, 70, 80, 55, 100, 85, 100],
        [-30] * 10,
        [50, 60, 90, 60, 70, 80, 55, 100, 85, 100],
        [0, 0, 0.2, 0, 0.1, 0.1, 0, 0.3, 0.2, 0.3],
    ]
    (labelled / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (1, 1)).save(labelled / "one_pixel.png")
    files = ["0.png", "1.png", "2.png", "broken.jpg", "one_pixel.png"]
    write(
        labelled / "odd.csv",
        [["file", *LANDMARK_COLUMNS], *([file, *five] for file, five in zip(files, landmarks))],
    )
    crops, _, skipped = landmark_crops(
        photos_with_landmarks(labelled, labelled / "odd.csv"), progress=False
    )
    assert len(crops) == 1 and set(skipped) == {1, 2, 3, 4} and "not a picture" in skipped[3]
    assert all(
        "do not all lie inside the photo, or its eyes coincide" in skipped[i] for i in (1, 2, 4)
    )


def test_a_folder_with_nothing_to_learn_from_ends_in_a_sentence(tmp_path):
    write(tmp_path / "landmarks.csv", [["file", *LANDMARK_COLUMNS], ["missing.jpg", *range(10)]])
    with pytest.raises(
        ValueError, match="None of the 1 photos of landmarks can be learned from.*missing.jpg"
    ):
        landmark_crops(photos_with_landmarks(tmp_path, tmp_path / "landmarks.csv"), progress=False)


def test_the_face_meant_is_the_one_about_the_landmarks():
    five = REFERENCE.numpy()
    two = Detections(np.zeros((2, 4)), np.ones(2), np.stack([five + [200, 0], five + 3]))
    assert nearest_face(two, five) == 1
    assert nearest_face(two, five - [200, 0]) is None
    assert (
        nearest_face(Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))), five) is None
    )


def test_a_box_about_landmarks_is_about_mtcnns(labelled):
    faces = photos_with_landmarks(labelled, labelled / "landmarks.csv")
    for five, found in zip(faces.landmarks, detect([faces.photo(i) for i in range(8)])):
        ours, theirs = box_about(five), found.boxes[0]
        height = theirs[3] - theirs[1]
        assert np.abs((ours[:2] + ours[2:]) - (theirs[:2] + theirs[2:])).max() / 2 < 0.15 * height
        assert abs((ours[3] - ours[1]) / height - 1) < 0.2


def test_shaken_landmarks_stay_on_their_photo():
    """A dot on the nose is found where the shaken landmarks say."""
    draw = np.random.default_rng(0)
    five = REFERENCE + torch.tensor([40.0, 20])
    dot = (encode_heatmaps(five[2], 3.0, 200) * 255).byte().repeat(3, 1, 1)
    for _ in range(10):
        photo, landmarks = shake(dot, five.numpy(), draw)
        found, _ = decode_heatmaps(photo[0].float())
        assert np.abs(found.numpy() - landmarks[2]).max() < 1


@pytest.mark.parametrize("options", [[], ["--split", "test"], ["--jitter"]])
def test_the_benchmark_measures_both_on_the_same_photos(labelled, tmp_path, capsys, options):
    course.save_model(StackedHourglass(16), tmp_path / "small.safetensors")
    benchmark(
        [
            "landmarks",
            "--photos",
            str(labelled),
            "--landmarks",
            str(labelled / "landmarks.csv"),
            "--model",
            str(tmp_path / "small.safetensors"),
            *options,
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert (
        result["photos"] + result["missed"] == (2 if options == ["--split", "test"] else 8)
        and result["skipped"] == 0
    )
    assert all(set(result[name]) == {"nme", "median", "fail10"} for name in ("hourglass", "mtcnn"))
    # one is untrained, the other is asked for its own landmarks
    assert result["hourglass"]["nme"] > 0.2 > result["mtcnn"]["nme"]
    if options != ["--jitter"]:
        assert result["mtcnn"] == {"nme": 0, "median": 0, "fail10": 0}


@pytest.mark.slow
def test_training_by_command_leaves_a_model_and_is_not_repeated(labelled, tmp_path, capsys):
    command = [
        "--data",
        str(labelled),
        str(labelled / "landmarks.csv"),
        "--channels",
        "16",
        "--epochs",
        "1",
        "--polish",
        "1",
        "--batch-size",
        "2",
        "--run",
        str(tmp_path / "runs" / "run"),
        "--out",
        str(tmp_path / "model.safetensors"),
    ]
    train_hourglass(command)
    assert "NME of the photos held out" in capsys.readouterr().out
    first = course.load_model(StackedHourglass, tmp_path / "model.safetensors")
    assert first.settings["channels"] == 16
    train_hourglass(command)
    again = course.load_model(StackedHourglass, tmp_path / "model.safetensors")
    assert len(list(tmp_path.glob("runs/run-*"))) == 1
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values())
    )


def test_the_crops_to_learn_from_lie_on_the_disk_and_are_those_of_notebook_1(labelled, tmp_path):
    faces = photos_with_landmarks(labelled, labelled / "landmarks.csv")
    crops, landmarks, held_out = gather([faces, faces], str(tmp_path / "runs" / "run"), "cpu")
    whole, whole_landmarks, _ = landmark_crops(faces, ROOM, WIDEN * ROOM / CROP, progress=False)
    assert isinstance(crops.array, np.memmap) and len(held_out) == len(crops) == 2 * len(whole)
    assert torch.equal(crops[:], torch.cat([whole, whole])) and torch.equal(
        landmarks, torch.cat([whole_landmarks] * 2)
    )


def test_nobody_is_on_both_sides_of_the_hourglasss_curve():
    # five photos each, numbers with gaps
    people = np.random.default_rng(0).permutation(np.arange(300) % 60 * 7)
    held_out = hold_out(people).numpy()
    assert held_out.sum() == 15 and not set(people[held_out]) & set(people[~held_out])
    assert hold_out(np.zeros(40)).sum() == 2, "of one folder of photos, photos"


def test_training_without_its_landmarks_ends_in_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="missing.csv"):
        train_hourglass(["--data", str(tmp_path), str(tmp_path / "missing.csv"), "--out", "never"])
    with pytest.raises(SystemExit, match="nothing to learn from: give --data"):
        train_hourglass(["--out", "never"])


@pytest.mark.slow
def test_two_processes_train_one_hourglass(labelled, tmp_path):
    options = [
        "--data",
        str(labelled),
        str(labelled / "landmarks.csv"),
        "--channels",
        "16",
        "--epochs",
        "1",
        "--polish",
        "0",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--run",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "model.safetensors"),
    ]
    (tmp_path / "train.py").write_text(f"from helpers.train_hourglass import main\nmain({options})")
    here = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(tmp_path / "train.py"),
    ]
    subprocess.run(command, env=os.environ | here, check=True, timeout=300)
    assert (
        course.load_model(StackedHourglass, tmp_path / "model.safetensors").settings["channels"]
        == 16
    )
    assert len([path for path in tmp_path.glob("run-*") if path.is_dir()]) == 1


def test_a_face_beside_the_landmarks_is_not_the_one_meant():
    five = REFERENCE.numpy()
    reach = np.linalg.norm(five - five.mean(0), axis=1).mean()
    for away, meant in ((0.9, 0), (1.1, None)):
        one = Detections(np.zeros((1, 4)), np.ones(1), five[None] + [away * reach, 0])
        assert nearest_face(one, five) == meant
