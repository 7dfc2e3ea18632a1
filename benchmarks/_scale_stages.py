"""The stages of `celeba-scale`: what the course does with a dataset, on one that is simulated.

Each is stage(folder, photos): it works in the folder, on what the stages before it left there.
"""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from helpers import aligned_set, landmark_set, metrics
from helpers.alignment import WIDEN
from helpers.batches import people_by_photos, shuffled
from helpers.detection import Detections
from helpers.encoders import embed
from helpers.faces import FaceSet, celeba
from helpers.gallery import Gallery
from helpers.landmark_set import box_about, crops_in_pieces
from helpers.landmarks import CROP
from helpers.losses import MarginHead
from helpers.runs import Run
from helpers.settings import Settings, load_settings
from helpers.splits import assign_splits
from helpers.train_hourglass import ROOM
from helpers.training import fit

from ._simulated_celeba import EYES_NOSE_MOUTH, people_of, write_photos
from .memory import crowd


def settings_of(folder: Path, photos: int) -> Settings:
    """A fiftieth of the people are probes, a tenth distractors, the others are trained on."""
    people = people_of(photos)
    probe, distractors = max(2, people // 50), people // 10
    given = {
        "dataset": "celeba",
        "data_dir": str(folder),
        "people": people - probe - distractors,
        "probe_people": probe,
        "distractor_people": distractors,
    }
    return load_settings(given=given)


def load(folder: Path, photos: int) -> None:
    """Tables and list of files."""
    assert len(celeba(folder)) == photos


def split(folder: Path, photos: int) -> None:
    """The loader again, and who is trained on, asked for and only stands by."""
    _, splits = assign_splits(settings_of(folder, photos))
    assert len(splits) == photos


def align(folder: Path, photos: int) -> None:
    """Every photo read, aligned by its listed landmarks and written as a JPEG."""
    faces, now = celeba(folder), []
    pieces = faces.pieces

    def noted(*arguments: object) -> Iterator[tuple]:
        for some, numbers, bad in pieces(*arguments):
            now[:] = numbers
            yield some, numbers, bad

    def listed(photos: list, *_: object) -> list:
        return [given(faces.landmarks[i]) for i in now[: len(photos)]]

    faces.pieces = noted  # MTCNN, which is not measured here, would not know which photos it sees
    with mock.patch.object(aligned_set, "find_faces", listed):
        assert len(build(faces, folder)) == photos


def build(faces: FaceSet, folder: Path) -> FaceSet:
    """The aligned set of the listed landmarks."""
    quiet = {"progress": False, "tell": lambda _: None}
    return aligned_set.build_aligned_set(faces, None, folder / "aligned" / "all", "listed", **quiet)


def given(landmarks: np.ndarray) -> Detections:
    """One face with these landmarks, as a detector would tell of it."""
    return Detections(box_about(landmarks)[None], np.ones(1, np.float32), landmarks[None])


def again(folder: Path, photos: int) -> None:
    """The same call when everything is there: what each later notebook waits for."""
    assert len(build(celeba(folder), folder)) == photos


def array(folder: Path, photos: int) -> None:
    """All aligned faces from their JPEGs into one memory-mapped array."""
    assert len(aligned_faces(folder)[1]) == photos


def aligned_faces(folder: Path) -> tuple[FaceSet, aligned_set.FaceArray]:
    """The aligned FaceSet and its FaceArray."""
    place = folder / "aligned" / "all"
    keys = {row["photo"] for row in aligned_set.read_rows(place)}
    faces = aligned_set.load_aligned_set(place, keys)
    return faces, aligned_set.read_images(faces, place)


def crops(folder: Path, photos: int) -> None:
    """Heads cut out for the hourglass, with their landmarks; here they are let go, not written."""
    faces = celeba(folder)
    listed = given(EYES_NOSE_MOUTH.astype(np.float32))
    with mock.patch.object(landmark_set, "detect", lambda some, *_: [listed] * len(some)):
        pieces = crops_in_pieces(faces, ROOM, WIDEN * ROOM / CROP, progress=False)
        assert sum(len(five) for _, five, _ in pieces) == photos


def plain_batches(folder: Path, photos: int) -> None:
    """Which photos go together, and one epoch of them out of the array."""
    _, images = aligned_faces(folder)
    assert sum(len(images[index]) for index in shuffled(photos, 128)(0, 0)) == photos


def person_batches(folder: Path, photos: int) -> None:
    """The same with 32 people of 4 photos each."""
    faces, images = aligned_faces(folder)
    seen = sum(len(images[index]) for index in people_by_photos(faces.labels, 32, 4)(0, 0))
    assert seen >= photos * 0.9


class Linear(nn.Module):
    """The cheapest encoder: 8 by 8 means of the picture, one linear layer."""

    def __init__(self, dim: int = 128):
        super().__init__()
        self.dim, self.layer = dim, nn.Linear(3 * 8 * 8, dim)

    def forward(self, faces: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 (N, 3, 112, 112) -> (N, dim)."""
        return self.layer(nn.functional.adaptive_avg_pool2d(faces.float() / 255, 8).flatten(1))


def train(folder: Path, photos: int) -> None:
    """One epoch of `fit`: checks, fingerprint, checkpoint, everything but a costly network."""
    faces, images = aligned_faces(folder)
    loss = MarginHead(128, len(faces.names))
    labels = torch.from_numpy(faces.labels)
    run = fit(
        Linear(), loss, images, labels, folder / "run", epochs=1, batch_size=128, progress=False
    )
    assert run.finished


def checkpoint(folder: Path, photos: int) -> None:
    """A checkpoint with a head of all people, 512 numbers each, written and read."""
    parts = nn.ModuleDict({"model": Linear(512), "loss": MarginHead(512, people_of(photos))})
    optimiser = torch.optim.AdamW(parts.parameters())
    for parameter in parts.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimiser)
    run = Run(folder / "checkpoint")
    run.start({})
    run.history.append({"epoch": 1.0})
    run.checkpoint(parts, optimiser, scheduler)
    assert run.resume(parts, optimiser, scheduler) == 1


def embedding(folder: Path, photos: int) -> None:
    """Embeddings of all faces, each with its mirror image."""
    _, images = aligned_faces(folder)
    assert len(embed(Linear(), images)) == photos


def identities(photos: int) -> tuple:
    """Simulated embeddings, 30 a person: (probes, labels, distractors, labels).

    200 probe identities and 1,000 distractors at 200,000 photos, in proportion at other sizes.
    """
    people = max(12, 1200 * photos // 200_000)
    embeddings, who = crowd(people * 30, people, 128)
    probe = who < people // 6
    return embeddings[probe], who[probe], embeddings[~probe], who[~probe]


def verification(folder: Path, photos: int) -> None:
    """TPR at FPR with its interval; the pairs grow with the square of the photos."""
    metrics.verification_rate(*identities(photos), fpr=(1e-2, 1e-1))


def identification(folder: Path, photos: int) -> None:
    """DIR at FAR, ten photos of each probe identity enrolled; grows with the square, too."""
    probes, labels, distractors, distractor_labels = identities(photos)
    enrolled = np.arange(len(labels)) < len(labels) // 3  # photos of a person lie far apart
    metrics.open_set(
        probes[enrolled],
        labels[enrolled],
        probes[~enrolled],
        labels[~enrolled],
        distractors,
        0.05,
        distractor_labels,
    )


def retrieval(folder: Path, photos: int) -> None:
    """recall@1 and MAP@R of the same probes among themselves; grows with their square."""
    metrics.retrieval(*identities(photos)[:2])


def gallery(folder: Path, photos: int) -> None:
    """All photos enrolled, saved, loaded, and a thousand of them searched for."""
    embeddings, who = crowd(photos, people_of(photos), 128)
    known = Gallery(128)
    known.add(embeddings, [f"person {person}" for person in who])
    known.save(folder / "gallery.safetensors")
    similarity, _ = Gallery.load(folder / "gallery.safetensors").search(embeddings[:1000], 5)
    assert (similarity[:, 0] > 0.999).all()


STAGES = {
    "photos generated": write_photos,
    "loader": load,
    "loader and splits": split,
    "landmark set": crops,
    "aligned set": align,
    "aligned set, second call": again,
    "array of faces": array,
    "epoch of batches, plain": plain_batches,
    "epoch of batches, P x K": person_batches,
    "training, one epoch": train,
    "checkpoint": checkpoint,
    "embedding": embedding,
    "verification rate": verification,
    "identification": identification,
    "retrieval": retrieval,
    "gallery and search": gallery,
}
