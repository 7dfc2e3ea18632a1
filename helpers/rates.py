"""The verification rate: positive pairs accepted at a tolerated share of negatives.

Embeddings are unit length, float32 (N, D); similarity is cosine; labels are integers (N,).
Evaluations call it TPR at FPR, or TAR at FAR.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.sparse import coo_matrix

from . import gates
from .intervals import at_the_edge, bootstrap_interval
from .pairs import pairs_by_person

BINS = 2**14  # of similarity, from -1 to 1: the first, rough look for a threshold


def tpr_at_fpr(
    similarity: np.ndarray, same: np.ndarray, fpr: float | np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """The TPR at a tolerated FPR, and the threshold that gives it.

    Args:
        similarity: (P,) cosines of pairs.
        same: (P,) of bool: one person?
        fpr: a share from 0 to 1, or an array of them.

    Returns:
        (TPR, threshold), each shaped as fpr. The threshold is the lowest that at most a share fpr
        of the negative pairs passes; a pair passes when it is above the threshold.

    Raises:
        ValueError: without a positive or a negative pair, or with cosines beyond -1 to 1.
    """
    similarity, same = np.asarray(similarity), np.asarray(same, bool)
    gates.cosines(similarity)
    _check(same.sum(), (~same).sum())
    negatives = np.append(np.sort(similarity[~same])[::-1], -np.inf)
    threshold = negatives[allowed(fpr, (~same).sum())]
    return _share_above(similarity[same], threshold), threshold


def verification_rate(
    embeddings: np.ndarray,
    labels: np.ndarray,
    distractors: np.ndarray | None = None,
    distractor_labels: np.ndarray | None = None,
    fpr: float | np.ndarray = 0.01,
    resamples: int = 300,
    seed: int = 0,
) -> dict:
    """The verification rate of embeddings, however many, with its interval over people.

    The very figures of `tpr_at_fpr(*pairs(...), fpr)`, but a person's pairs are looked at and let
    go, and only negatives near the thresholds are kept. Every pair counts the same, so people with
    many photos count more.

    Args:
        embeddings: (N, D) of unit length, labels (N,).
        distractors: (M, D), compared with the embeddings only; distractor_labels (M,).
        fpr: a share from 0 to 1, or an array of them.
        resamples: draws of people, with replacement, for the intervals. A pair of two people counts
            as often as both were drawn, a pair of one person as often as that one. The draws depend
            on the people alone, so two encoders can be compared draw by draw.

    Returns:
        A dict of tpr, threshold, low, high (95 % interval of the TPR; exact at the edge, see
        `at_the_edge`), fpr_low, fpr_high (interval of the FPR that the threshold itself has), each
        shaped as fpr; negatives, their number; people, who have two photos or more; resampled
        (R, as fpr), the TPR of each draw.
    """
    fpr, labels = gates.share(fpr), gates.labels(labels, len(embeddings))
    # gone through anew whenever all pairs are needed
    blocks = partial(pairs_by_person, embeddings, labels, distractors, distractor_labels)
    photos = np.unique(labels, return_counts=True)[1]  # of each probe identity, then distractor
    asked = len(photos)
    if distractors is not None and len(distractors):
        photos = np.append(photos, np.unique(distractor_labels, return_counts=True)[1])
    total = int(_negatives(photos[:, None], asked)[0])
    positives, counts = _positives_and_counts(blocks())
    _check(len(positives), total)
    rank = allowed(fpr, total)
    ranks = _ranks_to_resample(rank, total)
    values = _largest(blocks, counts, ranks)
    threshold, steps = values[np.searchsorted(ranks, rank)], np.unique(values)[::-1]
    tprs, fprs = _resampled(blocks, photos, asked, steps, fpr, threshold, resamples, seed)
    tpr, people = _share_above(positives, threshold), int((photos[:asked] > 1).sum())
    low, high = at_the_edge(*bootstrap_interval(tprs, people), tpr, people)
    everything = threshold == -np.inf  # passes, whoever is drawn
    fpr_range = dict(zip(("fpr_low", "fpr_high"), bootstrap_interval(fprs, asked)))
    tpr_range = {"low": np.where(everything, 1, low)[()], "high": np.where(everything, 1, high)[()]}
    whole = {"tpr": tpr, "threshold": threshold, "negatives": total, "people": people}
    return whole | {"resampled": tprs} | tpr_range | fpr_range


def _positives_and_counts(blocks):
    """The similarity of every pair of one person, and how many other pairs each bin holds."""
    positives, counts = [], np.zeros(BINS, int)
    for _, same, different, _ in blocks:
        positives.append(same)
        counts += np.bincount(_bin(different), minlength=BINS)
    return np.concatenate(positives), counts


def _ranks_to_resample(rank, total):
    """Resamples choose among thresholds of many ranks, well beyond the last that is asked for."""
    reach = min(total, max(3 * rank.max(), 100_000))
    return np.union1d(rank, np.append(np.geomspace(1, reach + 1, 1000).astype(int) - 1, reach))


def _check(positives, negatives):
    if not positives or not negatives:
        raise ValueError(
            "The verification rate needs two people or more, and two photos or more of one of them."
        )


def _negatives(photos, asked):
    """The number of pairs of different people, from photos (people, R) of each, probes first."""
    query, others = photos[:asked].sum(0), photos[asked:].sum(0)
    return (query**2 - (photos[:asked] ** 2).sum(0)) // 2 + query * others


def allowed(fpr: float | np.ndarray, negatives: int) -> np.ndarray:
    """How many of so many negatives may pass at a tolerated share fpr of them."""
    return np.floor(gates.share(fpr) * negatives * (1 + 1e-12)).astype(int)


def _share_above(positives, threshold):
    return 1 - np.searchsorted(np.sort(positives), threshold, side="right") / len(positives)


def _bin(similarity):
    return np.clip((similarity.ravel() + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)


def _largest(blocks: Callable, counts, ranks):
    """The negatives that stand at the given ranks (0: the largest; the number of all: -inf).

    counts: how many there are in each bin. Only those of the bins where a rank falls are kept.
    """
    from_top = counts[::-1].cumsum()
    bins = BINS - 1 - np.searchsorted(from_top, ranks, side="right")  # -1: beyond the last
    wanted = np.isin(np.arange(BINS), bins)
    near = [different.ravel()[wanted[_bin(different)]] for _, _, different, _ in blocks()]
    near = np.append(np.sort(np.concatenate(near))[::-1], -np.inf)
    # a value's rank among all: those of unwanted bins that lie above it stand before it
    skipped = (np.where(wanted, 0, counts)[::-1].cumsum())[::-1]
    place = np.minimum(ranks - skipped[np.maximum(bins, 0)], len(near) - 1)
    return np.where(bins < 0, -np.inf, near[place])


def _resampled(blocks: Callable, photos, asked, steps, fpr, threshold, resamples, seed):
    """Of each draw of people that has pairs of both kinds: TPR at fpr, FPR at threshold, (R, ...).

    steps: falling thresholds (L,) to choose among.
    """
    everyone, draw = len(photos), np.random.default_rng(seed)
    groups = [n for n in (asked, everyone - asked) if n]
    # (everyone, R): how often each person was drawn
    times = np.concatenate([draw.multinomial(n, np.full(n, 1 / n), resamples).T for n in groups])

    def first_passed(similarity: np.ndarray) -> np.ndarray:  # L: passes none
        return np.searchsorted(-steps, -similarity, side="right")

    # the weight of the pairs whose first passed step this is
    passed, found = np.zeros((2, len(steps), resamples))
    for (_, same, different, others), drawn in zip(blocks(), times):
        near = different > steps[-1]
        where = first_passed(different[near]), np.broadcast_to(others, different.shape)[near]
        pairs_with = coo_matrix((np.ones(near.sum()), where), (len(steps), everyone)).tocsr()
        passed += pairs_with @ times * drawn
        found += np.bincount(first_passed(same), minlength=len(steps) + 1)[:-1, None] * drawn
    passed, found = passed.cumsum(0), found.cumsum(0)
    negatives = _negatives(times * photos[:, None], asked)
    positives = (photos * (photos - 1) // 2)[:asked] @ times[:asked]
    usable = (negatives > 0) & (positives > 0)
    rates = []
    for r in np.flatnonzero(usable):
        tolerated = np.ravel(fpr) * negatives[r] * (1 + 1e-12)
        # the lowest threshold that keeps to it
        last = np.searchsorted(passed[:, r], tolerated, side="right") - 1
        rates.append(found[last, r] / positives[r])
    at = np.searchsorted(-steps, -np.ravel(threshold))
    shape = -1, *np.shape(fpr)
    return np.reshape(rates, shape), np.reshape(
        (passed[at][:, usable] / negatives[usable]).T, shape
    )
