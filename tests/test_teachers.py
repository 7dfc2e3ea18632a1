"""Embedding distillation: teachers' embeddings, joined, in a file, and refused where unfit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import teachers
from helpers.course import save_model
from helpers.encoders import Encoder, embed


def unit(*shape, seed=0):
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_joined_cosines_are_the_mean_of_the_teachers():
    a, b = unit(40, 8), unit(40, 6, seed=1)
    joined = teachers.join([a, b], 14)
    assert np.allclose(joined @ joined.T, (a @ a.T + b @ b.T) / 2, atol=1e-6)


def test_fewer_numbers_keep_the_cosines_and_agree_with_the_first_teacher():
    # two teachers that see the same thing in different coordinates: half of the numbers hold all
    a = unit(500, 16)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(16, 16)))[0].astype(np.float32)
    joined = teachers.join([a, a @ turn], 16)
    assert joined.shape == (500, 16) and np.allclose(joined, a, atol=1e-4)


def test_one_teacher_of_the_right_size_is_left_as_it_is():
    a = unit(20, 8)
    assert np.array_equal(teachers.join([a], 8), a)


def test_more_numbers_than_the_teachers_say_are_refused():
    with pytest.raises(ValueError, match="embedding=8"):
        teachers.join([unit(20, 8)], 16)


@pytest.fixture
def taught(random_faces, tmp_path):
    """Ten faces as data to train on, a teacher in a file, and its embeddings of them in another."""
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 8, 32)
    save_model(encoder, tmp_path / "teacher.safetensors")
    faces = random_faces[0][:10].byte()
    data = SimpleNamespace(train=faces, train_keys=[f"ada/{i}" for i in range(10)])
    known = dict(zip(data.train_keys, zip(teachers.checksums(faces), embed(encoder, faces))))
    teachers._write(tmp_path / "said.safetensors", known, "teacher")
    return data, tmp_path


def test_a_file_says_what_its_teacher_says(taught):
    data, folder = taught
    by_file, by_weights = (
        teachers.teacher_embeddings([str(folder / name)], data, 8, torch.device("cpu"))
        for name in ("said.safetensors", "teacher.safetensors")
    )
    assert torch.allclose(by_file, by_weights, atol=1e-3)  # the file keeps float16


@pytest.mark.parametrize("change", ["photo", "name", "order"])
def test_targets_of_other_faces_are_refused(taught, change):
    data, folder = taught
    if change == "photo":
        data.train = data.train.clone()
        data.train[3, 0, 5, 5] ^= 1
    elif change == "name":
        data.train_keys[3] = "ada/else"
    else:  # names that changed places
        data.train_keys[3], data.train_keys[4] = data.train_keys[4], data.train_keys[3]
    with pytest.raises(ValueError, match="was made for other faces: of 10 photos"):
        teachers.teacher_embeddings(
            [str(folder / "said.safetensors")], data, 8, torch.device("cpu")
        )
