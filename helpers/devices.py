"""What a training asks of its device: precision, processes, rows of data, and random numbers."""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

# before a process group exists, since its default arguments keep what they find
import torch.distributed.nn.functional  # noqa: F401
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState


def new_accelerator(device: torch.device, precision: str, **options: object) -> Accelerator:
    """Accelerate on the model's own device.

    Otherwise it would choose a device once, for all trainings of a process.

    Args:
        device: the model's.
        precision: "bf16", "fp16" or "no" (float32).
        options: of DistributedDataParallel.
    """
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    if device.type == "cuda" and device.index is not None and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)
    return Accelerator(
        mixed_precision=precision,
        cpu=device.type == "cpu",
        kwargs_handlers=[DistributedDataParallelKwargs(**options)],
    )


def best_precision(device: str) -> str:
    """The fastest precision of a type of device: bf16 where the hardware multiplies in it.

    Elsewhere fp16 on a GPU, and "no" (float32) on a CPU, where emulated bf16 is ten times slower.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
        or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    )
    return "bf16" if device == "cpu" and fast else "no"


def take(source: object, index: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Rows of a tensor or array, in pinned memory where a GPU will copy them while it works."""
    rows = torch.as_tensor(source[index if torch.is_tensor(source) else index.numpy()])
    return rows.pin_memory() if device.type == "cuda" and rows.device.type == "cpu" else rows


def move(rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Rows that `take` took, on the device.

    Never non_blocking from memory that is not pinned: on Apple's GPUs that hands over garbage.
    """
    return rows.to(device, non_blocking=device.type == "cuda")


def ahead(work: Callable, items: Iterable) -> Iterator:
    """work(item) of each item in order; while one is used, a thread works on the next."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for item in items:
            ready, coming = coming, pool.submit(work, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


def seed_all(*numbers: int) -> None:
    """Seed Python, numpy and torch by all these numbers: seed, epoch, step and process."""
    words = np.random.SeedSequence(numbers).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(words.view(np.uint32)[:2])  # noqa: NPY002  libraries draw from it
    torch.manual_seed(int(words[1]))
