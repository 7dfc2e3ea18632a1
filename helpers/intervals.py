"""How sure is a mean? 95 % intervals over people, since photos of one person are alike."""

import numpy as np
from scipy.stats import beta, norm, t

from . import gates


def interval(
    values: np.ndarray,
    labels: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    difference: bool = False,
) -> tuple[float, float]:
    """95 % interval of a mean over photos, when people are drawn anew.

    A bootstrap over people, see `bootstrap_interval`.

    Args:
        values: (N,), one for each photo; shares from 0 to 1, for which exact bounds stand in at the
            edge, such as nobody wrong, see `at_the_edge`.
        labels: (N,), whose photos they are.
        difference: values are differences of shares, for which 0 is no edge.

    Returns:
        (low, high).

    Raises:
        ValueError: without values, or with some that are not finite.
    """
    values = np.asarray(values, float)
    number = np.unique(gates.labels(labels, len(values)), return_inverse=True)[1]
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"An interval needs finite values; of these {len(values)}, "
            f"{(~np.isfinite(values)).sum()} are not."
        )
    counts, sums = np.bincount(number), np.bincount(number, weights=values)
    n = len(counts)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    low, high = bootstrap_interval((times @ sums) / (times @ counts), n)
    if difference or values.min() < 0 or values.max() > 1:
        return float(low), float(high)
    return tuple(map(float, at_the_edge(low, high, values.mean(), n)))


def bootstrap_interval(draws: np.ndarray, people: int) -> np.ndarray:
    """95 % interval of a figure from its value in draws of people, with replacement.

    The quantiles are set a little further out than 0.025 and 0.975, as Student's t is for so few
    people: at 0.011 and 0.989 for twelve (Hesterberg 2015, "What teachers should know about the
    bootstrap", expanded percentiles).

    Args:
        draws: (R, ...), the figure in each of R draws; nan where one has none.
        people: how many were drawn.

    Returns:
        (2, ...), low and high; nan without draws.
    """
    if not len(draws):
        return np.full((2, *np.shape(draws)[1:]), np.nan)
    # of one person there is no spread to see, and t has no quantile
    wider = t.ppf(0.025, people - 1) * (people / (people - 1)) ** 0.5 if people > 1 else -1.96
    tail = norm.cdf(wider)
    return np.nanquantile(draws, [tail, 1 - tail], axis=0)


def at_the_edge(
    low: float | np.ndarray, high: float | np.ndarray, mean: float | np.ndarray, people: int
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Bootstrap intervals (low, high), with exact ones in the place of those that end at 0 or 1.

    Where no more than one person's worth of photos is wrong (or right), and the bootstrap ends at 1
    (or 0), it has seen too little to tell. There Clopper and Pearson's bounds of a binomial share
    stand in, over people, `mean` of them right: twenty people without a mistake are [0.83, 1], not
    [1, 1]. A person's photos that are right in part vary less than right or wrong: the bounds are
    then wider than need be, never narrower.
    """
    right = np.asarray(mean, float) * people
    edge = ((right >= people - 1) & (high >= 1)) | ((right <= 1) & (low <= 0))
    exact = (
        np.where(right <= 0, 0, beta.ppf(0.025, np.maximum(right, 1e-12), people - right + 1)),
        np.where(right >= people, 1, beta.ppf(0.975, right + 1, np.maximum(people - right, 1e-12))),
    )
    return np.where(edge, exact[0], low)[()], np.where(edge, exact[1], high)[()]


def summary(values: np.ndarray, labels: np.ndarray, difference: bool = False) -> str:
    """The mean of values (N,), one for each photo, and its interval: `0.89 [0.80, 0.97]`."""
    low, high = interval(values, labels, difference=difference)
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"
