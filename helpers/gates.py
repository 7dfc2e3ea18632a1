"""What is refused: embeddings not finite or not of unit length, shares out of range."""

import numpy as np


def unit_embeddings(embeddings: np.ndarray, name: str = "embeddings") -> np.ndarray:
    """The embeddings (N, D), if finite and of unit length; else a ValueError names a bad row."""
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2:
        raise ValueError(
            f"The {name} must have the shape (N, D), one row for each photo; these have "
            f"{embeddings.shape}."
        )
    length = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(length - 1) < 1e-3))  # not-a-number is never near
    if len(wrong):
        row = wrong[0]
        what = (
            f"has the length {length[row]:.4g}, not 1"
            if np.isfinite(length[row])
            else "holds numbers that are not finite"
        )
        raise ValueError(
            f"{len(wrong)} of {len(embeddings)} {name} can't be compared by cosine: "
            f"row {row} {what}. Take what `embed` returns, or divide each row by its length."
        )
    return embeddings


def labels(labels: np.ndarray, photos: int, name: str = "people") -> np.ndarray:
    """One label for each photo (N,) as an array; else a ValueError."""
    labels = np.asarray(labels)
    if labels.shape != (photos,):
        raise ValueError(
            f"There must be one label for each of {photos} photos; "
            f"{name} has the shape {labels.shape}."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(
            f"The labels of {name} must be numbers or names of people; some are not finite."
        )
    return labels


def share(value: float | np.ndarray, name: str = "FPR", above_zero: bool = False) -> np.ndarray:
    """A share from 0 to 1 (above_zero: not 0), or an array of them; else a ValueError."""
    if np.asarray(value).dtype.kind not in "biuf":
        raise ValueError(f"The {name} must be a number, such as 0.01; this is {value!r}.")
    value = np.asarray(value, float)
    if not ((value > 0 if above_zero else value >= 0) & (value <= 1)).all():
        raise ValueError(
            f"The {name} is a share, {'above 0 and at most' if above_zero else 'from 0 to'} 1, "
            f"such as 0.01; this is {str(value) if value.ndim else f'{value:g}'}."
        )
    return value


def cosines(similarity: float | np.ndarray) -> np.ndarray:
    """Cosines of any shape as float64, if all are finite and from -1 to 1; else a ValueError."""
    similarity = np.asarray(similarity, float)
    wrong = ~(np.abs(similarity) <= 1 + 1e-3)
    if wrong.any():
        raise ValueError(
            f"A cosine similarity lies between -1 and 1; {wrong.sum()} of {similarity.size} do "
            f"not, such as {similarity[wrong][0]:g}: the embeddings are not of unit length, or not "
            "finite."
        )
    return similarity
