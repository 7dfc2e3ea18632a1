"""One epoch of a training: for every batch forward, backward, and a step down the gradient."""

import math
import time
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


def one_epoch(
    epoch: int,
    step_module: nn.Module,
    parts: nn.ModuleDict,
    optimiser: Optimizer,
    scheduler: LRScheduler,
    images: torch.Tensor,
    targets: torch.Tensor,
    plan: Plan,
    accelerator: Accelerator,
    bar: tqdm,
    run: Run,
) -> tuple[dict, float]:
    """Train on every batch once.

    Args:
        epoch: its number, from 0.
        step_module: the Step, as accelerate prepared it.
        parts: the model and the loss.
        optimiser, scheduler: their states are changed.
        images, targets: all photos, uint8 (N, 3, H, W), and what to learn of them (N, ...).
        plan: the Plan.
        accelerator: of accelerate.
        bar: a progress bar.
        run: the Run, for the time that it took so far.

    Returns:
        A row of the curves, means over all photos and processes, and the seconds that it took.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    started, sums, seen, value = time.perf_counter(), {}, 0, torch.zeros(())
    parts.train()
    if plan.freezer is not None:
        plan.freezer(parts["model"], epoch)
    batches = plan.batches(epoch, plan.seed)
    load = partial(_share, sources=(images, targets), accelerator=accelerator)
    on_device = (
        rows and [move(part, accelerator.device) for part in rows] for rows in ahead(load, batches)
    )
    waits = Waits(accelerator.device)
    for step, rows in enumerate(waits.over(on_device)):
        seed_all(plan.seed, epoch, step, rank)
        if rows is not None:
            batch, goal = rows
            photos = len(goal)
            if plan.augment is not None:
                with torch.no_grad():
                    batch, goal = plan.augment(batch, goal)
            # checked one step late, so that a GPU need not be waited for
            stop_unless_finite(value, run, epoch, plan.lr)
            value, logs = _learn(
                step_module, batch, goal, optimiser, accelerator, len(batches[0]), parts, plan.clip
            )
            for key, number in {"loss": value.detach(), **logs}.items():
                sums[key] = sums.get(key, 0) + number * photos
            seen += photos
        so_far = run.seconds + time.perf_counter() - started
        _step_schedule(scheduler, plan, len(batches), so_far, accelerator)
        bar.update()
    if not seen:
        raise ValueError(
            f"No batch has two photos for each of {world} processes: take a batch size of "
            f"{2 * world} or more."
        )
    for tensor in (value, *parts.state_dict().values()):
        stop_unless_finite(tensor, run, epoch, plan.lr)
    waited, seconds = waits.seconds(), time.perf_counter() - started
    return _row(epoch, sums, seen, seconds, waited, optimiser, accelerator)


def _share(index, sources, accelerator):
    """This process's rows of a batch, taken from each source; None if there are too few for all."""
    world = accelerator.num_processes
    if len(index) < 2 * world:  # one photo is too few for batch normalisation
        return None
    # in one piece, so that a person's K photos stay together
    index = index.tensor_split(world)[accelerator.process_index]
    return [take(source, index, accelerator.device) for source in sources]


def _learn(step_module, batch, goal, optimiser, accelerator, size, parts, clip):
    """One step down the gradient; the loss before it, and what else the loss tells."""
    try:
        value, logs = step_module(batch, goal)
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
    accelerator.clip_grad_norm_(parts.parameters(), clip)
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


def _step_schedule(scheduler, plan, steps, seconds, accelerator):
    """One step of the schedule; more where `hours` will end the training before its epochs do.

    So it ends annealed.
    """
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
