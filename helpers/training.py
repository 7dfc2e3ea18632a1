"""The one training loop of all notebooks: any model, any loss, one CPU to several GPUs, stopped and resumed at will.

Random numbers are a function of (seed, epoch, step, process), never of what happened before, so that a run that was
killed and resumed ends as one that was not: on a CPU with the very same weights, bit for bit. On a GPU sums are made in
an order that changes from run to run, and the weights agree as those of any two runs there do.
"""

import math
import os
import time
from contextlib import nullcontext
from types import SimpleNamespace

import torch
from accelerate.utils import broadcast
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from .augment import as_change
from .batches import shuffled
from .devices import best_precision, gather, new_accelerator, seed_all
from .files import alone_in
from .ingredients import fingerprint, ingredients, letters, stable_name, what_changed  # noqa: F401
from .optimisers import OPTIMIZERS, check_recipe, new_schedule, parameter_groups
from .progress import progress_bar
from .runs import Run


def fit(
    model,
    loss,
    images,
    targets,
    folder,
    *,
    epochs,
    batch_size=32,
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.05,
    schedule="onecycle",
    T_0=3,
    eta_min=None,
    clip=5.0,
    batches=None,
    augment=None,
    evaluate=None,
    freezer=None,
    best=None,
    hours=None,
    extra_files=None,
    seed=0,
    progress=True,
):
    """Train `model` in place, on the device it is on; return its Run. A finished run is loaded, a stopped one goes on.

    images: uint8 (N, 3, H, W), in memory or memory-mapped; whole batches are indexed and moved as bytes.
    targets: (N, ...): people, numbered from 0, or landmarks.  loss(model(images), targets) -> scalar, dict of numbers to log.
    folder: the run is kept in `<folder>-<fingerprint>`, where the fingerprint stands for all that shapes the result, data
    and code among it, so that an edited setting or loss starts a run of its own and an old one is never overwritten.
    schedule: onecycle, cosine, restarts (every T_0 epochs, down to eta_min), warmup or constant.  batches(epoch, seed) ->
    list of index tensors; default shuffled.  augment(images, targets) -> the same, on the device; or a transform of
    torchvision.  evaluate(model) -> dict, after each epoch.  freezer(model, epoch): which layers rest, such as a
    LayerFreezer.  best: a number of `evaluate`; where it was highest, the model is kept as best.safetensors too.
    hours: a limit of training; the schedule comes to its end by then, and the epoch is the last.  extra_files: {name: text} of
    files to lay into the run folder, such as the list of people.
    Precision is the fastest that the device has: bf16, fp16 or float32.  TensorBoard finds the curves in the run folder.
    A script on several processes ends with `accelerate.PartialState().destroy_process_group()`, as helpers/train.py does.
    Interrupted by Ctrl-C or an error, model and loss have their first weights again, so that the same call goes on.
    Raises ValueError where settings, labels or a part's name can't be used, and as soon as the loss is not finite.
    """
    batches, augment = batches or shuffled(len(images), batch_size), as_change(augment)
    check_recipe(
        optimizer,
        schedule,
        lr=lr,
        weight_decay=weight_decay,
        clip=clip,
        seed=seed,
        T_0=T_0,
        epochs=max(epochs, 1),
        **{k: v for k, v in (("hours", hours), ("eta_min", eta_min)) if v is not None},
    )
    targets = _checked_targets(targets, images, loss)
    described = str(getattr(model, "settings", type(model).__name__))
    named = {
        name: stable_name(part, name)
        for name, part in (
            ("loss", loss),
            ("batches", batches),
            ("augment", augment),
            ("freezer", freezer),
        )
    }
    hyper = (
        dict(
            model=described,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,
            clip=clip,
            seed=seed,
        )
        | named
    )
    hyper |= {"T_0": T_0} if schedule == "restarts" else {}
    hyper |= {
        key: repr(value)
        for key, value in (("best", best), ("hours", hours), ("eta_min", eta_min))
        if value is not None
    }
    loop = _one_epoch, new_schedule, parameter_groups
    made_of = ingredients(hyper, model, loss, images, targets, batches, augment, freezer, *loop)
    run = Run(f"{folder}-{letters(made_of)}")
    if run.finished:
        run.load_into(model, loss)
        return run
    if epochs < 1 or not batches(0, seed):
        raise ValueError(
            f"There is nothing to learn: {epochs} epochs, and {len(images)} photos in batches of {batch_size}, of "
            "which one with a single photo is left out. Take more photos, or a larger batch_size "
            "(FACES_BATCH_SIZE)."
        )
    before, precision = (
        run.settings.get("precision"),
        best_precision(next(model.parameters()).device.type),
    )
    if before not in (None, precision):
        print(
            f"{run.folder} was begun in the precision '{before}' and goes on in '{precision}', the fastest here: its end is "
            "not that of either alone."
        )
    news = (
        what_changed(folder, made_of)
        if before is None and os.environ.get("RANK", "0") == "0"
        else None
    )
    if news:
        print(news)
    of_one = batches(0, seed)
    run.settings = hyper | {
        "precision": precision,
        "made_of": made_of,
        "steps_an_epoch": len(of_one),
        "photos_an_epoch": sum(map(len, of_one)),
    }
    plan = SimpleNamespace(
        epochs=epochs,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        schedule=schedule,
        T_0=T_0,
        eta_min=eta_min,
        clip=clip,
        batches=batches,
        augment=augment,
        evaluate=evaluate,
        freezer=freezer,
        best=best,
        hours=hours,
        extra_files=extra_files or {},
        seed=seed,
        progress=progress,
    )
    _train(run, nn.ModuleDict({"model": model, "loss": loss}), images, targets, plan)
    return run


