"""What a training asks of its device: precision, processes, rows of data, and random numbers."""

import os
import random
import time
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


def asked_precision(wanted: str, device: str) -> str:
    """The setting `precision`, other than auto, as accelerate calls it: "bf16", "fp16" or "no".

    tf32 stays in float32 but lets the GPU round what it multiplies to 10 bits.

    Raises:
        ValueError: this type of device has no such precision.
    """
    if wanted in ("fp16", "tf32") and device != "cuda":
        raise ValueError(
            f"FACES_PRECISION is '{wanted}', which needs a CUDA GPU, but the network is on "
            f"'{device}': leave it at auto."
        )
    if wanted in ("tf32", "float32") and device == "cuda":
        torch.set_float32_matmul_precision("high" if wanted == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = wanted == "tf32"
    return wanted if wanted in ("bf16", "fp16") else "no"


def take(source: object, index: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Rows of a tensor or array, in pinned memory where a GPU will copy them while it works."""
    if torch.is_tensor(source):  # copies whole rows: ten times as fast as source[index]
        rows = source.index_select(0, index.to(source.device))
    else:
        rows = torch.as_tensor(source[index.numpy()])
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


class Waits:
    """How long a device had nothing to compute since its next batch was not there yet.

    A GPU works behind the program, so it is asked itself: two events in its queue, after the last
    kernel of a step and before the first of the next one. What lies between them is waiting.
    """

    def __init__(self, device: torch.device):
        self.on_gpu, self.marks = device.type == "cuda", []

    def over(self, batches: Iterable) -> Iterator:
        """The batches, each with a mark before and after it."""
        batches, end = iter(batches), object()
        while True:
            before = self._mark()
            if (batch := next(batches, end)) is end:
                return
            self.marks.append((before, self._mark()))
            yield batch

    def seconds(self) -> float:
        """The sum over all batches."""
        if not self.on_gpu:
            return sum(after - before for before, after in self.marks)
        torch.cuda.synchronize()
        return sum(before.elapsed_time(after) for before, after in self.marks) / 1000

    def _mark(self):
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def seed_all(*numbers: int) -> None:
    """Seed Python, numpy and torch by all these numbers: seed, epoch, step and process."""
    words = np.random.SeedSequence(numbers).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(words.view(np.uint32)[:2])  # noqa: NPY002  libraries draw from it
    if torch.accelerator.is_available():
        torch.manual_seed(int(words[1]))
    else:  # or each call would note its whole stack for a GPU that is not there: a millisecond
        torch.default_generator.manual_seed(int(words[1]))
