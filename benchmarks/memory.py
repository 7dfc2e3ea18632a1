"""Peak memory of what grows: pairs, triplets, aligned faces, a gallery, photos of 48 megapixels.

Everything is simulated; each part runs in a process of its own. Pages of a memory-mapped file do
not count, since the system takes them back whenever it needs them.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from skimage.data import astronaut

from helpers import metrics
from helpers.__main__ import main as command
from helpers.aligned_set import BOX, COLUMNS, load_aligned_set, read_images
from helpers.batch_losses import TripletLoss
from helpers.batches import shuffled
from helpers.faces import LANDMARK_COLUMNS
from helpers.files import to_csv, write_text
from helpers.gallery import Gallery

from .notebooks import PeakMemory


def main(arguments: list[str]) -> None:
    """Run each part and print its peak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the sizes named in the table, for a quick look"
    )
    options = parser.parse_args(arguments)
    result = {}
    print(f"{'':12s}{'peak GB':>9s}{'seconds':>9s}")
    for name, part in PARTS.items():
        started = time.perf_counter()
        command = f"from benchmarks import memory; memory.{part.__name__}({options.share})"
        process = psutil.Popen([sys.executable, "-c", command])
        peak = PeakMemory(process, without_files=True, children=False)
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, name)
        result[name] = {
            "peak_gb": round(peak.stop() / 1e9, 2),
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(
            f"{name:12s}{result[name]['peak_gb']:9.2f}{result[name]['seconds']:9.1f}"
            f"   {part.__doc__}",
            flush=True,
        )
    print(json.dumps(result))


def verification_rate(share: float) -> None:
    """200 probe identities and 1,000 distractors, 30 photos each: the rate with its interval."""
    labels = int(1200 * share)
    embeddings, who = crowd(labels * 30, labels)
    query = who < labels // 6
    metrics.verification_rate(
        embeddings[query], who[query], embeddings[~query], who[~query], fpr=(1e-3, 1e-2, 1e-1)
    )


def triplets(share: float) -> None:
    """Triplets of a batch of 1,024 photos, 4 of each person: loss and gradient, three minings."""
    labels = torch.arange(max(2, int(256 * share))).repeat_interleave(4)
    for mining in ("hard", "semihard", "all"):
        embeddings = torch.nn.functional.normalize(torch.randn(len(labels), 256), dim=1)
        TripletLoss(0.2, mining)(embeddings.requires_grad_(), labels)[0].backward()


def aligned_set(share: float) -> None:
    """200,000 aligned faces of 10,000 people: their lists, an epoch of batches from disk."""
    labels, each = int(10_000 * share), 20
    keys = [f"{person}/{photo}" for person in range(labels) for photo in range(each)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        numbers = [1.0] * (1 + len(BOX) + len(LANDMARK_COLUMNS))
        rows = ([key, key.split("/")[0], "", "", "", "0", *numbers] for key in keys)
        write_text(folder / "photos.csv", to_csv([COLUMNS, *rows]))
        write_text(folder / "faces.csv", to_csv([[key] for key in keys]))
        for key in keys:
            (folder / key).parent.mkdir(exist_ok=True)
            (folder / f"{key}.jpg").touch()
        array = np.lib.format.open_memmap(
            folder / "faces.npy", "w+", np.uint8, (len(keys), 3, 112, 112)
        )
        array.flush()
        faces = load_aligned_set(folder, set(keys))
        images = read_images(faces, folder)
        seen = sum(len(images[index]) for index in shuffled(len(images), 256)(0, 0))
        assert seen == len(keys)


def gallery(share: float) -> None:
    """A million embeddings of 256 numbers: added in pieces, saved, loaded, searched."""
    with tempfile.TemporaryDirectory() as folder:
        path, size = Path(folder) / "gallery.safetensors", int(1_000_000 * share)
        known = Gallery(256)
        for piece in range(10):
            embeddings, who = crowd(size // 10, size // 100, seed=piece)
            known.add(embeddings, [f"person {piece} {person}" for person in who])
        known.save(path)
        known = Gallery.load(path)
        similarity, _ = known.search(embeddings[:100], 1)
        assert (similarity > 0.999).all()


def photos(share: float) -> None:
    """24 photos of 48 megapixels: arrange, identify, predict, evaluate, map."""
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder) / "people"
        files = large_photos(people, max(4, int(24 * share)))
        os.environ["FACES_DATA_DIR"] = str(Path(folder) / "data")
        for words in (
            ["arrange", str(people / "ada")],
            ["identify", "--gallery", str(people), *files],
            ["predict", *files],
            ["evaluate", str(people)],
            ["map", str(people)],
        ):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = command([*words, "--out", str(Path(folder) / "out")])
            assert code in (0, 1), said.getvalue()


def large_photos(people: Path, number: int) -> list[str]:
    """Files of the astronaut at 8000 by 6000 pixels; in its mirror image she is somebody else."""
    files = [people / ("ada", "bob")[i % 2] / f"{i}.jpg" for i in range(number)]
    for i, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 2:
            face = Image.fromarray(astronaut()[:, :: 1 - 2 * i]).resize((6000, 6000))
            canvas = Image.new("RGB", (8000, 6000), "grey")
            canvas.paste(face, (1000, 0))
            canvas.save(path, quality=90)
        else:
            shutil.copy(files[i % 2], path)
    return sorted(map(str, files))


def crowd(photos: int, labels: int, dim: int = 256, seed: int = 0) -> tuple:
    """Unit embeddings (photos, dim) and their people, as many photos of each."""
    draw = np.random.default_rng(seed)
    landmarks, who = draw.standard_normal((photos, dim), np.float32), np.arange(photos) % labels
    landmarks += 1.5 * draw.standard_normal((labels, dim), np.float32)[who]
    return landmarks / np.linalg.norm(landmarks, axis=1, keepdims=True), who


PARTS = {
    "verification": verification_rate,
    "triplets": triplets,
    "aligned set": aligned_set,
    "gallery": gallery,
    "photos": photos,
}
