"""Last but one station: a similarity -> the same person? A threshold for a chosen FPR, and a probability.

Both are measured on strangers, once, and kept with the encoder: they mean nothing for another one.
"""

import json
from dataclasses import asdict, dataclass, field

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import LogisticRegression

from . import gates, metrics

FPRS = np.geomspace(
    1e-5, 0.5, 52
)  # where thresholds are measured; in between they are interpolated
LEAST = (
    10  # pairs of people above a threshold; with fewer, a look-alike more or less makes another one
)


@dataclass
class Verifier:
    """What strangers' pairs taught: cosines that let a share `fprs` of wrong pairs pass, and a logistic curve.

    low, high: the 95 % interval of each FPR when the strangers are drawn anew; empty if not measured.
    people, pairs: how many strangers there were, and how many pairs of photos of different ones. FPRs begin where ten
    pairs of *people* stand above the threshold, however many photos each has; smaller ones are refused.
    """

    fprs: list
    thresholds: list
    slope: float
    intercept: float
    people: int
    pairs: int
    low: list = field(default_factory=list)
    high: list = field(default_factory=list)

    def __post_init__(self):
        gates.share(self.fprs, "measured FPR", above_zero=True)
        curve = np.array(
            [*self.thresholds, self.slope, self.intercept, self.people, self.pairs], float
        )
        whole = len(self.fprs) == len(self.thresholds) > 0 and len(self.low) == len(self.high) in (
            0,
            len(self.fprs),
        )
        falling = np.all(np.diff(self.fprs) > 0) and np.all(np.diff(self.thresholds) <= 0)
        if (
            not whole
            or not falling
            or not np.isfinite(curve).all()
            or np.abs(self.thresholds).max() > 1 + 1e-6
        ):
            raise ValueError(
                "These are no thresholds: rising FPRs, one falling cosine for each, all finite, were expected. "
                "Measure them again, with python -m helpers evaluate PEOPLE --encoder FILE --keep."
            )

    def threshold(self, fpr=0.01):
        """The cosine that a share fpr of pairs of different strangers exceeded."""
        return float(np.interp(np.log(self._measured(fpr)), np.log(self.fprs), self.thresholds))

    def fpr_interval(self, fpr: float = 0.01) -> tuple[float, float] | None:
        """The 95 % interval, over people, of the FPR that threshold(fpr) has; None if it was never measured."""
        self._measured(fpr)
        if not len(self.low):
            return None
        return tuple(
            float(fpr * np.interp(np.log(fpr), np.log(self.fprs), np.divide(ends, self.fprs)))
            for ends in (self.low, self.high)
        )

    def _measured(self, fpr):
        low, high = self.fprs[0], self.fprs[-1]
        if not low * (1 - 1e-9) <= gates.share(fpr) <= high * (1 + 1e-9):
            raise ValueError(
                f"An FPR of {fpr:g} was not measured: {self.people} strangers with {self.pairs:,} wrong pairs say "
                f"something between {low:.2g} and {high:.2g}."
            )
        return fpr

    def gallery_threshold(self, photos, far=0.01):
        """The cosine that a stranger's best match among so many enrolled photos exceeds with a chance of at most about far.

        Every photo is a chance to be mistaken, so the pairs' FPR is far / photos. If so small a one was not measured, the
        strictest threshold there is: with more than far / fprs[0] photos it promises less.
        """
        return self.threshold(
            float(np.clip(gates.share(far, "FAR") / max(photos, 1), self.fprs[0], self.fprs[-1]))
        )

    def probability(self, similarity):
        """How probable it is that two faces of this similarity are one person, if beforehand both were equally likely."""
        return 1 / (1 + np.exp(-(self.slope * gates.cosines(similarity) + self.intercept)))

    def to_text(self):
        """As JSON, to be kept with an encoder."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text):
        """What to_text wrote, now or before there were intervals; anything else is a ValueError."""
        try:
            return cls(**json.loads(text))
        except (TypeError, json.JSONDecodeError):
            raise ValueError(
                "These thresholds can't be read: they are of another version of the course, or damaged. Measure "
                "them again, with python -m helpers evaluate PEOPLE --encoder FILE --keep."
            ) from None


def measure(embeddings, labels, distractors=None, distractor_labels=None):
    """The Verifier that strangers' embeddings (N, D) with their people (N,) give; distractors (M, D) are always different."""
    same, different, nearest, draw = [], [], [], np.random.default_rng(0)
    for _, positives, others, names in metrics.pairs_by_person(
        embeddings, labels, distractors, distractor_labels
    ):
        same.append(positives)
        if others.size:  # the curve needs no more than a sample of them
            different.append(draw.choice(others.ravel(), min(others.size, 5000), replace=False))
            nearest.append(most_alike(others, names))
    same, different, nearest = (
        np.concatenate(parts or [[]]) for parts in (same, different, nearest)
    )
    if len(same) < 10 or len(nearest) < LEAST:
        raise ValueError(
            f"{len(same)} pairs of photos of one person and {len(nearest)} pairs of different people are too few "
            "to measure a threshold on: take ten people or more, with several photos each."
        )
    found = metrics.verification_rate(embeddings, labels, distractors, distractor_labels, FPRS)
    # a pair of people stands above a threshold if any of their photos do
    carried = (nearest[:, None] > found["threshold"]).sum(0) >= LEAST
    if not carried.any():
        raise ValueError(
            f"Nowhere up to an FPR of {FPRS[-1]:g} do {LEAST} of the {len(nearest)} pairs of people stand above "
            "the threshold, so none is worth keeping: take more people."
        )
    curve = LogisticRegression(C=1e6, class_weight="balanced")
    curve.fit(
        np.concatenate([same, different])[:, None], np.repeat([1, 0], [len(same), len(different)])
    )
    identities = len(np.unique(labels)) + (
        0 if distractor_labels is None else len(np.unique(distractor_labels))
    )
    kept = {
        name: np.asarray(values, float)[carried].tolist()
        for name, values in {
            "fprs": FPRS,
            "thresholds": found["threshold"],
            "low": found["fpr_low"],
            "high": found["fpr_high"],
        }.items()
    }
    return Verifier(
        slope=float(curve.coef_[0, 0]),
        intercept=float(curve.intercept_[0]),
        people=identities,
        pairs=found["negatives"],
        **kept,
    )


