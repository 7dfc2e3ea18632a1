"""How good are embeddings: accuracy, identification rate, retrieval, each with an interval over people.

Embeddings are unit length, float32 (N, D); similarity is cosine; people are integers (N,). Photos of one person
are alike, so intervals are drawn over people, never over photos or pairs.
"""
import numpy as np
from scipy.sparse import coo_matrix
from sklearn.neighbors import KNeighborsClassifier

BINS = 2**14  # of similarity, from -1 to 1: the first, rough look for a threshold


def pairs(embeddings, people, distractors=None, distractor_people=None):
    """Every pair that the identification rate looks at, all at once: similarity and same (bool), each flat.

    Among query photos (N, D): each pair once, positive if it is one person. A query photo against each
    distractor (M, D): always negative. Two distractors are never compared.
    """
    blocks = list(pairs_by_person(embeddings, people, distractors, distractor_people))
    similarity = np.concatenate([part.ravel() for _, same, different, _ in blocks for part in (same, different)])
    return similarity, np.repeat([True, False] * len(blocks), [part.size for block in blocks for part in block[1:3]])


def pairs_by_person(embeddings, people, distractors=None, distractor_people=None):
    """The same pairs, one query person at a time: (person, positives, negatives, other people).

    positives: the similarities (flat) within the person.  negatives: (K, M), the person's K photos against the photos of
    query people yet to come and of distractors, whose numbers are other people (M,). People are numbered anew, from 0,
    query people first.
    """
    embeddings = np.asarray(embeddings)
    number = np.unique(people, return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    rest, rest_number = embeddings[order], number[order]
    if distractors is not None and len(distractors):
        rest = np.concatenate([rest, distractors])
        rest_number = np.append(rest_number, np.unique(distractor_people, return_inverse=True)[1] + number.max() + 1)
    ends = np.cumsum(np.bincount(number))
    for person, (start, end) in enumerate(zip(np.append(0, ends), ends)):
        own = rest[start:end]
        yield person, (own @ own.T)[np.triu_indices(len(own), 1)], own @ rest[end:].T, rest_number[end:]


def identification_rate(similarity, same, fpr):
    """TPR at a tolerated FPR, and the threshold: (share of positive pairs above it, threshold).

    The threshold is the lowest that lets at most a share `fpr` of the negative pairs pass; a pair passes when
    it is above the threshold. fpr: a number or an array of them, and so are the two results.
    """
    similarity, same = np.asarray(similarity), np.asarray(same, bool)
    _check(same.sum(), (~same).sum())
    negatives = np.append(np.sort(similarity[~same])[::-1], -np.inf)
    threshold = negatives[_allowed(fpr, (~same).sum())]
    return _share_above(similarity[same], threshold), threshold


def identification(embeddings, people, distractors=None, distractor_people=None, fpr=0.01, resamples=300, seed=0):
    """The identification rate of embeddings, however many: a dict of tpr, threshold, low and high, as fpr is shaped, and
    resampled (R, as fpr is shaped), the TPR of each draw.

    Elsewhere called verification rate, or TAR at FAR. The very figures of `identification_rate(*pairs(...), fpr)`, but a
    person's pairs are looked at and let go, and only negatives near the thresholds are kept. Every pair counts the same,
    so people with many photos count more.
    low, high: the 95 % interval of the TPR when the people asked for, and the distractors, are drawn anew, with replacement:
    a pair of two people then counts as often as both were drawn, a pair of one person as often as that one. The draws
    depend on the people alone, so two encoders asked about the same people can be compared draw by draw.
    """
    fpr = np.asarray(fpr, float)
    blocks = lambda: pairs_by_person(embeddings, people, distractors, distractor_people)  # once for each look at all pairs
    positives = np.concatenate([same for _, same, _, _ in blocks()])
    total = sum(different.size for _, _, different, _ in blocks())
    _check(len(positives), total)
    allowed = _allowed(fpr, total)
    # the resamples choose among thresholds of many ranks, well beyond the last one that is asked for
    reach = min(total, max(3 * allowed.max(), 100_000))
    steps = np.unique(np.append(np.geomspace(1, reach + 1, 1000).astype(int) - 1, reach))
    ranks = np.union1d(allowed, steps)
    values = _largest(blocks, ranks)
    threshold = values[np.searchsorted(ranks, allowed)]
    resampled = _resampled(blocks, values[np.searchsorted(ranks, steps)], fpr, resamples, seed)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0) if len(resampled) else np.full((2, *fpr.shape), np.nan)
    return {"tpr": _share_above(positives, threshold), "threshold": threshold, "low": low, "high": high, "resampled": resampled}


def _check(positives, negatives):
    if not positives or not negatives:
        raise ValueError("The identification rate needs two people or more, and two photos or more of one of them.")


def _allowed(fpr, negatives):
    return np.floor(np.asarray(fpr) * negatives * (1 + 1e-12)).astype(int)


def _share_above(positives, threshold):
    return 1 - np.searchsorted(np.sort(positives), threshold, side="right") / len(positives)


