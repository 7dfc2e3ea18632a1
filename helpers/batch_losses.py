"""Losses that compare the photos of one batch with each other: triplets with mining, and contrast.

In training on several processes they see the whole batch: the embeddings of all processes are gathered first.
"""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


def in_float32(forward):
    """Run a loss outside autocast: margins live in the last digits of a cosine, which bfloat16 does not have."""

    def wrapped(self, features, labels):
        with torch.autocast(features.device.type, enabled=False):
            return forward(self, features.float(), labels)

    return wrapped


def over_processes(forward):
    """Give a loss in training the rows of all processes, so that two of them learn what one would.

    Every process then computes the same loss, but sends a gradient to its own rows alone; DDP takes the mean
    over the processes, so that gradient is multiplied by their number (as pytorch-metric-learning does).
    """

    def wrapped(self, features, labels):
        if (
            self.training
            and dist.is_available()
            and dist.is_initialized()
            and dist.get_world_size() > 1
        ):
            features, labels = gather_rows(features), gather_rows(labels)
        return forward(self, features, labels)

    return wrapped


def gather_rows(rows):
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


def check_range(low, high=math.inf, **numbers):
    """Refuse numbers of a loss that are not finite or not between low and high, both included."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and low <= number <= high):
            limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            raise ValueError(f"{name} of a loss must be a number {limit}, but it is {number}.")


def spherical_variance(embeddings):
    """One minus the mean resultant length: 1 when unit embeddings point everywhere, 0 when all are one."""
    return 1 - F.normalize(embeddings.detach(), dim=1).mean(0).norm()


def pairwise_distances(embeddings, squared=False):
    """Euclidean distances (N, N) of unit embeddings: |a - b|^2 = 2 - 2 a.b, with a slope that stays finite at 0."""
    square = (2 - 2 * embeddings @ embeddings.T).clamp(min=0)
    return square if squared else (square + 1e-12).sqrt()


def pairs(labels):
    """Which pairs (N, N) of a batch are positive (one person, two photos), and which negative (two people)."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mine_triplets(distance, labels, mining, margin):
    """Choose triplets: indices of anchors, positives and negatives, each (T,).

    all: every one.  semihard: negatives farther than the positive, but by less than the margin (Schroff et al.
    2015).  hard: for each anchor its farthest positive and nearest negative (Hermans et al. 2017).
    Memory grows with the cube of the batch, but for hard; `TripletLoss` needs no list of triplets.
    """
    positive, negative = pairs(labels)
    if mining == "hard":
        anchors = torch.where(positive.any(1) & negative.any(1))[0]
        farthest = distance.masked_fill(~positive, -torch.inf).argmax(1)
        nearest = distance.masked_fill(~negative, torch.inf).argmin(1)
        return anchors, farthest[anchors], nearest[anchors]
    triplets = positive[:, :, None] & negative[:, None, :]
    if mining == "semihard":
        gap = distance[:, None, :] - distance[:, :, None]
        triplets &= (gap > 0) & (gap < margin)
    return torch.where(triplets)


