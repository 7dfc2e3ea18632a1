"""How good are embeddings: accuracy, verification rate, retrieval, each with an interval over people.

Embeddings are unit length, float32 (N, D); similarity is cosine; people are integers (N,). Photos of one person
are alike, so intervals are drawn over people, never over photos or pairs.
"""

import numpy as np
from scipy.sparse import coo_matrix
from sklearn.neighbors import KNeighborsClassifier

from . import gates
from .intervals import at_the_edge, interval, summary  # noqa: F401  notebooks say metrics.interval
from .pairs import (  # noqa: F401  and metrics.pairs
    carries,
    left_out,
    pairs,
    pairs_by_person,
    pairs_of_people,
    rates_as_json,
    rates_as_lines,
)

BINS = 2**14  # of similarity, from -1 to 1: the first, rough look for a threshold


def tpr_at_fpr(similarity, same, fpr):
    """TPR at a tolerated FPR, and the threshold: (share of positive pairs above it, threshold).

    The threshold is the lowest that lets at most a share `fpr` of the negative pairs pass; a pair passes when
    it is above the threshold. fpr: a number or an array of them, and so are the two results.
    """
    similarity, same = np.asarray(similarity), np.asarray(same, bool)
    gates.cosines(similarity)
    _check(same.sum(), (~same).sum())
    negatives = np.append(np.sort(similarity[~same])[::-1], -np.inf)
    threshold = negatives[_allowed(fpr, (~same).sum())]
    return _share_above(similarity[same], threshold), threshold


def verification_rate(
    embeddings, labels, distractors=None, distractor_labels=None, fpr=0.01, resamples=300, seed=0
):
    """The verification rate of embeddings, however many: a dict of tpr, threshold, low, high, fpr_low and fpr_high, as fpr is
    shaped, negatives, their number, and resampled (R, as fpr is shaped), the TPR of each draw.

    Also called TAR at FAR, and verification rate by the student systems. The very figures of
    `identification_rate(*pairs(...), fpr)`, but a person's pairs are looked at and let go, and only negatives near the
    thresholds are kept. Every pair counts the same, so people with many photos count more.
    low, high: the 95 % interval of the TPR when the people asked for, and the distractors, are drawn anew, with replacement:
    a pair of two people then counts as often as both were drawn, a pair of one person as often as that one; at the edge
    the exact bound, see `interval`. fpr_low, fpr_high: in the same draws, the FPR that the threshold itself has. The draws
    depend on the people alone, so two encoders asked about the same people can be compared draw by draw.
    """
    fpr, labels = gates.share(fpr), np.asarray(labels)
    blocks = lambda: pairs_by_person(
        embeddings, labels, distractors, distractor_labels
    )  # once for each look at all pairs
    photos = np.unique(labels, return_counts=True)[
        1
    ]  # of each probe identity, then of each distractor
    asked = len(photos)
    if distractors is not None and len(distractors):
        photos = np.append(photos, np.unique(distractor_labels, return_counts=True)[1])
    total = int(_negatives(photos[:, None], asked)[0])
    positives, counts = [], np.zeros(BINS, int)
    for _, same, different, _ in blocks():
        positives.append(same)
        counts += np.bincount(_bin(different), minlength=BINS)
    positives = np.concatenate(positives)
    _check(len(positives), total)
    allowed = _allowed(fpr, total)
    # the resamples choose among thresholds of many ranks, well beyond the last one that is asked for
    reach = min(total, max(3 * allowed.max(), 100_000))
    ranks = np.union1d(allowed, np.append(np.geomspace(1, reach + 1, 1000).astype(int) - 1, reach))
    values = _largest(blocks, counts, ranks)
    threshold = values[np.searchsorted(ranks, allowed)]
    resampled, false = _resampled(
        blocks, photos, asked, np.unique(values)[::-1], fpr, threshold, resamples, seed
    )
    tpr = _share_above(positives, threshold)
    quantile = lambda rates: (
        np.quantile(rates, [0.025, 0.975], axis=0)
        if len(rates)
        else np.full((2, *fpr.shape), np.nan)
    )
    low, high = at_the_edge(*quantile(resampled), tpr, (photos[:asked] > 1).sum())
    everything = threshold == -np.inf  # passes, whoever is drawn
    fpr_low, fpr_high = quantile(false)
    return {
        "tpr": tpr,
        "threshold": threshold,
        "low": np.where(everything, 1, low)[()],
        "high": np.where(everything, 1, high)[()],
        "fpr_low": fpr_low,
        "fpr_high": fpr_high,
        "negatives": total,
        "resampled": resampled,
    }


