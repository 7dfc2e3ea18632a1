"""The one training loop of all notebooks: any model, any loss, one CPU to several GPUs, stopped and resumed at will.

Random numbers are a function of (seed, epoch, step), never of what happened before, so that a run that was
killed and resumed ends with the very same weights as one that was not.
"""
import hashlib
import json
import os
import time
import zlib
from contextlib import nullcontext
from types import SimpleNamespace

import torch
import torch.distributed.nn.functional  # noqa: F401  before a process group exists: its default arguments keep what they find
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import set_seed
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from .batches import shuffled
from .files import alone_in
from .progress import progress_bar
from .runs import Run

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
              "sgd": lambda groups, **kw: torch.optim.SGD(groups, momentum=0.9, nesterov=True, **kw)}

_schedulers = torch.optim.lr_scheduler


def _warmup(optimiser, total):
    """A tenth of all steps up in a straight line, then down along a cosine."""
    up = max(1, total // 10)
    return _schedulers.SequentialLR(optimiser, [_schedulers.LinearLR(optimiser, 0.01, total_iters=up),
                                                _schedulers.CosineAnnealingLR(optimiser, max(1, total - up))], [up])


SCHEDULES = {  # name: (optimiser, lr, total steps, steps in an epoch) -> a torch scheduler, stepped after every batch
    "onecycle": lambda o, lr, total, epoch: _schedulers.OneCycleLR(o, lr, total_steps=max(total + 1, 6), pct_start=0.2),
    "cosine": lambda o, lr, total, epoch: _schedulers.CosineAnnealingLR(o, total),
    "restarts": lambda o, lr, total, epoch: _schedulers.CosineAnnealingWarmRestarts(o, 3 * epoch, eta_min=lr / 10),
    "warmup": lambda o, lr, total, epoch: _warmup(o, total),
    "constant": lambda o, lr, total, epoch: _schedulers.LambdaLR(o, lambda step: 1.0),
}


def fit(model, loss, images, targets, folder, *, epochs, batch_size=32, optimizer="adamw", lr=1e-3,
        weight_decay=0.05, schedule="onecycle", clip=5.0, batches=None, augment=None, evaluate=None, freezer=None,
        best=None, hours=None, keep=None, seed=0, progress=True):
    """Train `model` in place, on the device it is on; return its Run. A finished run is loaded, a stopped one goes on.

    images: uint8 (N, 3, H, W), in memory or memory-mapped; whole batches are indexed and moved as bytes.
    targets: (N, ...): people or points.  loss(model(images), targets) -> scalar, dict of numbers to log.
    folder: the run is kept in `<folder>-<fingerprint>`, where the fingerprint stands for all that shapes the
    result, so that an edited setting starts a run of its own and an old one is never overwritten.
    schedule: onecycle, cosine, restarts, warmup or constant.  batches(epoch, seed) -> list of index tensors; default
    shuffled.  augment(images, targets) -> the same, on the device.  evaluate(model) -> dict, after each epoch.
    freezer(model, epoch): which layers rest, such as a LayerFreezer.  best: a number of `evaluate`; where it was
    highest, the model is kept as best.safetensors too.  hours: after so many hours of training the epoch is the last,
    and the run finished.  keep: {name: text} of files to lay into the run folder, such as the list of people.
    Precision is the fastest that the device has: bf16, fp16 (which resumes nearly, not exactly) or float32.
    TensorBoard finds the curves in the run folder.  A script on several processes ends with
    `accelerate.PartialState().destroy_process_group()`, as helpers/train.py does.
    """
    batches = batches or shuffled(len(images), batch_size)
    for kind, name, known in (("optimizer", optimizer, OPTIMIZERS), ("schedule", schedule, SCHEDULES)):
        if name not in known:
            raise ValueError(f"There is no {kind} '{name}': choose {', '.join(known)}.")
    described = str(getattr(model, "settings", type(model).__name__))
    hyper = dict(model=described, epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr, weight_decay=weight_decay,
                 schedule=schedule, clip=clip, seed=seed, loss=repr(loss), batches=repr(batches), augment=repr(augment))
    hyper |= {key: repr(value) for key, value in (("freezer", freezer), ("best", best), ("hours", hours)) if value is not None}
    run = Run(f"{folder}-{fingerprint(hyper, model, loss, images, targets)}")
    if run.finished:
        run.load_into(model, loss)
        return run
    if epochs < 1 or not batches(0, seed):
        raise ValueError(f"There is nothing to learn: {epochs} epochs, and {len(images)} photos in batches of {batch_size}, of "
                         "which one with a single photo is left out. Take more photos, or a larger batch_size "
                         "(FACES_BATCH_SIZE).")
    before, precision = run.settings.get("precision"), best_precision(next(model.parameters()).device.type)
    if before not in (None, precision):
        print(f"{run.folder} was begun in the precision '{before}' and goes on in '{precision}', the fastest here: its end is "
              "not that of either alone.")
    of_one = batches(0, seed)
    run.settings = hyper | {"precision": precision, "steps_an_epoch": len(of_one), "photos_an_epoch": sum(map(len, of_one))}
    plan = SimpleNamespace(epochs=epochs, optimizer=optimizer, lr=lr, weight_decay=weight_decay, schedule=schedule, clip=clip,
                           batches=batches, augment=augment, evaluate=evaluate, freezer=freezer, best=best, hours=hours,
                           keep=keep or {}, seed=seed, progress=progress)
    _train(run, nn.ModuleDict({"model": model, "loss": loss}), images, targets, plan)
    return run


def _train(run, both, images, targets, plan):
    accelerator = _accelerator(next(both.parameters()).device, find_unused_parameters=plan.freezer is not None)
    with alone_in(run.folder) if accelerator.is_main_process else nullcontext():
        if Run(run.folder).finished:
            raise BlockingIOError(f"Another process has just finished {run.folder}: run this again to load it.")
        _epochs(run, both, images, targets, plan, accelerator)
    both.eval()


def _accelerator(device, **options):
    """Accelerate on the model's own device, which it would otherwise choose once for all trainings of a process."""
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    if device.type == "cuda" and device.index is not None and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)
    return Accelerator(mixed_precision=best_precision(device.type), cpu=device.type == "cpu",
                       kwargs_handlers=[DistributedDataParallelKwargs(**options)])


