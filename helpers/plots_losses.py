"""Figures of notebook 2: losses on a circle, and the cosine that each margin lets the loss see."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from .plots_style import CYCLE, GREY, MARKERS, WIDTH, done, styled

EIGHT = [*CYCLE, GREY]  # a colour for each of eight people


@styled
def circles(
    embeddings: Mapping[str, np.ndarray],
    centres: Mapping[str, np.ndarray],
    labels: np.ndarray,
    m: float,
    title: str | None = None,
) -> Figure:
    """Two-dimensional embeddings of a few people, one panel for each loss, with the unit circle.

    Args:
        embeddings: {loss: (N, 2)}; each panel is scaled so that its longest reaches 1.5.
        centres: {loss: (C, 2)}, the class centres, as lines from the middle to the circle.
        labels: (N,) 0 to C - 1: a colour and marker for each person.
        m: the margin in radians, drawn in the last panel as a grey sector of that angle in the
            middle between each pair of neighbouring centres.
    """
    figure, axes = plt.subplots(1, len(embeddings), figsize=(WIDTH, WIDTH / len(embeddings) + 0.5))
    for axis, (name, points) in zip(axes, embeddings.items()):
        if name == list(embeddings)[-1]:
            for middle in np.degrees(between(centres[name])):
                half = np.degrees(m) / 2
                axis.add_patch(Wedge((0, 0), 1, middle - half, middle + half, color="0.85"))
                place = 0.75 * np.cos(np.radians(middle)), 0.75 * np.sin(np.radians(middle))
                axis.text(*place, "m", fontsize=8, style="italic", ha="center", va="center")
        axis.add_patch(plt.Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.8))
        points = (
            1.5 * points / np.linalg.norm(points, axis=1).max() if "entropy" in name else points
        )
        unit = centres[name] / np.linalg.norm(centres[name], axis=1, keepdims=True)
        for k in np.unique(labels):
            colour, marker = EIGHT[k % 8], (*MARKERS, "*")[k % 8]
            axis.plot([0, unit[k, 0]], [0, unit[k, 1]], color=colour, linewidth=0.8)
            axis.scatter(*points[labels == k].T, s=14, color=colour, marker=marker, zorder=3)
        axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
        axis.set_title(name, fontsize=9)
    return done(figure, title)


def between(centres: np.ndarray) -> np.ndarray:
    """The angle (C,) in radians halfway from each centre (C, 2) to the next on the circle."""
    angles = np.sort(np.arctan2(centres[:, 1], centres[:, 0]))
    return angles + np.diff(angles, append=angles[0] + 2 * np.pi) / 2
