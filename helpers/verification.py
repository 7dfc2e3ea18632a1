"""Last but one station: a similarity -> the same person? A threshold for a chosen FPR, and a probability.

Both are measured on strangers, once, and kept with the encoder: they mean nothing for another one.
"""
import json
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import LogisticRegression

from . import metrics

FPRS = np.geomspace(1e-5, 0.3, 50)  # where thresholds are measured; in between they are interpolated


@dataclass
class Verifier:
    """What strangers' pairs taught: cosines that let a share `fprs` of wrong pairs pass, and a logistic curve.

    people, pairs: how many strangers there were, and how many pairs of different ones; FPRs below ten over the pairs are
    no figures but luck, and are refused.
    """
    fprs: list
    thresholds: list
    slope: float
    intercept: float
    people: int
    pairs: int

    def threshold(self, fpr=0.01):
        """The cosine that a share fpr of pairs of different strangers exceeded."""
        low, high = self.fprs[0], self.fprs[-1]
        if not low * (1 - 1e-9) <= fpr <= high * (1 + 1e-9):
            raise ValueError(f"An FPR of {fpr:g} was not measured: {self.people} strangers with {self.pairs:,} wrong pairs say "
                             f"something between {low:.2g} and {high:.2g}.")
        return float(np.interp(np.log(fpr), np.log(self.fprs), self.thresholds))

    def gallery_threshold(self, photos, far=0.01):
        """The cosine that a stranger's best match among so many enrolled photos exceeds with a chance of at most about far.

        Every photo is a chance to be mistaken, so the pairs' FPR is far / photos. If so small a one was not measured, the
        strictest threshold there is: with more than far / fprs[0] photos it promises less.
        """
        return self.threshold(float(np.clip(far / max(photos, 1), self.fprs[0], self.fprs[-1])))

    def probability(self, similarity):
        """How probable it is that two faces of this similarity are one person, if beforehand both were equally likely."""
        return 1 / (1 + np.exp(-(self.slope * np.asarray(similarity, float) + self.intercept)))

    def to_text(self):
        """As JSON, to be kept with an encoder."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text):
        """What to_text wrote."""
        return cls(**json.loads(text))


def measure(embeddings, people, distractors=None, distractor_people=None):
    """The Verifier that strangers' embeddings (N, D) with their people (N,) give; distractors (M, D) are always different."""
    same, different, negatives, draw = [], [], 0, np.random.default_rng(0)
    for _, positives, others, _ in metrics.pairs_by_person(embeddings, people, distractors, distractor_people):
        same.append(positives)
        negatives += others.size
        if others.size:  # the curve needs no more than a sample of them
            different.append(draw.choice(others.ravel(), min(others.size, 5000), replace=False))
    same, different = np.concatenate(same), np.concatenate(different or [[]])
    fprs = FPRS[FPRS >= 10 / max(negatives, 1)]
    if not len(fprs) or len(same) < 10:
        raise ValueError(f"{len(same)} pairs of one person and {negatives} of different people are too few to measure a "
                         "threshold on: take ten people or more, with several photos each.")
    thresholds = metrics.identification(embeddings, people, distractors, distractor_people, fprs, resamples=1)["threshold"]
    curve = LogisticRegression(C=1e6, class_weight="balanced")
    curve.fit(np.concatenate([same, different])[:, None], np.repeat([1, 0], [len(same), len(different)]))
    strangers = len(np.unique(people)) + (0 if distractor_people is None else len(np.unique(distractor_people)))
    return Verifier(fprs.tolist(), np.asarray(thresholds, float).tolist(), float(curve.coef_[0, 0]), float(curve.intercept_[0]),
                    strangers, int(negatives))


def verdicts(faces, names, verifier, fpr):
    """Every pair of faces as a row for plots.table: similarity, verdict at this FPR, probability."""
    threshold, rows = verifier.threshold(fpr), []
    for i, j in zip(*np.triu_indices(len(faces), 1)):
        similarity = float(faces[i].embedding @ faces[j].embedding)
        rows.append({"photo": names[i], "and": names[j], "similarity": similarity,
                     "verdict": "the same person" if similarity > threshold else "different people",
                     "probability": float(verifier.probability(similarity))})
    return rows


def clusters(similarity, threshold):
    """Who belongs together, without names: numbers (N,) from similarities (N, N), 0 for the largest group,
    of equal ones for the first.

    Agglomerative, average linkage: groups are joined as long as their photos' mean similarity is above the threshold.
    """
    if len(similarity) == 1:
        return np.zeros(1, int)
    joined = AgglomerativeClustering(n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold)
    found = joined.fit_predict(1 - np.clip(similarity, -1, 1))
    _, first, number, counts = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    return np.argsort(np.lexsort((first, -counts)))[number]
