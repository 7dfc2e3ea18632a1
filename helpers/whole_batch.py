"""In training on several processes: the rows of all of them, for losses that compare photos."""

from collections.abc import Callable

import torch
import torch.distributed as dist


def over_processes(forward: Callable) -> Callable:
    """Give a loss in training the rows of all processes, so that two of them learn what one would.

    Every process then computes the same loss, but sends a gradient to its own rows alone; DDP takes
    the mean over the processes, so that gradient is multiplied by their number (as
    pytorch-metric-learning does).
    """

    def wrapped(
        self: torch.nn.Module, features: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor | tuple:
        if (
            self.training
            and dist.is_available()
            and dist.is_initialized()
            and dist.get_world_size() > 1
        ):
            features, labels = gather_rows(features), gather_rows(labels)
        return forward(self, features, labels)

    return wrapped


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """The rows (n, ...) of all processes in the order of their ranks; the numbers n may differ."""
    world, rank = dist.get_world_size(), dist.get_rank()
    sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    longest = max(int(size) for size in sizes)
    filled = rows.new_zeros(longest, *rows.shape[1:])
    filled[: len(rows)] = rows.detach()
    parts = [torch.empty_like(filled) for _ in range(world)]
    dist.all_gather(parts, filled)
    parts = [part[: int(size)] for part, size in zip(parts, sizes)]
    parts[rank] = rows
    if rows.requires_grad:
        parts[rank] = rows.view_as(rows)
        parts[rank].register_hook(lambda slope: slope * world)
    return torch.cat(parts)
