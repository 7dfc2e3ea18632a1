"""Known faces: embeddings with their people, in a faiss index and in one file on disk."""
import json
import sys

import faiss
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .files import write_atomically

if sys.platform == "darwin":
    faiss.omp_set_num_threads(1)  # torch and faiss each bring an OpenMP there, and two of them crash


class Gallery:
    """Unit embeddings (N, D) with the name of a person and of a photo for each.

    Search is exact: inner products of unit vectors are cosines (faiss IndexFlatIP).
    """

    def __init__(self, dim):
        self.index = faiss.IndexFlatIP(dim)
        self.people, self.sources = [], []

    def __len__(self):
        return len(self.people)

    def add(self, embeddings, people, sources=None):
        """Enrol embeddings (N, D) with their people (N,) and, if given, the photos they came from (N,)."""
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.index.d:
            raise ValueError(f"This gallery holds embeddings of {self.index.d} numbers; these have shape "
                             f"{embeddings.shape}. Embed the photos with the encoder that made the gallery.")
        self.index.add(embeddings)
        self.people += list(people)
        self.sources += [""] * len(embeddings) if sources is None else [str(source) for source in sources]

    def search(self, embeddings, k=5):
        """The k most similar photos of each query (M, D): similarities (M, k) and row numbers (M, k), best first."""
        if k > len(self):
            raise ValueError(f"The gallery holds {len(self)} photos, so {k} neighbours can't be had; ask for fewer.")
        return self.index.search(np.ascontiguousarray(embeddings, np.float32), k)

    def people_of(self, rows):
        """The people of row numbers, in the same shape."""
        return np.asarray(self.people)[rows]

    def save(self, path):
        """Write everything into one safetensors file, whole or not at all."""
        embeddings = np.asarray(self.index.reconstruct_n(0, len(self)), np.float32).reshape(len(self), self.index.d)
        labels = {"people": json.dumps([str(p) for p in self.people]), "sources": json.dumps(self.sources)}
        write_atomically(path, lambda part: save_file({"embeddings": embeddings}, part, metadata=labels))

    @classmethod
    def load(cls, path):
        """Read a gallery that `save` wrote; people come back as text."""
        try:
            with safe_open(path, "np") as file:
                embeddings, labels = file.get_tensor("embeddings"), file.metadata()
        except SafetensorError:
            raise ValueError(f"{path} is no gallery, or it is cut short; enrol the photos again.") from None
        gallery = cls(embeddings.shape[1])
        gallery.add(embeddings, json.loads(labels["people"]), json.loads(labels["sources"]))
        return gallery
