"""Embedding distillation: a student learns to put each photo where a teacher, or several, puts it.

    python -m helpers.teachers sface --out sface.safetensors
    python -m helpers.train loss=distillation teacher=sface.safetensors ...
    python -m helpers.train loss=distillation teacher=[sface.safetensors,net.onnx:imagenet] ...

The first command embeds every photo of the training split once. The dataset and the split are
those of FACES_DATASET and FACES_SPLIT. Distillation: Hinton et al. 2015,
https://arxiv.org/abs/1503.02531; that it takes patience: Beyer et al. 2022,
https://arxiv.org/abs/2106.05237.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .aligned_data import RecognitionData, recognition_data
from .encoders import embed
from .files import write_atomically
from .model_files import load_encoder
from .progress import progress_bar
from .setting_flags import add_flags, settings_of

CHUNK = 1024  # photos between two writes


def teacher_embeddings(
    teachers: list[str], data: RecognitionData, dim: int, device: torch.device
) -> torch.Tensor:
    """What a student of `dim` outputs should answer for each photo of data.train.

    Args:
        teachers: encoders as `load_encoder` takes them, or files that this module wrote.
        data: its train photos, N of them, are embedded.
        dim: numbers in the student's embedding, at most those of all teachers together.
        device: where the teachers run.

    Returns:
        Unit rows, float32 (N, dim).
    """
    return torch.from_numpy(join([_of_one(teacher, data, device) for teacher in teachers], dim))


def join(parts: list[np.ndarray], dim: int) -> np.ndarray:
    """Several teachers' unit embeddings (N, D_k) of the same photos as one (N, dim).

    Laid end to end, their cosines are the mean of the teachers' cosines. If that is more than dim
    numbers, only the dim directions that hold most of it stay, turned so that they agree best with
    the first teacher (orthogonal Procrustes, Schönemann 1966), whose weights a student may start
    from.

    Raises:
        ValueError: the teachers together give fewer than dim numbers.
    """
    joined = np.concatenate(parts, axis=1) / len(parts) ** 0.5
    if joined.shape[1] < dim:
        raise ValueError(
            f"The teachers say {joined.shape[1]} numbers about each photo; an embedding of {dim} "
            f"asks for more: set embedding={joined.shape[1]}."
        )
    if joined.shape[1] == dim:
        return joined.astype(np.float32)
    _, axes = np.linalg.eigh(joined.T @ joined)  # ascending
    reduced = joined @ axes[:, -dim:]
    if parts[0].shape[1] == dim:
        left, _, right = np.linalg.svd(reduced.T @ parts[0])
        reduced = reduced @ (left @ right)
    return (reduced / np.linalg.norm(reduced, axis=1, keepdims=True)).astype(np.float32)


def _of_one(teacher, data, device):
    if is_targets(teacher):
        return load_targets(teacher, data.train_keys, checksums(data.train))
    return embed(load_encoder(teacher, device), data.train)


def checksums(faces: np.ndarray) -> np.ndarray:
    """A number for each aligned face (N, 3, H, W) that changes with its pixels: uint32 (N,)."""
    return np.array(
        [zlib.crc32(np.ascontiguousarray(faces[[i]])) for i in range(len(faces))], np.uint32
    )


def is_targets(path: str) -> bool:
    """Whether this is a file of embeddings, and not of weights."""
    try:
        with safe_open(path, "np") as file:
            return "checksums" in file.keys()
    except (OSError, SafetensorError):
        return False


def load_targets(path: str, keys: list[str], sums: np.ndarray) -> np.ndarray:
    """The embeddings of these photos from a file.

    Args:
        keys: names of N photos.
        sums: their `checksums`.

    Returns:
        float32 (N, D).

    Raises:
        ValueError: the file lacks some of them, or was made from other pixels.
    """
    known = _read(path)
    missing = [key for key in keys if key not in known]
    changed = [key for key, number in zip(keys, sums) if key in known and known[key][0] != number]
    if missing or changed:
        raise ValueError(
            f"{path} was made for other faces: of {len(keys)} photos {len(missing)} are missing in "
            f"it and {len(changed)} have changed, such as {(missing + changed)[0]}. Give the "
            "command that wrote it again; it embeds only those."
        )
    return np.stack([known[key][1] for key in keys]).astype(np.float32)


def _read(path):
    """{photo: (checksum, embedding)} of a file of targets; empty if there is none yet."""
    if not Path(path).exists():
        return {}
    with safe_open(path, "np") as file:
        keys = json.loads(file.get_tensor("keys").tobytes())
        return dict(zip(keys, zip(file.get_tensor("checksums"), file.get_tensor("embeddings"))))


def _write(path, known, teacher):
    tensors = {
        "keys": np.frombuffer(json.dumps(list(known)).encode(), np.uint8),
        "checksums": np.array([number for number, _ in known.values()], np.uint32),
        "embeddings": np.stack([embedding for _, embedding in known.values()]).astype(np.float16),
    }
    write_atomically(path, lambda part: save_file(tensors, part, metadata={"teacher": teacher}))


def main(arguments: list[str] | None = None) -> None:
    """Write a teacher's embeddings of the training photos; those in the file are not redone."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.teachers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "teacher", help="an encoder.safetensors, a file.onnx, sface, dlib or facenet"
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="a .safetensors file; goes on where it was stopped"
    )
    add_flags(parser, "dataset", "split", "hourglass", "device")
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    data, encoder = recognition_data(settings), load_encoder(options.teacher, settings.torch_device)
    sums, known = checksums(data.train), _read(options.out)
    todo = [
        i for i, key in enumerate(data.train_keys) if key not in known or known[key][0] != sums[i]
    ]
    for start in progress_bar(range(0, len(todo), CHUNK), desc=options.teacher, unit="chunk"):
        rows = todo[start : start + CHUNK]
        for i, embedding in zip(rows, embed(encoder, data.train[np.array(rows)])):
            known[data.train_keys[i]] = sums[i], embedding
        _write(options.out, known, options.teacher)
    print(f"{options.out}: {len(known)} photos, {len(todo)} of them new")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(str(error))
