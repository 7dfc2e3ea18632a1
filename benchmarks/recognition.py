"""What is an encoder worth on people it never saw?

Recall@1, R-Precision, MAP@R and the verification rate, with intervals. The photos are aligned
first, by the way of every photo of this course: MTCNN, the shipped hourglass, a similarity.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers import course, metrics
from helpers.aligned_set import FaceArray
from helpers.encoders import embed
from helpers.other_encoders import OTHERS
from helpers.recognition import unseen_faces, unseen_figures
from helpers.settings import load_settings

FPRS = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)


def main(arguments: list[str]) -> None:
    """Embed a folder of people and print the figures."""
    _, encoder, data = asked_for("recognition", __doc__, arguments, course.SHIPPED_RECOGNISER)
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


def asked_for(name: str, doc: str, arguments: list[str], default: Path | str) -> tuple:
    """What a benchmark's command line names: an encoder, and people that it never saw.

    Returns:
        The encoder's name or file, the encoder, and the aligned faces as `unseen_faces` gives them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=doc)
    parser.add_argument(
        "--people", required=True, help="a folder with a folder of photos for each person"
    )
    parser.add_argument(
        "--split",
        "--roles",
        default="",
        help="a CSV file,person,split: only its probe and distractor photos are taken",
    )
    parser.add_argument("--encoder", default=default, help="default: %(default)s")
    options = parser.parse_args(arguments)
    borrowed = str(options.encoder) in OTHERS or ".onnx" in Path(options.encoder).name
    if not borrowed and not Path(options.encoder).exists():
        parser.error(
            f"there is no encoder {options.encoder}: train one with python -m helpers.train, and "
            "name its "
            f"encoder.safetensors; or choose {', '.join(OTHERS)}, or an ONNX file"
        )
    settings = replace(load_settings(), dataset=options.people, split=options.split)
    encoder = course.load_encoder(options.encoder, settings.torch_device)
    data = unseen_faces(settings)
    if len(np.unique(data.probe_labels)) < 2:
        parser.error("two people to ask for, or more, are needed")
    return options.encoder, encoder, data


def speeds(encoder: nn.Module, faces: FaceArray) -> tuple[float, float]:
    """Median milliseconds of `embed` for a face on one core; faces a second on all, in batches."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = [timed(lambda: embed(encoder, faces[:1])) for _ in range(20)]
    torch.set_num_threads(cores)
    many = faces[:256]
    return 1000 * float(np.median(alone)), len(many) / min(
        timed(lambda: embed(encoder, many, batch_size=64)) for _ in range(3)
    )


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
