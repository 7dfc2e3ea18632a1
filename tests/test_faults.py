"""kill -9, full disks, two at once: what was finished stays, what is repeated ends the same."""

import errno
import multiprocessing
import os
import random
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import aligned_set, runs
from helpers.aligned_set import build_aligned_set, read_images, read_rows
from helpers.encoders import Encoder
from helpers.enrolment import enrol_folder
from helpers.faces import folder_of_people
from helpers.files import alone_in
from helpers.gallery import Gallery
from helpers.losses import MarginHead
from helpers.pipeline import FacePipeline
from helpers.training import fit

pytestmark = pytest.mark.slow

needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
EPOCHS, STEPS = 12, 3


@pytest.fixture(autouse=True)
def threads():
    """As many threads after a test as before it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def in_a_process(work, *arguments):
    """Run work in a process of its own; its exit code, which is -9 if it was killed."""
    context = multiprocessing.get_context("forkserver")
    # torch is imported once, not at every kill
    context.set_forkserver_preload(["helpers.training", "helpers.pipeline"])
    process = context.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode


class Deadly:
    """Batches of eight in a fixed order; at a step of an epoch the process is killed."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at

    def __call__(self, epoch, seed):
        parts = list(torch.arange(8 * STEPS).split(8))
        return (
            parts
            if self.kill_at is None or epoch != self.kill_at // STEPS
            else _DeadlyList(parts, self.kill_at % STEPS)
        )

    def __repr__(self):
        return "Deadly()"


class _DeadlyList(list):
    def __init__(self, parts, step):
        super().__init__(parts)
        self.step = step

    def __iter__(self):
        for step, part in enumerate(super().__iter__()):
            if step == self.step:
                os.kill(os.getpid(), signal.SIGKILL)
            yield part


def train(folder, kill_at=None, loss=None, batches=None):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    faces = torch.randint(0, 256, (8 * STEPS, 3, 32, 32), dtype=torch.uint8)
    encoder = Encoder("resnet10_small", 16, 32)
    run = fit(
        encoder,
        loss or MarginHead(16, 4),
        faces,
        torch.arange(4).repeat(2 * STEPS),
        folder / "run",
        epochs=EPOCHS,
        batches=batches or Deadly(kill_at),
        best="quality",
        evaluate=lambda _: {"quality": 1.0},
        progress=False,
    )
    return encoder.state_dict(), run


@needs_sigkill
def test_training_killed_at_ten_random_steps_ends_with_the_weights_of_the_unbroken_run(tmp_path):
    whole, run = train(tmp_path / "whole")
    kills = sorted(random.Random(0).sample(range(EPOCHS * STEPS), 10))
    for step in kills:
        assert in_a_process(train, tmp_path / "killed", step) == -signal.SIGKILL
    resumed, again = train(tmp_path / "killed")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in run.history]


def photos_of(folder, some_orl, people=3, each=4):
    for i in range(people * each):
        path = folder / f"person {i // each}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(some_orl.photo(i).permute(1, 2, 0).numpy()).save(path)
    (folder / "person 0" / "broken.jpg").write_text("no picture")
    return folder_of_people(folder)


def align(photos, folder, kill_after=None):
    """Chunks of two photos; after so many detections the process is killed."""
    torch.set_num_threads(1)
    original, calls = aligned_set.find_faces, []

    def detect(*arguments):
        calls.append(1)
        if len(calls) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    aligned_set.find_faces, chunk, aligned_set.CHUNK = detect, aligned_set.CHUNK, 2
    try:
        return build_aligned_set(photos, None, folder, "MTCNN", progress=False)
    finally:
        aligned_set.find_faces, aligned_set.CHUNK = original, chunk


