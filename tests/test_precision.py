"""Precision, compiled kernels and waiting: what is asked for is done, or refused in a sentence."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from helpers import devices
from helpers.devices import Waits, asked_precision, take
from helpers.training import fit


class Flat(nn.Module):
    """A linear layer that remembers the kind of numbers it gave."""

    def __init__(self):
        super().__init__()
        self.linear, self.gave = nn.Linear(48, 4), None

    def forward(self, images):
        features = self.linear(images.float().flatten(1) / 255)
        self.gave = str(features.dtype)
        return features


class CrossEntropy(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits.float(), labels), {}


def train(folder, **options):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 4, 4), dtype=torch.uint8, generator=draw)
    torch.manual_seed(0)
    model, about = Flat(), dict(epochs=2, batch_size=8, progress=False)
    return model, fit(
        model, CrossEntropy(), images, torch.arange(16) % 4, folder / "run", **about | options
    )


@pytest.mark.parametrize("asked, dtype", [("float32", "torch.float32"), ("bf16", "torch.bfloat16")])
def test_training_computes_in_the_precision_asked_for_in_a_run_of_its_own(tmp_path, asked, dtype):
    model, run = train(tmp_path, precision=asked)
    assert model.gave == dtype and run.folder != train(tmp_path)[1].folder
    assert run.settings["precision"] == {"float32": "no"}.get(asked, asked)


@pytest.mark.parametrize("wanted", ["fp16", "tf32"])
def test_what_only_a_gpu_has_is_refused_elsewhere(tmp_path, wanted):
    with pytest.raises(ValueError, match=f"'{wanted}', which needs a CUDA GPU.*leave it at auto"):
        train(tmp_path, precision=wanted)


def test_tf32_and_float32_set_what_a_gpu_may_round(monkeypatch):
    said = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", said.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert [asked_precision(kind, "cuda") for kind in ("tf32", "float32")] == ["no", "no"]
    assert said == ["high", "highest"] and not torch.backends.cudnn.allow_tf32


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a C++ compiler")
def test_a_compiled_network_learns_as_the_plain_one(tmp_path):
    plain, compiled = (train(tmp_path, compile=on, precision="float32")[1] for on in (False, True))
    losses = [[row["loss"] for row in run.history] for run in (plain, compiled)]
    assert compiled.folder != plain.folder and np.allclose(*losses, atol=1e-5)


@pytest.mark.filterwarnings("ignore:dynamo_pgo")
def test_a_compiler_that_is_missing_is_a_sentence(tmp_path, monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match="FACES_COMPILE is on, but.*C.. compiler"):
        train(tmp_path, compile=True)


def test_the_share_of_waiting_is_logged(tmp_path, monkeypatch):
    assert all(0 <= row["waiting"] <= 1 for row in train(tmp_path)[1].history)
    clock = iter([0.0, 2.0, 10.0, 11.0, 20.0])
    monkeypatch.setattr(devices.time, "perf_counter", lambda: next(clock))
    waits = Waits(torch.device("cpu"))
    assert list(waits.over(["a", None])) == ["a", None] and waits.seconds() == 3


@pytest.mark.parametrize("source", ["tensor", "array"])
def test_rows_are_taken_in_the_order_asked_for(source):
    rows = torch.arange(24).view(6, 4)
    found = take(rows if source == "tensor" else rows.numpy(), torch.tensor([5, 0, 5]), rows.device)
    assert found.tolist() == rows[[5, 0, 5]].tolist()
