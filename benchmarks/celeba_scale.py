"""All of CelebA without CelebA: generated faces in its official layout, through every stage.

Prints CPU seconds and peak memory of each stage at two sizes, and how fast they grow: a stage that
does ten times the work in ten times the time has a growth of 1. Networks are left out: MTCNN is
replaced by the landmarks that the dataset lists, and the encoder by one linear layer. Each stage is
a process of its own; one that was measured before the benchmark was stopped is not run again.
"""

import argparse
import json
import math
import multiprocessing
import shutil
import sys
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import torch
from PIL import Image, ImageDraw
from torch import nn

from helpers import aligned_set, landmark_set, metrics
from helpers.alignment import WIDEN
from helpers.batches import people_by_photos, shuffled
from helpers.detection import Detections
from helpers.encoders import embed
from helpers.faces import FaceSet, celeba
from helpers.files import write_text
from helpers.gallery import Gallery
from helpers.landmark_set import box_about, crops_in_pieces
from helpers.landmarks import CROP
from helpers.losses import MarginHead
from helpers.runs import Run
from helpers.settings import Settings, load_settings
from helpers.splits import assign_splits
from helpers.train_hourglass import ROOM
from helpers.training import fit

from .memory import crowd
from .notebooks import PeakMemory

EACH = 20  # photos of each person
WIDTH, HEIGHT = 178, 218  # of a photo, as in CelebA
EYES_NOSE_MOUTH = np.array([(69, 111), (108, 111), (88, 135), (73, 152), (105, 152)])


def main(arguments: list[str]) -> None:
    """Run every stage at each size, smallest first, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks celeba-scale", description=__doc__)
    parser.add_argument(
        "--photos", type=int, nargs="+", default=[20_000, 200_000], help="default: %(default)s"
    )
    parser.add_argument(
        "--folder", default="data/celeba_scale", help="filled, then deleted (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    for photos in sorted(options.photos):
        folder = Path(options.folder) / str(photos)
        for name in STAGES:
            measure(name, folder, photos)
        shutil.rmtree(folder, ignore_errors=True)
    sizes = sorted(options.photos)
    result = {photos: measurements(Path(options.folder) / str(photos)) for photos in sizes}
    print_table(result)
    print(json.dumps(result))


def measurements(folder: Path) -> dict[str, dict[str, float]]:
    """{stage: seconds, wall, peak_gb} of what was measured in a folder so far, in order."""
    found = {}
    for name in STAGES:
        path = result_file(folder, name)
        if path.exists():
            found[name] = json.loads(path.read_text())
    return found


def result_file(folder: Path, name: str) -> Path:
    """Where a stage's measurement is kept: beside its folder, which is deleted at the end."""
    return folder.parent / "measured" / folder.name / f"{list(STAGES).index(name):02d}.json"


def measure(name: str, folder: Path, photos: int) -> None:
    """Run a stage in a process of its own and keep its seconds and its peak in GB."""
    path = result_file(folder, name)
    if path.exists():
        return
    # a copy of this process has imported everything already
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    answer = context.SimpleQueue()
    process = context.Process(target=stage, args=(name, folder, photos, answer))
    process.start()
    peak = PeakMemory(psutil.Process(process.pid), without_files=True, children=False)
    process.join()
    highest = peak.stop()
    if process.exitcode:
        sys.exit(f"The stage '{name}' failed at {photos} photos.")
    row = answer.get() | {"peak_gb": round(highest / 1e9, 2)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(row))
    print(f"{photos:8,d} {name:26s}{row['seconds']:9.1f} s{row['peak_gb']:7.2f} GB", flush=True)


def stage(name: str, folder: Path, photos: int, answer: SimpleQueue) -> None:
    """One stage, in this process: its CPU seconds, and those by the clock on the wall."""
    started, wall = time.process_time(), time.perf_counter()
    STAGES[name](folder, photos)
    seconds, wall = time.process_time() - started, time.perf_counter() - wall
    answer.put({"seconds": round(seconds, 2), "wall": round(wall, 2)})


def print_table(result: dict[int, dict]) -> None:
    """The stages as rows of a Markdown table: seconds and GB at each size, and the growth."""
    sizes = list(result)
    cells = [f"{size:,} photos: s | GB" for size in sizes]
    print(f"| stage | {' | '.join(cells)} | growth |\n|---|{'---:|---:|' * len(sizes)}---:|")
    for name in STAGES:
        rows = [result[size][name] for size in sizes]
        power = "" if len(sizes) == 1 else growth(sizes, [row["seconds"] for row in rows])
        cells = [f"{row['seconds']:.1f} | {row['peak_gb']:.2f}" for row in rows]
        print(f"| {name} | {' | '.join(cells)} | {power} |")


def growth(sizes: list[int], seconds: list[float]) -> str:
    """The power of the number of photos that the seconds grow with; below half a second, "-"."""
    if seconds[-1] < 0.5:
        return "-"
    return f"{math.log(seconds[-1] / max(seconds[0], 0.01)) / math.log(sizes[-1] / sizes[0]):.2f}"


def write_photos(folder: Path, photos: int) -> None:
    """The dataset itself: a thousand drawn faces again and again, each file with other bytes."""
    draw = np.random.default_rng(0)
    place = folder / "celeba" / "img_align_celeba"
    place.mkdir(parents=True)
    scratch = folder / "face.jpg"
    drawn = []
    for _ in range(min(photos, 1000)):
        draw_face(draw).save(scratch, quality=60)
        drawn.append(scratch.read_bytes())
    names = [f"{i + 1:06d}.jpg" for i in range(photos)]
    for i, name in enumerate(names):  # decoders ignore what follows the end of the picture
        (place / name).write_bytes(drawn[i % len(drawn)] + b"%d" % i)
    shift = draw.integers(-2, 3, (photos, 5, 2))
    numbers = (EYES_NOSE_MOUTH + shift).reshape(photos, 10)
    header = " ".join(
        f"{point}_{axis}"
        for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        for axis in "xy"
    )
    lines = [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, numbers.tolist())]
    tables = folder / "celeba"
    write_text(tables / "list_landmarks_align_celeba.txt", "\n".join([str(photos), header, *lines]))
    people = draw.permutation(photos) % people_of(photos) + 1
    lines = [f"{name} {person}" for name, person in zip(names, people.tolist())]
    write_text(tables / "identity_CelebA.txt", "\n".join(lines))
    lines = [f"{name} {int(person % 10 == 0)}" for name, person in zip(names, people.tolist())]
    write_text(tables / "list_eval_partition.txt", "\n".join(lines))


def draw_face(draw: np.random.Generator) -> Image.Image:
    """An oval with eyes, nose and mouth where CelebA has them, in colours drawn by luck."""
    colour = lambda: tuple(draw.integers(0, 256, 3).tolist())
    picture = Image.new("RGB", (WIDTH, HEIGHT), colour())
    pen = ImageDraw.Draw(picture)
    pen.ellipse((40, 55, 138, 185), fill=colour())
    for x, y in EYES_NOSE_MOUTH[:3].tolist():
        pen.ellipse((x - 6, y - 4, x + 6, y + 4), fill=colour())
    pen.line([*map(tuple, EYES_NOSE_MOUTH[3:].tolist())], fill=colour(), width=5)
    return picture


def people_of(photos: int) -> int:
    """How many people the photos show."""
    return max(10, photos // EACH)


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