def _epochs(run, both, images, targets, plan, accelerator):
    main = accelerator.is_main_process
    if main:
        run.start(plan.keep)
    optimiser = OPTIMIZERS[plan.optimizer](parameter_groups(both, plan.weight_decay), lr=plan.lr)
    free = [parameter for parameter in both.parameters() if parameter.requires_grad]
    steps = len(plan.batches(0, plan.seed))
    scheduler = SCHEDULES[plan.schedule](optimiser, plan.lr, plan.epochs * steps, steps)
    step_module, optimiser = accelerator.prepare(_Step(both), optimiser)
    first = run.resume(both, optimiser, scheduler)
    writer = SummaryWriter(run.folder, purge_step=first + 1) if main else None
    bar = progress_bar(total=plan.epochs * steps, initial=first * steps, desc=run.folder.name,
                       disable=not (plan.progress and main))
    for epoch in range(first, plan.epochs):
        if plan.hours is not None and run.seconds > plan.hours * 3600:
            break
        for parameter in free:
            parameter.requires_grad = True  # whatever rested in the last epoch; the freezer speaks for this one alone
        try:
            row, seconds = _one_epoch(epoch, step_module, both, optimiser, scheduler, images, targets, plan, accelerator, bar)
        except torch.OutOfMemoryError:
            size = len(plan.batches(epoch, plan.seed)[0])
            raise RuntimeError(f"The GPU's memory is too small for batches of {size} photos: try {max(2, size // 2)} (a run of "
                               "its own, from the start) or a smaller encoder. The setting is FACES_BATCH_SIZE in notebook 2, "
                               "batch_size by command, P and K where people are drawn.") from None
        run.seconds += seconds
        if plan.evaluate is not None:
            row |= {key: float(number) for key, number in plan.evaluate(both["model"].eval()).items()}
        if plan.best is not None and plan.best not in row:
            raise ValueError(f"The best model by '{plan.best}' was asked for, but an epoch gives only {', '.join(row)}.")
        run.history.append(row)
        bar.set_postfix({k: f"{row[k]:.3g}" for k in SHOWN if k in row})
        if main:
            run.checkpoint(both, optimiser, scheduler, plan.best)
            for key, number in row.items():
                writer.add_scalar(key, number, epoch + 1)
            writer.flush()
    bar.close()
    if main:
        writer.close()
        run.finish(both)
    accelerator.wait_for_everyone()
    for parameter in free:
        parameter.requires_grad = True


