"""The nearest of many embeddings: faiss's indexes by their factory strings, torch without faiss.

https://github.com/facebookresearch/faiss/wiki/The-index-factory
"""

import sys

import numpy as np
import torch

try:
    import faiss
except ImportError:  # no wheel for this machine: torch searches, exactly
    faiss = None
if faiss and sys.platform == "darwin":
    # There torch and faiss each bring an OpenMP, and two of them crash.
    faiss.omp_set_num_threads(1)


def new_index(
    kind: str, embeddings: np.ndarray, ids: np.ndarray | None = None
) -> "faiss.Index | TorchIndex":
    """A faiss index over unit embeddings (N, D) with `search(queries (M, D), k)`.

    Its search returns cosines and ids, each (M, k), best first. Cells keep an id for each photo
    by themselves; the other kinds are given a table of them, an IndexIDMap2.

    Args:
        ids: a number for each embedding, int64 (N,); None counts from 0.
    """
    ids = np.arange(len(embeddings)) if ids is None else ids
    dim, cells = embeddings.shape[1], int(4 * len(embeddings) ** 0.5)
    if faiss is None:
        index = TorchIndex(dim)
    elif kind == "hnsw":
        index = faiss.index_factory(dim, "IDMap2,HNSW32", faiss.METRIC_INNER_PRODUCT)
        faiss.ParameterSpace().set_index_parameters(index, "efConstruction=80,efSearch=256")
    elif kind == "ivf" and len(embeddings) >= 40 * cells:  # faiss wants 39 photos for each cell
        index = faiss.index_factory(dim, f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(8, cells // 32)
        index.train(embeddings)
    else:
        index = faiss.index_factory(dim, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
    index.add_with_ids(embeddings, ids)
    return index


class TorchIndex:
    """Exact search by torch, for machines without faiss."""

    def __init__(self, dim: int):
        self.embeddings, self.ids = torch.zeros(0, dim), torch.zeros(0, dtype=torch.long)

    def add_with_ids(self, embeddings: np.ndarray, ids: np.ndarray) -> None:
        """Put more below."""
        self.embeddings = torch.cat([self.embeddings, torch.from_numpy(embeddings)])
        self.ids = torch.cat([self.ids, torch.from_numpy(ids)])

    def remove_ids(self, ids: np.ndarray) -> None:
        """Take these out."""
        stays = ~torch.isin(self.ids, torch.from_numpy(ids))
        self.embeddings, self.ids = self.embeddings[stays], self.ids[stays]

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and ids, each (M, k), best first."""
        parts = torch.from_numpy(queries).split(256)
        found = [(part @ self.embeddings.T).topk(k) for part in parts]
        similarity, rows = (torch.cat(columns) for columns in zip(*found))
        return similarity.numpy(), self.ids[rows].numpy()
