"""Which threshold keeps the FAR asked for, when people are enrolled with several photos each?

Three rules for a gallery of N photos of P people, each with the thresholds that came with the
encoder: the most similar photo at the pairs' FPR of FAR / N ("photo") or FAR / P ("person"), and
the mean of a person's best two at FAR / P ("best two"). People of the folder are drawn again and
again: some are enrolled, some ask who are, some ask who are not.
"""

import json

import numpy as np

from helpers import course, metrics
from helpers.encoders import embed
from helpers.verification import Verifier

from .recognition import asked_for

FAR = 0.01
GALLERIES = [(labels, photos) for labels in (10, 40, 100) for photos in (1, 2, 5)]
RULES = ("photo", "person", "best two")


def main(arguments: list[str]) -> None:
    """Measure every rule on every size of gallery, and print the table."""
    path, encoder, data = asked_for("gallery-far", __doc__, arguments, course.SHIPPED_RECOGNISER)
    verifier = course.load_verifier(path)
    embeddings, labels = embed(encoder, data.probe), data.probe_labels
    print(
        f"asked for a FAR of {FAR:g}; FAR (DIR) of each rule, the mean of 10 draws, with the "
        f"FAR's 95 % interval over people"
    )
    print(f"{'people x photos':16s}" + "".join(f"{rule:>30s}" for rule in RULES))
    result = {}
    for size in GALLERIES:
        if size[0] * 2 > len(np.unique(labels)):
            continue
        row = measure(embeddings, labels, *size, verifier)
        print(
            f"{f'{size[0]} x {size[1]}':16s}"
            + "".join(
                f"{f'{far:.3f} [{low:.3f}, {high:.3f}] ({dir_:.3f})':>30s}"
                for far, low, high, dir_ in row.values()
            )
        )
        result[f"{size[0]}x{size[1]}"] = {
            rule: {"far": round(far, 4), "dir": round(d, 4)} for rule, (far, _, _, d) in row.items()
        }
    print(json.dumps(result))


def measure(
    embeddings: np.ndarray,
    labels: np.ndarray,
    enrolled: int,
    photos: int,
    verifier: Verifier,
    draws: int = 10,
) -> dict[str, tuple]:
    """{rule: FAR, its interval's ends over people, DIR} of galleries of people with photos each."""
    alarms, right = ({rule: [] for rule in RULES} for _ in range(2))
    askers = []
    for seed in range(draws):
        draw = np.random.default_rng(seed)
        order = draw.permutation(np.unique(labels))
        known = [draw.permutation(np.flatnonzero(labels == person)) for person in order[:enrolled]]
        gallery = np.stack([rows[:photos] for rows in known if len(rows) > photos])
        probes = np.concatenate([rows[photos : photos + 5] for rows in known if len(rows) > photos])
        impostors = np.concatenate(
            [draw.permutation(np.flatnonzero(labels == person))[:5] for person in order[enrolled:]]
        )
        askers.append(labels[impostors])
        for rule in RULES:
            threshold = threshold_of(rule, verifier, *gallery.shape)
            alarms[rule].append(
                scores(embeddings[impostors], embeddings[gallery], rule).max(1) > threshold
            )
            found = scores(embeddings[probes], embeddings[gallery], rule)
            whose = labels[gallery[:, 0]][found.argmax(1)]
            right[rule].append(((found.max(1) > threshold) & (whose == labels[probes])).mean())
    askers = np.concatenate(askers)
    joined = {rule: np.concatenate(alarms[rule]) for rule in RULES}
    return {
        rule: (
            float(joined[rule].mean()),
            *metrics.interval(joined[rule], askers),
            float(np.mean(right[rule])),
        )
        for rule in RULES
    }


def threshold_of(rule: str, verifier: Verifier, labels: int, photos: int) -> float:
    """The cosine that a rule asks for."""
    return verifier.gallery_threshold(labels * photos if rule == "photo" else labels, FAR)


def scores(probes: np.ndarray, gallery: np.ndarray, rule: str) -> np.ndarray:
    """How similar each probe (N, D) is to each person of a gallery (P, K, D): (N, P)."""
    similarity = np.sort(np.einsum("nd,pkd->npk", probes, gallery), axis=2)
    return similarity[..., -2:].mean(2) if rule == "best two" else similarity[..., -1]
