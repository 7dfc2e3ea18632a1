"""What is refused: embeddings not finite or not of unit length, shares out of range."""

import math
import operator

import numpy as np
import torch


def numbers_in(values: object, name: str) -> np.ndarray:
    """Values as an array of real numbers; else a ValueError says what they are."""
    if torch.is_tensor(values):  # numpy has no bfloat16, and takes none that wait for a gradient
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"The {name} must be numbers in rows of one length.") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"The {name} must be real numbers; these are of the type {array.dtype}.")
    return array


def unit_embeddings(embeddings: np.ndarray, name: str = "embeddings") -> np.ndarray:
    """The embeddings (N, D), if finite and of unit length; else a ValueError names a bad row."""
    embeddings = numbers_in(embeddings, name)
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
    if labels.dtype.kind == "O" and any(label is None or label != label for label in labels):
        raise ValueError(f"The labels of {name} must be numbers or names of people; some are None.")
    return labels


def count(value: int, name: str, most: int | None = None) -> int:
    """A whole number from 1 to `most`; else a ValueError."""
    try:
        whole = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = 0
    if whole < 1 or most is not None and whole > most:
        end = "" if most is None else f" up to {most}"
        raise ValueError(f"The {name} must be a whole number from 1{end}; this is {value!r}.")
    return whole


def check_range(low: float, high: float = math.inf, **numbers: float) -> None:
    """Refuse numbers that are not finite or not between low and high, both included."""
    for name, number in numbers.items():
        finite = np.asarray(number).dtype.kind in "iuf" and math.isfinite(number)
        if not (finite and low <= number <= high):
            limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            raise ValueError(f"{name} must be a number {limit}, but it is {number!r}.")


def share(value: float | np.ndarray, name: str = "FPR", above_zero: bool = False) -> np.ndarray:
    """A share from 0 to 1 (above_zero: not 0), or an array of them; else a ValueError."""
    if np.asarray(value).dtype.kind not in "biuf":
        raise ValueError(f"The {name} must be a number, such as 0.01; this is {value!r:.80}.")
    value = np.asarray(value, float)
    if not ((value > 0 if above_zero else value >= 0) & (value <= 1)).all():
        raise ValueError(
            f"The {name} is a share, {'above 0 and at most' if above_zero else 'from 0 to'} 1, "
            f"such as 0.01; this is {str(value) if value.ndim else f'{value:g}'}."
        )
    return value


def cosines(similarity: float | np.ndarray) -> np.ndarray:
    """Cosines of any shape as float64, if all are finite and from -1 to 1; else a ValueError."""
    similarity = numbers_in(similarity, "cosine similarities").astype(float)
    wrong = ~(np.abs(similarity) <= 1 + 1e-3)
    if wrong.any() and not similarity.ndim:
        raise ValueError(f"A cosine similarity lies between -1 and 1; this is {similarity:g}.")
    if wrong.any():
        raise ValueError(
            f"A cosine similarity lies between -1 and 1; {wrong.sum()} of {similarity.size} do "
            f"not, such as {similarity[wrong][0]:g}: the embeddings are not of unit length, or not "
            "finite."
        )
    return similarity
