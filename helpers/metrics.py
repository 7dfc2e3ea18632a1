"""How good are embeddings: retrieval, kNN accuracy, open-set identification, and rates.py's rates.

Embeddings are unit length, float32 (N, D); similarity is cosine; labels are integers (N,). Photos
of one person are alike, so intervals are drawn over people, never over photos or pairs.
"""

import math

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from . import gates
from .intervals import (  # noqa: F401  notebooks say metrics.interval
    at_the_edge,
    bootstrap_interval,
    interval,
    summary,
)
from .pairs import (  # noqa: F401  and metrics.pairs
    carries,
    left_out,
    pairs,
    pairs_by_person,
    pairs_of_people,
    rates_as_json,
    rates_as_lines,
)
from .rates import allowed, tpr_at_fpr, verification_rate  # noqa: F401


def retrieval(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Every photo as a query among all others.

    Musgrave et al. 2020, A Metric Learning Reality Check, https://arxiv.org/abs/2003.08505.

    Args:
        embeddings: (N, D) of unit length.
        labels: (N,) integers.

    Returns:
        A value for each query whose person has another photo. recall@1: is the nearest the same
        person?  r_precision: the share of that person among the R nearest, R being how many other
        photos of the person there are.  map@r: the same, but early hits count more.
        people: their labels.

    Raises:
        ValueError: where nobody has two photos.
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
        asking = np.arange(start, start + len(similarity))
        similarity[np.arange(len(asking)), asking] = -np.inf  # nobody finds the photo itself
        found.append(labels[_nearest(similarity, len(rank))] == labels[asking, None])
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
    """The columns of the k largest of each row (N, M), best first; only these k are sorted."""
    if k < similarity.shape[1]:
        columns = np.argpartition(similarity, -k, axis=1)[:, -k:]
    else:
        columns = np.broadcast_to(np.arange(similarity.shape[1]), similarity.shape)
    order = np.argsort(-np.take_along_axis(similarity, columns, 1), axis=1)
    return np.take_along_axis(columns, order, 1)


def knn_correct(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    k: int = 5,
) -> np.ndarray:
    """For each test photo: do its k nearest training photos vote for the right person?

    A vote weighs the inverse of the cosine distance, so two near photos outvote three far ones.

    Args:
        train, test: embeddings (M, D) and (N, D) of unit length, with labels (M,) and (N,).

    Returns:
        (N,), 1 for right and 0 for wrong.
    """
    train = gates.unit_embeddings(train, "training embeddings")
    test = gates.unit_embeddings(test, "test embeddings")
    train_labels = gates.labels(train_labels, len(train), "train_labels")
    test_labels = gates.labels(test_labels, len(test), "test_labels")
    voters = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance")
    voters.fit(train, train_labels)
    return (voters.predict(test) == test_labels).astype(float)


def open_set(
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    probes: np.ndarray,
    probe_labels: np.ndarray,
    impostors: np.ndarray,
    far: float = 0.01,
    impostor_labels: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Who is this, if anybody we know? Detection and identification rate (DIR) at a FAR.

    FAR is the false alarm rate. A photo's score is its highest similarity to any gallery photo. The
    threshold is the lowest that at most a share far of the impostors passes; a probe counts if it
    is above the threshold and its most similar photo shows the right person (Phillips, Grother and
    Micheals 2011, Evaluation Methods in Face Recognition).

    Args:
        gallery, probes: embeddings (G, D) and (N, D) of unit length, with labels (G,) and (N,).
        impostors: (M, D), of people who are not in the gallery.
        far: the tolerated share of impostors, above 0.
        impostor_labels: (M,); with them, a FAR is refused as well that the pairs of an impostor and
            an enrolled person can't carry, see `carries`.

    Returns:
        right (N,), 1 or 0, whose mean is the DIR, and the threshold.

    Raises:
        ValueError: where there are too few impostors for this FAR.
    """
    gates.share(far, "FAR", above_zero=True)
    if len(impostors) * far < 1:
        raise _too_few(far, f"{len(impostors)} photos of impostors", 1 / far)
    gallery = gates.unit_embeddings(gallery, "gallery embeddings")
    probes = gates.unit_embeddings(probes, "probes")
    impostors = gates.unit_embeddings(impostors, "impostors")
    gallery_labels = gates.labels(gallery_labels, len(gallery), "gallery_labels")
    probe_labels = gates.labels(probe_labels, len(probes), "probe_labels")
    if impostor_labels is not None:
        number = len(np.unique(gates.labels(impostor_labels, len(impostors), "impostor_labels")))
        number *= len(np.unique(gallery_labels))
        if not carries(far, number):
            raise _too_few(far, f"{number} pairs of an impostor and an enrolled person", 0.5 / far)
    alarms = np.append(np.sort(_best(impostors, gallery)[0])[::-1], -np.inf)
    threshold = float(alarms[allowed(far, len(impostors))])
    score, row = _best(probes, gallery)
    return ((score > threshold) & (gallery_labels[row] == probe_labels)).astype(float), threshold


def _too_few(far, what, needed):
    return ValueError(
        f"A FAR of {far:g} can't be measured with {what}: {math.ceil(needed)} or more are needed."
    )


def _best(embeddings, gallery):
    """The highest similarity of each embedding to the gallery, and where it is; (N,) both."""
    parts = np.array_split(embeddings, max(1, len(embeddings) // 1024))
    found = [part @ gallery.T for part in parts]
    highest = np.concatenate([similarity.max(1) for similarity in found])
    place = np.concatenate([similarity.argmax(1) for similarity in found])
    return highest, place
