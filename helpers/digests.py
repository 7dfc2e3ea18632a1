"""A few letters that stand for texts, arrays and whole datasets."""

import hashlib

import numpy as np
import torch

PIECE = 512  # photos hashed at a time: a memory-mapped array is never in memory as a whole


def digest(*values: object) -> str:
    """Twelve letters that stand for texts, bytes, arrays and tensors, with their shapes and types.

    >>> digest("a", "b") == digest("a", "c"), len(digest(torch.zeros(3)))
    (False, 12)
    """
    state = hashlib.blake2b(digest_size=6)
    for value in values:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.array(value))
        if torch.is_tensor(value):
            state.update(f"{value.dtype} {tuple(value.shape)}".encode())
            value = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        state.update(value.encode(errors="surrogatepass") if isinstance(value, str) else value)
    return state.hexdigest()


def data_digest(source: object) -> str:
    """The digest of a whole tensor or array (N, ...), perhaps memory-mapped: read in pieces."""
    return digest(
        *(digest(source[start : start + PIECE]) for start in range(0, len(source), PIECE))
    )
