"""From similarities to verdicts: the same person? Whose face is it? Which belong together?"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from . import gates
from .gallery import Gallery
from .pipeline import Face, doubts
from .verification import Verifier

SAME, DIFFERENT, UNDECIDED = "the same person", "different people", "undecided"


@dataclass(frozen=True)
class Verification:
    """What `verify` answers about two faces.

    same: is the verdict "the same person"? False if it is undecided, on either side.
    verdict: "the same person", "different people", or "undecided" where the threshold and the
        probability point different ways.
    similarity: the cosine of the two embeddings, -1 to 1.
    threshold: the cosine that a share fpr of the pairs of different people exceeds.
    fpr: the tolerated share of false matches, 0 to 1.
    probability: of one person, if beforehand one and two people were equally likely.
    hints: warnings about either face, as sentences, such as that its photo shows others; empty
        for good ones.
    """

    same: bool
    verdict: str
    similarity: float
    threshold: float
    fpr: float
    probability: float
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Identification:
    """What `identify` answers about one face.

    name: of the person, or None if nobody enrolled is similar enough.
    nearest: whom the face resembles most, above the threshold or not.
    similarity: the cosine with that person's most similar photo, -1 to 1.
    threshold: what the similarity must exceed for a name.
    box: left, top, right, bottom in pixels of the photo.
    hints: warnings about this face, as sentences; empty for a good one.
    """

    name: str | None
    nearest: str
    similarity: float
    threshold: float
    box: tuple[float, float, float, float]
    hints: tuple[str, ...] = ()


def verdict(similarity: float, verifier: Verifier, fpr: float = 0.01) -> str:
    """The verdict on a pair: the same person, different people, or undecided.

    The threshold keeps to an FPR; the probability supposes that both answers are equally likely
    beforehand. Where only one of the two speaks for one person, the pair is undecided: a verdict
    never contradicts its probability.
    """
    passed = similarity > verifier.threshold(fpr)
    likely = verifier.probability(similarity) >= 0.5
    if passed != likely:
        return UNDECIDED
    return SAME if passed else DIFFERENT


def compare(first: Face, second: Face, verifier: Verifier, fpr: float = 0.01) -> Verification:
    """Are two faces of one person? See `Verification`."""
    similarity = float(first.embedding @ second.embedding)
    found = verdict(similarity, verifier, fpr)
    return Verification(
        same=found == SAME,
        verdict=found,
        similarity=similarity,
        threshold=verifier.threshold(fpr),
        fpr=fpr,
        probability=float(verifier.probability(similarity)),
        hints=(*doubts([first]), *doubts([second])),
    )


def verdicts(
    faces: list[Face], names: list[str], verifier: Verifier, fpr: float = 0.01
) -> list[dict]:
    """Every pair of faces as a row of a table: similarity, verdict at this FPR, probability."""
    embeddings = np.stack([face.embedding for face in faces]) if faces else np.zeros((0, 1))
    similarity = embeddings @ embeddings.T
    return [
        {
            "photo": names[i],
            "and": names[j],
            "similarity": float(similarity[i, j]),
            "verdict": verdict(similarity[i, j], verifier, fpr),
            "probability": float(verifier.probability(similarity[i, j])),
        }
        for i, j in zip(*np.triu_indices(len(faces), 1))
    ]


def name_faces(
    faces: list[Face], gallery: Gallery, verifier: Verifier, far: float = 0.01
) -> list[Identification]:
    """Whose faces are these? See `Identification`.

    Args:
        faces: of any photos.
        gallery: the people who are known.
        verifier: of the encoder that embedded both.
        far: tolerated share of faces of people not enrolled that get a name (false alarm rate).
    """
    if not faces:
        return []
    threshold = verifier.gallery_threshold(len(gallery), far)
    embeddings = np.stack([face.embedding for face in faces])
    names, similarity = gallery.identify(embeddings, threshold)
    nearest = gallery.people_of(gallery.search(embeddings, 1)[1])[:, 0]
    return [
        Identification(
            name=None if name is None else str(name),
            nearest=str(person),
            similarity=float(value),
            threshold=threshold,
            box=tuple(float(side) for side in face.box),
            hints=tuple(face.hints()),
        )
        for face, name, person, value in zip(faces, names, nearest, similarity)
    ]


def clusters(similarity: np.ndarray, threshold: float) -> np.ndarray:
    """Who belongs together, without names.

    Agglomerative clustering, average linkage: groups are joined as long as their photos' mean
    similarity is above the threshold. That a threshold of single pairs serves here is a choice: a
    mean varies less than one cosine, so for groups of several photos it should be a strict one.

    Args:
        similarity: cosines (N, N).
        threshold: a cosine.

    Returns:
        The number of each photo's group (N,), 0 for the largest; of equal ones, for the first.
    """
    similarity, threshold = gates.cosines(similarity), float(gates.cosines(threshold))
    if len(similarity) == 1:
        return np.zeros(1, int)
    joined = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    found = joined.fit_predict(1 - np.clip(similarity, -1, 1))
    _, first, group, counts = np.unique(
        found, return_index=True, return_inverse=True, return_counts=True
    )
    by_size = np.lexsort((first, -counts))  # equal ones by their first photo
    new_number = np.argsort(by_size)
    return new_number[group]
