"""Every figure of the course. Each function draws one, shows it by returning its matplotlib Figure, and keeps no state."""

import html

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .fonts import drawable, families
from .fonts import plain as _plain

GREEN, RED, BLUE, GREY = "#2a9d3a", "#d1343b", "#2867b2", "#8a8a8a"
CHANCE = {
    "chance": {"color": "#555555", "linestyle": ":", "zorder": 0}
}  # how a line of pure luck is drawn
plt.rcParams.update(
    {
        "figure.dpi": 100,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "image.cmap": "gray",
        "font.family": families(),
    }
)


def _picture(axis, image, title=None, frame=None):
    axis.imshow(torch.as_tensor(image).permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy())
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(frame is not None)
    if frame is not None:
        for spine in axis.spines.values():
            spine.set(color=frame, linewidth=4)
    if title is not None:
        axis.set_title(_plain(title), fontsize=9)


def _done(figure, title):
    if title:
        figure.suptitle(drawable(title).replace("$", r"\$"), fontsize=12)
    figure.tight_layout()
    plt.close(figure)  # the notebook shows what the cell returns, once
    return figure


def pictures(images, titles=None, title=None, columns=8, side=1.5, frames=None):
    """A grid of photos (3, H, W), each with its own title and, if given, a coloured frame."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        figsize=(columns * side, rows * (side + 0.25 * (titles is not None)) + 0.4),
    )
    for axis in axes.flat[len(images) :]:
        axis.axis("off")
    for i, image in enumerate(images):
        _picture(axes.flat[i], image, titles and titles[i], frames and frames[i])
    return _done(figure, title)


def landmarks_on(images, landmark_sets, titles=None, title=None, columns=8, side=1.6):
    """Photos with one or more sets of landmarks on them; point_sets: {name: (N, 5, 2)}."""
    figure = pictures(images, titles, None, columns, side)
    colours = dict(zip(landmark_sets, (RED, "#f4b400", "#35c3d6")))
    for i, axis in enumerate(figure.axes[: len(images)]):
        for name, landmarks in landmark_sets.items():
            axis.scatter(
                *np.asarray(landmarks[i]).T,
                s=14,
                color=colours[name],
                edgecolors="white",
                linewidths=0.5,
            )
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colours[name], label=name)
        for name in landmark_sets
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    figure.suptitle(title)
    figure.set_figheight(figure.get_figheight() + 0.3)  # room for the legend
    figure.tight_layout(rect=(0, 0.3 / figure.get_figheight(), 1, 1), h_pad=1.5)
    return figure


def heatmaps(crop, maps, names, title=None):
    """One crop and its five heatmaps (5, H, W)."""
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(2 * (1 + len(maps)), 2.5))
    _picture(axes[0], crop, "crop")
    for axis, values, name in zip(axes[1:], maps, names):
        axis.imshow(np.asarray(values), cmap="magma", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_title(name, fontsize=9)
    return _done(figure, title)


def curves(histories, panels, title=None):
    """Training curves: histories {name: list of rows}; panels {column: label of its axis}; held-out photos are dashed."""
    rows, columns = (2, -(-len(panels) // 2)) if len(panels) > 3 else (1, len(panels))
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False)
    for axis, (key, label) in zip(axes.flat, panels.items()):
        for k, (name, history) in enumerate(
            histories.items()
        ):  # one colour for each run, also where a panel lacks some
            for column, style, named in ((key, "-", name), (f"held_out_{key}", "--", None)):
                axis.plot(
                    [r["epoch"] for r in history],
                    [r.get(column, np.nan) for r in history],
                    f"C{k}{style}",
                    label=named,
                )
        axis.set(xlabel="epoch", ylabel=label)
    axes[0, -1].legend(
        fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
    )  # beside the lines, never on them
    return _done(figure, title)


def lines(x, heights, xlabel, ylabel, title=None, styles=None):
    """Named lines over one x axis; heights {name: (len(x),)}; styles {name: matplotlib's options}; `chance` is grey, dotted."""
    figure, axis = plt.subplots(figsize=(8, 3.4))
    for name, values in heights.items():
        axis.plot(x, values, label=name, **(CHANCE | (styles or {})).get(name, {}))
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(
        fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
    )  # beside the lines, never on them
    return _done(figure, title)


def bars(heights, label, title=None, intervals=None, line=None):
    """Named bars; intervals {name: (low, high)} as whiskers; line: (height, label) across."""
    figure, axis = plt.subplots(figsize=(max(6.5, 1.1 * len(heights)), 3.4))
    axis.bar(list(heights), list(heights.values()), color=BLUE, width=0.6)
    for i, name in enumerate(heights):
        low, high = intervals[name] if intervals else (heights[name],) * 2
        axis.vlines(i, low, high, color="black")
        axis.annotate(
            f"{heights[name]:.2f}",
            (i, high),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    if line:
        axis.axhline(line[0], **CHANCE["chance"], label=line[1])
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set(ylabel=label, ymargin=0.12)
    plt.setp(axis.get_xticklabels(), rotation=20, ha="right", rotation_mode="anchor")
    return _done(figure, title)


def similarity_histograms(sets, title=None, threshold=None, sharex=True):
    """Cosine similarity of positive and negative pairs; sets {name: (similarity, same)}, a panel each, sharex: all as wide."""
    figure, axes = plt.subplots(
        1, len(sets), figsize=(4.6 * len(sets), 3.2), squeeze=False, sharex=sharex
    )
    lowest = min(-0.5, *(s.min() for s, _ in sets.values()))
    for axis, (name, (similarity, same)) in zip(axes.flat, sets.items()):
        bins = np.linspace(lowest if sharex else similarity.min(), 1, 60)
        for values, colour, label in (
            (similarity[~same], RED, "different people"),
            (similarity[same], GREEN, "same person"),
        ):
            axis.hist(values, bins, density=True, alpha=0.6, color=colour, label=label)
        if threshold is not None:
            axis.axvline(threshold, color="black", linestyle="--", label="threshold")
        axis.set(title=name, xlabel="cosine similarity", ylabel="density")
    axes.flat[0].legend(fontsize=8)
    return _done(figure, title)


def rate_curves(rates, fpr, title=None):
    """Verification rate: share of positive pairs found against the tolerated share of negatives; rates {name: tpr}."""
    figure, axis = plt.subplots(figsize=(8, 4))
    for name, tpr in rates.items():
        axis.plot(fpr, tpr, label=name, **CHANCE.get(name, {}))
    axis.set(
        xscale="log",
        xlabel="FPR: share of negative pairs let through",
        ylabel="TPR: share of positive pairs found",
        ylim=(0, 1.02),
    )
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _done(figure, title)


def scatter_people(positions, labels, names=None, title=None):
    """A map (N, 2) of embeddings, a colour for each person, the name above the half of the landmarks nearest to its middle."""
    figure, axis = plt.subplots(figsize=(6.5, 5))
    colours = plt.get_cmap("tab20")
    for k, person in enumerate(np.unique(labels)):
        own = positions[np.asarray(labels) == person]
        axis.scatter(*own.T, s=22, color=colours(k % 20))
        middle = own[
            np.linalg.norm(own - own.mean(0), axis=1).argmin()
        ]  # a point of the cloud, even if it is torn
        top = own[np.linalg.norm(own - middle, axis=1).argsort()[: len(own) // 2 + 1], 1].max()
        axis.annotate(
            _plain(names[person] if names else person),
            (middle[0], top),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=9,
            weight="bold",
            ha="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    axis.set(xticks=[], yticks=[])
    return _done(figure, title)


def neighbours(queries, found, right, titles=None, title=None, side=1.3):
    """A row for each query (Q, 3, H, W): the query, then its neighbours (Q, k, 3, H, W), green if right (Q, k)."""
    rows, k = np.asarray(right).shape
    figure, axes = plt.subplots(
        rows, k + 1, figsize=((k + 1) * side, rows * side + 0.5), squeeze=False
    )
    for i in range(rows):
        _picture(axes[i, 0], queries[i], "query" if i == 0 else None)
        if titles:
            axes[i, 0].set_ylabel(_plain(titles[i]), fontsize=9)
        for j in range(k):
            _picture(
                axes[i, j + 1],
                found[i][j],
                f"{j + 1}" if i == 0 else None,
                GREEN if right[i][j] else RED,
            )
    return _done(figure, title)


def similarity_matrix(similarity, faces, names, title=None, threshold=None, groups=None):
    """A square of similarities (N, N) with the faces along both sides; cells above the threshold have a red frame.

    groups: a label for each photo; neighbours of one label share a black frame.
    """
    n = len(names)
    cell = min(
        float(np.clip(12 / n, 0.16, 0.62)), 80 / (n + 1)
    )  # inches; a hundred photos still fit a page
    figure, axis = plt.subplots(figsize=(cell * (n + 1) + 2.2, cell * (n + 1) + 0.6))
    image = axis.imshow(similarity, cmap="viridis", vmin=0, vmax=1)
    for i, face in enumerate(faces):
        picture = torch.as_tensor(face).permute(1, 2, 0).cpu().numpy()
        axis.imshow(picture, extent=(-1.6, -0.6, i + 0.5, i - 0.5))
        axis.imshow(picture, extent=(i - 0.5, i + 0.5, -0.6, -1.6))
    starts = [i for i in range(n) if groups is not None and (i == 0 or groups[i] != groups[i - 1])]
    for start, end in zip(starts, starts[1:] + [n]):
        axis.add_patch(
            plt.Rectangle(
                (start - 0.5,) * 2,
                end - start,
                end - start,
                fill=False,
                linewidth=2.5,
                clip_on=False,
            )
        )
    for i, j in np.ndindex(n, n) if n <= 40 else ():
        value = similarity[i, j]
        if threshold is not None and value > threshold and i != j:
            axis.add_patch(
                plt.Rectangle(
                    (j - 0.44, i - 0.44),
                    0.88,
                    0.88,
                    fill=False,
                    color=RED,
                    linewidth=20 / max(10, n),
                )
            )
        if n <= 20:
            axis.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="black" if value > 0.6 else "white",
            )
    axis.set(xlim=(-1.7, n - 0.5), ylim=(n - 0.5, -1.7), xticks=[], yticks=range(n))
    axis.set_yticklabels([_plain(name) for name in names], fontsize=float(np.clip(40 * cell, 4, 8)))
    axis.grid(False)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, label="cosine similarity", fraction=0.04, pad=0.02)
    return _done(figure, title)


def over_faces(faces, maps, titles=None, title=None, columns=8, cmap="inferno", alpha=0.55):
    """Faces (N, 3, H, W) with a map (N, h, w), such as attention or a region, laid over each."""
    figure = pictures(faces, titles, None, min(columns, len(faces)), 1.6)
    for axis, face, values in zip(figure.axes, faces, maps):
        height, width = face.shape[-2:]
        axis.imshow(
            np.asarray(values, float),
            cmap=cmap,
            alpha=alpha,
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        )
    return _done(figure, title)


def table(rows):
    """A list of dicts as an HTML table, numbers with three digits; what a row lacks stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value):
        return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))

    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell(row.get(key, ''))}</td>" for key in columns) + "</tr>"
        for row in rows
    )
    return HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def boxes_on(photo, faces, labels, right=None, title=None):
    """A photo (3, H, W) with a frame and a label for each Face; right: green where True, red where False."""
    height, width = photo.shape[1:]
    figure, axis = plt.subplots(figsize=(8, 8 * height / width))
    _picture(axis, photo)
    for i, (face, label) in enumerate(zip(faces, labels)):
        (x0, y0, x1, y1), colour = face.box, BLUE if right is None else GREEN if right[i] else RED
        axis.add_patch(
            plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=2.5)
        )
        axis.text(
            x0,
            y0 - 3,
            _plain(label),
            color="white",
            fontsize=9,
            va="bottom",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 2},
        )
    return _done(figure, title)


def stations(photo, face, title=None):
    """A photo with its box and landmarks, the aligned face, and the embedding as a strip of colour."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.2))
    _picture(axes[0], photo, "photo, box and five landmarks")
    x0, y0, x1, y1 = face.box
    axes[0].add_patch(
        plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="#f4b400", linewidth=2)
    )
    axes[0].scatter(*face.landmarks.T, s=12, color=RED)
    _picture(axes[1], face.face, "aligned face, 112x112")
    width = max(w for w in range(1, 17) if len(face.embedding) % w == 0)
    axes[2].imshow(face.embedding.reshape(-1, width), cmap="coolwarm")
    axes[2].set_title(f"embedding, {len(face.embedding)} numbers as colours", fontsize=9)
    axes[2].axis("off")
    return _done(figure, title)
