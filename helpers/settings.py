"""Every setting of the course, once: its default, unit, range and a line of help.

Notebooks take a setting from the environment, `FACES_EPOCHS=5 jupyter lab`; so do commands and
benchmarks, which take it from their words as well: `python -m helpers.train epochs=5` (by Hydra),
others as a flag, `--epochs 5` (setting_flags.py). In Python it is `replace(settings, epochs=5)`.
`python -m helpers.settings` lists them all, with their values as FACES_... and words, `epochs=5`,
make them; `dataset=celeba` shows what a larger dataset changes.
"""

import difflib
import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from .setting_presets import COMMAND_DEFAULTS, PRESETS
from .setting_values import checked, default_of, described, given_in, setting

if TYPE_CHECKING:  # a command's --help needs no torch, which takes seconds
    import torch

DATASETS = ("orl", "lfw", "celeba")


@dataclass(frozen=True)
class Settings:
    """The defaults train everything on ORL on two CPU cores in minutes."""

    # where and who
    dataset: str = setting("orl", "orl, lfw, celeba, or a folder with a folder for each person")
    data_dir: str = setting("data", "folder of the datasets and of what is made of them")
    runs_dir: str = setting("runs", "folder of the trainings")
    out_dir: str = setting("outputs", "folder of the pictures, pages and tables that are written")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps")
    seed: int = setting(0, "of trainings: first weights, batches, augmentation", least=0)
    split_seed: int = setting(0, "of who is trained on, and which photos are held out", least=0)
    people: int = setting(28, "how many people are trained on")
    probe_people: int = setting(12, "probe identities, never trained on")
    distractor_people: int = setting(
        0, "who only form negative pairs, and are never probes", least=0
    )
    test_share: float = setting(
        0.2, "held-out share of the photos of each person trained on", least=0, below=1
    )
    split: str = setting("", "a CSV file,person,split in place of the five settings above")
    # notebook 1: landmarks
    channels: int = setting(32, "of the hourglass")
    grow: int = setting(0, "channels that each halving of the hourglass adds", least=0)
    stacks: int = setting(1, "hourglasses, one after another")
    sigma: float = setting(2.0, "of the heatmaps' peaks", unit="pixels")
    landmark_epochs: int = setting(40, "epochs of the hourglass")
    hourglass: str = setting(
        "shipped",
        "whose landmarks align the faces; trained: by notebook 1",
        choices=("shipped", "trained", "mtcnn", "a file"),
    )
    # notebooks 2 to 4: the recogniser
    encoder: str = setting("resnet10_small", "of timm or torchvision, or of helpers/encoders.py")
    encoder_size: int = setting(64, "side of the face that the encoder sees", unit="pixels")
    encoder_options: dict = setting({}, "of the model itself, such as {patch: 16} for mamba")
    face_stem: bool = setting(False, "for ResNets: a first layer for small faces")
    flat_head: bool = setting(False, "for ResNets: the embedding sees each place of the last map")
    embedding: int = setting(128, "numbers in an embedding")
    weights: str = setting("none", "first ones: none, imagenet, or an encoder.safetensors")
    # how it is trained
    batch_size: int = setting(16, "of all processes together", unit="photos")
    photos_each: int | None = setting(None, "K: so many photos of each person in a batch", least=2)
    epochs: int = setting(60, "of the trainings that notebooks compare")
    hours: float | None = setting(None, "a limit; the schedule ends by then", unit="hours")
    optimizer: str = setting("adamw", "how steps are made", choices=("adam", "adamw", "sgd"))
    lr: float = setting(1e-3, "the highest learning rate")
    weight_decay: float = setting(0.05, "of matrices, at each step", least=0)
    schedule: str = setting(
        "onecycle",
        "of the learning rate",
        choices=("onecycle", "cosine", "restarts", "warmup", "constant"),
    )
    T_0: int = setting(3, "for restarts: epochs between two of them")
    eta_min: float | None = setting(
        None, "for cosine and restarts: the lowest rate; else 0, and a tenth of lr", least=0
    )
    clip: float = setting(5.0, "longest gradient; longer ones are shortened to it")
    precision: str = setting(
        "auto", "auto: the device's fastest", choices=("auto", "bf16", "fp16", "tf32", "float32")
    )
    compile: bool = setting(False, "the network by torch.compile, which takes a minute at first")
    augment: str = setting("jitter", "a file of helpers/config/augment: none, jitter, strong, ...")
    freeze: list | None = setting(None, "first layers frozen in each epoch, such as [7,7,5,2]")
    best: str | None = setting(
        None,
        "the curve whose highest epoch is kept as best.safetensors",
        choices=("held_out_accuracy", "held_out_knn"),
    )
    study_epochs: int = setting(10, "of each training of the side studies")
    study_encoders: str = setting(
        "resnet10_small mobilenetv3_small_100 mamba",
        "encoders of the side study, with spaces between",
    )
    # notebook 4: the transformer
    vit: str = setting("vit_tiny_patch16_224", "of timm")
    vit_weights: str = setting(
        "shipped",
        "first ones; none: a small one, first trained on this dataset; shipped brings its own vit",
        choices=("shipped", "imagenet", "none", "a file"),
    )
    vit_blocks: int = setting(2, "last blocks that are fine-tuned")
    vit_epochs: int = setting(15, "of fine-tuning")
    # notebook 5: the pipeline
    recogniser: str = setting(
        "shipped",
        "whose embeddings are compared; trained: by notebook 3; or another library's",
        choices=("shipped", "trained", "sface", "dlib", "facenet", "a file"),
    )
    fpr: float = setting(
        0.01,
        "tolerated share of false matches: of pairs of different people (as far as the "
        "recogniser's thresholds go, to 0.5 for the shipped one), and for identify of faces of "
        "people not enrolled that get a name",
        most=1,
    )

    def __post_init__(self):
        for one in fields(self):
            object.__setattr__(self, one.name, _checked(one, getattr(self, one.name)))

    @property
    def dataset_name(self) -> str:
        """The dataset's name as part of file names; paths that end alike stay apart."""
        if self.dataset in DATASETS:
            return self.dataset
        path = Path(self.dataset).resolve()
        return f"{path.name}-{zlib.crc32(os.fsencode(path)):08x}"

    @property
    def run_dir(self) -> Path:
        """The folder of runs: one for each choice of the people trained on.

        So nobody that one run is trained on is taken for an unseen identity by another.
        """
        who = f"{self.people}_{self.probe_people}_{self.distractor_people}"
        if self.split:
            who = f"{Path(self.split).stem}-{zlib.crc32(Path(self.split).read_bytes()):08x}"
        if self.split_seed:
            who += f"_split{self.split_seed}"
        return Path(self.runs_dir) / f"{self.dataset_name}_{who}_seed{self.seed}"

    @property
    def torch_device(self) -> "torch.device":
        """The device; auto: CUDA, else Apple's MPS, else the CPU. ValueError if it is not there."""
        import torch

        cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
        if self.device == "auto":
            return torch.device("cuda" if cuda else "mps" if mps else "cpu")
        wanted = torch.device(self.device)
        if wanted.type == "cuda" and (wanted.index or 0) >= cuda:
            raise ValueError(
                f"The device (--device, FACES_DEVICE) is '{self.device}', but torch sees "
                f"{cuda or 'no'} CUDA GPUs here; leave it at auto."
            )
        if wanted.type == "mps" and not mps:
            raise ValueError(
                "The device (--device, FACES_DEVICE) is 'mps', but torch sees no Apple GPU here; "
                "leave it at auto."
            )
        return wanted


