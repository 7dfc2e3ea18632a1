"""Figures of notebook 4: a vision transformer drawn, masks beside faces, maps over patches."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .attention import attention_mask, patches_to_pixels
from .plots_style import COLOURS, GREY, RIGHT, WIDTH, WRONG, done, picture, plain, styled


@styled
def vit_drawing(face: torch.Tensor, grid: int, blocks: int, channels: int) -> Figure:
    """A vision transformer from a face (3, H, W) to an embedding, drawn as boxes and arrows."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    axis.set(xlim=(0, 18), ylim=(0, 7.2), aspect="equal")
    axis.axis("off")
    shown = face.permute(1, 2, 0).cpu().numpy()
    axis.imshow(shown, extent=(0.1, 3.1, 2.2, 5.2), zorder=1)
    for line in np.linspace(0, 3, grid + 1):
        axis.plot([0.1 + line] * 2, [2.2, 5.2], color="white", linewidth=0.6)
        axis.plot([0.1, 3.1], [2.2 + line] * 2, color="white", linewidth=0.6)
    axis.text(1.6, 1.9, f"{grid} x {grid} patches", ha="center", va="top", fontsize=8)
    _arrow(axis, 3.2, 3.7, 4.2, "x E")
    for k, name in enumerate(["class", "1", "2", "...", str(grid * grid)]):
        colour = COLOURS["orange"] if k == 0 else "#dbe9f4"
        _box(axis, 4.3, 5.6 - 1.05 * k, 1.5, 0.85, name, colour)
    axis.text(5.05, 0.95, f"tokens of {channels} numbers\n+ positions", ha="center", va="top",
              fontsize=8)  # fmt: skip
    _arrow(axis, 5.95, 3.7, 6.75)
    block = plt.Rectangle((6.8, 1.2), 6.5, 5.3, fill=False, linestyle="--", color=GREY)
    axis.add_patch(block)
    axis.text(10.05, 6.6, f"block, {blocks} times", ha="center", va="bottom", fontsize=9)
    for x, name, colour in (
        (7.1, "norm", "#eeeeee"),
        (8.3, "attention\n(mask M)", COLOURS["sky"]),
        (10.6, "norm", "#eeeeee"),
        (11.8, "MLP", "#f4e3d5"),
    ):
        _box(axis, x, 3.1, 1.6 if "att" in name else 0.9, 1.2, name, colour)
    for start, end in ((8.0, 8.3), (9.9, 10.6), (11.5, 11.8), (12.7, 13.8)):
        _arrow(axis, start, 3.7, end)
    for start, end in ((6.95, 10.2), (10.3, 13.05)):  # residual connections
        axis.plot([start, start, end], [3.7, 5.3, 5.3], color=GREY, linewidth=1)
        axis.annotate("", (end, 3.75), (end, 5.3), arrowprops={"arrowstyle": "->", "color": GREY})
        axis.text((start + end) / 2, 5.4, "+ unchanged", ha="center", fontsize=7, color=GREY)
    _box(axis, 13.9, 3.1, 1.6, 1.2, "norm,\nclass token", COLOURS["orange"])
    _arrow(axis, 15.5, 3.7, 16.1)
    _box(axis, 16.1, 3.1, 1.8, 1.2, "embedding\nlength 1", "#dbe9f4")
    return done(figure, "A vision transformer: a face as words")


def _box(axis: Axes, x, y, width, height, text, colour):
    axis.add_patch(plt.Rectangle((x, y), width, height, facecolor=colour, edgecolor="black"))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8)


def _arrow(axis: Axes, start, y, end, text=""):
    axis.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "->"})
    axis.text((start + end) / 2, y + 0.15, text, ha="center", fontsize=8)


@styled
def mask_beside_face(face: torch.Tensor, visible: torch.Tensor, title: str | None = None) -> Figure:
    """A face (3, H, W) under visible patches, bool (P,), beside the attention mask as a matrix."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.4), width_ratios=(1, 1.25))
    picture(axes[0], face * patches_to_pixels(visible, face.shape[-1]), "what may be seen")
    grid = int(len(visible) ** 0.5)
    for k, line in enumerate(np.linspace(-0.5, face.shape[-1] - 0.5, grid + 1)):
        axes[0].axhline(line, color="white", linewidth=0.4)
        axes[0].axvline(line, color="white", linewidth=0.4)
        if k < grid:
            axes[0].text(1, line + 2, str(1 + k * grid), color="white", fontsize=6, va="top")
    axes[1].imshow(attention_mask(visible)[0, 0], cmap="gray", vmin=0, vmax=1)
    axes[1].grid(False)
    axes[1].set(
        title="may this row look at that column?\nwhite: yes (M = 0), black: no (M = −∞)",
        xlabel="token that is looked at (0: class token)",
        ylabel="token that looks",
    )
    axes[1].title.set_fontsize(9)
    return done(figure, title)


@styled
def over_patches(
    face: torch.Tensor, maps: Mapping[str, Sequence[float]], title: str | None = None
) -> Figure:
    """Numbers for each patch, {name: (P,)}, over a face (3, H, W), each with its colour bar."""
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(WIDTH, 3.1))
    grey = face.float().mean(0, keepdim=True).expand(3, -1, -1)
    picture(axes[0], face, "mean face")
    side = face.shape[-1] - 0.5
    for axis, (name, values) in zip(axes[1:], maps.items()):
        picture(axis, grey, name)
        grid = int(len(values) ** 0.5)
        values = np.asarray(values).reshape(grid, grid)
        image = axis.imshow(values, cmap="cividis", alpha=0.65, extent=(-0.5, side, side, -0.5))
        figure.colorbar(image, fraction=0.046, pad=0.03).ax.tick_params(labelsize=7)
    return done(figure, title)


@styled
def rows_of_faces(
    rows: Mapping[str, torch.Tensor],
    right: Mapping[str, Sequence[bool]] | None = None,
    title: str | None = None,
) -> Figure:
    """Named rows of faces (N, 3, H, W), each face with a tick or a cross if `right` is given."""
    columns = max(map(len, rows.values()))
    side = min(1.25, (WIDTH - 1) / columns)
    size = columns * side + 1, len(rows) * (side + 0.2) + 0.4
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False)
    for line, (name, faces) in zip(axes, rows.items()):
        for k, face in enumerate(faces):
            found = None if right is None else bool(right[name][k])
            mark = None if found is None else "✓" if found else "✗"
            frame = None if found is None else RIGHT if found else WRONG
            picture(line[k], face, mark, frame, dashed=found is False)
        line[0].set_ylabel(plain(name), fontsize=8, rotation=0, ha="right", va="center")
    return done(figure, title)
