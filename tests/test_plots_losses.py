"""The losses on a circle: where the margin is drawn."""

import numpy as np
import pytest

from helpers.plots_losses import between, circles


def test_margins_lie_halfway_between_neighbouring_centres():
    angles = np.radians([80, 10, 200])  # in any order
    middles = np.degrees(between(np.stack([np.cos(angles), np.sin(angles)], 1) * 3)) % 360
    assert sorted(middles) == pytest.approx([45, 140, 285])


def test_only_the_last_loss_shows_its_margin():
    turn = np.arange(4) * np.pi / 2
    centres = np.stack([np.cos(turn), np.sin(turn)], 1)
    figure = circles(
        {"cross entropy": centres * 7, "ArcFace": centres},
        {"cross entropy": centres, "ArcFace": centres},
        np.arange(4),
        m=0.3,
    )
    left, right = figure.axes
    wedges = [patch for patch in right.patches if hasattr(patch, "theta1")]
    assert not [patch for patch in left.patches if hasattr(patch, "theta1")] and len(wedges) == 4
    assert all(w.theta2 - w.theta1 == pytest.approx(np.degrees(0.3)) for w in wedges)
