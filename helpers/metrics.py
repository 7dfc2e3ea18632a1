"""How good are embeddings: accuracy, identification rate, retrieval, each with an interval over people.

Embeddings are unit length, float32 (N, D); similarity is cosine; people are integers (N,). Photos of one person
are alike, so intervals are drawn over people, never over photos or pairs.
"""
import numpy as np
from sklearn.neighbors import KNeighborsClassifier


def pairs(embeddings, people, distractors=None, distractor_people=None):
    """Every pair that identification rate looks at: similarity, same (bool), and the two people; each flat.

    Among query photos (N, D): each pair once, positive if it is one person. A query photo against each
    distractor (M, D): always negative. Two distractors are never compared.
    """
    embeddings, people = np.asarray(embeddings), np.asarray(people)
    a, b = np.triu_indices(len(people), 1)
    similarity, first, second = (embeddings @ embeddings.T)[a, b], people[a], people[b]
    if distractors is not None and len(distractors):
        similarity = np.concatenate([similarity, (embeddings @ np.asarray(distractors).T).ravel()])
        first = np.concatenate([first, np.repeat(people, len(distractors))])
        second = np.concatenate([second, np.tile(distractor_people, len(people))])
    return similarity, first == second, first, second


def identification_rate(similarity, same, fpr, weights=None):
    """TPR at a tolerated FPR, and the threshold: (share of positive pairs above it, threshold).

    The threshold is the lowest that lets at most a share `fpr` of the negative pairs pass; a pair passes when
    it is above the threshold. fpr: a number or an array of them, and so are the two results.
    weights: how often each pair counts, for resampling.
    """
    similarity, same = np.asarray(similarity), np.asarray(same)
    if same.all() or not same.any():
        raise ValueError("The identification rate needs two people or more, and two photos or more of one of them.")
    weights = np.ones(len(same)) if weights is None else weights
    negatives, negative_weights = similarity[~same], weights[~same]
    order = np.argsort(-negatives)
    passed = np.cumsum(negative_weights[order])  # weight let through when all down to this one pass
    at = np.searchsorted(passed, np.asarray(fpr) * passed[-1] * (1 + 1e-12), side="right")
    threshold = np.append(negatives[order], -np.inf)[at]
    positives, positive_weights = similarity[same], weights[same]
    order = np.argsort(positives)
    below = np.concatenate([[0], np.cumsum(positive_weights[order])])
    tpr = 1 - below[np.searchsorted(positives[order], threshold, side="right")] / below[-1]
    return tpr, threshold


def identification_interval(similarity, same, first, second, fpr, resamples=300, seed=0):
    """95 % interval of the TPR when people are drawn anew, with replacement: (low, high).

    A pair of two people counts as often as both were drawn, a pair of one person as often as that one.
    """
    everyone, number = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = number[:len(first)], number[len(first):]
    draw = np.random.default_rng(seed)
    rates = []
    for _ in range(resamples):
        times = draw.multinomial(len(everyone), np.full(len(everyone), 1 / len(everyone)))
        weights = np.where(same, times[first], times[first] * times[second])
        if weights[same].sum() and weights[~same].sum():
            rates.append(identification_rate(similarity, same, fpr, weights)[0])
    return tuple(np.quantile(rates, [0.025, 0.975], axis=0))


def interval(values, people, resamples=1000, seed=0):
    """95 % interval of the mean of values (N,), one for each photo, when people are drawn anew: (low, high)."""
    _, number = np.unique(people, return_inverse=True)
    counts, sums = np.bincount(number), np.bincount(number, weights=np.asarray(values, float))
    times = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
    return tuple(np.quantile((times @ sums) / (times @ counts), [0.025, 0.975]))


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


def knn_accuracy(train, train_people, test, test_people, k=5):
    """Share of test photos whose k nearest training photos vote for the right person."""
    voters = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance").fit(train, train_people)
    return float(voters.score(test, test_people))


def precision_at(k, neighbours, people):
    """Share of the first k neighbours (N, >= k), given by their people, that are the query's person (N,): (N,)."""
    return (np.asarray(neighbours)[:, :k] == np.asarray(people)[:, None]).mean(1)


def precision_by_chance(gallery_people, people):
    """The precision that a random order of the gallery would have, on average over the queries."""
    return float((np.asarray(gallery_people)[None] == np.asarray(people)[:, None]).mean())
