"""What several tests share: a few ORL photos, pictures made on the spot, and a device.

FACES_TEST_DEVICE=cuda:0 pytest tests   runs on that device whatever asks the settings for one, or
takes the fixture `device`; everything else stays on the CPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.faces import orl

# no setting of the course, which would refuse it
TEST_DEVICE = os.environ.pop("FACES_TEST_DEVICE", "")
if TEST_DEVICE:
    os.environ["FACES_DEVICE"] = TEST_DEVICE


DEVICE = torch.device(TEST_DEVICE or "cpu")


@pytest.fixture(scope="session")
def device():
    """Where networks and batches of a test lie: FACES_TEST_DEVICE, or the CPU."""
    return DEVICE


@pytest.fixture(scope="session")
def some_orl():
    """Six people of ORL, four photos each."""
    faces = orl().of_people(range(6))
    return faces.subset([i % 10 < 4 for i in range(len(faces))])


@pytest.fixture
def random_faces():
    """Random bytes in the shape of aligned faces, with people 0 to 3, six each."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(
        0, 256, (24, 3, 112, 112), generator=draw, dtype=torch.uint8
    ), torch.arange(4).repeat_interleave(6)


@pytest.fixture
def unit_embeddings():
    """Forty unit embeddings of eight people, loosely clustered, and the people."""
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(8), 5)
    values = draw.normal(size=(8, 16))[people] + 1.2 * draw.normal(size=(40, 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), people


@pytest.fixture
def on_processes(tmp_path):
    """Run a script of Python as torchrun does: on_processes(2, script, arguments)."""

    def run(count, script, *arguments):
        (tmp_path / "train.py").write_text(script)
        here = {"PYTHONPATH": str(Path(__file__).parents[1])}
        here |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*torchrun, "--nproc-per-node", str(count), "train.py", *map(str, arguments)]
        subprocess.run(command, cwd=tmp_path, env=os.environ | here, check=True, timeout=300)

    return run


def save_photo(photos, i, path):
    """One photo of a FaceSet as a picture file, the folder above it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photos.photo(i).permute(1, 2, 0).numpy()).save(path)


@pytest.fixture
def people(tmp_path, some_orl):
    """Three people with two uncompressed photos each, all of one size in bytes and one time."""
    for i in (0, 1, 4, 5, 8, 9):
        path = tmp_path / "people" / f"p{some_orl.labels[i]}" / f"{i % 4}.bmp"
        save_photo(some_orl, i, path)
        os.utime(path, (1e9, 1e9))
    return tmp_path / "people"


@pytest.fixture(scope="module")
def pipeline():
    """MTCNN's landmarks and an untrained encoder of 16 numbers."""
    from helpers.encoders import Encoder
    from helpers.pipeline import FacePipeline

    torch.manual_seed(0)
    return FacePipeline(None, Encoder("resnet10_small", 16, 32).eval())
