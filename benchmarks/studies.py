"""Notebook 2's studies at full length: every choice trained for all epochs with three seeds.

Writes benchmarks/studies.json after each study, which the notebook shows beside its short runs:
{study: {choice: {"seeds": TPR at FPR 0.01 of each seed, "mean": with its 95 % interval over people,
"difference": of the means from the study's first choice, in pairs}}}.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers import recognition
from helpers.augment import Compose, Jitter, Photometric
from helpers.files import write_text
from helpers.freezing import LayerFreezer
from helpers.losses import CrossEntropy, MarginHead
from helpers.model_files import MODELS
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings

RESULTS = Path(__file__).with_name("studies.json")


def main(arguments: list[str]) -> None:
    """Train the choices of the studies that are named, and write their table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks studies", description=__doc__)
    parser.add_argument("studies", nargs="*", help="which, such as losses; default all")
    parser.add_argument("--seeds", type=int, default=3)
    flags = ("dataset", "study_epochs", "encoder", "device")
    add_flags(parser, *flags, command="studies", before={"study_epochs": "--epochs"})
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    settings = settings_of(options, "studies")
    data, found = recognition.recognition_data(settings), {}
    if options.out.exists():
        found = json.loads(options.out.read_text(encoding="utf-8"))
    for name, choices in studies(settings).items():
        if options.studies and name not in options.studies:
            continue
        found[name] = rows(choices, data, settings, range(options.seeds))
        write_text(options.out, json.dumps(found, indent=1) + "\n")
        for choice, row in found[name].items():
            print(name, choice, row["seeds"], row["mean"], row["difference"], sep="   ", flush=True)


def studies(settings: Settings) -> dict[str, dict[str, tuple]]:
    """{study: {choice: (the loss, changes)}}; the first choice of each is the reference."""

    def margin(m: float = 0.3, kind: str = "arcface") -> Callable:
        return lambda dim, classes: MarginHead(dim, classes, s=16, m=m, kind=kind)

    jitter = Jitter(size=settings.encoder_size)
    small = {"encoder": "resnet10_small", "flat_head": True, "embedding": 256}
    start = small | {"weights": str(MODELS / "resnet10.safetensors")}
    return {
        "losses": {
            "cross entropy": (CrossEntropy, {}),
            "margin 0": (margin(0.0), {}),
            "ArcFace": (margin(), {}),
            "CosFace": (margin(0.2, "cosface"), {}),
            "AdaFace": (margin(0.3, "adaface"), {}),
        },
        "augmentation": {
            "jitter": (margin(), {}),
            "none": (margin(), {"augment": Compose()}),
            "jitter + one of five": (margin(), {"augment": Compose(jitter, Photometric())}),
        },
        "start": {
            "from nothing": (margin(), small),
            "from the pretrained encoder": (margin(), start),
            "6 layers frozen": (margin(), start | {"freezer": LayerFreezer([6])}),
        },
    }


def rows(
    choices: dict[str, tuple],
    data: recognition.RecognitionData,
    settings: Settings,
    seeds: Sequence[int],
) -> dict[str, dict]:
    """Train each choice with each seed; return its row of the table."""
    means, result = {}, {}
    for choice, (loss, changes) in choices.items():
        variants = {f"{choice}, seed {seed}": changes | {"seed": seed} for seed in seeds}
        runs = list(recognition.study(variants, data, settings, loss).values())
        means[choice] = recognition.over_seeds(runs)
        reference = next(iter(means.values()))
        result[choice] = {
            "seeds": [round(run.results["tpr"], 3) for run in runs],
            "mean": recognition.shown(means[choice], "tpr"),
            "difference": recognition.difference(means[choice], reference)
            if means[choice] is not reference
            else "",
            "epochs": settings.study_epochs,
        }
    return result
