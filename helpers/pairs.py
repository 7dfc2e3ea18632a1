"""Which pairs of photos are compared, and how many pairs of people stand behind a rate.

Embeddings are unit length, float32 (N, D); similarity is cosine; people are integers (N,).
"""

from collections.abc import Iterator

import numpy as np

from . import gates


def pairs(
    embeddings: np.ndarray,
    labels: np.ndarray,
    distractors: np.ndarray | None = None,
    distractor_labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair that the verification rate looks at, all at once.

    Args:
        embeddings: (N, D), labels (N,): each pair of these photos once, positive if of one person.
        distractors: (M, D), distractor_labels (M,): each against each of the N, always negative;
            two distractors are never compared.

    Returns:
        Similarity and same (bool), each (P,).
    """
    blocks = list(pairs_by_person(embeddings, labels, distractors, distractor_labels))
    similarity = np.concatenate(
        [part.ravel() for _, same, different, _ in blocks for part in (same, different)]
    )
    return similarity, np.repeat(
        [True, False] * len(blocks), [part.size for block in blocks for part in block[1:3]]
    )


def pairs_by_person(
    embeddings: np.ndarray,
    labels: np.ndarray,
    distractors: np.ndarray | None = None,
    distractor_labels: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """The same pairs, one probe identity at a time: (person, positives, negatives, other people).

    positives: the similarities (flat) within the person.  negatives: (K, M), the person's K photos
    against the photos of probe identities yet to come and of distractors, whose numbers are other
    people (M,). People are numbered anew, from 0, probe identities first. Embeddings that are not
    finite or not of unit length are refused with a ValueError.
    """
    embeddings = gates.unit_embeddings(embeddings)
    number = np.unique(gates.labels(labels, len(embeddings)), return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    everyone, person_of = embeddings[order], number[order]
    if distractors is not None and len(distractors):
        distractors = gates.unit_embeddings(distractors, "distractors")
        distractor_labels = gates.labels(distractor_labels, len(distractors), "distractor_people")
        everyone = np.concatenate([everyone, distractors])
        person_of = np.append(
            person_of, np.unique(distractor_labels, return_inverse=True)[1] + number.max() + 1
        )
    ends = np.cumsum(np.bincount(number))
    return _blocks(everyone, person_of, ends)


def _blocks(everyone, person_of, ends):
    for person, (start, end) in enumerate(zip(np.append(0, ends), ends)):
        photos = everyone[start:end]
        positives = (photos @ photos.T)[np.triu_indices(len(photos), 1)]
        yield person, positives, photos @ everyone[end:].T, person_of[end:]


def pairs_of_people(labels: np.ndarray, distractor_labels: np.ndarray | None = None) -> int:
    """How many pairs of different people `pairs` compares: what an FPR really rests on."""
    query = len(np.unique(labels))
    others = 0 if distractor_labels is None else len(np.unique(distractor_labels))
    return query * (query - 1) // 2 + query * others


def carries(fpr: float | np.ndarray, number: int) -> np.ndarray:
    """Whether so many pairs of people can carry a rate at this FPR: FPR times number rounds to one.

    A hundred photos of each of two people are 10,000 negative pairs, but of one pair of people:
    whether just these two look alike says nothing about an FPR of 0.001, however many photos there
    are.
    """
    return gates.share(fpr) * number >= 0.5


def left_out(fprs: np.ndarray, number: int) -> str:
    """A sentence about the FPRs that so many pairs of people can't carry, or "" without any."""
    short = [fpr for fpr in np.atleast_1d(fprs) if not carries(fpr, number)]
    if not short:
        return ""
    return (
        f"TPR at FPR {', '.join(f'{fpr:g}' for fpr in short)}: left out, since it takes "
        f"{int(np.ceil(0.5 / max(short))):,} pairs of people or more, and there are {number:,}."
    )


def rates_as_json(fprs: np.ndarray, tprs: np.ndarray, number: int) -> dict[str, float | None]:
    """{FPR: TPR} with four digits, None where so many pairs of people can't carry the rate."""
    return {
        f"{fpr:g}": round(float(tpr), 4) if carries(fpr, number) else None
        for fpr, tpr in zip(fprs, tprs)
    }


def rates_as_lines(
    fprs: np.ndarray, tprs: np.ndarray, low: np.ndarray, high: np.ndarray, number: int
) -> list[str]:
    """A line with the interval for each rate that is carried, a sentence about the others."""
    lines = [
        f"{f'TPR at FPR {fpr:g}':20s} {tpr:.4f} [{a:.4f}, {b:.4f}]"
        for fpr, tpr, a, b in zip(fprs, tprs, low, high)
        if carries(fpr, number)
    ]
    return lines + [sentence for sentence in [left_out(fprs, number)] if sentence]
