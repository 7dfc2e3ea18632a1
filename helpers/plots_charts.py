"""Figures of numbers: curves, lines, histograms, maps of people."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke

from .fonts import plain
from .plots_style import (
    CHANCE,
    COLOURS,
    CYCLE,
    GREY,
    MARKERS,
    WIDTH,
    done,
    legend_beside,
    sign,
    styled,
)


@styled
def curves(
    histories: Mapping[str, list], panels: Mapping[str, str], title: str | None = None
) -> Figure:
    """Training curves, one panel for each column; photos held out are dashed.

    Args:
        histories: {name of a run: its rows, dicts with an epoch}; a colour and marker for each run.
        panels: {column: label of its axis}; a column held_out_<column>, where there is one, is
            drawn dashed in the same panel.
    """
    rows, columns = (2, -(-len(panels) // 2)) if len(panels) > 3 else (1, len(panels))
    size = min(WIDTH, 3.2 * columns + 1.8), 2.7 * rows + 0.3
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis, (key, label) in zip(axes.flat, panels.items()):
        for k, (name, history) in enumerate(histories.items()):
            for column, style, named in ((key, "-", name), (f"held_out_{key}", "--", None)):
                axis.plot(
                    [row["epoch"] for row in history],
                    [row.get(column, np.nan) for row in history],
                    **sign(k) | {"linestyle": style},
                    markevery=max(1, len(history) // 6),
                    label=named,
                )
        axis.set(xlabel="epoch", ylabel=label)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    handles, names = axes[0, 0].get_legend_handles_labels()
    shown = {column for history in histories.values() for row in history for column in row}
    if shown & {f"held_out_{key}" for key in panels}:
        handles.append(plt.Line2D([], [], color=GREY, linestyle="--"))
        names.append("photos held out")
    figure.legend(handles, names, loc="lower center", ncols=min(4, len(names)), frameon=False)
    room = 0.24 * -(-len(names) // 4) / size[1]
    return done(figure, title, rect=(0, room, 1, 1))


@styled
def lines(
    x: Sequence | np.ndarray,
    heights: Mapping[str, Sequence],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    styles: Mapping[str, dict] | None = None,
    bands: Mapping[str, tuple] | None = None,
) -> Figure:
    """Named lines over one x axis; a line named `chance` is grey and dotted.

    Args:
        x: (L,) positions.
        heights: {name: (L,)}.
        styles: {name: options of matplotlib's plot}, over those of the course.
        bands: {name: (low (L,), high (L,))}, shaded behind the line of that name.
    """
    figure, axis = plt.subplots(figsize=(8, 3.4))
    _lines(axis, x, heights, styles or {}, bands or {})
    axis.set(xlabel=xlabel, ylabel=ylabel)
    legend_beside(axis)
    return done(figure, title)


def _lines(axis, x, heights, styles, bands):
    for k, (name, values) in enumerate(heights.items()):
        options = sign(k) | {"marker": ""} | (CHANCE if name == "chance" else {})
        options |= styles.get(name, {})
        axis.plot(x, values, label=name, **options)
        if name in bands:
            axis.fill_between(x, *bands[name], color=options["color"], alpha=0.13, linewidth=0)


@styled
def rate_curves(
    rates: Mapping[str, Sequence],
    fpr: Sequence | np.ndarray,
    title: str | None = None,
    bands: Mapping[str, tuple] | None = None,
) -> Figure:
    """Verification rate: share of positive pairs accepted against that of negative ones, log axis.

    Args:
        rates: {name: TPR (L,)}.
        fpr: (L,) false positive rates, above 0.
        bands: {name: (low (L,), high (L,))}, such as 95 % intervals over people.
    """
    xlabel, ylabel = (
        "FPR: share of negative pairs accepted",
        "TPR: share of positive pairs accepted",
    )
    return rates_over(fpr, rates, bands or {}, xlabel, ylabel, title)


@styled
def rates_over(
    x: Sequence | np.ndarray,
    rates: Mapping[str, Sequence],
    bands: Mapping[str, tuple],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
) -> Figure:
    """Rates {name: (L,)} from 0 to 1 with their bands, over another rate x (L,) on a log axis."""
    figure, axis = plt.subplots(figsize=(8, 4))
    _lines(axis, x, rates, {}, bands)
    axis.set(xscale="log", xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.02))
    legend_beside(axis)
    return done(figure, title)


@styled
def similarity_histograms(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str | None = None,
    threshold: float | Mapping[str, float] | None = None,
    sharex: bool = True,
    columns: int = 3,
    height: float = 2.8,
) -> Figure:
    """Cosine similarities of pairs: of two people filled, of one person outlined and hatched.

    Args:
        sets: {name: (similarity (P,), same (P,) of bool)}, a panel for each.
        threshold: a similarity, drawn in each panel, or {name: similarity}.
        sharex: True: all panels have one x axis.
        columns: panels in a row, at most.
        height: of a row, in inches.
    """
    columns = min(columns, len(sets))
    rows = -(-len(sets) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=sharex,
        figsize=(min(WIDTH, 4.6 * columns), height * rows + 0.3),
    )
    lowest = min(-0.5, *(similarity.min() for similarity, _ in sets.values()))
    for axis in axes.flat[len(sets) :]:
        axis.axis("off")
    for axis, (name, (similarity, same)) in zip(axes.flat, sets.items()):
        bins = np.linspace(lowest if sharex else similarity.min(), 1, 60)
        negative = {"color": COLOURS["orange"], "alpha": 0.7, "label": "two people"}
        positive = {"histtype": "step", "hatch": "////", "label": "same person"}
        axis.hist(similarity[~same], bins, density=True, **negative)
        axis.hist(similarity[same], bins, density=True, color=COLOURS["blue"], **positive)
        limit = threshold.get(name) if isinstance(threshold, dict) else threshold
        if limit is not None:
            axis.axvline(limit, color="black", linestyle="--", label="threshold")
        narrow = not sharex and similarity.min() > 0.99  # long labels: two of them fit
        axis.locator_params(axis="x", nbins=2 if narrow else 5)
        axis.ticklabel_format(axis="x", useOffset=False)
        axis.set_title(name, fontsize=9)
    for axis in axes.flat if not sharex else axes[-1]:
        axis.set_xlabel("cosine similarity")
    for axis in axes[:, 0]:
        axis.set_ylabel("density of pairs" if height > 2 else "density")
    axes.flat[0].legend(fontsize=7)
    return done(figure, title)


@styled
def scatter_people(
    positions: np.ndarray,
    labels: np.ndarray,
    names: Mapping | Sequence | None = None,
    title: str | None = None,
    faces: Mapping[int, torch.Tensor] | None = None,
) -> Figure:
    """A map of embeddings: a colour and marker for each person, with the name or a face beside.

    Args:
        positions: (N, 2); only neighbourhoods mean something, so the axes have no numbers.
        labels: (N,) integers.
        names: {label: name} or a list by label; the label itself where there is none.
        faces: {label: (3, H, W)}, drawn at the middle of a person's points in place of the name.
    """
    figure, axis = plt.subplots(figsize=(7, 5.4))
    for k, person in enumerate(np.unique(labels)):
        mine = positions[np.asarray(labels) == person]
        marker = MARKERS[(k // len(CYCLE) + k) % len(MARKERS)]
        axis.scatter(*mine.T, s=22, color=CYCLE[k % len(CYCLE)], marker=marker)
        # a point of the cloud, even if it is torn, and the half of the points nearest to it
        middle = mine[np.linalg.norm(mine - mine.mean(0), axis=1).argmin()]
        top = mine[np.linalg.norm(mine - middle, axis=1).argsort()[: len(mine) // 2 + 1], 1].max()
        if faces is not None:
            image = torch.as_tensor(faces[person]).permute(1, 2, 0).cpu().numpy()
            thumbnail = OffsetImage(image, zoom=24 / image.shape[0])
            frame = {"edgecolor": CYCLE[k % len(CYCLE)], "linewidth": 1.5}
            axis.add_artist(AnnotationBbox(thumbnail, middle, pad=0.1, bboxprops=frame))
            continue
        axis.annotate(
            plain(names[person] if names else person),
            (middle[0], top),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=9,
            weight="bold",
            ha="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    axis.set(xticks=[], yticks=[])
    return done(figure, title)