@needs_sigkill
def test_aligning_that_is_killed_again_and_again_ends_with_the_same_faces(tmp_path, some_orl):
    photos = photos_of(tmp_path / "photos", some_orl)
    whole = align(photos, tmp_path / "whole")
    for calls in (1, 3, 2):
        assert in_a_process(align, photos, tmp_path / "set", calls) == -signal.SIGKILL
    again = align(photos, tmp_path / "set")
    assert torch.equal(
        read_images(again, tmp_path / "set")[:], read_images(whole, tmp_path / "whole")[:]
    )
    assert read_rows(tmp_path / "set") == read_rows(tmp_path / "whole")


def enrol(photos, path, kill_after=None):
    """Pieces of four photos; after so many the process is killed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pipeline, calls = FacePipeline(None, Encoder("resnet10_small", 16, 32)), []

    def deadly(*arguments, **options):
        calls.append(1)
        if len(calls) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return pipeline(*arguments, **options)

    deadly.encoder = pipeline.encoder
    return enrol_folder(deadly, photos, path, tell=lambda sentence: None, piece=4), len(calls)


@needs_sigkill
def test_enrolling_that_is_killed_goes_on_and_only_news_are_embedded(tmp_path, some_orl):
    photos, path = photos_of(tmp_path / "photos", some_orl), tmp_path / "killed.safetensors"
    whole, _ = enrol(photos, tmp_path / "whole.safetensors")
    for calls in (2, 2):
        assert in_a_process(enrol, photos, path, calls) == -signal.SIGKILL
    assert 0 < len(Gallery.load(path)) < len(whole)
    again, calls = enrol(photos, path)
    assert again.sources == whole.sources and again.people == whole.people and calls < 4
    assert np.allclose(again.embeddings, whole.embeddings, atol=1e-5)

    (tmp_path / "photos" / "person 1" / "4.png").unlink()
    (tmp_path / "photos" / "person 2" / "8.png").replace(
        tmp_path / "photos" / "person 1" / "new.png"
    )
    changed, calls = enrol(folder_of_people(tmp_path / "photos"), path)
    assert len(changed) == len(whole) - 1 and changed.people.count("person 1") == 4
    assert Gallery.load(path).sources == changed.sources

    (tmp_path / "photos" / "person 1" / "new.png").unlink()
    enrol(folder_of_people(tmp_path / "photos"), path)
    assert Gallery.load(path).people.count("person 1") == 3, (
        "who is gone from the folder is gone from the file"
    )
    path.write_bytes(path.read_bytes()[:100])
    assert len(enrol(folder_of_people(tmp_path / "photos"), path)[0]) == len(whole) - 2


def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_last_good_one(tmp_path, monkeypatch):
    whole, _ = train(tmp_path / "whole")
    save, calls = torch.save, []

    def full(state, path):
        calls.append(1)
        if len(calls) == 4:
            path.write_bytes(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match="There is no room on the disk for"),
    ):
        patch.setattr(runs.torch, "save", full)
        train(tmp_path / "full")
    resumed, run = train(tmp_path / "full")
    assert len(run.history) == EPOCHS and all(
        torch.equal(whole[key], resumed[key]) for key in whole
    )


def test_two_at_once_in_one_folder_are_refused(tmp_path, some_orl):
    _, run = train(tmp_path / "first")
    (run.folder / "model.safetensors").unlink()  # as if it were still at work
    photos = photos_of(tmp_path / "photos", some_orl, people=1)
    with (
        alone_in(run.folder),
        pytest.raises(BlockingIOError, match="Another process is at work in"),
    ):
        train(tmp_path / "first")
    with (
        alone_in(tmp_path / "set"),
        pytest.raises(BlockingIOError, match="Another process is at work in"),
    ):
        align(photos, tmp_path / "set")
    assert (
        len(train(tmp_path / "first")[1].history) == EPOCHS
        and len(align(photos, tmp_path / "set")) == 4
    )


class TooLarge(MarginHead):
    """A loss on a GPU that is too small."""

    def forward(self, features, people):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_gpu_out_of_memory_names_the_batch_size_to_try(tmp_path):
    with pytest.raises(RuntimeError, match="batches of 8 photos: try 4"):
        train(tmp_path, loss=TooLarge(16, 4))
