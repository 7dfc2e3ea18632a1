"""Every setting of the course in one place; a FACES_* environment variable overrides any of them.

FACES_DATASET=lfw FACES_EPOCHS=5 jupyter lab
"""

import math
import os
import re
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch


@dataclass(frozen=True)
class Settings:
    """The defaults train everything on ORL on two CPU cores in minutes."""

    dataset: str = "orl"  # orl, lfw, celeba, or the path of a folder of people
    data_dir: str = "data"
    runs_dir: str = "runs"
    device: str = "auto"  # auto, cpu, cuda or mps
    seed: int = 0  # of the trainings: first weights, batches, changes
    split_seed: int = 0  # of who is trained on and who is asked for, and of the photos held out
    # who is trained on, who is asked for, and who only stands among the asked (never trained on)
    people: int = 28
    probe_people: int = 12
    distractor_people: int = 0
    test_share: float = 0.2  # of the photos of each person trained on
    split: str = ""  # or a CSV file,person,split that says it for each photo: train, test, probe or distractor
    # notebook 1: the hourglass
    channels: int = 32
    stacks: int = 1
    sigma: float = 2.0
    landmark_epochs: int = 40
    # whose landmarks align the faces of all notebooks: shipped (models/), own (what notebook 1 trained), mtcnn, or a file
    hourglass: str = "shipped"
    # notebooks 2 and 3: the recogniser
    encoder: str = "resnet10_small"
    encoder_size: int = 64  # side of the face that the encoder sees, pixels
    embedding: int = 128
    weights: str = (
        "none"  # none, imagenet (from the model's hub), or an encoder that this course saved
    )
    batch_size: int = 16
    epochs: int = 60
    study_epochs: int = 10  # how far each training of the side studies goes
    study_encoders: str = "resnet10_small mobilenetv3_small_100 mamba"
    # notebook 5: whose embeddings it compares: shipped (models/), own (what notebook 3 trained), those of another library
    # (sface, dlib, facenet), or a file
    recogniser: str = "shipped"
    # notebook 4: the transformer and its first weights: shipped (models/, which brings its own transformer), imagenet (from
    # the hub), none (small, first trained as a whole on this dataset), or the encoder.safetensors of a run
    vit: str = "vit_tiny_patch16_224"
    vit_weights: str = "shipped"
    vit_blocks: int = 2  # how many last blocks are fine-tuned
    vit_epochs: int = 15

    @property
    def dataset_name(self):
        """The dataset's name as part of file names; paths that end alike stay apart."""
        if self.dataset in DATASETS:
            return self.dataset
        path = Path(self.dataset).resolve()
        return f"{path.name}-{zlib.crc32(str(path).encode()):08x}"

    @property
    def run_dir(self):
        """Where runs are kept: one folder for each choice of the people trained on, so that no stranger leaks in."""
        who = f"{self.people}_{self.probe_people}_{self.distractor_people}"
        if self.split:
            who = f"{Path(self.split).stem}-{zlib.crc32(Path(self.split).read_bytes()):08x}"
        if self.split_seed:
            who += f"_split{self.split_seed}"
        return Path(self.runs_dir) / f"{self.dataset_name}_{who}_seed{self.seed}"

    @property
    def torch_device(self):
        """The device that `auto` stands for: CUDA, else Apple's MPS, else the CPU."""
        if self.device != "auto":
            if self.device.startswith("cuda") and not torch.cuda.is_available():
                raise ValueError(
                    f"FACES_DEVICE is '{self.device}', but torch sees no CUDA GPU here; leave it at auto."
                )
            if self.device == "mps" and not torch.backends.mps.is_available():
                raise ValueError(
                    "FACES_DEVICE is 'mps', but torch sees no Apple GPU here; leave it at auto."
                )
            if (
                self.device.startswith("cuda:")
                and int(self.device[5:]) >= torch.cuda.device_count()
            ):
                raise ValueError(
                    f"FACES_DEVICE is '{self.device}', but torch sees {torch.cuda.device_count()} CUDA GPUs here."
                )
            return torch.device(self.device)
        return torch.device(
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )


