"""How the course's figures look: set for one figure at a time, never for the whole process.

Every difference is shown twice, by a colour and by a second sign (line style, marker, hatching,
tick or cross), so that a figure can be read in greyscale and with every kind of colour vision.
"""

from collections.abc import Callable
from functools import partial, wraps

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure_output import show_in_notebook
from .fonts import drawable, families, plain

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/, chosen for all kinds of colour vision
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#000000",
    "yellow": "#F0E442",
}
GREY = "#6b6b6b"
CYCLE = [COLOURS[c] for c in ("blue", "vermillion", "sky", "black", "orange", "purple", "green")]
LINES = ["-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 1))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
RIGHT, WRONG = COLOURS["blue"], COLOURS["vermillion"]  # beside them a tick or a cross
WIDTH = 9  # inches; wider figures are shrunk on GitHub until nobody can read them
CHANCE = {"color": GREY, "linestyle": ":", "zorder": 0, "marker": ""}  # a line of pure luck
STYLE = {
    "figure.dpi": 150,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "image.cmap": "gray",
    "legend.fontsize": 8,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Let a function draw in the course's style; afterwards matplotlib's settings are as before."""

    @wraps(draw)
    def drawn(*args: object, **options: object) -> Figure:
        with plt.rc_context(STYLE | {"font.family": families()}):
            return draw(*args, **options)

    return drawn


def sign(k: int) -> dict:
    """Colour, line style and marker of the k-th line (any k from 0), as matplotlib's options."""
    colour, style, marker = (row[k % len(row)] for row in (CYCLE, LINES, MARKERS))
    return {"color": colour, "linestyle": style, "marker": marker, "markersize": 4}


def picture(
    axis: Axes,
    image: torch.Tensor,
    title: str | None = None,
    frame: str | None = None,
    dashed: bool = False,
) -> None:
    """Draw a photo (3, H, W), 0 to 255, with a title and, if given, a frame of a colour."""
    axis.imshow(torch.as_tensor(image).permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy())
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(frame is not None)
    if frame is not None:
        dashes = (0, (2, 1)) if dashed else "-"
        # matplotlib's own, projecting ends would close the gaps
        axis.spines[:].set(color=frame, linewidth=3, linestyle=dashes, capstyle="butt")
    if title is not None:
        axis.set_title(plain(title), fontsize=9)


def legend_beside(axis: Axes) -> None:
    """The legend to the right of the lines, where it can't cover them."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def done(figure: Figure, title: str | None = None, **layout: object) -> Figure:
    """Title and layout of a finished figure; the cell that returns it shows it, once."""
    if title:
        figure.suptitle(drawable(title).replace("$", r"\$"), fontsize=11)
    for axis in figure.axes:  # ticks are made when drawn, which is after the style is gone
        if axis.xaxis.get_gridlines() and axis.xaxis.get_gridlines()[0].get_visible():
            axis.grid(True, alpha=STYLE["grid.alpha"])
    figure.tight_layout(**layout)
    plt.close(figure)
    figure._ipython_display_ = partial(show_in_notebook, figure)  # IPython asks for this name
    return figure
