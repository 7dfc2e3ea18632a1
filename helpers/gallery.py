"""Known faces: embeddings with their people, in one file on disk and in an index that finds the nearest."""

import json
import sys

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import gates
from .encoders import embed, weights_id
from .files import write_atomically
from .progress import progress_bar

try:
    import faiss
except ImportError:  # no wheel for this machine: torch searches, exactly
    faiss = None
if faiss and sys.platform == "darwin":
    faiss.omp_set_num_threads(
        1
    )  # torch and faiss each bring an OpenMP there, and two of them crash


class Gallery:
    """Unit embeddings (N, D) with the name of a person and of a photo for each.

    kind: "flat" compares with every photo and is exact. "hnsw" walks a graph of neighbours (Malkov and Yashunin 2016,
    https://arxiv.org/abs/1603.09320) and "ivf" looks into the nearest of many cells (Jégou et al. 2011): for hundreds of
    thousands of photos, where a few misses are a fair price. Without faiss, every kind is flat.
    maker: what embedded the photos, an encoder's weights_id; queries of another encoder mean nothing here.
    faceless: sources of photos that were looked at and show no face, so that they are not looked at again.
    What is saved is biometric data: `python -m helpers forget NAME` deletes a person.
    """

    def __init__(self, dim, kind="flat", encoder_id=""):
        if kind not in ("flat", "hnsw", "ivf"):
            raise ValueError(f"There is no gallery of kind '{kind}': choose flat, hnsw or ivf.")
        self.kind, self.encoder_id = kind, encoder_id
        self.embeddings, self.people, self.sources = np.zeros((0, dim), np.float32), [], []
        self.faceless, self._index = [], None

    def __len__(self):
        return len(self.people)

    def add(self, embeddings, people, sources=None):
        """Enrol embeddings (N, D) with their people (N,) and, if given, the photos they came from (N,)."""
        embeddings = self._checked(embeddings)
        people, sources = (
            list(people),
            [""] * len(embeddings) if sources is None else list(map(str, sources)),
        )
        if not len(embeddings) == len(people) == len(sources):
            raise ValueError(
                f"{len(embeddings)} embeddings, {len(people)} people and {len(sources)} photos don't go together."
            )
        self.embeddings = np.concatenate([self.embeddings, embeddings])
        self.people, self.sources = self.people + people, self.sources + sources
        if self._index is not None:
            self._index.add(embeddings)

    def enrol(self, encoder, faces, people, sources=None, batch_size=64, **options):
        """Embed aligned faces (N, 3, 112, 112) and add them; a bar shows photos per second. options go to `embed`."""
        self.check_encoder(encoder)
        parts = [embed(encoder, faces[:0], **options)]
        with progress_bar(total=len(faces), desc="gallery", unit="photo") as bar:
            for start in range(0, len(faces), batch_size):
                parts.append(embed(encoder, faces[start : start + batch_size], **options))
                bar.update(len(parts[-1]))
        self.add(np.concatenate(parts), people, sources)

    def check_encoder(self, encoder):
        """Refuse an encoder that did not make this gallery; an empty gallery takes any and remembers it."""
        encoder_id = weights_id(encoder)
        if len(self) and self.encoder_id != encoder_id:
            raise ValueError(
                f"This gallery was made by another encoder ({self.encoder_id or 'unknown'}, not {encoder_id}): their "
                "embeddings can't be compared. Enrol the photos anew."
            )
        self.encoder_id = encoder_id

    def remove(self, person):
        """Forget all photos of a person; how many they were."""
        others = np.array([name != person for name in self.people], bool)
        if others.all():
            raise ValueError(
                f"There is nobody called '{person}' in this gallery, so nothing was removed."
            )
        self.keep(others)
        return int((~others).sum())

    def keep(self, chosen):
        """Forget every photo but the chosen ones, a boolean (N,)."""
        self.embeddings, self._index = self.embeddings[chosen], None
        self.people = [name for name, kept in zip(self.people, chosen) if kept]
        self.sources = [source for source, kept in zip(self.sources, chosen) if kept]

    def search(self, embeddings, k=5):
        """The k most similar photos of each query (M, D): cosines (M, k) and row numbers (M, k), best first."""
        if not len(self):
            raise ValueError("The gallery is empty: enrol at least one photo that shows a face.")
        if not 0 < k <= len(self):
            raise ValueError(
                f"The gallery holds {len(self)} photos, so {k} neighbours can't be had."
            )
        if self._index is None:
            self._index = new_index(self.kind, self.embeddings)
        queries = self._checked(embeddings)
        similarity, rows = self._index.search(queries, k)
        short = (rows < 0).any(
            1
        )  # a graph or a few cells may hold fewer than k: then all photos are asked
        if short.any():
            similarity[short], rows[short] = new_index("flat", self.embeddings).search(
                queries[short], k
            )
        return similarity, rows

    def identify(self, embeddings, threshold):
        """Whose face is it? Names (M,), None where no photo is more similar than the threshold, and cosines (M,)."""
        gates.cosines(threshold)
        similarity, rows = (column[:, 0] for column in self.search(embeddings, 1))
        return np.where(
            similarity > threshold, self.people_of(rows).astype(object), None
        ), similarity

    def people_of(self, rows):
        """The people of row numbers, in the same shape."""
        return np.asarray(self.people)[rows]

    def precision_at(self, k, embeddings, people):
        """Share of the k nearest photos of each query (M, D) that show the query's person (M,): (M,)."""
        self._know(people)
        found = self.people_of(self.search(embeddings, k)[1]).astype(str)
        return (found == np.asarray(people).astype(str)[:, None]).mean(1)

    def precision_by_chance(self, people):
        """The precision that a random order of the gallery would have, on average over queries of these people (M,)."""
        self._know(people)
        return float(
            (
                np.array(self.people).astype(str)[None] == np.asarray(people).astype(str)[:, None]
            ).mean()
        )

    def _know(self, people):
        missing = sorted(set(map(str, people)) - set(map(str, self.people)))
        if missing:
            raise ValueError(
                f"{len(missing)} of the people asked for have no photo in the gallery, such as '{missing[0]}': "
                "their precision would be 0 whatever the encoder does. Enrol them, or leave them out."
            )

    def _checked(self, embeddings):
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"This gallery holds embeddings of {self.embeddings.shape[1]} numbers; these have shape "
                f"{embeddings.shape}. Embed the photos with the encoder that made the gallery."
            )
        return gates.unit_embeddings(embeddings)

    def save(self, path):
        """Write everything into one safetensors file, whole or not at all. People are kept as text."""
        labels = json.dumps(
            {
                "people": list(map(str, self.people)),
                "sources": self.sources,
                "faceless": self.faceless,
            }
        ).encode()
        tensors = {"embeddings": self.embeddings, "labels": np.frombuffer(labels, np.uint8)}
        about = {"kind": self.kind, "maker": self.encoder_id}
        write_atomically(path, lambda part: save_file(tensors, part, metadata=about))

    @classmethod
    def load(cls, path):
        """Read a gallery that `save` wrote; its index is built anew, so that nothing of a stranger's is executed."""
        try:
            with safe_open(path, "np") as file:
                about, embeddings = file.metadata(), file.get_tensor("embeddings")
                labels = json.loads(file.get_tensor("labels").tobytes())
            gallery = cls(embeddings.shape[1], about["kind"], about["maker"])
            gallery.add(embeddings, labels["people"], labels["sources"])
            gallery.faceless = list(labels.get("faceless", []))
        except (SafetensorError, ValueError, KeyError, TypeError, IndexError):
            raise ValueError(
                f"{path} is no gallery, or it is cut short; enrol the photos again."
            ) from None
        return gallery