def _largest(blocks, ranks):
    """The negatives that stand at the given ranks (0: the largest; the number of all: -inf), found in two passes.

    The first counts them in bins, the second keeps only those of the bins where a rank falls.
    """
    bin_of = lambda similarity: np.clip((similarity.ravel() + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
    counts = sum(np.bincount(bin_of(different), minlength=BINS) for _, _, different, _ in blocks())
    above = counts[::-1].cumsum()[::-1] - counts  # how many lie in higher bins
    bins = np.array([np.flatnonzero((above <= rank) & (rank < above + counts)).max(initial=-1) for rank in ranks])
    wanted = np.isin(np.arange(BINS), bins)
    kept = np.concatenate([different.ravel()[wanted[bin_of(different)]] for _, _, different, _ in blocks()])
    kept = {b: np.sort(kept[bin_of(kept) == b])[::-1] for b in np.unique(bins[bins >= 0])}
    return np.array([kept[b][rank - above[b]] if b >= 0 else -np.inf for b, rank in zip(bins, ranks)])


def _resampled(blocks, steps, fpr, resamples, seed):
    """The TPR of each draw of people that has pairs of both kinds (R, ...). steps: falling thresholds (L,) to choose among."""
    numbers = [(person, others.max(initial=0)) for person, _, _, others in blocks()]
    asked, everyone = (1 + max(column) for column in zip(*numbers))
    draw = np.random.default_rng(seed)  # times (everyone, resamples): how often each person was drawn
    times = np.concatenate([draw.multinomial(n, np.full(n, 1 / n), resamples).T for n in (asked, everyone - asked) if n])
    steps = np.unique(steps)[::-1]
    first_passed = lambda similarity: np.searchsorted(-steps, -similarity, side="right")  # L: passes none
    passed, found = np.zeros((2, len(steps), resamples))  # weight of the pairs whose first passed step this is
    negatives, positives = np.zeros((2, resamples))
    for (_, same, different, others), drawn in zip(blocks(), times):
        near = different > steps[-1]
        where = first_passed(different[near]), np.broadcast_to(others, different.shape)[near]
        passed += coo_matrix((np.ones(near.sum()), where), (len(steps), everyone)).tocsr() @ times * drawn
        negatives += len(different) * (np.bincount(others, minlength=everyone) @ times) * drawn
        found += np.bincount(first_passed(same), minlength=len(steps) + 1)[:-1, None] * drawn
        positives += len(same) * drawn
    passed, found = passed.cumsum(0), found.cumsum(0)
    rates = []
    for r in np.flatnonzero((negatives > 0) & (positives > 0)):
        last = np.searchsorted(passed[:, r], np.ravel(fpr) * negatives[r] * (1 + 1e-12), side="right") - 1
        rates.append(found[last, r] / positives[r])
    return np.reshape(rates, (-1, *np.shape(fpr)))


def interval(values, people, resamples=1000, seed=0):
    """95 % interval of the mean of values (N,), one for each photo, when people are drawn anew: (low, high)."""
    _, number = np.unique(people, return_inverse=True)
    counts, sums = np.bincount(number), np.bincount(number, weights=np.asarray(values, float))
    times = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
    return tuple(np.quantile((times @ sums) / (times @ counts), [0.025, 0.975]))


def summary(values, people):
    """The mean of values (N,), one for each photo, with its interval, as text such as `0.89 [0.80, 0.97]`."""
    low, high = interval(values, people)
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"


def retrieval(embeddings, people):
    """Every photo as a query among all others: a dict of one value for each query (N,).

    recall@1: is the nearest the same person?  r_precision: the share of that person among the R nearest, R being
    how many other photos of the person there are.  map@r: the same, but early hits count more (Musgrave et al.
    2020, https://arxiv.org/abs/2003.08505). A person's only photo can't be found and is left out.
    """
    embeddings, people = np.asarray(embeddings), np.asarray(people)
    _, number, counts = np.unique(people, return_inverse=True, return_counts=True)
    relevant = counts[number] - 1
    rank = np.arange(1, max(relevant.max(), 1) + 1)
    found = []
    for start in range(0, len(people), 1024):
        similarity = embeddings[start:start + 1024] @ embeddings.T
        own = np.arange(start, start + len(similarity))
        similarity[np.arange(len(own)), own] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :len(rank)]
        found.append(people[nearest] == people[own, None])
    found, kept = np.concatenate(found), relevant > 0
    within = found & (rank <= relevant[:, None])
    precision = np.cumsum(found, axis=1) / rank
    many = np.maximum(relevant, 1)
    return {"recall@1": found[kept, 0].astype(float), "r_precision": (within.sum(1) / many)[kept],
            "map@r": ((precision * within).sum(1) / many)[kept], "people": people[kept]}


def knn_correct(train, train_people, test, test_people, k=5):
    """For each test photo (N,): do its k nearest training photos vote for the right person? 1 or 0."""
    voters = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance").fit(train, train_people)
    return (voters.predict(test) == np.asarray(test_people)).astype(float)


def open_set(gallery, gallery_people, probes, probe_people, impostors, far=0.01):
    """Who is this, if anybody we know? The detection and identification rate (DIR) at a false alarm rate (FAR).

    A photo's score is its highest similarity to any gallery photo. The threshold is the lowest that lets at most a share
    far of the impostors (M, D), people who are not in the gallery, pass; a probe (N, D) counts if it is above the
    threshold and its most similar photo shows the right person (Phillips et al. 2011). Returns right (N,), 1 or 0, and
    the threshold; the mean of right is the DIR.
    """
    if not len(impostors) or len(impostors) * far < 1:
        raise ValueError(f"A FAR of {far:g} can't be measured with {len(impostors)} photos of impostors: "
                         f"{int(np.ceil(1 / min(far, 1)))} or more are needed.")
    alarms = np.append(np.sort(_best(impostors, gallery)[0])[::-1], -np.inf)
    threshold = float(alarms[_allowed(far, len(impostors))])
    score, row = _best(probes, gallery)
    return ((score > threshold) & (np.asarray(gallery_people)[row] == np.asarray(probe_people))).astype(float), threshold


def _best(embeddings, gallery):
    parts = [part @ np.asarray(gallery).T for part in np.array_split(embeddings, max(1, len(embeddings) // 1024))]
    return np.concatenate([part.max(1) for part in parts]), np.concatenate([part.argmax(1) for part in parts])
