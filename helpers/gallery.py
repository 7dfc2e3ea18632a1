"""Known faces: unit embeddings with their people, in one file on disk and in a faiss index."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import gates
from .encoders import embed, weights_id
from .files import write_atomically
from .indexes import new_index
from .progress import progress_bar


class Gallery:
    """Unit embeddings (N, D) with the name of a person and of a photo for each.

    What is saved is biometric data: `python -m helpers forget NAME` deletes a person.

    Args:
        dim: numbers in an embedding.
        kind: "flat" compares with every photo and is exact. "hnsw" walks a graph of neighbours
            (Malkov and Yashunin 2016, https://arxiv.org/abs/1603.09320) and "ivf" searches the
            nearest of many cells (Jégou et al. 2011): for hundreds of thousands of photos, where
            a few misses are a fair price. Without faiss every kind is flat.
        encoder_id: what embedded the photos, an encoder's `weights_id`; queries of another
            encoder mean nothing here.

    Attributes:
        people, sources: the person and the photo of each row.
        faceless: photos in which no face was found, so that they are not searched again.
    """

    def __init__(self, dim: int, kind: str = "flat", encoder_id: str = ""):
        if kind not in ("flat", "hnsw", "ivf"):
            raise ValueError(f"There is no gallery of kind '{kind}': choose flat, hnsw or ivf.")
        dim = gates.count(dim, "length of an embedding")
        self.kind, self.encoder_id = kind, encoder_id
        self.embeddings, self.people, self.sources = np.zeros((0, dim), np.float32), [], []
        self.faceless = []
        self._ids = np.zeros(0, np.int64)  # each row's id in the index, ascending, never reused
        self._next_id, self._index = 0, None

    def __len__(self) -> int:
        return len(self.people)

    def add(
        self, embeddings: np.ndarray, people: Iterable, sources: Iterable | None = None
    ) -> None:
        """Enrol unit embeddings (N, D) of people (N,) and, if given, of their photos (N,)."""
        embeddings, people = self._checked(embeddings), list(people)
        sources = [""] * len(embeddings) if sources is None else list(map(str, sources))
        if not len(embeddings) == len(people) == len(sources):
            raise ValueError(
                f"{len(embeddings)} embeddings, {len(people)} people and {len(sources)} photos "
                "don't go together."
            )
        ids = np.arange(self._next_id, self._next_id + len(people))
        self.embeddings = np.concatenate([self.embeddings, embeddings])
        self.people, self.sources = self.people + people, self.sources + sources
        self._ids, self._next_id = np.concatenate([self._ids, ids]), self._next_id + len(people)
        if self._index is not None:
            self._index.add_with_ids(embeddings, ids)

    def enrol(
        self,
        encoder: torch.nn.Module,
        faces: torch.Tensor,
        people: Iterable,
        sources: Iterable | None = None,
        batch_size: int = 64,
        **options: object,
    ) -> None:
        """Embed aligned faces (N, 3, 112, 112) and add them; options go to `embed`."""
        self.check_encoder(encoder)
        parts = [embed(encoder, faces[:0], **options)]
        with progress_bar(total=len(faces), desc="gallery", unit="photo") as bar:
            for start in range(0, len(faces), batch_size):
                parts.append(embed(encoder, faces[start : start + batch_size], **options))
                bar.update(len(parts[-1]))
        self.add(np.concatenate(parts), people, sources)

    def check_encoder(self, encoder: torch.nn.Module) -> None:
        """Refuse an encoder that did not make this gallery; an empty one takes any."""
        encoder_id = weights_id(encoder)
        if len(self) and self.encoder_id != encoder_id:
            raise ValueError(
                f"This gallery was made by another encoder ({self.encoder_id or 'unknown'}, not "
                f"{encoder_id}): their embeddings can't be compared. Enrol the photos anew."
            )
        self.encoder_id = encoder_id

    def remove(self, person: object) -> int:
        """Forget all photos of a person; returns how many they were."""
        others = np.array([name != person for name in self.people], bool)
        if others.all():
            raise ValueError(
                f"There is nobody called '{person}' in this gallery, so nothing was removed."
            )
        self.keep(others)
        return int((~others).sum())

    def keep(self, chosen: Sequence[bool]) -> None:
        """Forget every photo but the chosen ones, booleans (N,)."""
        chosen = np.asarray(chosen, bool)
        if self.kind == "hnsw":  # faiss can't take photos out of a graph: it is built anew
            self._index = None
        elif self._index is not None:
            self._index.remove_ids(self._ids[~chosen])
        self.embeddings, self._ids = self.embeddings[chosen], self._ids[chosen]
        self.people = [name for name, stays in zip(self.people, chosen) if stays]
        self.sources = [source for source, stays in zip(self.sources, chosen) if stays]

    def search(self, embeddings: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The k most similar photos of each query (M, D): cosines and rows, each (M, k)."""
        if not len(self):
            raise ValueError("The gallery is empty: enrol at least one photo that shows a face.")
        k = gates.count(k, f"number of neighbours in a gallery of {len(self)} photos", len(self))
        if self._index is None:
            self._index = new_index(self.kind, self.embeddings, self._ids)
        queries = self._checked(embeddings)
        similarity, ids = self._index.search(queries, k)
        short = (ids < 0).any(1)  # a graph or a few cells may hold fewer than k: ask all photos
        if short.any():
            exact = new_index("flat", self.embeddings, self._ids)
            similarity[short], ids[short] = exact.search(queries[short], k)
        return similarity, np.searchsorted(self._ids, ids)

    def identify(self, embeddings: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Whose face is each query (M, D)?

        Returns:
            Names (M,), None where no photo is more similar than the threshold, and cosines (M,).
        """
        gates.cosines(threshold)
        similarity, rows = (column[:, 0] for column in self.search(embeddings, 1))
        names = np.where(similarity > threshold, self.people_of(rows).astype(object), None)
        return names, similarity

    def people_of(self, rows: np.ndarray) -> np.ndarray:
        """The people of row numbers, in the same shape."""
        return np.asarray(self.people)[rows]

    def precision_at(self, k: int, embeddings: np.ndarray, people: Sequence) -> np.ndarray:
        """Share of the k nearest photos of each query (M, D) that show its person (M,): (M,)."""
        self._know(people)
        found = self.people_of(self.search(embeddings, k)[1]).astype(str)
        return (found == np.asarray(people).astype(str)[:, None]).mean(1)

    def precision_by_chance(self, people: Sequence) -> float:
        """The mean precision of a random order, over queries of these people (M,)."""
        self._know(people)
        enrolled, asked = np.array(self.people).astype(str), np.asarray(people).astype(str)
        return float((enrolled == asked[:, None]).mean())

    def _know(self, people):
        missing = sorted(set(map(str, people)) - set(map(str, self.people)))
        if missing:
            raise ValueError(
                f"{len(missing)} of the people asked for have no photo in the gallery, such as "
                f"'{missing[0]}': their precision would be 0 whatever the encoder does. Enrol "
                "them, or leave them out."
            )

    def _checked(self, embeddings):
        embeddings = gates.numbers_in(embeddings, "embeddings")
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"This gallery holds embeddings of {self.embeddings.shape[1]} numbers; these have "
                f"shape {embeddings.shape}. Embed the photos with the encoder that made it."
            )
        return gates.unit_embeddings(embeddings)

    def save(self, path: str | Path) -> None:
        """Write everything but the index into one safetensors file, whole or not at all.

        People are kept as text.
        """
        labels = {
            "people": list(map(str, self.people)),
            "sources": self.sources,
            "faceless": self.faceless,
        }
        tensors = {
            "embeddings": self.embeddings,
            "labels": np.frombuffer(json.dumps(labels).encode(), np.uint8),
        }
        about = {"kind": self.kind, "encoder_id": self.encoder_id}
        write_atomically(path, lambda part: save_file(tensors, part, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> "Gallery":
        """Read a gallery that `save` wrote, of this version or an older one.

        Its index is built anew: faiss's own files can't be read safely from strangers.
        """
        try:
            with safe_open(path, "np") as file:
                about, embeddings = file.metadata(), file.get_tensor("embeddings")
                labels = json.loads(file.get_tensor("labels").tobytes())
            encoder_id = about["encoder_id"] if "encoder_id" in about else about["maker"]
            gallery = cls(embeddings.shape[1], about["kind"], encoder_id)
            gallery.add(embeddings, labels["people"], labels["sources"])
            gallery.faceless = list(labels.get("faceless", []))
        except (SafetensorError, ValueError, KeyError, TypeError, IndexError):
            raise ValueError(
                f"{path} is no gallery, or it is cut short; enrol the photos again."
            ) from None
        return gallery


def name_or_unknown(name: object) -> str:
    """A name as it is shown: "unknown" for None; quotes around a person who is called so."""
    if name is None:
        return "unknown"
    return f'"{name}"' if str(name).lower() == "unknown" else str(name)
