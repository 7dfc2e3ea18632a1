"""Losses that compare the photos of one batch with each other: triplets with mining, and contrast.

In training on several processes they see the whole batch: the embeddings of all are gathered first.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from . import gates
from .ingredients import stable_name
from .whole_batch import gather_rows, over_processes  # noqa: F401


def in_float32(forward: Callable) -> Callable:
    """Run a loss outside autocast: a margin needs more digits of a cosine than bfloat16 has."""

    def wrapped(
        self: nn.Module, features: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor | tuple:
        with torch.autocast(features.device.type, enabled=False):
            return forward(self, features.float(), labels)

    return wrapped


def spherical_variance(embeddings: torch.Tensor) -> torch.Tensor:
    """One minus the mean resultant length of embeddings (N, D): 0 when all point the same way.

    Near 1 when they point everywhere (Mardia and Jupp 2000, Directional Statistics).
    """
    return 1 - F.normalize(embeddings.detach(), dim=1).mean(0).norm()


def pairwise_distances(embeddings: torch.Tensor, squared: bool = False) -> torch.Tensor:
    """Euclidean distances (N, N) of unit embeddings: |a - b|^2 = 2 - 2 a.b, differentiable at 0."""
    square = (2 - 2 * embeddings @ embeddings.T).clamp(min=0)
    return square if squared else (square + 1e-12).sqrt()


def pairs(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pairs (N, N) of a batch are positive (one person, two photos) and which negative."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mine_triplets(
    distance: torch.Tensor, labels: torch.Tensor, mining: str, margin: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Choose triplets of a batch.

    Memory grows with the cube of the batch, but for hard; `TripletLoss` needs no list of triplets.

    Args:
        distance: (N, N), from anchor to other photo.
        labels: (N,).
        mining: all, every triplet; semihard, negatives farther than the positive, but by less than
            the margin (Schroff et al. 2015); hard, for each anchor its farthest positive and
            nearest negative (Hermans et al. 2017).
        margin: for semihard; above 0.

    Returns:
        Indices of anchors, positives and negatives, each (T,).
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

    FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832; In Defense of the Triplet Loss,
    Hermans et al. 2017, https://arxiv.org/abs/1703.07737. The mean goes over the triplets that cost
    something, so easy ones do not dilute it. Without a miner of your own, time grows with the cube
    of the batch at most, memory with its square.

    Args:
        margin: 0 or more, in the unit of the distance (from 0 to 2; squared, to 4).
        mining: all, semihard or hard, see `mine_triplets`; or a miner of your own, a function
            miner(distance (N, N), labels (N,), margin) that returns anchors, positives and
            negatives, each (T,).
        squared: squared distances, as FaceNet has them.
        soft: log(1 + exp(.)) in place of the margin.
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: str | Callable = "semihard",
        squared: bool = False,
        soft: bool = False,
    ):
        super().__init__()
        if not callable(mining) and mining not in ("all", "semihard", "hard"):
            raise ValueError(
                f"There is no mining '{mining}': choose all, semihard or hard, or give a function."
            )
        gates.check_range(0, margin=margin)
        self.margin, self.mining, self.squared, self.soft = margin, mining, squared, soft

    @in_float32
    @over_processes
    def forward(
        self, features: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
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
        # 0 times the features: a slope even with no triplet
        return cost / active.clamp(min=1) + 0 * features.sum(), health

    @torch.no_grad()
    def sums(self, distance: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the loss needs of all chosen triplets.

        Args:
            distance: (N, N).
            labels: (N,).

        Returns:
            The cost of all, its derivative by each distance (N, N), how many triplets each pair is
            the near and the far side of, (N, N) both, and how many triplets cost something.
        """
        total, active = distance.new_zeros(()), distance.new_zeros(())
        slope, near, far = (torch.zeros_like(distance) for _ in range(3))
        if self.mining in ("all", "semihard"):
            positive, negative = pairs(labels)
            anchor, other = torch.where(positive)
            # N positive pairs at a time, each against all N photos: no list of triplets is made
            for a, p in zip(anchor.split(len(labels)), other.split(len(labels))):
                gap = distance[a] - distance[a, p][:, None]  # (pairs, N)
                chosen = negative[a]
                if self.mining == "semihard":
                    chosen = chosen & (gap > 0) & (gap < self.margin)
                cost, steep = (value * chosen for value in self.cost(gap))
                total, active = total + cost.sum(), active + (cost > 0).sum()
                slope[a, p] += steep.sum(1)
                slope.index_add_(0, a, -steep)
                near[a, p] += chosen.float().sum(1)
                far.index_add_(0, a, chosen.float())
            return total, slope, near, far, active
        if callable(self.mining):
            a, p, n = self.mining(distance, labels, self.margin)
        else:
            a, p, n = mine_triplets(distance, labels, self.mining, self.margin)
        cost, steep = self.cost(distance[a, n] - distance[a, p])
        for side, sign, count in (((a, p), 1, near), ((a, n), -1, far)):
            slope.index_put_(side, sign * steep, accumulate=True)
            count.index_put_(side, torch.ones_like(steep), accumulate=True)
        return cost.sum(), slope, near, far, (cost > 0).sum()

    def cost(self, gap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cost of triplets, and its derivative by d(a, p); gap: d(a, n) - d(a, p)."""
        if self.soft:
            return F.softplus(-gap), torch.sigmoid(-gap)
        cost = F.relu(self.margin - gap)
        return cost, (cost > 0).float()

    def extra_repr(self) -> str:
        miner = stable_name(self.mining, "miner") if callable(self.mining) else self.mining
        return f"margin={self.margin}, mining={miner}, squared={self.squared}, soft={self.soft}"


class ContrastiveLoss(nn.Module):
    """Of all other photos in the batch, those of the same person should be the likeliest.

    A softmax over the batch: the supervised contrastive loss (SupCon), Khosla et al. 2020,
    https://arxiv.org/abs/2004.11362 (with the mean outside the logarithm), and not the older
    contrastive loss of single pairs. It learns no centres, so it suits many people with few photos
    each; the batch has to be large (hundreds) to hold hard negatives.

    Args:
        s: what the cosines are multiplied by, one over the paper's temperature; above 0.
    """

    def __init__(self, s: float = 16.0):
        super().__init__()
        gates.check_range(1e-6, s=s)
        self.s = s

    @in_float32
    @over_processes
    def forward(
        self, features: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        unit = F.normalize(features)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive, negative = pairs(labels)
        others = (unit @ unit.T * self.s).masked_fill(itself, -1e9)
        missed = -others.log_softmax(1).masked_fill(~positive, 0).sum(1)
        several = positive.any(1)  # a person alone in the batch has nobody to be near to
        nearest = labels[others.argmax(1)] == labels
        distance = pairwise_distances(unit.detach())
        health = {
            "nearest": nearest[several].float().sum() / several.sum().clamp(min=1),
            "positive": distance[positive].sum() / positive.sum().clamp(min=1),
            "negative": distance[negative].sum() / negative.sum().clamp(min=1),
            "spherical_variance": spherical_variance(features),
        }
        return (missed / positive.sum(1).clamp(min=1)).sum() / several.sum().clamp(min=1), health

    def extra_repr(self) -> str:
        return f"s={self.s}"
