"""Curves show held-out photos of the people trained on, and of nobody else."""

import math
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import plots, recognition
from helpers.held_out import held_out
from helpers.losses import CrossEntropy, MarginHead, TripletLoss
from helpers.settings import Settings


class Mean(torch.nn.Module):
    """Faces -> the mean of each colour: two people of one colour are one to it."""

    def __init__(self):
        super().__init__()
        self.size, self.dim, self.settings = 8, 3, {"name": "mean"}
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, faces):
        return faces.float().mean((2, 3)) * self.scale


def coloured(people):
    """A face (3, 8, 8) in a colour of its own for each person 0, 1, 2."""
    faces = torch.zeros(len(people), 3, 8, 8, dtype=torch.uint8)
    faces[torch.arange(len(people)), people] = 200
    return faces


def data(test_labels, wrong=0):
    people = torch.arange(3).repeat(6)
    shown = torch.tensor(test_labels, dtype=torch.long)
    shown[:wrong] = (shown[:wrong] + 1) % 3
    return SimpleNamespace(
        train=coloured(people),
        train_labels=people,
        test=coloured(shown),
        test_labels=torch.tensor(test_labels, dtype=torch.long),
        splits="",
        probe=None,
        distractors=None,
    )


@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_the_share_is_of_held_out_photos_by_centres_or_by_neighbours(wrong):
    of = data([0, 1, 2, 0, 1, 2], wrong)
    head = MarginHead(3, 3)
    head.centres.data = torch.eye(3)
    assert float(held_out(of, head)(Mean())["held_out_accuracy"]) == pytest.approx(1 - wrong / 6)
    assert held_out(of, TripletLoss())(Mean()) == {"held_out_knn": pytest.approx(1 - wrong / 6)}


def test_without_held_out_photos_there_is_no_figure():
    assert held_out(data([]), CrossEntropy(3, 3)) is None


def test_both_curves_are_in_the_run_in_tensorboard_and_in_the_figure(tmp_path):
    settings = Settings(epochs=2, batch_size=6, runs_dir=str(tmp_path), device="cpu")
    keys = {}
    for loss, key in ((CrossEntropy(3, 3), "held_out_accuracy"), (TripletLoss(), "held_out_knn")):
        _, run = recognition.train_recogniser(
            key, loss, data([0, 1, 2]), settings, Mean(), best=key, augment=None, progress=False
        )
        assert (
            all(0 <= row[key] <= 1 for row in run.history)
            and key in (run.folder / "curves.csv").read_text()
        )
        assert len(EventAccumulator(str(run.folder)).Reload().Scalars(key)) == 2
        assert (run.folder / "best.safetensors").exists()
        keys[key] = run.history
    rows = keys["held_out_accuracy"]
    solid, dashed = plots.curves({"ce": rows}, {"accuracy": "accuracy"}).axes[0].lines
    assert dashed.get_linestyle() == "--" and list(dashed.get_ydata()) == [
        row["held_out_accuracy"] for row in keys["held_out_accuracy"]
    ]
    assert not any(math.isnan(y) for y in solid.get_ydata())
