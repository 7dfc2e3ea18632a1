"""Notebook 1's figures: what they show, counted on the figure."""

import numpy as np
import torch

from helpers import plots_landmarks

FACES = torch.zeros(3, 3, 32, 32)
FIVE = torch.rand(3, 5, 2) * 31


def test_two_sets_of_landmarks_are_joined_and_have_markers_of_their_own():
    figure = plots_landmarks.landmarks_on(FACES, {"a": FIVE, "b": FIVE + 1}, columns=2)
    axis = figure.axes[0]
    assert len(axis.collections) == 2 and len(axis.lines) == 5
    shapes = [len(points.get_paths()[0].vertices) for points in axis.collections]
    assert shapes[0] != shapes[1], "a circle and a triangle"
    assert not figure.axes[3].axison, "the place that no face fills"


def test_the_curve_of_errors_says_which_share_is_no_further_off():
    figure = plots_landmarks.error_curves({"a": [0.01, 0.02, 0.03, 0.5]}, most=0.1)
    x, y = figure.axes[0].lines[0].get_data()
    assert y[np.searchsorted(x, 0.025, side="right") - 1] == 0.5
    assert y[-1] == 0.75, "the fourth is further off than the axis reaches"


def test_the_other_figures_are_drawn_at_most_nine_inches_wide():
    maps = {f"epoch {k}": torch.rand(5, 16, 16) for k in range(3)}
    rows = [{"epoch": k + 1, "relative_loss": 1 / (k + 1), "nme": 0.1} for k in range(4)]
    for figure in (
        plots_landmarks.hourglass_diagram(),
        plots_landmarks.heatmaps_over(FACES[0], maps),
        plots_landmarks.learning_curves(rows, 0.127),
    ):
        assert figure.get_figwidth() <= 9
        figure.canvas.draw()
