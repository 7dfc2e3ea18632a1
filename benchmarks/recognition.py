"""What is an encoder worth on people it never saw?

Recall@1, R-Precision, MAP@R and the verification rate, with intervals. The photos are aligned
first, by the way of every photo of this course: MTCNN, the shipped hourglass, a similarity.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers import metrics
from helpers.aligned_set import FaceArray
from helpers.encoders import embed
from helpers.model_files import SHIPPED_RECOGNISER, load_encoder
from helpers.networks import recogniser_source
from helpers.recognition import unseen_faces, unseen_figures
from helpers.setting_flags import add_flags, settings_of

BEFORE = {"dataset": "--people", "split": "--roles", "recogniser": "--encoder"}  # older flags
FPRS = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)


def main(arguments: list[str]) -> None:
    """Embed a folder of people and print the figures."""
    _, encoder, data = asked_for("recognition", __doc__, arguments, SHIPPED_RECOGNISER)
    print(
        f"{len(data.probe)} photos of {len(np.unique(data.probe_labels))} people asked for, "
        f"{len(data.distractors)} photos of {len(np.unique(data.distractor_labels))} distractors; "
        f"{data.skipped} photos left out, no face was found"
    )
    result = unseen_figures(encoder, data, FPRS)
    print_figures(result)
    milliseconds, a_second = speeds(encoder.cpu(), data.probe)
    print(
        f"{'with' if encoder.mirror else 'without'} mirror images: {milliseconds:.1f} ms for one "
        f"face on one core, {a_second:.0f} faces a second in batches of 64"
    )
    print(
        json.dumps(
            {
                **{key: round(result[key], 4) for key in ("recall@1", "r_precision", "map@r")},
                "tpr_at_fpr": metrics.rates_as_json(FPRS, result["tpr"], result["pairs_of_people"]),
                "pairs_of_people": result["pairs_of_people"],
                "ms_per_face_one_core": round(milliseconds, 2),
                "faces_per_second": round(a_second, 1),
            }
        )
    )


def asked_for(name: str, doc: str, arguments: list[str], shipped: Path) -> tuple:
    """What a benchmark's command line names: an encoder, and people that it never saw.

    Args:
        name: of the benchmark.
        doc: its help.
        arguments: the words of the command line.
        shipped: the encoder where none is named.

    Returns:
        The encoder's name or file, the encoder, and the aligned faces as `unseen_faces` gives them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=doc)
    add_flags(parser, "dataset", "split", "recogniser", "hourglass", "device", before=BEFORE)
    settings = settings_of(parser.parse_args(arguments))
    source = shipped if settings.recogniser == "shipped" else recogniser_source(settings)
    encoder = load_encoder(source, settings.torch_device)
    data = unseen_faces(settings)
    if len(np.unique(data.probe_labels)) < 2:
        parser.error("two people to ask for, or more, are needed")
    return source, encoder, data


def speeds(encoder: nn.Module, faces: FaceArray) -> tuple[float, float]:
    """Median milliseconds of `embed` for a face on one core; faces a second on all, in batches."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = [timed(lambda: embed(encoder, faces[:1])) for _ in range(20)]
    torch.set_num_threads(cores)
    many = faces[:256]
    together = [timed(lambda: embed(encoder, many, batch_size=64)) for _ in range(3)]
    return 1000 * float(np.median(alone)), len(many) / min(together)


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def print_figures(result: dict) -> None:
    """The table for people.

    Retrieval is among the photos asked for alone; the distractors count in the TPR.
    """
    print("figure [95 % interval over people]")
    for key, name in (("recall@1", "Recall@1"), ("r_precision", "R-Precision"), ("map@r", "MAP@R")):
        print(
            f"{name:20s} {result[key]:.4f} [{result[key + '_low']:.4f}, "
            f"{result[key + '_high']:.4f}]"
        )
    print(
        *metrics.rates_as_lines(
            FPRS, result["tpr"], result["tpr_low"], result["tpr_high"], result["pairs_of_people"]
        ),
        sep="\n",
    )
