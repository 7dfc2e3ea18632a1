"""From raw photos to who is who: faces found, how good the verdicts are, photos a second.

The encoder must have seen none of the folder's people. Of several faces in a photo the largest is
taken.
"""

import argparse
import json
import time

import numpy as np
from torch import nn

from helpers import metrics
from helpers.enrolment import enrolment
from helpers.faces import FaceSet, load_faces
from helpers.model_files import load_encoder, load_verifier
from helpers.networks import hourglass, recogniser_source
from helpers.pipeline import FacePipeline
from helpers.setting_flags import add_flags, settings_of
from helpers.splits import split_photos

from . import _peers

FPRS = (0.001, 0.01, 0.1)


def main(arguments: list[str]) -> None:
    """Run the whole pipeline over a folder of people and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pipeline", description=__doc__)
    before = {"dataset": "--people", "recogniser": "--encoder"}
    add_flags(parser, "dataset", "recogniser", "hourglass", "device", before=before)
    parser.add_argument(
        "--peers",
        action="store_true",
        help="the same photos through other libraries, where installed",
    )
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    source = recogniser_source(settings)
    verifier = load_verifier(source)
    encoder = load_encoder(source, settings.torch_device)
    photos = load_faces(settings.dataset, settings.data_dir)
    result = measured(FacePipeline(hourglass(settings), encoder), photos, verifier.threshold(0.01))
    print_table(result, len(photos), len(np.unique(photos.labels)))
    if options.peers:
        print_peers({"this course": result} | peers(encoder, photos))
    print(
        json.dumps(
            {key: round(result[key], 4) for key in ("found", "precision")}
            | {
                "tpr_at_fpr": metrics.rates_as_json(
                    FPRS, result["all"]["tpr"], result["all"]["pairs_of_people"]
                ),
                "tpr_at_fpr_of_faces_found": metrics.rates_as_json(
                    FPRS, result["tpr"], result["pairs_of_people"]
                ),
                "dir_at_far": round(float(result["all"]["right"].mean()), 4),
                "photos_per_second": round(result["photos_per_second"], 2),
            }
        )
    )


def measured(pipeline: FacePipeline | _peers.Peer, photos: FaceSet, threshold: float = 1.0) -> dict:
    """The figures of a pipeline from raw photos, and how fast it was, reading included."""
    started = time.perf_counter()
    rows, embeddings, read = enrolment(pipeline, photos, tell=lambda sentence: None)
    seconds = time.perf_counter() - started
    result = figures(embeddings, photos.labels[rows], threshold)
    result["all"] = figures(with_misses(embeddings, rows, len(photos)), photos.labels, threshold)
    return result | {"found": len(rows) / read, "photos_per_second": read / seconds}


def with_misses(embeddings: np.ndarray, rows: np.ndarray, photos: int) -> np.ndarray:
    """Unit embeddings of all photos (N, D + misses), those without a face among them.

    Such a photo has a direction of its own, so it is like nobody, and every positive pair with it
    is missed. rows: the numbers of the photos that have embeddings (M, D).
    """
    misses = np.setdiff1d(np.arange(photos), rows)
    result = np.zeros((photos, embeddings.shape[1] + len(misses)), np.float32)
    result[rows, : embeddings.shape[1]] = embeddings
    result[misses, embeddings.shape[1] + np.arange(len(misses))] = 1
    return result


def peers(encoder: nn.Module, photos: FaceSet) -> dict[str, dict]:
    """The figures of the other libraries that are installed, {name: figures}."""
    result = {}
    for name, (make, packages) in _peers.PEERS.items():
        if not _peers.installed(packages):
            print(
                f"{name}: left out, {' or '.join(packages)} is not installed "
                f"(pip install {_peers.PACKAGES})"
            )
            continue
        try:
            result[name] = measured(make(encoder), photos)
        except ValueError as error:  # it found too few faces to say anything
            print(f"{name}: {error}")
    return result


def print_peers(results: dict[str, dict]) -> None:
    """The same photos through other libraries; a photo without a face counts as a miss."""
    print(
        f"{'TPR and DIR at FPR and FAR 0.01, of all photos':50s}{'found':>8s}{'TPR':>22s}"
        f"{'DIR':>7s}"
        f"{'TPR of found':>22s}{'photos/s':>10s}   TPR minus the first row's, paired"
    )
    first = next(iter(results.values()))["all"]
    for name, r in results.items():
        everything, found = (rate(figure) for figure in (r["all"], r))
        print(
            f"{name:50s}{r['found']:8.2%}{everything:>22s}"
            f"{r['all']['right'].mean():7.3f}{found:>22s}"
            f"{r['photos_per_second']:10.1f}   {'' if r['all'] is first else gain(r['all'], first)}"
        )


def rate(figures: dict) -> str:
    """TPR at FPR 0.01 with its interval, where there are people enough."""
    if not metrics.carries(FPRS[1], figures["pairs_of_people"]):
        return "too few people"
    return f"{figures['tpr'][1]:.3f} [{figures['low'][1]:.3f}, {figures['high'][1]:.3f}]"


def gain(figures: dict, reference: dict) -> str:
    """TPR at FPR 0.01 minus the reference's, with its interval over the same draws of people."""
    if not metrics.carries(FPRS[1], figures["pairs_of_people"]):
        return "too few people"
    draws = figures["resampled"][:, 1] - reference["resampled"][:, 1]
    low, high = metrics.bootstrap_interval(draws, figures["people"])
    return f"{figures['tpr'][1] - reference['tpr'][1]:+.3f} [{low:+.3f}, {high:+.3f}]"


