"""Whatever shapes a training, an edited setting, photo or line of code, starts a run of its own."""

import sys

import pytest
import torch
from small_trainings import train

from helpers.encoders import Encoder
from helpers.ingredients import fingerprint
from helpers.losses import MarginHead, TripletLoss
from helpers.runs import saved_runs
from helpers.training import fit


def test_an_edited_setting_starts_a_run_of_its_own(tmp_path, random_faces):
    folders = [
        train(tmp_path, *random_faces, epochs=1, **change)[1].folder
        for change in ({}, {"lr": 2e-2}, {"loss": MarginHead(16, 4, m=0.1)}, {"seed": 1})
    ]
    assert len(set(folders)) == 4 and len(saved_runs(tmp_path)) == 4


def test_the_encoders_size_belongs_to_the_fingerprint(tmp_path, random_faces):
    folders = set()
    for size in (32, 48):
        torch.manual_seed(0)
        encoder, loss = Encoder("resnet10_small", 16, size), MarginHead(16, 4)
        folders.add(
            fit(encoder, loss, *random_faces, tmp_path / "run", epochs=1, progress=False).folder
        )
    assert len(folders) == 2


def test_every_photo_counts_in_the_fingerprint():
    e, x, y = (
        torch.nn.Linear(2, 2),
        torch.zeros(1200, 3, 4, 4, dtype=torch.uint8),
        torch.arange(1200),
    )
    prints = [fingerprint({}, e, e, x, y)]
    for row in (0, 1, 511, 512, 1199):
        z = x.clone()
        z[row, 2, 3, 3] = 1
        prints.append(fingerprint({}, e, e, z, y))
    prints.append(fingerprint({}, e, e, x, y.flip(0)))
    assert len(set(prints)) == 7 and fingerprint({}, e, e, x.clone(), y.clone()) == prints[0]


LOSS = """
import torch
from .part import scale

class Mine(torch.nn.Module):
    \"\"\"A loss of one's own.\"\"\"
    def forward(self, features, people):
        return scale(features).square().mean(), {}
"""


def test_edited_code_starts_a_run_of_its_own_and_says_which_file_was_edited(
    tmp_path, random_faces, monkeypatch, capsys
):
    package = tmp_path / "mine"
    package.mkdir()
    files = {"__init__.py": "", "loss.py": LOSS, "part.py": "def scale(x):\n    return 2 * x\n"}
    monkeypatch.syspath_prepend(tmp_path)

    def run_with(**edited):
        for name, text in (files | {f"{key}.py": value for key, value in edited.items()}).items():
            (package / name).write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
        from mine.loss import Mine

        folder = train(tmp_path / "runs", *random_faces, loss=Mine(), epochs=1)[1].folder
        return folder, capsys.readouterr().out

    first, told = run_with()
    assert not told
    for comment in (
        LOSS + "# a comment",
        LOSS.replace("A loss of", "The loss of"),
        LOSS.replace("import torch\n", "import torch\n\n"),
    ):
        assert run_with(loss=comment) == (first, "")
    other, told = run_with(loss=LOSS.replace("square()", "abs()"))
    assert (
        other != first
        and told
        == f"loss.py was edited since {first.name} was trained: this is a run of its own.\n"
    )
    third, told = run_with(part="def scale(x):\n    return 3 * x\n")
    assert third not in (first, other) and "part.py was edited since" in told
    _, told = run_with()
    assert not told, "the first code again is the first run"


CELL = """
import torch
STRENGTH = 1
def shift(images):
    return images.float() + STRENGTH
class Shift:
    def __call__(self, images, targets):
        return shift(images), targets
    def __repr__(self):
        return "Shift()"
"""


def test_edited_cells_of_a_notebook_start_a_run_of_their_own(random_faces):
    def print_of(code, take=lambda cell: cell["Shift"]()):
        cell = {"__name__": "__main__"}
        exec(code, cell)
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
        return fingerprint({}, layer, layer, *random_faces, take(cell))

    same = print_of(CELL)
    assert print_of(CELL + "# comment") == same
    edits = [
        CELL.replace("STRENGTH = 1", "STRENGTH = 2"),
        CELL.replace("images.float() + ", "images.float() - "),
        CELL.replace("shift(images), targets", "shift(shift(images)), targets"),
    ]
    assert len({same, *map(print_of, edits)}) == 4
    functions = [
        print_of(
            f"change = lambda images, targets: (images + {n}, targets)", lambda cell: cell["change"]
        )
        for n in (1, 1, 2)
    ]
    assert functions[0] == functions[1] != functions[2]


class Nameless:
    """A part whose repr is another in every run."""

    def __call__(self, *arguments):
        return arguments


def test_parts_without_a_stable_name_are_refused(tmp_path, random_faces):
    for part in ("augment", "batches", "freezer"):
        with pytest.raises(ValueError, match=f"The {part} .*Nameless.* give its class a __repr__"):
            train(tmp_path, *random_faces, **{part: Nameless()})


def test_numbers_that_a_repr_leaves_out_count(tmp_path, random_faces):
    class Quiet(TripletLoss):
        def __repr__(self):
            return "Quiet()"

    folders = {
        train(tmp_path, *random_faces, loss=Quiet(margin), epochs=1)[1].folder
        for margin in (0.1, 0.2)
    }
    assert len(folders) == 2
