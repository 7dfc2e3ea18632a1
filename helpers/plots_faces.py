"""Figures of photos and faces: grids, landmarks, heatmaps, neighbours, boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .fonts import plain
from .plots_style import COLOURS, GREY, RIGHT, WIDTH, WRONG, done, picture, styled


@styled
def pictures(
    images: Sequence | torch.Tensor,
    titles: Sequence | None = None,
    title: str | None = None,
    columns: int = 8,
    side: float = 1.5,
    frames: Sequence | None = None,
    dashed: Sequence[bool] | None = None,
) -> Figure:
    """A grid of photos.

    Args:
        images: N photos (3, H, W), 0 to 255.
        titles: N texts, one above each photo.
        columns: photos in a row.
        side: of a photo, in inches; less where a row would be wider than the page.
        frames: N colours, None for no frame.
        dashed: N bools: whose frame is dashed, a second sign beside its colour.
    """
    rows, side = -(-len(images) // columns), min(side, WIDTH / columns)
    size = columns * side, rows * (side + 0.25 * (titles is not None)) + 0.4 * bool(title)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=size)
    for axis in axes.flat[len(images) :]:
        axis.axis("off")
    for i, image in enumerate(images):
        style = frames and frames[i], bool(dashed) and bool(dashed[i])
        picture(axes.flat[i], image, titles and titles[i], *style)
    return done(figure, title, pad=0.4)


@styled
def landmarks_on(
    images: Sequence | torch.Tensor,
    landmark_sets: Mapping,
    titles: Sequence | None = None,
    title: str | None = None,
    columns: int = 8,
    side: float = 1.6,
) -> Figure:
    """Photos with one or more sets of landmarks, a colour and a marker for each set.

    Args:
        landmark_sets: {name: (N, 5, 2)}, x and y in pixels of the photos.
    """
    figure = pictures(images, titles, None, columns, side)
    signs = (("vermillion", "o"), ("sky", "s"), ("yellow", "^"), ("purple", "D"))
    styles = {
        name: {"color": COLOURS[colour], "marker": marker}
        for name, (colour, marker) in zip(landmark_sets, signs)
    }
    edge = {"edgecolors": "black", "linewidths": 0.4}
    for i, axis in enumerate(figure.axes[: len(images)]):
        for name, landmarks in landmark_sets.items():
            axis.scatter(*np.asarray(landmarks[i]).T, s=14, **styles[name], **edge)
    handles = [Line2D([], [], linestyle="", label=name, **styles[name]) for name in landmark_sets]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    figure.set_figheight(figure.get_figheight() + 0.3 + 0.4 * bool(title))  # room for the legend
    room = 0.3 / figure.get_figheight()
    return done(figure, title, rect=(0, room, 1, 1), h_pad=1.5)


@styled
def heatmaps(
    crop: torch.Tensor, maps: torch.Tensor, names: Sequence[str], title: str | None = None
) -> Figure:
    """A crop (3, H, W) and beside it its heatmaps (5, h, w), from 0 to 1."""
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(WIDTH, 2))
    picture(axes[0], crop, "crop")
    for axis, values, name in zip(axes[1:], maps, names):
        axis.imshow(np.asarray(values), cmap="magma", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.set_title(name, fontsize=9)
    return done(figure, title)


@styled
def over_faces(
    faces: Sequence | torch.Tensor,
    maps: Sequence | torch.Tensor,
    titles: Sequence | None = None,
    title: str | None = None,
    columns: int = 8,
    cmap: str = "inferno",
    alpha: float = 0.55,
) -> Figure:
    """Faces (N, 3, H, W) with a map (N, h, w), such as attention or a region, laid over each."""
    figure = pictures(faces, titles, title, min(columns, len(faces)), 1.8)
    for axis, face, values in zip(figure.axes, faces, maps):
        height, width = face.shape[-2:]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        axis.imshow(np.asarray(values, float), cmap=cmap, alpha=alpha, extent=extent)
    return figure


@styled
def neighbours(
    queries: Sequence | torch.Tensor,
    found: Sequence | torch.Tensor,
    right: Sequence | np.ndarray,
    titles: Sequence | None = None,
    title: str | None = None,
    side: float = 1.3,
) -> Figure:
    """A row for each query: the query, then its neighbours, with a tick if right, a cross if not.

    Args:
        queries: (Q, 3, H, W).
        found: (Q, k, 3, H, W), the nearest first.
        right: (Q, k) of bool.
        titles: Q texts, at the left of each row.
    """
    rows, k = np.asarray(right).shape
    side = min(side, WIDTH / (k + 1))
    size = (k + 1) * side, rows * (side + 0.2) + 0.4
    figure, axes = plt.subplots(rows, k + 1, figsize=size, squeeze=False)
    for i in range(rows):
        picture(axes[i, 0], queries[i], "query" if i == 0 else None)
        if titles:
            axes[i, 0].set_ylabel(plain(titles[i]), fontsize=9)
        for j, correct in enumerate(right[i]):
            name = f"{j + 1} {'✓' if correct else '✗'}"
            style = RIGHT if correct else WRONG, not correct
            picture(axes[i, j + 1], found[i][j], name, *style)
    return done(figure, title)


@styled
def boxes_on(
    photo: torch.Tensor,
    faces: Sequence,
    labels: Sequence,
    right: Sequence[bool | None] | None = None,
    title: str | None = None,
) -> Figure:
    """A photo (3, H, W) with a frame and a label for each Face.

    Args:
        right: for each face True (a tick, a solid frame), False (a cross, a dashed frame) or
            None (grey: nothing is claimed); without it all frames are blue.
    """
    height, width = photo.shape[1:]
    figure, axis = plt.subplots(figsize=(8, 8 * height / width))
    picture(axis, photo)
    for i, (face, label) in enumerate(zip(faces, labels)):
        x0, y0, x1, y1 = face.box
        verdict = True if right is None else right[i]
        colour = GREY if verdict is None else RIGHT if verdict else WRONG
        tick = "" if right is None or verdict is None else " ✓" if verdict else " ✗"
        style = {"color": colour, "linewidth": 2.5, "linestyle": "-" if verdict else "--"}
        axis.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **style))
        plate = {"facecolor": colour, "edgecolor": "none", "pad": 2}
        text = {"color": "white", "fontsize": 9, "va": "bottom", "bbox": plate}
        axis.text(x0, y0 - 3, f"{plain(label)}{tick}", **text)
    return done(figure, title)


@styled
def stations(photo: torch.Tensor, face: object, title: str | None = None) -> Figure:
    """A photo with its box and landmarks, the aligned face, its embedding as a strip of colours."""
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.5))
    picture(axes[0], photo, "photo, box and five landmarks")
    x0, y0, x1, y1 = face.box
    box = {"fill": False, "color": COLOURS["orange"], "linewidth": 2}
    axes[0].add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, **box))
    axes[0].scatter(*face.landmarks.T, s=12, color=COLOURS["vermillion"])
    picture(axes[1], face.face, "aligned face, 112x112")
    width = max(w for w in range(1, 17) if len(face.embedding) % w == 0)
    axes[2].imshow(face.embedding.reshape(-1, width), cmap="coolwarm")
    axes[2].set_title(f"embedding, {len(face.embedding)} numbers as colours", fontsize=9)
    axes[2].axis("off")
    return done(figure, title)
