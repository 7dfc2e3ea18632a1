"""A threshold for a chosen FPR, and a probability: what the similarity of two faces means.

Both are measured once, on unseen identities, and saved with the encoder: they mean nothing for
another one.
"""

import json
from dataclasses import asdict, dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression

from . import gates, metrics

# where thresholds are measured; in between they are interpolated
FPRS = np.geomspace(1e-5, 0.5, 52)
# pairs of people above a threshold; with fewer, one look-alike more or less makes another one
LEAST = 10


@dataclass
class Verifier:
    """Thresholds and a logistic curve, measured on the pairs of unseen identities.

    fprs, thresholds: cosines that shares `fprs` of the pairs of different people exceed. FPRs begin
    where ten pairs of *people* stand above the threshold, however many photos each has; smaller
    ones are refused.
    slope, intercept: of the logistic curve, similarity -> probability.
    people, pairs: how many identities there were, and how many pairs of photos of different ones.
    low, high: the 95 % interval of each FPR over people; empty if not measured.
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
                "These are no thresholds: rising FPRs, one falling cosine for each, all finite, "
                "were expected. Measure them again, with python -m helpers evaluate PEOPLE "
                "--recogniser FILE --save."
            )

    def threshold(self, fpr: float = 0.01) -> float:
        """The cosine that a share fpr of the pairs of different people exceeded."""
        return float(np.interp(np.log(self._measured(fpr)), np.log(self.fprs), self.thresholds))

    def fpr_interval(self, fpr: float = 0.01) -> tuple[float, float] | None:
        """The 95 % interval over people of the FPR at threshold(fpr); None if not measured."""
        self._measured(fpr)
        if not len(self.low):
            return None
        return tuple(
            float(fpr * np.interp(np.log(fpr), np.log(self.fprs), np.divide(ends, self.fprs)))
            for ends in (self.low, self.high)
        )

    def _measured(self, fpr):
        low, high = self.fprs[0], self.fprs[-1]
        if np.ndim(fpr):
            raise ValueError(f"The FPR must be one number, such as 0.01; this is {fpr!r:.80}.")
        if not low * (1 - 1e-9) <= gates.share(fpr) <= high * (1 + 1e-9):
            raise ValueError(
                f"An FPR of {fpr:g} was not measured: {self.people} people with "
                f"{self.pairs:,} negative pairs say something between {low:.2g} and {high:.2g}."
            )
        return fpr

    def gallery_threshold(self, photos: int, far: float = 0.01) -> float:
        """The cosine that the best match of a person who is not enrolled exceeds, at the FAR.

        Every enrolled photo is a chance to be mistaken, so the pairs' FPR is far / photos. If so
        small a one was not measured, it is the strictest threshold there is: with more than
        far / fprs[0] photos it promises less.

        Args:
            photos: how many are enrolled.
            far: tolerated share of faces of people not enrolled that get a name.
        """
        photos = gates.count(max(photos, 1), "number of photos")
        fpr = gates.share(far, "FAR", above_zero=True) / photos
        return self.threshold(np.clip(fpr, self.fprs[0], self.fprs[-1]))

    def probability(self, similarity: float | np.ndarray) -> float | np.ndarray:
        """How probable one person is, if beforehand one and two people were equally likely."""
        return 1 / (1 + np.exp(-(self.slope * gates.cosines(similarity) + self.intercept)))

    def to_text(self) -> str:
        """As JSON, to be saved with an encoder."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Verifier":
        """What to_text wrote, now or before there were intervals; anything else is a ValueError."""
        try:
            return cls(**json.loads(text))
        except (TypeError, json.JSONDecodeError):
            raise ValueError(
                "These thresholds can't be read: they are of another version of the course, or "
                "damaged. Measure them again, with python -m helpers evaluate PEOPLE --recogniser "
                "FILE --save."
            ) from None


def measure(
    embeddings: np.ndarray,
    labels: np.ndarray,
    distractors: np.ndarray | None = None,
    distractor_labels: np.ndarray | None = None,
) -> Verifier:
    """Measure thresholds and probabilities on unseen identities.

    Args:
        embeddings: of unit length (N, D).
        labels: their people (N,).
        distractors: embeddings (M, D) of further people, compared with the first only.
        distractor_labels: their people (M,).

    Raises:
        ValueError: there are too few people or photos.
    """
    people = embeddings, labels, distractors, distractor_labels
    same, different, nearest = _similarities(*people)
    if len(same) < 10 or len(nearest) < LEAST:
        raise ValueError(
            f"{len(same)} pairs of photos of one person and {len(nearest)} pairs of different "
            "people are too few to measure a threshold on: take ten people or more, with several "
            "photos each."
        )
    found = metrics.verification_rate(*people, FPRS)
    # a pair of people stands above a threshold if any of their photos do
    carried = (nearest[:, None] > found["threshold"]).sum(0) >= LEAST
    if not carried.any():
        raise ValueError(
            f"Nowhere up to an FPR of {FPRS[-1]:g} do {LEAST} of the {len(nearest)} pairs of "
            "people stand above the threshold, so none is worth keeping: take more people."
        )
    slope, intercept = _logistic_curve(same, different)
    identities = len(np.unique(labels))
    if distractor_labels is not None:
        identities += len(np.unique(distractor_labels))
    columns = {
        "fprs": FPRS,
        "thresholds": found["threshold"],
        "low": found["fpr_low"],
        "high": found["fpr_high"],
    }
    return Verifier(
        slope=slope,
        intercept=intercept,
        people=identities,
        pairs=found["negatives"],
        **{name: np.asarray(values, float)[carried].tolist() for name, values in columns.items()},
    )


def _logistic_curve(same, different):
    """Slope and intercept of the probability of one person; both kinds of pairs weigh alike."""
    curve = LogisticRegression(C=1e6, class_weight="balanced")
    similarity = np.concatenate([same, different])[:, None]
    curve.fit(similarity, np.repeat([1, 0], [len(same), len(different)]))
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])


def _similarities(embeddings, labels, distractors, distractor_labels):
    """Similarities of one person's pairs, of a sample of the others, and of people's nearest.

    Three arrays; the last has one number for each pair of different people.
    """
    same, different, nearest, draw = [], [], [], np.random.default_rng(0)
    for _, positives, others, names in metrics.pairs_by_person(
        embeddings, labels, distractors, distractor_labels
    ):
        same.append(positives)
        if others.size:  # the curve needs no more than a sample of them
            different.append(draw.choice(others.ravel(), min(others.size, 5000), replace=False))
            nearest.append(most_alike(others, names))
    return [np.concatenate(parts or [[]]) for parts in (same, different, nearest)]


def most_alike(similarity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The highest similarity (K, M) of each person's photos (M,) to any of the K: one a person."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return np.maximum.reduceat(similarity.max(0)[order], starts)