def figures(embeddings: np.ndarray, people: np.ndarray, threshold: float, seed: int = 0) -> dict:
    """Pairwise verdicts at a threshold, verification rate, identification of half the people."""
    similarity, same = metrics.pairs(embeddings, people)
    passed = similarity > threshold
    found = metrics.verification_rate(embeddings, people, fpr=FPRS)
    everyone = np.random.default_rng(seed).permutation(np.unique(people))
    enrolled = np.isin(people, everyone[: len(everyone) // 2])
    asked = split_photos(people, share=0.5, seed=seed)
    known, probes = enrolled & ~asked, enrolled & asked
    # of an enrolled person and an impostor
    meetings = len(np.unique(people[known])) * len(np.unique(people[~enrolled]))
    far = max(0.01, 1 / (~enrolled).sum(), 0.5 / meetings)  # of a hundred impostors, one
    right, _ = metrics.open_set(
        embeddings[known],
        people[known],
        embeddings[probes],
        people[probes],
        embeddings[~enrolled],
        far,
        people[~enrolled],
    )
    return {
        "far": far,
        "precision": float((passed & same).sum() / max(passed.sum(), 1)),
        "fpr": float(passed[~same].mean()),
        "recall": float(passed[same].mean()),
        **found,
        "right": right,
        "probes": people[probes],
        "pairs_of_people": metrics.pairs_of_people(people),
    }


def print_table(result: dict, photos: int, people: int) -> None:
    """The table for people."""
    print(
        f"{photos} photos of {people} people; a face was found in {result['found']:.2%}; "
        f"{result['photos_per_second']:.1f} photos a second, reading included"
    )
    print(
        f"verdicts at the kept threshold for FPR 0.01: precision {result['precision']:.3f}; "
        f"of positive pairs "
        f"{result['recall']:.3f} pass, of negative ones {result['fpr']:.4f}"
    )
    for what, r in (
        ("all photos, one without a face being a miss", result["all"]),
        ("photos with a face alone", result),
    ):
        print(f"{what}:")
        print(
            *metrics.rates_as_lines(FPRS, r["tpr"], r["low"], r["high"], r["pairs_of_people"]),
            sep="\n",
        )
        print(
            "DIR at FAR {:<8.2g}{:.3f} [{:.3f}, {:.3f}], half of the people enrolled".format(
                r["far"], r["right"].mean(), *metrics.interval(r["right"], r["probes"])
            )
        )