def _check(positives, negatives):
    if not positives or not negatives:
        raise ValueError(
            "The verification rate needs two people or more, and two photos or more of one of them."
        )


def _negatives(photos, asked):
    """How many pairs of different people there are, from photos (people, R) of each: probe identities first, asked of them."""
    query, others = photos[:asked].sum(0), photos[asked:].sum(0)
    return (query**2 - (photos[:asked] ** 2).sum(0)) // 2 + query * others


def _allowed(fpr, negatives):
    return np.floor(gates.share(fpr) * negatives * (1 + 1e-12)).astype(int)


def _share_above(positives, threshold):
    return 1 - np.searchsorted(np.sort(positives), threshold, side="right") / len(positives)


def _bin(similarity):
    return np.clip((similarity.ravel() + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)


def _largest(blocks, counts, ranks):
    """The negatives that stand at the given ranks (0: the largest; the number of all: -inf).

    counts: how many there are in each bin. Only those of the bins where a rank falls are kept.
    """
    from_top = counts[::-1].cumsum()
    bins = BINS - 1 - np.searchsorted(from_top, ranks, side="right")  # -1: beyond the last
    wanted = np.isin(np.arange(BINS), bins)
    kept = np.concatenate(
        [different.ravel()[wanted[_bin(different)]] for _, _, different, _ in blocks()]
    )
    kept = np.append(np.sort(kept)[::-1], -np.inf)
    # a kept value's rank among all: those of unwanted bins that lie above it stand before it
    skipped = (np.where(wanted, 0, counts)[::-1].cumsum())[::-1]
    return np.where(
        bins < 0, -np.inf, kept[np.minimum(ranks - skipped[np.maximum(bins, 0)], len(kept) - 1)]
    )


def _resampled(blocks, photos, asked, steps, fpr, threshold, resamples, seed):
    """Of each draw of people that has pairs of both kinds: the TPR at fpr, and the FPR at threshold, each (R, ...).

    steps: falling thresholds (L,) to choose among. A pair of two people counts as often as both were drawn, multiplied.
    """
    everyone, draw = (
        len(photos),
        np.random.default_rng(seed),
    )  # times (everyone, R): how often each person was drawn
    times = np.concatenate(
        [
            draw.multinomial(n, np.full(n, 1 / n), resamples).T
            for n in (asked, everyone - asked)
            if n
        ]
    )
    first_passed = lambda similarity: np.searchsorted(
        -steps, -similarity, side="right"
    )  # L: passes none
    passed, found = np.zeros(
        (2, len(steps), resamples)
    )  # weight of the pairs whose first passed step this is
    for (_, same, different, others), drawn in zip(blocks(), times):
        near = different > steps[-1]
        where = first_passed(different[near]), np.broadcast_to(others, different.shape)[near]
        pairs_with = coo_matrix((np.ones(near.sum()), where), (len(steps), everyone)).tocsr()
        passed += pairs_with @ times * drawn
        found += np.bincount(first_passed(same), minlength=len(steps) + 1)[:-1, None] * drawn
    passed, found = passed.cumsum(0), found.cumsum(0)
    negatives = _negatives(times * photos[:, None], asked)
    positives = (photos * (photos - 1) // 2)[:asked] @ times[:asked]
    both = (negatives > 0) & (positives > 0)
    rates = []
    for r in np.flatnonzero(both):
        tolerated = np.ravel(fpr) * negatives[r] * (1 + 1e-12)
        last = (
            np.searchsorted(passed[:, r], tolerated, side="right") - 1
        )  # the lowest threshold that keeps to it
        rates.append(found[last, r] / positives[r])
    at = np.searchsorted(-steps, -np.ravel(threshold))
    shape = -1, *np.shape(fpr)
    return np.reshape(rates, shape), np.reshape((passed[at][:, both] / negatives[both]).T, shape)


def retrieval(embeddings, labels):
    """Every photo as a query among all others: a dict of one value for each query (N,).

    recall@1: is the nearest the same person?  r_precision: the share of that person among the R nearest, R being
    how many other photos of the person there are.  map@r: the same, but early hits count more (Musgrave et al.
    2020, https://arxiv.org/abs/2003.08505). A person's only photo can't be found and is left out.
    """
    embeddings = gates.unit_embeddings(embeddings)
    labels = gates.labels(labels, len(embeddings))
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    relevant = counts[number] - 1
    if not (relevant > 0).any():
        raise ValueError(
            "Retrieval needs two photos or more of one person; here everybody has one."
        )
    rank = np.arange(1, relevant.max() + 1)
    found = []
    for start in range(0, len(labels), 1024):
        similarity = embeddings[start : start + 1024] @ embeddings.T
        own = np.arange(start, start + len(similarity))
        similarity[np.arange(len(own)), own] = -np.inf
        found.append(labels[_nearest(similarity, len(rank))] == labels[own, None])
    found, kept = np.concatenate(found), relevant > 0
    within = found & (rank <= relevant[:, None])
    precision = np.cumsum(found, axis=1) / rank
    many = np.maximum(relevant, 1)
    return {
        "recall@1": found[kept, 0].astype(float),
        "r_precision": (within.sum(1) / many)[kept],
        "map@r": ((precision * within).sum(1) / many)[kept],
        "people": labels[kept],
    }


def _nearest(similarity, k):
    """The columns of the k largest of each row (N, M), best first: the k are parted off, and only they are sorted."""
    if k < similarity.shape[1]:
        columns = np.argpartition(similarity, -k, axis=1)[:, -k:]
    else:
        columns = np.broadcast_to(np.arange(similarity.shape[1]), similarity.shape)
    order = np.argsort(-np.take_along_axis(similarity, columns, 1), axis=1)
    return np.take_along_axis(columns, order, 1)


def knn_correct(train, train_labels, test, test_labels, k=5):
    """For each test photo (N,): do its k nearest training photos vote for the right person? 1 or 0.

    A vote weighs the inverse of the cosine distance, so two near photos outvote three far ones.
    """
    train, test = (
        gates.unit_embeddings(train, "training embeddings"),
        gates.unit_embeddings(test, "test embeddings"),
    )
    train_labels = gates.labels(train_labels, len(train), "train_people")
    test_labels = gates.labels(test_labels, len(test), "test_people")
    voters = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance").fit(
        train, train_labels
    )
    return (voters.predict(test) == test_labels).astype(float)


def open_set(
    gallery, gallery_labels, probes, probe_labels, impostors, far=0.01, impostor_labels=None
):
    """Who is this, if anybody we know? The detection and identification rate (DIR) at a false alarm rate (FAR).

    A photo's score is its highest similarity to any gallery photo. The threshold is the lowest that lets at most a share
    far of the impostors (M, D), people who are not in the gallery, pass; a probe (N, D) counts if it is above the
    threshold and its most similar photo shows the right person (Phillips et al. 2011). Returns right (N,), 1 or 0, and
    the threshold; the mean of right is the DIR. With impostor_people (M,), a FAR is also refused that the pairs of an
    impostor and an enrolled person can't carry, see `carries`.
    """
    gates.share(far, "FAR", above_zero=True)
    if not len(impostors) or len(impostors) * far < 1:
        raise ValueError(
            f"A FAR of {far:g} can't be measured with {len(impostors)} photos of impostors: "
            f"{int(np.ceil(1 / min(far, 1)))} or more are needed."
        )
    gallery, probes, impostors = (
        gates.unit_embeddings(e, name)
        for e, name in (
            (gallery, "gallery embeddings"),
            (probes, "probes"),
            (impostors, "impostors"),
        )
    )
    gallery_labels = gates.labels(gallery_labels, len(gallery), "gallery_people")
    probe_labels = gates.labels(probe_labels, len(probes), "probe_people")
    if impostor_labels is not None:
        number = len(np.unique(gates.labels(impostor_labels, len(impostors), "impostor_people")))
        number *= len(np.unique(gallery_labels))
        if not carries(far, number):
            raise ValueError(
                f"A FAR of {far:g} can't be measured with {number} pairs of an impostor and an enrolled "
                f"person: {int(np.ceil(0.5 / far))} or more are needed."
            )
    alarms = np.append(np.sort(_best(impostors, gallery)[0])[::-1], -np.inf)
    threshold = float(alarms[_allowed(far, len(impostors))])
    score, row = _best(probes, gallery)
    return ((score > threshold) & (gallery_labels[row] == probe_labels)).astype(float), threshold


def _best(embeddings, gallery):
    parts = [
        part @ gallery.T for part in np.array_split(embeddings, max(1, len(embeddings) // 1024))
    ]
    return np.concatenate([part.max(1) for part in parts]), np.concatenate(
        [part.argmax(1) for part in parts]
    )