# what settings, and values of some, were called before
RENAMED = {"roles": "split", "query_people": "probe_people", "own": "trained"}
FIELDS = {field.name: field for field in fields(Settings)}
BY_LOWER_NAME = {name.lower(): name for name in FIELDS}  # T_0 is FACES_T_0


def load_settings(
    environment: Mapping[str, str] = os.environ,
    given: Mapping[str, object] | None = None,
    command: str = "",
) -> Settings:
    """Each setting as the last of these says it, checked: the defaults, those of the dataset,
    those of the command, FACES_* variables, and what is `given`.

    Args:
        environment: its other variables are ignored.
        given: {name: value or text}, such as the words of a command.
        command: one of COMMAND_DEFAULTS, or any other, which has no defaults of its own.

    Raises:
        ValueError: there is no such setting, or its value is of another kind or out of range.
    """
    values = {}
    for variable, text in environment.items():
        if variable.startswith("FACES_"):
            values[_name(variable[len("FACES_") :].lower(), True)] = text
    for typed, value in (given or {}).items():
        name = _name(typed)
        values[name] = _checked(FIELDS[name], value, called=name)
    preset = PRESETS.get(values.get("dataset"), {}) | COMMAND_DEFAULTS.get(command, {})
    return Settings(**preset | values)


def _name(name, variable=False):
    """A setting's name as it stands in FIELDS; variable: was it written as FACES_NAME?"""
    name = RENAMED.get(name, name)
    if name.lower() not in BY_LOWER_NAME:
        near = difflib.get_close_matches(name.lower(), BY_LOWER_NAME, 1)
        typed, *near = [f"FACES_{one.upper()}" if variable else one for one in (name, *near)]
        advice = f": did you mean {near[0]}?" if near else "; python -m helpers.settings lists all."
        raise ValueError(f"There is no setting {typed}{advice}")
    return BY_LOWER_NAME[name.lower()]


def _checked(one, value, called=None):
    if one.name in ("hourglass", "recogniser"):
        value = RENAMED.get(value, value)
    return checked(one, value, called)


def table(settings: Settings) -> str:
    """Every setting on a line: its name, value, help, unit, range, choices, and another default."""
    lines = []
    for name, one in FIELDS.items():
        value, default = getattr(settings, name), default_of(one)
        other = "" if value == default else f"; default {default}"
        lines.append(f"{name:18} {str(value):22} {described(one)}{other}")
    return "\n".join(lines)


def main(words: list[str]) -> None:
    """Print the table, with the values that FACES_... and the words give."""
    if {"-h", "--help"} & set(words):
        return print(__doc__)
    print(table(load_settings(given=given_in(words))), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:  # whoever reads, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ValueError as error:
        sys.exit(str(error))
