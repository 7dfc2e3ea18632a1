"""What is an encoder worth on people it never saw? Recall@1, R-Precision, MAP@R and the identification rate, with intervals.

The photos are straightened first, by the way of every photo of this course: MTCNN, the shipped hourglass, a similarity.
"""
import argparse
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from helpers import course
from helpers.aligned_set import FaceArray
from helpers.encoders import Encoder
from helpers.faces import load_faces
from helpers.landmarks import StackedHourglass
from helpers.recognition import straight_faces, strangers_figures
from helpers.roles import listed_roles
from helpers.settings import load_settings

FPRS = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)


def main(arguments):
    """Embed a folder of people and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recognition", description=__doc__)
    parser.add_argument("--people", required=True, help="a folder with a folder of photos for each person")
    parser.add_argument("--roles", default="", help="a CSV file,person,role: only its query and distractor photos are taken")
    parser.add_argument("--encoder", default=course.SHIPPED_RECOGNISER, help="default: %(default)s")
    options = parser.parse_args(arguments)
    settings = replace(load_settings({}), dataset=options.people, roles=options.roles)
    if not Path(options.encoder).exists():
        parser.error(f"there is no encoder {options.encoder}: train one with python -m helpers.train, and name its "
                     "encoder.safetensors")
    encoder = course.load_model(Encoder, options.encoder, settings.torch_device)
    data = strangers(settings)
    print(f"{len(data.query)} photos of {len(np.unique(data.query_people))} people asked for, {len(data.distractors)} photos "
          f"of {len(np.unique(data.distractor_people))} distractors; {data.skipped} photos left out, no face was found")
    if len(np.unique(data.query_people)) < 2:
        parser.error("two people to ask for, or more, are needed")
    result = strangers_figures(encoder, data, FPRS)
    print_figures(result)
    print(json.dumps({**{key: round(result[key], 4) for key in ("recall@1", "r_precision", "map@r")},
                      "tpr_at_fpr": {f"{fpr:g}": round(tpr, 4) for fpr, tpr in zip(FPRS, result["tpr"])}}))


def strangers(settings):
    """The straight faces of everybody in a folder, or of a list's query and distractor people."""
    faces = load_faces(settings.dataset, settings.data_dir)
    model = course.load_model(StackedHourglass, course.SHIPPED_HOURGLASS, settings.torch_device)
    roles = listed_roles(faces, settings.roles) if settings.roles else np.full(len(faces), "query")
    folder = Path(settings.data_dir) / "aligned" / f"{settings.dataset_name}_listed"
    asked = np.isin(roles, ("query", "distractor"))
    aligned, role, images = straight_faces(faces.subset(asked), roles[asked], model, folder, settings.torch_device)
    query = role == "query"
    return SimpleNamespace(query=FaceArray(images.array, images.rows[query]), query_people=aligned.people[query],
                           distractors=FaceArray(images.array, images.rows[~query]), distractor_people=aligned.people[~query],
                           skipped=int(asked.sum()) - len(aligned))


def print_figures(result):
    """The table for people. Retrieval is among the photos asked for alone; the distractors count in the TPR."""
    print(f"{'':16s}{'figure':>8s}   95 % interval over people")
    for key, name in (("recall@1", "Recall@1"), ("r_precision", "R-Precision"), ("map@r", "MAP@R")):
        print(f"{name:16s}{result[key]:8.4f}   {result[key + '_low']:.4f} to {result[key + '_high']:.4f}")
    for fpr, tpr, low, high in zip(FPRS, result["tpr"], result["tpr_low"], result["tpr_high"]):
        print(f"{f'TPR at FPR {fpr:g}':16s}{tpr:8.4f}   {low:.4f} to {high:.4f}")
