"""Aligned faces in their splits: what recognisers are trained on and measured with.

`python -m helpers.aligned_data dataset=celeba people=500` aligns the people with the most photos
and trains nothing; every setting may be given. The same settings later find the faces there.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from .aligned_set import FaceArray, build_aligned_set, read_images
from .face_set import FaceSet
from .faces import load_faces
from .landmarks import StackedHourglass
from .networks import hourglass, hourglass_id
from .setting_values import given_in
from .settings import Settings, load_settings
from .splits import assign_splits, read_splits, splits_csv


@dataclass
class RecognitionData:
    """Aligned faces with their labels (N,).

    The faces are FaceArrays, uint8 (N, 3, 112, 112), and read from disk when indexed.
    train and test hold photos of the same people, numbered 0 to num_classes - 1; probe and
    distractors hold unseen identities with numbers of their own, whose names are in probe_names.
    splits: all photos with their splits, as the text of a CSV.
    train_keys: the names of the photos in train, `person/photo`.
    landmarks: the id of what aligned the faces, see `hourglass_id`.
    """

    train: FaceArray
    train_labels: torch.Tensor
    test: FaceArray
    test_labels: torch.Tensor
    probe: FaceArray
    probe_labels: np.ndarray
    probe_names: dict[int, str]
    distractors: FaceArray
    distractor_labels: np.ndarray
    splits: str
    train_keys: list[str]
    landmarks: str = ""

    @property
    def train_names(self) -> list[str]:
        """The names of the people trained on."""
        return sorted({key.partition("/")[0] for key in self.train_keys})

    @property
    def num_classes(self) -> int:
        """How many people are trained on."""
        return int(self.train_labels.max()) + 1


def aligned_folder(settings: Settings, everybody: bool = False) -> Path:
    """The folder of the aligned faces of the dataset's people, those with a split or everybody."""
    people = settings.people + settings.probe_people + settings.distractor_people
    who = "listed" if settings.split or everybody else f"top{people}"
    name = f"{settings.dataset_name}_{who}"
    if settings.hourglass != "shipped":
        name += f"_{Path(settings.hourglass).stem}"
    return Path(settings.data_dir) / "aligned" / name


def aligned_faces(
    photos: FaceSet,
    splits: np.ndarray,
    model: StackedHourglass | None,
    folder: Path,
    device: torch.device,
    tell: Callable[[str], None] = print,
) -> tuple[FaceSet, np.ndarray, FaceArray]:
    """Align photos, or read them where that was done before.

    Args:
        photos: N of them.
        splits: (N,), the split of each.
        model: the hourglass, or None for MTCNN's landmarks.
        folder: where the aligned faces lie.
        device: of the detector and the hourglass.
        tell: called with sentences about what was left out.

    Returns:
        The FaceSet of the photos in which a face was found, their splits, and the faces.
    """
    aligned = build_aligned_set(photos, model, folder, hourglass_id(model), device, tell=tell)
    split_of = {photos.key(i): split for i, split in enumerate(splits)}
    aligned_splits = np.array([split_of[aligned.key(i)] for i in range(len(aligned))])
    return aligned, aligned_splits, read_images(aligned, folder)


def recognition_data(settings: Settings) -> RecognitionData:
    """The aligned faces of the dataset in their splits; they are made first where they are missing.

    Raises:
        ValueError: fewer than two people are left to train on, or as probes.
    """
    photos, splits = assign_splits(settings)
    model, folder = hourglass(settings), aligned_folder(settings)
    aligned, split, images = aligned_faces(photos, splits, model, folder, settings.torch_device)
    names = np.array(aligned.names)[aligned.labels]
    trained = np.unique(names[split == "train"])
    if len(trained) < 2 or len(np.unique(aligned.labels[split == "probe"])) < 2:
        raise ValueError(
            f"{settings.dataset} leaves too few aligned faces: two people to train on and two "
            f"probe identities are needed; {folder / 'skipped.csv'} tells why photos were left out."
        )
    split[(split == "test") & ~np.isin(names, trained)] = ""  # nobody to compare them with

    def faces(part: str) -> FaceArray:
        return FaceArray(images.array, images.rows[split == part])

    def class_numbers(part: str) -> torch.Tensor:
        return torch.from_numpy(np.searchsorted(trained, names[split == part]))

    return RecognitionData(
        train=faces("train"),
        train_labels=class_numbers("train"),
        test=faces("test"),
        test_labels=class_numbers("test"),
        probe=faces("probe"),
        probe_labels=aligned.labels[split == "probe"],
        probe_names=dict(enumerate(aligned.names)),
        distractors=faces("distractor"),
        distractor_labels=aligned.labels[split == "distractor"],
        splits=splits_csv(photos, splits),
        train_keys=[aligned.key(i) for i in np.flatnonzero(split == "train")],
        landmarks=hourglass_id(model),
    )


def unseen_faces(settings: Settings, tell: Callable[[str], None] = print) -> SimpleNamespace:
    """The aligned faces of everybody in the dataset, or of a list's probes and distractors.

    Nobody is trained on.

    Args:
        settings: the dataset, and the list, if there is one.
        tell: called with sentences about what was left out.

    Returns:
        probe, probe_labels, probe_names, distractors and distractor_labels as in RecognitionData,
        `skipped`, the number of photos without a face, and `landmarks`, the id of what aligned
        them.
    """
    photos = load_faces(settings.dataset, settings.data_dir, tell)
    model, folder = hourglass(settings), aligned_folder(settings, everybody=True)
    splits = np.full(len(photos), "probe")
    if settings.split:
        splits = read_splits(photos, settings.split)
    unseen = np.isin(splits, ("probe", "distractor"))
    aligned, split, images = aligned_faces(
        photos.subset(unseen), splits[unseen], model, folder, settings.torch_device, tell
    )
    probe = split == "probe"
    return SimpleNamespace(
        probe=FaceArray(images.array, images.rows[probe]),
        probe_labels=aligned.labels[probe],
        probe_names=dict(enumerate(aligned.names)),
        skipped=int(unseen.sum()) - len(aligned),
        landmarks=hourglass_id(model),
        distractors=FaceArray(images.array, images.rows[~probe]),
        distractor_labels=aligned.labels[~probe],
    )


def main(words: list[str]) -> None:
    """Make the aligned set of the settings, `name=value` each, and say where it lies."""
    if {"-h", "--help"} & set(words):
        return print(__doc__)
    settings = load_settings(given=given_in(words))
    data, folder = recognition_data(settings), aligned_folder(settings)
    print(
        f"{folder}: {len(data.train) + len(data.test)} faces of {data.num_classes} people to train "
        f"on, {len(data.probe)} of probe identities, {len(data.distractors)} of distractors; "
        f"{folder / 'debug'} shows landmarks on photos."
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(str(error))
