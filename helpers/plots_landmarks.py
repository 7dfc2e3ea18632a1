"""The figures of notebook 1: the hourglass drawn, landmarks on faces, heatmaps, errors."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from .plots_style import COLOURS, GREY, done, picture, styled

ORANGE, BLUE, GREEN = COLOURS["orange"], COLOURS["blue"], COLOURS["green"]
SIGNS = ((ORANGE, "o", "-"), (BLUE, "^", "--"), (GREEN, "s", "-."))  # colour, marker, line


@styled
def hourglass_diagram(channels: int = 32, title: str | None = None) -> Figure:
    """One hourglass from left to right: each block's height is the side of its feature maps."""
    figure, axis = plt.subplots(figsize=(9, 3.6))
    sides = [64, 32, 16, 8, 4, 8, 16, 32, 64]
    for i, side in enumerate(sides):
        colour = BLUE if i < 4 else ORANGE if i > 4 else GREY
        height = side / 64
        axis.add_patch(plt.Rectangle((i - 0.16, -height / 2), 0.32, height, color=colour))
        axis.text(i, -height / 2 - 0.04, f"{side}×{side}", ha="center", va="top", fontsize=9)
    arrow = {"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.2}
    for i in range(len(sides) - 1):
        axis.annotate("", (i + 0.82, 0), (i + 0.18, 0), arrowprops=arrow)
    for level in range(4):  # what each level skips is added at the same size on the way up
        top, end = 1.0 - 0.12 * level, 8 - level
        edge = sides[level] / 128
        axis.plot([level, level, end, end], [edge, top, top, edge], color="#333333", lw=1, ls="--")
        axis.text(end + 0.08, edge + 0.01, "+", fontsize=13, va="bottom", ha="left")
    axis.text(4, 1.03, "skip: where things are", ha="center", va="bottom", fontsize=9)
    axis.text(1.5, -0.72, "halve: what it is", ha="center", fontsize=9, color=BLUE)
    axis.text(6.5, -0.72, "double and add", ha="center", fontsize=9, color="#8a5f00")
    for x, text, way in ((-1.15, f"stem\n{channels} maps", 1), (9.4, "head\n5 heatmaps", -1)):
        axis.text(x, 0, text, ha="center", va="center", fontsize=9)
        ends = ((-0.2, 0), (-0.72, 0)) if way == 1 else ((8.72, 0), (8.2, 0))
        axis.annotate("", *ends, arrowprops=arrow)
    axis.set(xlim=(-1.7, 9.9), ylim=(-0.8, 1.15))
    axis.axis("off")
    return done(figure, title)


@styled
def landmarks_on(
    images: torch.Tensor,
    sets: dict,
    titles: list | None = None,
    title: str | None = None,
    columns: int = 4,
    margin: float | None = 0.25,
) -> Figure:
    """Faces with landmarks on them, and a line between the places that two sets give one landmark.

    Args:
        images: (N, 3, H, W), 0 to 255.
        sets: {name: landmarks (N, 5, 2) in pixels of the images}, one to three.
        titles: one for each face.
        margin: shows the square about the landmarks, widened by this share of its side; None: all.
    """
    rows = -(-len(images) // columns)
    height = rows * (9 / columns + (0.3 if titles else 0.15)) + 0.6
    figure, axes = plt.subplots(rows, columns, figsize=(9, height), squeeze=False)
    values = [np.asarray(landmarks) for landmarks in sets.values()]
    for i, axis in enumerate(axes.flat):
        if i >= len(images):
            axis.axis("off")
            continue
        picture(axis, images[i], titles and titles[i])
        for five in zip(*(landmarks[i] for landmarks in values)):
            axis.plot(*np.array(five).T, color="white", linewidth=1)
        for landmarks, (colour, marker, _) in zip(values, SIGNS):
            style = dict(color=colour, marker=marker, edgecolors="white", linewidths=0.6)
            axis.scatter(*landmarks[i].T, s=26, zorder=3, **style)
        if margin is not None:
            everything = np.concatenate([landmarks[i] for landmarks in values])
            middle = (everything.max(0) + everything.min(0)) / 2
            half = np.ptp(everything, axis=0).max() * (0.5 + margin)
            axis.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [half, -half])
    handles = [
        Line2D([], [], marker=marker, linestyle="", color=colour, label=name)
        for name, (colour, marker, _) in zip(sets, SIGNS)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=9)
    room = 0.35 / figure.get_figheight()
    return done(figure, title, rect=(0, room, 1, 1), h_pad=1.2)


@styled
def heatmaps_over(
    crop: torch.Tensor, maps: dict, title: str | None = None, columns: int = 5
) -> Figure:
    """One crop (3, H, W) under several answers {name: heatmaps (5, h, w)}, their maximum."""
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(9, rows * 9 / columns + 0.9), squeeze=False)
    height, width = crop.shape[1:]
    for axis, (name, values) in zip(axes.flat, maps.items()):
        picture(axis, crop, name)
        glow = np.clip(np.asarray(values, float).max(0), 0, 1)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        shown = axis.imshow(
            glow, cmap="inferno", alpha=0.35 + 0.5 * glow, extent=extent, clim=(0, 1)
        )
    for axis in list(axes.flat)[len(maps) :]:
        axis.axis("off")
    figure = done(figure, title, rect=(0, 0.14, 1, 1))
    bar = figure.add_axes((0.3, 0.13, 0.4, 0.035))
    figure.colorbar(shown, cax=bar, orientation="horizontal")
    bar.set_xlabel("highest of the five heatmaps", fontsize=9)
    bar.tick_params(labelsize=8)
    return figure


@styled
def learning_curves(history: list, baseline: float, title: str | None = None) -> Figure:
    """Loss over that of all-zero maps, and NME, by epoch, on logarithmic axes.

    Args:
        history: rows of a Run with epoch, relative_loss and nme.
        baseline: the NME of the mean landmarks.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    epochs = [row["epoch"] for row in history]
    for axis, key, label, line, name in (
        (axes[0], "relative_loss", "loss / loss of all-zero maps", 1, "all-zero maps"),
        (axes[1], "nme", "NME, people held out", baseline, "mean landmarks for everyone"),
    ):
        axis.plot(epochs, [row[key] for row in history], color=BLUE, label="hourglass")
        axis.axhline(line, color="#333333", linestyle=":", label=name)
        axis.set(yscale="log", xlabel="epoch", ylabel=label)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
        axis.legend(fontsize=8)
    return done(figure, title)


@styled
def error_curves(
    errors: dict, title: str | None = None, most: float = 0.2, what: str = "NME"
) -> Figure:
    """Cumulative error distribution (CED): the share of faces whose NME is at most x.

    Args:
        errors: {name: NME of each face (N,)}, at most four.
        most: where the x axis ends.
        what: the errors are, for the axes.
    """
    figure, axis = plt.subplots(figsize=(8, 3.6))
    styles = [(colour, line) for colour, _, line in SIGNS] + [("#333333", ":")]
    for (name, values), (colour, line) in zip(errors.items(), styles):
        values = np.sort(np.asarray(values, float))
        inside = values[values <= most]
        share = np.arange(len(inside) + 1) / len(values)
        x, y = np.append(np.insert(inside, 0, 0), most), np.append(share, share[-1])
        axis.step(x, y, where="post", color=colour, linestyle=line, label=name)
    axis.set(xlim=(0, most), ylim=(0, 1.02), xlabel=f"{what} (share of the eye distance)")
    axis.set_ylabel(f"share of faces with at most this {what}")
    axis.legend(fontsize=9, loc="lower right")
    return done(figure, title)
