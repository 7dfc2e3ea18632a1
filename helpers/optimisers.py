"""Optimisers and schedules of the learning rate by name; which parameters weight decay pulls at."""

from functools import partial

import torch
from torch.optim import lr_scheduler

OPTIMIZERS = {  # fused: one pass over the weights, a third of the time on a CPU
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}


def new_schedule(
    name: str,
    optimiser: torch.optim.Optimizer,
    lr: float,
    total: int,
    epoch: int,
    T_0: int = 3,
    eta_min: float | None = None,
) -> lr_scheduler.LRScheduler:
    """A torch scheduler that is stepped after each batch.

    Args:
        name: onecycle: up for a fifth of the way, then down (Smith and Topin 2018). cosine: down to
            eta_min (0). restarts: down to eta_min (a tenth of lr) and up again every T_0 epochs
            (Loshchilov and Hutter 2017). warmup: up in a straight line for a tenth of the way, then
            down along a cosine. constant: as it is.
        lr: the highest learning rate.
        total: batches of the whole training.
        epoch: batches of an epoch.
    """
    if name == "onecycle":
        return lr_scheduler.OneCycleLR(optimiser, lr, total_steps=max(total + 1, 6), pct_start=0.2)
    if name == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, total, eta_min or 0)
    if name == "restarts":
        return lr_scheduler.CosineAnnealingWarmRestarts(
            optimiser, T_0 * epoch, eta_min=lr / 10 if eta_min is None else eta_min
        )
    if name == "warmup":
        up = max(1, total // 10)
        parts = [
            lr_scheduler.LinearLR(optimiser, 0.01, total_iters=up),
            lr_scheduler.CosineAnnealingLR(optimiser, max(1, total - up)),
        ]
        return lr_scheduler.SequentialLR(optimiser, parts, [up])
    return lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)


def parameter_groups(module: torch.nn.Module, weight_decay: float) -> list:
    """Parameters with and without weight decay, as an optimiser takes them: only matrices decay.

    Biases, norms, frozen parameters, and those that a timm model names in `no_weight_decay` (a
    transformer's class token and positions) are left alone.
    """
    spared = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, part in module.named_modules()
        if hasattr(part, "no_weight_decay")
        for name in part.no_weight_decay()
    }
    free = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    decays = [p.ndim > 1 and name not in spared for name, p in free]
    return [
        {"params": [p for (_, p), yes in zip(free, decays) if yes], "weight_decay": weight_decay},
        {"params": [p for (_, p), yes in zip(free, decays) if not yes], "weight_decay": 0.0},
    ]
