"""Figures of the last notebook: does a probability mean what it says, and who gets a name?"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .plots_charts import rates_over
from .plots_style import COLOURS, GREY, done, legend_beside, styled


@styled
def calibration(
    stated: np.ndarray,
    observed: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    title: str | None = None,
) -> Figure:
    """A reliability diagram: on the dashed diagonal a probability is what it says.

    Args:
        stated: the mean probability of the pairs in each bin (B,).
        observed: the share of these pairs that show one person (B,).
        low, high: its 95 % interval (B,).
    """
    figure, axis = plt.subplots(figsize=(5.6, 4.2))
    axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="calibrated")
    ends = np.clip([observed - low, high - observed], 0, None)
    axis.errorbar(
        stated,
        observed,
        ends,
        color=COLOURS["blue"],
        marker="o",
        linestyle="",
        capsize=3,
        label="measured,\n95 % interval\nover people",
    )
    axis.set(
        xlabel="stated probability of one person",
        ylabel="share of pairs that show one person",
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
    )
    legend_beside(axis)
    return done(figure, title)


@styled
def dir_far(
    far: np.ndarray, rates: dict[str, np.ndarray], bands: dict, title: str | None = None
) -> Figure:
    """DIR-FAR curves: who is rightly named, against how many people not enrolled get a name.

    Args:
        far: false alarm rates (L,), above 0; the axis is logarithmic.
        rates: {name: DIR (L,)}.
        bands: {name: (low (L,), high (L,))}, 95 % intervals over people.
    """
    xlabel = "FAR: share of photos of people not enrolled that get a name"
    return rates_over(far, rates, bands, xlabel, "DIR: found and rightly named", title)
