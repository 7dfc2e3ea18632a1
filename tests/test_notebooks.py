"""Notebooks with settings other than the defaults, run cell by cell in this process."""

import json
from pathlib import Path

import matplotlib
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

from helpers import course
from helpers.encoders import Encoder
from helpers.faces import orl

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder_of_people(tmp_path):
    """Six people of ORL, ten photos each, as a dataset of one's own."""
    faces = orl().of_people(range(6))
    for i in range(len(faces)):
        path = tmp_path / "people" / f"{faces.names[faces.labels[i]]}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy()).save(path)
    return tmp_path / "people"


def run_notebook(name):
    """Execute all code cells of a notebook but Colab's; return their variables."""
    cells = [
        cell
        for cell in json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    variables = {"__name__": "__main__"}
    for cell in cells[1:]:
        exec(compile("".join(cell["source"]), f"{name}, cell {cell['id']}", "exec"), variables)
    return variables


def test_notebook_4_runs_with_a_transformer_of_224_pixels(folder_of_people, tmp_path, monkeypatch):
    """ViT-B/16, the default for lfw and celeba, sees 224 pixels; this is its smallest sister."""
    matplotlib.use("Agg")
    torch.manual_seed(0)
    small = Encoder("vit_tiny_patch16_224", None, 224, depth=2, embed_dim=48, num_heads=3)
    course.save_model(small, tmp_path / "vit.safetensors")
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "DATASET": folder_of_people,
        "PEOPLE": 3,
        "QUERY_PEOPLE": 3,
        "VIT_EPOCHS": 1,
        "VIT_BLOCKS": 1,
        "VIT_WEIGHTS": tmp_path / "vit.safetensors",
    }.items():
        monkeypatch.setenv(f"FACES_{variable}", str(value))
    variables = run_notebook("4_vit_masked.ipynb")
    assert variables["vit"].size == 224 and variables["grid"] == 14
    everything, alike = variables["precision"]["with occlusions", "all", 5]
    assert (everything == alike).all(), (
        "a gallery that shows everything is that of the mask that hides nothing"
    )


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("[1-5]_*.ipynb")))
def test_a_notebook_that_is_run_elsewhere_says_where_it_belongs(name, tmp_path, monkeypatch):
    cells = [
        cell
        for cell in json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    # it has lines for the shell
    first = TransformerManager().transform_cell("".join(cells[0]["source"]))
    monkeypatch.chdir(ROOT)
    exec(first, {})  # beside helpers/ it does nothing
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="start Jupyter in the folder of the course"):
        exec(first, {})
