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
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import psutil

from helpers.files import write_text

from ._scale_stages import STAGES
from .notebooks import PeakMemory


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
