"""All faces of a set in one array on disk: thousands of small files are slow to open each time."""

from pathlib import Path

import numpy as np
import torch

from .face_set import FaceSet
from .progress import progress_bar


class FaceArray:
    """Some rows of an array too large to copy: indexing reads just those faces, as uint8."""

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self.array, self.rows = array, np.asarray(rows, int)
        self.shape = (len(self.rows), *array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray | torch.Tensor) -> torch.Tensor:
        rows = self.rows[np.asarray(index) if torch.is_tensor(index) else index]
        return torch.from_numpy(np.asarray(np.take(self.array, rows, axis=0)))


def write_array(path: Path, faces: FaceSet) -> None:
    """Write the photos of a FaceSet, all of one size, as uint8 (N, 3, H, W) in numpy's format."""
    about = {"descr": "|u1", "fortran_order": False, "shape": (len(faces), *faces.photo(0).shape)}
    # written, not memory-mapped: there, a full disk would kill the process without a word
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for i in progress_bar(
            range(len(faces)), desc="collecting faces", disable=len(faces) < 5000
        ):
            file.write(faces.photo(i).numpy().tobytes())
