"""Encoders of other libraries used like ours; a missing package is named in one sentence."""

import importlib.util

import numpy as np
import pytest
import torch

from helpers.course import load_encoder, load_verifier, save_verifier
from helpers.encoders import Encoder, embed
from helpers.other_encoders import OTHERS, OtherEncoder
from helpers.verification import Verifier


@pytest.mark.parametrize("name", OTHERS)
def test_a_missing_package_is_named(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(
        ValueError, match=f"'{name}' needs packages that are not installed: pip install"
    ):
        load_encoder(name)


def test_a_borrowed_encoder_gives_unit_embeddings_of_rgb_faces(tmp_path):
    (tmp_path / "weights").write_bytes(b"some weights")
    encoder = OtherEncoder("mean colour", 3, lambda face: face.mean((0, 1)), tmp_path / "weights")
    faces = torch.zeros(2, 3, 112, 112, dtype=torch.uint8)
    faces[0, 0], faces[1, 2] = 200, 100  # red, blue
    assert np.allclose(embed(encoder, faces), [[1, 0, 0], [0, 0, 1]])


def test_a_missing_onnx_file_is_named():
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    with pytest.raises(ValueError, match="no ONNX encoder"):
        load_encoder("nowhere.onnx:imagenet")


def test_face_mobilenet_is_an_encoder_by_name():
    torch.manual_seed(0)
    encoder = Encoder("face_mobilenet", 16, 64)
    assert embed(encoder, torch.randint(0, 256, (2, 3, 112, 112), dtype=torch.uint8)).shape == (
        2,
        16,
    )


def test_thresholds_of_a_borrowed_encoder_are_kept_beside_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("FACES_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="evaluate PEOPLE --recogniser sface --save"):
        load_verifier("sface")
    verifier = Verifier([0.01, 0.1], [0.5, 0.4], 20.0, -8.0, 100, 10_000)
    save_verifier("sface", verifier)
    assert load_verifier("sface") == verifier and (tmp_path / "thresholds" / "sface.json").exists()