def name_or_unknown(name) -> str:
    """A name as it is shown: "unknown" for None; a person who is really called so stands in quotes."""
    return (
        "unknown" if name is None else f'"{name}"' if str(name).lower() == "unknown" else str(name)
    )


def new_index(kind, embeddings):
    """An index over unit embeddings (N, D) with `search(queries (M, D), k)` -> cosines and rows, each (M, k)."""
    if faiss is None:
        return TorchIndex(embeddings)
    dim, cells = embeddings.shape[1], int(4 * len(embeddings) ** 0.5)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 80, 256
    elif (
        kind == "ivf" and len(embeddings) >= 40 * cells
    ):  # faiss wants 39 photos or more for each cell
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(8, cells // 32)
        index.train(embeddings)
    else:
        index = faiss.IndexFlatIP(dim)
    index.add(embeddings)
    return index


class TorchIndex:
    """Exact search by torch, for machines without faiss."""

    def __init__(self, embeddings):
        self.embeddings = torch.from_numpy(embeddings)

    def add(self, embeddings):
        """Put more below."""
        self.embeddings = torch.cat([self.embeddings, torch.from_numpy(embeddings)])

    def search(self, queries, k):
        """Cosines and rows, each (M, k), best first."""
        found = [
            (part @ self.embeddings.T).topk(k) for part in torch.from_numpy(queries).split(256)
        ]
        return tuple(torch.cat(columns).numpy() for columns in zip(*found))