class TripletLoss(nn.Module):
    """A photo of the same person must be nearer than one of another person, by a margin.

    FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832; In Defense of the Triplet Loss, Hermans et al.
    2017, https://arxiv.org/abs/1703.07737.
    mining: all, semihard or hard.  squared: squared distances, as FaceNet has them.  soft: log(1 + exp(.)) in place
    of the margin. The mean goes over the triplets that still cost something, so easy ones do not dilute it.
    Time grows with the cube of the batch at most, memory with its square.
    """

    def __init__(self, margin=0.2, mining="semihard", squared=False, soft=False):
        super().__init__()
        if mining not in ("all", "semihard", "hard"):
            raise ValueError(f"There is no mining '{mining}': choose all, semihard or hard.")
        check_range(0, margin=margin)
        self.margin, self.mining, self.squared, self.soft = margin, mining, squared, soft

    @in_float32
    @over_processes
    def forward(self, features, labels):
        distance = pairwise_distances(F.normalize(features), self.squared)
        total, slope, near, far, active = self.sums(distance.detach(), labels)
        # its value is the cost of all triplets, its derivative by each distance what `slope` says
        cost = total + (slope * distance).sum() - (slope * distance.detach()).sum()
        chosen = near.sum().clamp(min=1)
        health = {
            "active": active / chosen,
            "spherical_variance": spherical_variance(features),
            "positive": (near * distance.detach()).sum() / chosen,
            "negative": (far * distance.detach()).sum() / chosen,
        }
        return cost / active.clamp(
            min=1
        ) + 0 * features.sum(), health  # 0: a slope even with no triplet

    @torch.no_grad()
    def sums(self, distance, labels):
        """What the loss needs of all chosen triplets, without a list of them.

        distance: (N, N).  Returns the cost of all, its derivative by each distance (N, N), how many triplets each
        pair is the near and the far side of, (N, N) both, and how many cost something. The positive pairs are gone
        through N at a time, each against all N photos.
        """
        positive, negative = pairs(labels)
        total, active = distance.new_zeros(()), distance.new_zeros(())
        slope, near, far = (torch.zeros_like(distance) for _ in range(3))
        if self.mining == "hard":
            anchor, other, nearest = mine_triplets(distance, labels, "hard", self.margin)
            only = torch.zeros_like(negative)
            only[anchor, nearest] = True
        else:
            (anchor, other), only = torch.where(positive), negative
        for a, p in zip(anchor.split(len(labels)), other.split(len(labels))):
            gap = (
                distance[a] - distance[a, p][:, None]
            )  # (pairs, N): how much farther each photo is
            chosen = only[a]
            if self.mining == "semihard":
                chosen = chosen & (gap > 0) & (gap < self.margin)
            cost = F.softplus(-gap) if self.soft else F.relu(self.margin - gap)
            cost = cost * chosen
            steep = (torch.sigmoid(-gap) if self.soft else (cost > 0).float()) * chosen
            total, active = total + cost.sum(), active + (cost > 0).sum()
            slope[a, p] += steep.sum(1)
            slope.index_add_(0, a, -steep)
            near[a, p] += chosen.float().sum(1)
            far.index_add_(0, a, chosen.float())
        return total, slope, near, far, active

    def extra_repr(self):
        return (
            f"margin={self.margin}, mining={self.mining}, squared={self.squared}, soft={self.soft}"
        )


class ContrastiveLoss(nn.Module):
    """Of all other photos in the batch, those of the same person should be the likeliest: a softmax over the batch.

    Supervised contrastive learning, Khosla et al. 2020, https://arxiv.org/abs/2004.11362 (the loss with the mean outside
    the logarithm).  s: what the cosines are multiplied by, one over the paper's temperature. It learns no centres, so it
    suits many people with few photos each; the batch has to be large (hundreds) to hold hard negatives.
    """

    def __init__(self, s=16.0):
        super().__init__()
        check_range(1e-6, s=s)
        self.s = s

    @in_float32
    @over_processes
    def forward(self, features, labels):
        unit = F.normalize(features)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive, negative = pairs(labels)
        others = (unit @ unit.T * self.s).masked_fill(itself, -1e9)
        missed = -others.log_softmax(1).masked_fill(~positive, 0).sum(1)
        several = positive.any(1)  # a person alone in the batch has nobody to be near to
        distance = pairwise_distances(unit.detach())
        health = {
            "nearest": (labels[others.argmax(1)] == labels)[several].float().sum()
            / several.sum().clamp(min=1),
            "positive": distance[positive].sum() / positive.sum().clamp(min=1),
            "negative": distance[negative].sum() / negative.sum().clamp(min=1),
            "spherical_variance": spherical_variance(features),
        }
        return (missed / positive.sum(1).clamp(min=1)).sum() / several.sum().clamp(min=1), health

    def extra_repr(self):
        return f"s={self.s}"
