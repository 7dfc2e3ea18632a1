"""The one training loop of all notebooks: any model, any loss, one CPU to several GPUs.

It may be stopped at any time and goes on. Random numbers are a function of (seed, epoch, step,
process), never of what happened before, so that a run that was killed and resumed ends as one that
was not: on a CPU with the very same weights, bit for bit. On a GPU sums are made in an order that
changes from run to run, and the weights agree as those of any two runs there do.
"""

import os
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from .devices import asked_precision, best_precision, new_accelerator
from .files import alone_in
from .ingredients import ingredients, letters, what_changed
from .one_epoch import Step, Training, one_epoch
from .optimisers import OPTIMIZERS, new_schedule, parameter_groups
from .progress import progress_bar
from .runs import Run
from .training_plan import Plan, checked_targets

SHOWN = (  # beside the bar
    "loss",
    "relative_loss",
    "peak",
    "nme",
    "accuracy",
    "nearest",
    "cosine",
    "photos_per_second",
)


def fit(
    model: nn.Module,
    loss: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    folder: str | Path,
    **options: object,
) -> Run:
    """Train `model` in place, on the device it is on.

    A finished run is loaded, a stopped one goes on. Interrupted by Ctrl-C or an error, model and
    loss have their first weights again, so that the same call goes on. Unless told otherwise the
    precision is the fastest that the device has. TensorBoard finds the curves in the run folder. A
    script on several processes ends with `accelerate.PartialState().destroy_process_group()`.

    Args:
        model: images -> outputs.
        loss: loss(model(images), targets) -> scalar, {name: number} to log.
        images: uint8 (N, 3, H, W), in memory or memory-mapped; batches are moved as bytes.
        targets: (N, ...), labels numbered from 0, landmarks, or whatever the loss takes.
        folder: the run is kept in `<folder>-<fingerprint>`. The fingerprint stands for all that
            shapes the result, data and code among it: an edited setting or loss starts a run of
            its own, and an old one is never overwritten.
        options: epochs, lr and what else Plan lists.

    Raises:
        ValueError: options, labels or a part's name can't be used, or the loss is not finite.
    """
    plan = Plan(**options)
    plan.complete(len(images))
    targets = checked_targets(targets, len(images), loss)
    hyper = plan.described(model, loss)
    code = one_epoch, new_schedule, parameter_groups
    parts = plan.batches, plan.augment, plan.freezer
    made_of = ingredients(hyper, model, loss, images, targets, *parts, *code)
    run = Run(f"{folder}-{letters(made_of)}")
    if run.finished:
        run.load_into(model, loss)
        return run
    batches = _first_batches(plan, len(images))
    precision = _precision(plan, next(model.parameters()).device)
    _say_what_is_new(run, folder, precision, made_of)
    run.settings = hyper | {
        "precision": precision,
        "made_of": made_of,
        "steps_an_epoch": len(batches),
        "photos_an_epoch": sum(map(len, batches)),
    }
    _train(run, nn.ModuleDict({"model": model, "loss": loss}), images, targets, plan)
    return run


def _first_batches(plan, photos):
    """The batches of the first epoch; a ValueError if there is nothing to learn."""
    batches = plan.batches(0, plan.seed)
    if plan.epochs < 1 or not batches:
        raise ValueError(
            f"There is nothing to learn: {plan.epochs} epochs, and {photos} photos in batches "
            f"of {plan.batch_size}, of which one with a single photo is left out. Take more "
            "photos, or a larger batch_size (FACES_BATCH_SIZE)."
        )
    return batches


def _precision(plan, device):
    """Of a training: what is asked for, or the fastest of the device."""
    if plan.precision == "auto":
        return best_precision(device.type)
    return asked_precision(plan.precision, device.type)


def _say_what_is_new(run, folder, precision, made_of):
    """Tell of a run that goes on in another precision, or of what changed since the last run."""
    before = run.settings.get("precision")
    if before is None:
        news = what_changed(folder, made_of) if os.environ.get("RANK", "0") == "0" else None
        if news:
            print(news)
    elif before != precision:
        print(
            f"{run.folder} was begun in the precision '{before}' and goes on in '{precision}', the "
            "fastest here: its end is not that of either alone."
        )


def _train(run, parts, images, targets, plan):
    """Train, alone in the run's folder; whatever happens, nothing stays frozen or half-trained."""
    device = next(parts.parameters()).device
    accelerator = new_accelerator(
        device, _precision(plan, device), find_unused_parameters=plan.freezer is not None
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
        # or the same call again would take what was learned so far for its first weights
        parts.load_state_dict(first)
        raise
    finally:
        for parameter in free:
            parameter.requires_grad = True  # whatever the freezer froze
        parts.eval()


def _epochs(run, parts, images, targets, plan, accelerator, free):
    """Every epoch from the last checkpoint on, each with its row of the curves."""
    main = accelerator.is_main_process
    if main:
        run.start(plan.extra_files)
    steps = len(plan.batches(0, plan.seed))
    optimiser = OPTIMIZERS[plan.optimizer](parameter_groups(parts, plan.weight_decay), lr=plan.lr)
    scheduler = new_schedule(
        plan.schedule, optimiser, plan.lr, plan.epochs * steps, steps, plan.T_0, plan.eta_min
    )
    step, optimiser = accelerator.prepare(Step(parts, plan.compile), optimiser)
    state = parts, optimiser, scheduler, accelerator.scaler
    first = run.resume(*state)
    bar = progress_bar(
        total=plan.epochs * steps,
        initial=first * steps,
        desc=run.folder.name,
        disable=not (plan.progress and main),
    )
    training = Training(
        run, plan, parts, step, optimiser, scheduler, accelerator, images, targets, bar
    )
    with SummaryWriter(run.folder, purge_step=first + 1) if main else nullcontext() as writer, bar:
        for epoch in range(first, plan.epochs):
            if plan.hours is not None and run.seconds > plan.hours * 3600:
                break
            for parameter in free:
                parameter.requires_grad = True  # the freezer speaks for one epoch alone
            row, seconds = one_epoch(training, epoch)
            run.seconds += seconds
            run.history.append(row | _evaluated(plan, parts["model"], row))
            row = run.history[-1]
            bar.set_postfix({k: f"{row[k]:.3g}" for k in SHOWN if k in row})
            if main:
                run.checkpoint(*state, best=plan.best)
                for key, number in row.items():
                    writer.add_scalar(key, number, epoch + 1)
                writer.flush()
    if main:
        run.finish(parts)
    accelerator.wait_for_everyone()


def _evaluated(plan, model, row):
    """What `evaluate` says of the model, as numbers."""
    found = {} if plan.evaluate is None else plan.evaluate(model.eval())
    if plan.best is not None and plan.best not in row | found:
        raise ValueError(
            f"The best model by '{plan.best}' was asked for, but an epoch gives only "
            f"{', '.join(row | found)}."
        )
    return {key: float(number) for key, number in found.items()}