DATASETS = ("orl", "lfw", "celeba")
# what differs from the defaults on the larger datasets, which are meant for a GPU
LARGE = dict(
    epochs=40,
    channels=64,
    encoder="resnet34",
    encoder_size=112,
    embedding=512,
    batch_size=128,
    weights="imagenet",
    study_epochs=10,
    study_encoders="resnet34 resnet50 resnext50_32x4d efficientnet_b0 efficientnet_v2_m mobilenet_v2",
    vit="vit_base_patch16_224.augreg_in21k_ft_in1k",
    vit_weights="imagenet",
    vit_epochs=3,
    vit_blocks=3,
)
PRESETS = {
    "lfw": dict(people=500, probe_people=200, distractor_people=1000, landmark_epochs=10, **LARGE),
    # what ships has seen CelebA's people, who are then no strangers
    "celeba": dict(
        people=500,
        probe_people=200,
        distractor_people=1000,
        landmark_epochs=5,
        recogniser="trained",
        **LARGE,
    ),
}
# what settings and values were called before
RENAMED = {"roles": "split", "query_people": "probe_people", "own": "trained"}


def load_settings(environment=os.environ):
    """The defaults, those of the dataset, then whatever FACES_* variables say."""
    known = {field.name: field.type for field in fields(Settings)}
    given = {}
    for variable, text in environment.items():
        if variable.startswith("FACES_"):
            name = variable[len("FACES_") :].lower()
            name = RENAMED.get(name, name)
            if name not in known:
                raise ValueError(
                    f"There is no setting {variable}: choose one of "
                    f"{', '.join('FACES_' + n.upper() for n in known)}."
                )
            if name in ("hourglass", "recogniser"):
                text = RENAMED.get(text, text)
            given[name] = _convert(variable, text, known[name])
    settings = replace(Settings(**PRESETS.get(given.get("dataset", "orl"), {})), **given)
    for name, kind in known.items():
        least = 0 if name in ("seed", "split_seed", "distractor_people", "test_share") else 1e-9
        if kind in (int, float) and getattr(settings, name) < least:
            raise ValueError(
                f"FACES_{name.upper()} is {getattr(settings, name)}, which is too small."
            )
        if kind is str and name != "split" and not getattr(settings, name).strip():
            raise ValueError(f"FACES_{name.upper()} is empty: give it a value, or do not set it.")
    if settings.test_share >= 1:
        raise ValueError(
            f"FACES_TEST_SHARE is {settings.test_share}, which leaves no photos to train on; choose 0.2, say."
        )
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", settings.device):
        raise ValueError(
            f"FACES_DEVICE is '{settings.device}': choose auto, cpu, cuda or mps, or one of several GPUs, such as cuda:1."
        )
    if settings.split and not Path(settings.split).is_file():
        raise ValueError(
            f"FACES_SPLIT is '{settings.split}', but there is no such file: give a CSV file,person,split."
        )
    if (
        settings.hourglass not in ("shipped", "trained", "mtcnn")
        and not Path(settings.hourglass).is_file()
    ):
        raise ValueError(
            f"FACES_HOURGLASS is '{settings.hourglass}': choose shipped, own, mtcnn, or the path of a "
            "hourglass that was trained."
        )
    for name, choices in {
        "recogniser": ("shipped", "trained", "sface", "dlib", "facenet"),
        "vit_weights": ("shipped", "imagenet", "none"),
    }.items():
        chosen = getattr(settings, name)
        if chosen not in choices and not Path(chosen).is_file():
            raise ValueError(
                f"FACES_{name.upper()} is '{chosen}': choose {', '.join(choices)}, or the path of an "
                "encoder.safetensors that was trained."
            )
    return settings


def _convert(variable, text, kind):
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(
            f"{variable} is '{text}', but it must be of the kind '{kind.__name__}'."
        ) from None
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{variable} is '{text}', but it must be a finite number.")
    return value
