"""How well and how fast does a large gallery find the nearest face?

Recall@1 against exact search, milliseconds per query. The people are simulated: random centres, and
photos around them as far apart as ORL's photos of one person are for the shipped recogniser, or as
--cosine says: photos taken years apart are less alike. One query at a time, one core.
"""

import argparse
import json
import time
from collections.abc import Callable

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors

from helpers.encoders import embed
from helpers.indexes import new_index
from helpers.model_files import load_encoder
from helpers.networks import recogniser_source
from helpers.recognition import recognition_data
from helpers.setting_flags import add_flags, settings_of
from helpers.settings import Settings

PHOTOS_EACH = 10


def main(arguments: list[str]) -> None:
    """Simulate, build, ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gallery", description=__doc__)
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[10_000, 100_000, 1_000_000],
        help="photos in the gallery",
    )
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument(
        "--cosine",
        type=float,
        help="mean of two photos of one person; default: the dataset's",
    )
    add_flags(parser, "dataset", "recogniser", "device")
    options = parser.parse_args(arguments)
    cosine, dim = likeness(settings_of(options))
    cosine = options.cosine or cosine
    print(
        f"two photos of one person have a cosine of {cosine:.2f} on average, in {dim} dimensions\n"
    )
    print(f"{'photos':>10s} {'index':14s} {'recall@1':>8s} {'ms / query':>10s} {'built in s':>10s}")
    result = {}
    for size in options.sizes:
        photos, queries = simulate(size, options.queries, cosine, dim)
        result[str(size)] = {}
        for name, (recall, milliseconds, built) in compare(photos, queries).items():
            print(
                f"{size:10d} {name:14s} {recall:8.3f} {milliseconds:10.2f} {built:10.1f}",
                flush=True,
            )
            result[str(size)][name] = {"recall@1": round(recall, 4), "ms": round(milliseconds, 3)}
    print(json.dumps(result))


def likeness(settings: Settings) -> tuple[float, int]:
    """Mean cosine of two photos of a probe identity by the recogniser; its dimensions."""
    data = recognition_data(settings)
    encoder = load_encoder(recogniser_source(settings), settings.torch_device)
    embeddings = embed(encoder, data.probe)
    same = (data.probe_labels[:, None] == data.probe_labels) & ~np.eye(len(embeddings), dtype=bool)
    return float((embeddings @ embeddings.T)[same].mean()), embeddings.shape[1]


def simulate(
    size: int, queries: int, cosine: float, dim: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (size, dim) of people with ten photos each, and (queries, dim) of some again."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((size // PHOTOS_EACH, dim), np.float32)
    away = (
        (1 - cosine) / cosine
    ) ** 0.5  # how much longer the way from the centre is than the centre itself
    photos = np.repeat(centres, PHOTOS_EACH, axis=0)
    asked = centres[draw.choice(len(centres), queries)]
    for part in (photos, asked):
        for rows in np.array_split(np.arange(len(part)), max(1, len(part) // 100_000)):
            part[rows] += away * draw.standard_normal((len(rows), dim), np.float32)
            part[rows] /= np.linalg.norm(part[rows], axis=1, keepdims=True)
    return photos, asked


def compare(photos: np.ndarray, queries: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """{kind: (recall@1, milliseconds per query on one core, seconds to build)}; built with all."""
    cores, exact, result = faiss.omp_get_max_threads(), None, {}
    for kind in ("flat", "hnsw", "ivf"):
        started = time.perf_counter()
        index = new_index(kind, photos)
        built = time.perf_counter() - started
        faiss.omp_set_num_threads(1)
        found, milliseconds = ask(index.search, queries)
        faiss.omp_set_num_threads(cores)
        exact = found if exact is None else exact
        result[kind] = float((found == exact).mean()), milliseconds, built
        index = None  # a million photos are a gigabyte
    brute = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute", n_jobs=1).fit(
        photos
    )
    few = queries[:20]  # each takes long
    found, milliseconds = ask(brute.kneighbors, few)
    result["scikit-learn"] = float((found == exact[: len(few)]).mean()), milliseconds, 0.0
    return result


def ask(search: Callable, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """Every query by itself: the row of the nearest photo (N,), and milliseconds for each."""
    started = time.perf_counter()
    found = np.array([search(query[None], 1)[1][0, 0] for query in queries])
    return found, (time.perf_counter() - started) / len(queries) * 1e3
