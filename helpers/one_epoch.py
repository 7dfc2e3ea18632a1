"""One epoch of a training: for every batch forward, backward, and a step down the gradient."""

import math
import time
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .devices import Waits, ahead, move, seed_all, take
from .runs import Run
from .training_plan import Plan


class Step(nn.Module):
    """Model and loss as one module, so that several processes share the gradients of both.

    compiled: whether torch.compile makes the model's kernels.
    """

    def __init__(self, parts: nn.ModuleDict, compiled: bool = False):
        super().__init__()
        self.parts = parts
        model = parts["model"]
        # a method, for as a module the model would be here twice
        self.outputs = torch.compile(model.forward) if compiled else model.__call__

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, dict]:
        return self.parts["loss"](self.outputs(images), targets)


@dataclass
class Training:
    """What every epoch of a training works with.

    Args:
        run: the Run, for its folder and the time that it took so far.
        plan: the Plan.
        parts: the model and the loss.
        step: the Step, as accelerate prepared it.
        optimiser, scheduler: their states are changed.
        accelerator: of accelerate.
        images, targets: all photos, uint8 (N, 3, H, W), and what to learn of them (N, ...).
        bar: a progress bar.
    """

    run: Run
    plan: Plan
    parts: nn.ModuleDict
    step: nn.Module
    optimiser: Optimizer
    scheduler: LRScheduler
    accelerator: Accelerator
    images: torch.Tensor
    targets: torch.Tensor
    bar: tqdm


def one_epoch(training: Training, epoch: int) -> tuple[dict, float]:
    """Train on every batch once.

    Args:
        training: the Training.
        epoch: its number, from 0.

    Returns:
        A row of the curves, means over all photos and processes, and the seconds that it took.
    """
    plan, run, accelerator = training.plan, training.run, training.accelerator
    started, sums, seen, value = time.perf_counter(), {}, 0, torch.zeros(())
    training.parts.train()
    if plan.freezer is not None:
        plan.freezer(training.parts["model"], epoch)
    batches = plan.batches(epoch, plan.seed)
    waits = Waits(accelerator.device)
    for step, rows in enumerate(waits.over(_on_device(training, batches))):
        seed_all(plan.seed, epoch, step, accelerator.process_index)
        if rows is not None:
            # checked one step late, so that a GPU need not be waited for
            stop_unless_finite(value, run, epoch, plan.lr)
            value, logs = _learn(training, *rows, size=len(batches[0]))
            photos = len(rows[1])
            for key, number in {"loss": value.detach(), **logs}.items():
                sums[key] = sums.get(key, 0) + number * photos
            seen += photos
        so_far = run.seconds + time.perf_counter() - started
        _step_schedule(training, len(batches), so_far)
        training.bar.update()
    if not seen:
        world = accelerator.num_processes
        raise ValueError(
            f"No batch has two photos for each of {world} processes: take a batch size of "
            f"{2 * world} or more."
        )
    for tensor in (value, *training.parts.state_dict().values()):
        stop_unless_finite(tensor, run, epoch, plan.lr)
    waited, seconds = waits.seconds(), time.perf_counter() - started
    return _row(epoch, sums, seen, seconds, waited, training.optimiser, accelerator)


def _on_device(training, batches):
    """This process's photos and targets of each batch on its device, or None, one batch ahead."""
    sources = training.images, training.targets
    load = partial(_share, sources=sources, accelerator=training.accelerator)
    for rows in ahead(load, batches):
        yield rows and [move(part, training.accelerator.device) for part in rows]


def _share(index, sources, accelerator):
    """This process's rows of a batch, taken from each source; None if there are too few for all."""
    world = accelerator.num_processes
    if len(index) < 2 * world:  # one photo is too few for batch normalisation
        return None
    # in one piece, so that a person's K photos stay together
    index = index.tensor_split(world)[accelerator.process_index]
    return [take(source, index, accelerator.device) for source in sources]


def _learn(training, images, targets, size):
    """Augment a batch and go one step down the gradient; the loss before it, and what it tells."""
    plan, accelerator, optimiser = training.plan, training.accelerator, training.optimiser
    if plan.augment is not None:
        with torch.no_grad():
            images, targets = plan.augment(images, targets)
    try:
        value, logs = training.step(images, targets)
        optimiser.zero_grad()
        accelerator.backward(value)
    except torch.OutOfMemoryError:
        raise RuntimeError(
            f"The GPU's memory is too small for batches of {size} photos: try {max(2, size // 2)} "
            "(a run of its own, from the start) or a smaller encoder. The setting is "
            "FACES_BATCH_SIZE in notebook 2, batch_size by command, P and K where people are drawn."
        ) from None
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise RuntimeError(
            f"FACES_COMPILE is on, but torch.compile can't translate this network here "
            f"({type(error).__name__}). On a CPU it needs a C++ compiler (Debian: apt install "
            "g++), on a GPU Triton; without FACES_COMPILE everything works as well."
        ) from None
    accelerator.clip_grad_norm_(training.parts.parameters(), plan.clip)
    optimiser.step()
    return value, logs


def _row(epoch, sums, seen, seconds, waited, optimiser, accelerator):
    """The means over the photos of all processes, and the seconds of one process.

    `waiting` is the share of the time that a device waited for its next batch.
    """
    world = accelerator.num_processes
    means = [float(number) for number in sums.values()]
    totals = torch.tensor([*means, seen, seconds, waited], device=accelerator.device)
    *values, seen, seconds, waited = accelerator.reduce(totals).tolist()
    row = {"epoch": epoch + 1} | {key: value / seen for key, value in zip(sums, values)}
    row |= {"lr": optimiser.param_groups[0]["lr"], "photos_per_second": seen * world / seconds}
    row["waiting"] = waited / seconds
    return row, seconds / world


def _step_schedule(training, steps, seconds):
    """One step of the schedule; more where `hours` will end the training before its epochs do.

    So it ends annealed.
    """
    plan, scheduler, accelerator = training.plan, training.scheduler, training.accelerator
    total, due = plan.epochs * steps, scheduler.last_epoch + 1
    if plan.hours is not None:
        if accelerator.num_processes > 1:  # by the first one's clock, or their rates would differ
            seconds = float(broadcast(torch.tensor([seconds], device=accelerator.device)))
        due = min(total, max(due, math.ceil(total * seconds / (plan.hours * 3600))))
    while scheduler.last_epoch < due:
        scheduler.step()


def stop_unless_finite(tensor: torch.Tensor, run: Run, epoch: int, lr: float) -> None:
    """Raise a ValueError that says what to do if a loss or a weight is infinite or not a number."""
    if torch.isfinite(tensor).all():
        return
    kept = "No epoch was finished."
    if epoch:
        kept = f"The last good checkpoint, after epoch {epoch}, stays in {run.folder}."
    raise ValueError(
        f"The loss or a weight is not a finite number any more, in epoch {epoch + 1}: the training "
        f"stops. {kept} Try a smaller lr (it was {lr:g}), and look at the loss and the photos that "
        "it is given."
    )
