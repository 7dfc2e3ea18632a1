"""Figures of rates with their intervals: bars and dots."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .fonts import plain
from .plots_style import (
    COLOURS,
    CYCLE,
    GREY,
    MARKERS,
    WIDTH,
    done,
    legend_beside,
    styled,
)


@styled
def bars(
    heights: Mapping[str, float],
    label: str,
    title: str | None = None,
    intervals: Mapping[str, tuple] | None = None,
    line: tuple[float, str] | None = None,
) -> Figure:
    """Named bars, the value at the foot of each.

    Args:
        intervals: {name: (low, high)} as whiskers.
        line: (height, label) of a dotted line across.
    """
    figure, axis = plt.subplots(figsize=(min(WIDTH, max(6, 1.1 * len(heights))), 3.6))
    axis.bar(list(heights), list(heights.values()), color=COLOURS["sky"], width=0.6)
    foot = axis.get_ylim()[0]
    for i, (name, height) in enumerate(heights.items()):
        low, high = intervals[name] if intervals else (height,) * 2
        axis.vlines(i, low, high, color="black")
        axis.annotate(
            f"{height:.2f}",
            (i, max(foot, 0)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    if line:
        axis.axhline(line[0], color=GREY, linestyle=":", label=line[1], zorder=0)
        legend_beside(axis)
    axis.set(ylabel=label)
    axis.grid(False, axis="x")
    plt.setp(axis.get_xticklabels(), rotation=20, ha="right", rotation_mode="anchor")
    return done(figure, title)


@styled
def dots(
    values: Mapping[str, float],
    intervals: Mapping[str, tuple],
    label: str,
    title: str | None = None,
    marks: Mapping[str, float] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Figure:
    """A row for each name, first on top: its value as a dot, its interval as a line.

    Args:
        intervals: {name: (low, high)}.
        label: of the x axis.
        marks: {label: value} of lines across all rows, such as the untrained encoder.
        kinds: {name: kind}; rows of one kind share a colour and a marker.
    """
    figure, axis = plt.subplots(figsize=(8, 0.32 * len(values) + 1.4))
    kinds = kinds or dict.fromkeys(values, "")
    of_kind = {kind: k for k, kind in enumerate(dict.fromkeys(kinds[name] for name in values))}
    for row, (name, value) in enumerate(values.items()):
        k = of_kind[kinds[name]]
        first = kinds[name] not in [kinds[other] for other in list(values)[:row]]
        style = {"color": CYCLE[k % 7], "marker": MARKERS[k % 7], "linestyle": ""}
        axis.hlines(row, *intervals[name], color=style["color"], linewidth=1.5)
        axis.plot([value], [row], **style, label=kinds[name] if first and kinds[name] else None)
        axis.annotate(
            f"{value:.2f}", (value, row), xytext=(0, 4), textcoords="offset points", fontsize=7
        )
    for (name, value), style in zip((marks or {}).items(), (":", "--", "-.")):
        axis.axvline(value, color=GREY, linestyle=style, label=name, zorder=0)
    axis.set(xlabel=label, yticks=range(len(values)), ylim=(len(values) - 0.4, -0.7))
    axis.set_yticklabels([plain(name) for name in values])
    axis.grid(False, axis="y")
    legend_beside(axis)
    return done(figure, title)