def _checked_targets(targets, images, loss):
    """Targets as a tensor, labels as long integers; a ValueError where they can't be learned."""
    targets = torch.as_tensor(targets)
    if len(targets) != len(images):
        raise ValueError(
            f"Each photo has one target, but there are {len(images)} photos and {len(targets)} targets."
        )
    if targets.is_floating_point():
        if not targets.isfinite().all():
            raise ValueError(
                "Some targets are not finite numbers: mend them, or leave those photos out."
            )
        return targets
    targets, classes = targets.long(), getattr(loss, "classes", None)
    if (
        classes is not None
        and len(targets)
        and not 0 <= int(targets.min()) <= int(targets.max()) < classes
    ):
        raise ValueError(
            f"The loss knows {classes} people, so labels must be 0 to {classes - 1}, but they are "
            f"{int(targets.min())} to {int(targets.max())}: number them anew with "
            "torch.unique(labels, return_inverse=True)[1]."
        )
    return targets


def _train(run, parts, images, targets, plan):
    device = next(parts.parameters()).device
    accelerator = new_accelerator(
        device, best_precision(device.type), find_unused_parameters=plan.freezer is not None
    )
    first = {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in parts.state_dict().items()
    }
    free = [parameter for parameter in parts.parameters() if parameter.requires_grad]
    try:
        with alone_in(run.folder) if accelerator.is_main_process else nullcontext():
            if Run(run.folder).finished:
                raise BlockingIOError(
                    f"Another process has just finished {run.folder}: run this again to load it."
                )
            _epochs(run, parts, images, targets, plan, accelerator, free)
    except BaseException:
        parts.load_state_dict(
            first
        )  # else the same call again would take what was learned so far for its first weights
        raise
    finally:
        for parameter in free:
            parameter.requires_grad = True  # whatever the freezer let rest
        parts.eval()


def _epochs(run, parts, images, targets, plan, accelerator, free):
    main = accelerator.is_main_process
    if main:
        run.start(plan.extra_files)
    optimiser = OPTIMIZERS[plan.optimizer](parameter_groups(parts, plan.weight_decay), lr=plan.lr)
    steps = len(plan.batches(0, plan.seed))
    scheduler = new_schedule(
        plan.schedule, optimiser, plan.lr, plan.epochs * steps, steps, plan.T_0, plan.eta_min
    )
    step_module, optimiser = accelerator.prepare(_Step(parts), optimiser)
    state = parts, optimiser, scheduler, accelerator.scaler
    first = run.resume(*state)
    bar = progress_bar(
        total=plan.epochs * steps,
        initial=first * steps,
        desc=run.folder.name,
        disable=not (plan.progress and main),
    )
    with SummaryWriter(run.folder, purge_step=first + 1) if main else nullcontext() as writer, bar:
        for epoch in range(first, plan.epochs):
            if plan.hours is not None and run.seconds > plan.hours * 3600:
                break
            for parameter in free:
                parameter.requires_grad = (
                    True  # whatever rested in the last epoch; the freezer speaks for this one alone
                )
            row, seconds = _one_epoch(
                epoch, step_module, *state[:3], images, targets, plan, accelerator, bar, run
            )
            run.seconds += seconds
            if plan.evaluate is not None:
                row |= {
                    key: float(number)
                    for key, number in plan.evaluate(parts["model"].eval()).items()
                }
            if plan.best is not None and plan.best not in row:
                raise ValueError(
                    f"The best model by '{plan.best}' was asked for, but an epoch gives only {', '.join(row)}."
                )
            run.history.append(row)
            bar.set_postfix({k: f"{row[k]:.3g}" for k in SHOWN if k in row})
            if main:
                run.checkpoint(*state, best=plan.best)
                for key, number in row.items():
                    writer.add_scalar(key, number, epoch + 1)
                writer.flush()
    if main:
        run.finish(parts)
    accelerator.wait_for_everyone()