def _one_epoch(epoch, step_module, both, optimiser, scheduler, images, targets, plan, accelerator, bar):
    """Every batch once; returns the means over all photos and processes as a row of the curves, and the seconds spent."""
    rank, world = accelerator.process_index, accelerator.num_processes
    started, sums, seen = time.perf_counter(), {}, 0
    both.train()
    if plan.freezer is not None:
        plan.freezer(both["model"], epoch)
    for step, index in enumerate(plan.batches(epoch, plan.seed)):
        set_seed((plan.seed * 1_000_003 + epoch * 10_007 + step) % 2**31 + rank)
        if len(index) < 2 * world:  # a rest of which some process would get one photo, too few for batch normalisation
            scheduler.step()
            bar.update()
            continue
        index = index.tensor_split(world)[rank]  # in one piece, so that a person's K photos stay together
        batch, goal = (pick(source, index, accelerator.device) for source in (images, targets))
        if plan.augment is not None:
            with torch.no_grad():
                batch, goal = plan.augment(batch, goal)
        value, logs = step_module(batch, goal)
        optimiser.zero_grad()
        accelerator.backward(value)
        accelerator.clip_grad_norm_(both.parameters(), plan.clip)
        optimiser.step()
        scheduler.step()
        for key, number in {"loss": value.detach(), **logs}.items():
            sums[key] = sums.get(key, 0) + number * len(index)
        seen += len(index)
        bar.update()
    if not seen:
        raise ValueError(f"No batch has two photos for each of {world} processes: take a batch size of {2 * world} or more.")
    means = [float(number) for number in sums.values()]  # waits for the GPU
    seconds = time.perf_counter() - started
    totals = torch.tensor([*means, seen, seconds], device=accelerator.device)
    *values, seen, seconds = accelerator.reduce(totals).tolist()
    row = {"epoch": epoch + 1} | {key: value / seen for key, value in zip(sums, values)}
    return row | {"photos_per_second": seen * world / seconds}, seconds / world


class _Step(nn.Module):
    """Model and loss as one module, so that several processes keep the gradients of both in step."""

    def __init__(self, both):
        super().__init__()
        self.both = both

    def forward(self, images, targets):
        return self.both["loss"](self.both["model"](images), targets)


SHOWN = ("loss", "over_floor", "peak", "nme", "accuracy", "nearest", "cosine", "photos_per_second")  # beside the bar


def best_precision(device):
    """bf16 where the hardware multiplies in it; float32 elsewhere, since emulated bf16 is ten times slower."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return "bf16" if device == "cpu" and fast else "no"


def pick(source, index, device):
    """Rows of a tensor or array, moved to the device."""
    return torch.as_tensor(source[index if torch.is_tensor(source) else index.numpy()]).to(device, non_blocking=True)


def parameter_groups(module, weight_decay):
    """Weight decay for matrices only; biases, norms and what is frozen are left alone."""
    free = [p for p in module.parameters() if p.requires_grad]
    return [{"params": [p for p in free if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in free if p.ndim <= 1], "weight_decay": 0.0}]


def fingerprint(hyper, model, loss, images, targets):
    """Six letters that stand for the settings, the model, the first weights and the data."""
    state = hashlib.sha256(json.dumps(hyper, sort_keys=True).encode() + repr(model).encode())
    for tensor in [*model.state_dict().values(), *loss.state_dict().values()]:
        state.update(str(zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())).encode())
    stride = max(1, len(images) // 500)
    for source in (images[::stride], targets):
        state.update(torch.as_tensor(source).contiguous().numpy().tobytes())
    state.update(str([name for name, p in model.named_parameters() if not p.requires_grad]).encode())
    return state.hexdigest()[:6]
