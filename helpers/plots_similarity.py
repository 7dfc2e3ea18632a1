"""The matrix of similarities, with faces along both sides and frames around matches."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .fonts import plain
from .plots_style import COLOURS, WIDTH, done, styled


@styled
def similarity_matrix(
    similarity: np.ndarray,
    faces: Sequence | torch.Tensor,
    names: Sequence,
    title: str | None = None,
    threshold: float | None = None,
    groups: Sequence | None = None,
) -> Figure:
    """A square of similarities, faces along both sides; frames, which a legend explains.

    Args:
        similarity: (N, N) cosines.
        faces: N faces (3, H, W).
        names: N texts beside the rows.
        threshold: cells above it have an orange frame, among up to forty faces.
        groups: the person that each photo's name claims; neighbours of one share a black frame.
    """
    n = len(names)
    # inches: the figure keeps to the page up to forty photos; of more, faces would be specks
    cell = min(float(np.clip((WIDTH - 2.2) / (n + 1), 0.16, 0.62)), 80 / (n + 1))
    figure, axis = plt.subplots(figsize=(cell * (n + 1) + 2.2, cell * (n + 1) + 0.6))
    image = axis.imshow(similarity, cmap="viridis", vmin=0, vmax=1)
    for i, face in enumerate(faces):
        pixels = torch.as_tensor(face).permute(1, 2, 0).cpu().numpy()
        axis.imshow(pixels, extent=(-1.6, -0.6, i + 0.5, i - 0.5))
        axis.imshow(pixels, extent=(i - 0.5, i + 0.5, -0.6, -1.6))
    starts = [i for i in range(n) if groups is not None and (i == 0 or groups[i] != groups[i - 1])]
    for start, end in zip(starts, starts[1:] + [n]):
        _square(axis, start - 0.5, start - 0.5, end - start, "black", 2.5)
    if n <= 40:
        _cells(axis, similarity, threshold, fontsize=min(7, 20 * cell))
    axis.set(xlim=(-1.7, n - 0.5), ylim=(n - 0.5, -1.7), xticks=[], yticks=range(n))
    axis.set_yticklabels([plain(name) for name in names], fontsize=float(np.clip(40 * cell, 4, 8)))
    axis.grid(False)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, label="cosine similarity", fraction=0.04, pad=0.02)
    signs = {}
    if threshold is not None and n <= 40:
        signs[f"similarity above the threshold, {threshold:.2f}"] = COLOURS["vermillion"]
    if groups is not None:
        signs["one person, by the photos' names"] = "black"
    return done(figure, title, rect=_legend(figure, signs))


def _cells(axis: Axes, similarity, threshold, fontsize) -> None:
    """Frames around the similarities above the threshold; among up to twenty faces, the numbers."""
    n = len(similarity)
    for i, j in np.ndindex(n, n):
        value = similarity[i, j]
        above = threshold is not None and value > threshold and i != j
        if above:
            _square(axis, j - 0.44, i - 0.44, 0.88, COLOURS["vermillion"], 20 / max(10, n))
        if n <= 20:
            style = {"color": "black" if value > 0.6 else "white", "fontsize": fontsize}
            weight = "bold" if above else "normal"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", weight=weight, **style)


def _legend(figure: Figure, signs: dict) -> tuple:
    """What the frames mean, {text: colour}, in room made below; the rectangle above it."""
    if not signs:
        return 0, 0, 1, 1
    empty = {"linestyle": "", "marker": "s", "markersize": 8, "markerfacecolor": "none"}
    handles = [
        Line2D([], [], label=label, markeredgecolor=colour, markeredgewidth=2, **empty)
        for label, colour in signs.items()
    ]
    columns = len(signs) if figure.get_figwidth() > 6 else 1
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False)
    room = 0.2 + 0.2 * len(signs) / columns  # inches
    figure.set_figheight(figure.get_figheight() + room)
    return 0, room / figure.get_figheight(), 1, 1


def _square(axis: Axes, x, y, side, colour, width) -> None:
    style = {"fill": False, "color": colour, "linewidth": width, "clip_on": False}
    axis.add_patch(plt.Rectangle((x, y), side, side, **style))