def _one_epoch(
    epoch, step_module, parts, optimiser, scheduler, images, targets, plan, accelerator, bar, run
):
    """Every batch once; returns the means over all photos and processes as a row of the curves, and the seconds spent."""
    rank, world = accelerator.process_index, accelerator.num_processes
    started, sums, seen, value = time.perf_counter(), {}, 0, torch.zeros(())
    parts.train()
    if plan.freezer is not None:
        plan.freezer(parts["model"], epoch)
    batches = plan.batches(epoch, plan.seed)
    for step, index in enumerate(batches):
        seed_all(plan.seed, epoch, step, rank)
        if (
            len(index) >= 2 * world
        ):  # else some process would get one photo, too few for batch normalisation
            index = index.tensor_split(world)[
                rank
            ]  # in one piece, so that a person's K photos stay together
            batch, goal = (
                gather(source, index, accelerator.device) for source in (images, targets)
            )
            if plan.augment is not None:
                with torch.no_grad():
                    batch, goal = plan.augment(batch, goal)
            _stop_unless_finite(
                value, run, epoch, plan.lr
            )  # of the last step, so that a GPU need not be waited for
            try:
                value, logs = step_module(batch, goal)
                optimiser.zero_grad()
                accelerator.backward(value)
            except torch.OutOfMemoryError:
                size = len(batches[0])
                raise RuntimeError(
                    f"The GPU's memory is too small for batches of {size} photos: try {max(2, size // 2)} (a "
                    "run of its own, from the start) or a smaller encoder. The setting is FACES_BATCH_SIZE in "
                    "notebook 2, batch_size by command, P and K where people are drawn."
                ) from None
            accelerator.clip_grad_norm_(parts.parameters(), plan.clip)
            optimiser.step()
            for key, number in {"loss": value.detach(), **logs}.items():
                sums[key] = sums.get(key, 0) + number * len(index)
            seen += len(index)
        _step_schedule(
            scheduler, plan, len(batches), run.seconds + time.perf_counter() - started, accelerator
        )
        bar.update()
    if not seen:
        raise ValueError(
            f"No batch has two photos for each of {world} processes: take a batch size of {2 * world} or more."
        )
    for tensor in (value, *parts.state_dict().values()):
        _stop_unless_finite(tensor, run, epoch, plan.lr)
    means = [float(number) for number in sums.values()]
    seconds = time.perf_counter() - started
    totals = torch.tensor([*means, seen, seconds], device=accelerator.device)
    *values, seen, seconds = accelerator.reduce(totals).tolist()
    row = {"epoch": epoch + 1} | {key: value / seen for key, value in zip(sums, values)}
    lr = optimiser.param_groups[0]["lr"]
    return row | {"lr": lr, "photos_per_second": seen * world / seconds}, seconds / world


def _step_schedule(scheduler, plan, steps, seconds, accelerator):
    """One step of the schedule; more where `hours` will end the training before its epochs do, so that it ends annealed."""
    total, due = plan.epochs * steps, scheduler.last_epoch + 1
    if plan.hours is not None:
        if (
            accelerator.num_processes > 1
        ):  # all by the first one's clock, or their rates would differ
            seconds = float(broadcast(torch.tensor([seconds], device=accelerator.device)))
        due = min(total, max(due, math.ceil(total * seconds / (plan.hours * 3600))))
    while scheduler.last_epoch < due:
        scheduler.step()


def _stop_unless_finite(tensor, run, epoch, lr):
    if not torch.isfinite(tensor).all():
        kept = (
            f"The last good checkpoint, after epoch {epoch}, stays in {run.folder}."
            if epoch
            else "No epoch was finished."
        )
        raise ValueError(
            f"The loss or a weight is not a finite number any more, in epoch {epoch + 1}: the training stops. "
            f"{kept} Try a smaller lr (it was {lr:g}), and look at the loss and the photos that it is given."
        )


class _Step(nn.Module):
    """Model and loss as one module, so that several processes keep the gradients of both in step."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def forward(self, images, targets):
        return self.parts["loss"](self.parts["model"](images), targets)


SHOWN = (
    "loss",
    "relative_loss",
    "peak",
    "nme",
    "accuracy",
    "nearest",
    "cosine",
    "photos_per_second",
)  # beside the bar