def most_alike(similarity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The highest similarity (K, M) of each person's (M,) photos, to any of the K: one number for each person."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return np.maximum.reduceat(similarity.max(0)[order], starts)


SAME, DIFFERENT, UNDECIDED = "the same person", "different people", "undecided"


def verdict(similarity: float, verifier: Verifier, fpr: float) -> str:
    """What to say of a pair: the same person, different people, or undecided.

    The threshold keeps to an FPR, the probability supposes that both answers are equally likely beforehand. Where only one
    of the two speaks for one person, the pair is undecided, and a verdict never contradicts its probability.
    """
    passed, likely = similarity > verifier.threshold(fpr), verifier.probability(similarity) >= 0.5
    return UNDECIDED if passed != likely else SAME if passed else DIFFERENT


def verdicts(faces, names, verifier, fpr):
    """Every pair of faces as a row for plots.table: similarity, verdict at this FPR, probability that it is one person."""
    rows = []
    for i, j in zip(*np.triu_indices(len(faces), 1)):
        similarity = float(faces[i].embedding @ faces[j].embedding)
        rows.append(
            {
                "photo": names[i],
                "and": names[j],
                "similarity": similarity,
                "verdict": verdict(similarity, verifier, fpr),
                "probability": float(verifier.probability(similarity)),
            }
        )
    return rows


def clusters(similarity, threshold):
    """Who belongs together, without names: numbers (N,) from similarities (N, N), 0 for the largest group,
    of equal ones for the first.

    Agglomerative, average linkage: groups are joined as long as their photos' mean similarity is above the threshold.
    """
    similarity = gates.cosines(similarity)
    if len(similarity) == 1:
        return np.zeros(1, int)
    joined = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    found = joined.fit_predict(1 - np.clip(similarity, -1, 1))
    _, first, number, counts = np.unique(
        found, return_index=True, return_inverse=True, return_counts=True
    )
    return np.argsort(np.lexsort((first, -counts)))[number]
