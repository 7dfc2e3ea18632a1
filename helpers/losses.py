"""Losses that pull photos of one person together: margins, distillation, mixtures.

Triplet and supervised contrastive losses, which compare the photos of a batch, are in
batch_losses.py and can be imported from here too. Every loss takes features (N, D) and labels (N,),
works in float32 also under autocast, and returns a scalar and a dict of numbers that show a
collapse before it does.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from . import gates
from .batch_losses import (  # noqa: F401
    ContrastiveLoss,
    TripletLoss,
    in_float32,
    mine_triplets,
    pairwise_distances,
    spherical_variance,
)


def arcface(cosine: torch.Tensor, m: float) -> torch.Tensor:
    """cos(theta + m): the angle must win even if it were larger by m.

    Deng et al. 2019, "ArcFace", https://arxiv.org/abs/1801.07698.

    Args:
        cosine: of the angle theta to the true class centre, -1 to 1, any shape.
        m: the margin in radians.
    """
    theta = cosine.clamp(-1 + 1e-5, 1 - 1e-5).acos()  # acos has an infinite slope at 1 and -1
    # beyond pi the cosine would rise again; go on falling instead, as InsightFace does
    return torch.where(theta + m < math.pi, (theta + m).cos(), cosine - m * math.sin(m))


def cosface(cosine: torch.Tensor, m: float) -> torch.Tensor:
    """cos(theta) - m. Wang et al. 2018, "CosFace", https://arxiv.org/abs/1801.09414."""
    return cosine - m


def adaface(cosine: torch.Tensor, m: float, quality: torch.Tensor) -> torch.Tensor:
    """cos(theta - m q) - (m + m q): a margin that depends on the photo's quality q.

    Poor photos (q = -1) get ArcFace's margin, average ones (q = 0) CosFace's. For good ones (q = 1)
    the curve is flat at small angles, so that easy photos no longer pull and hard ones do. Kim et
    al. 2022, "AdaFace", https://arxiv.org/abs/2204.00964.

    Args:
        cosine: of the angle theta to the true class centre, -1 to 1, any shape.
        m: the margin.
        quality: -1 to 1, of the same shape.
    """
    theta = cosine.clamp(-1 + 1e-5, 1 - 1e-5).acos()
    turned = (theta - m * quality).clamp(1e-3, math.pi - 1e-3)
    return turned.cos() - (m + m * quality)


class CrossEntropy(nn.Module):
    """Plain softmax classifier: one linear layer on the features, which are not normalised.

    Args:
        dim: D, the size of the features.
        num_classes: how many identities are trained on.
    """

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.classes = gates.count(num_classes, "number of classes")
        self.linear = nn.Linear(gates.count(dim, "dim of a loss"), self.classes)

    @in_float32
    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict]:
        logits = self.linear(features)
        return F.cross_entropy(logits, labels), {
            "accuracy": accuracy(logits, labels),
            "spherical_variance": spherical_variance(features),
        }

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores (N, num_classes), for prediction."""
        return self.linear(features.float())


class MarginHead(nn.Module):
    """Softmax over s times the cosine to each class centre, with a margin for the true class.

    With m = 0 it is the normalised softmax. ArcFace's first loss, with random features, is about
    s sin(m) + log(num_classes) + s^2 / (2 dim), while s^2 / dim is well below 2 log(num_classes);
    beyond that it is lower. With s = 64 and m = 0.5 it is far above log(num_classes).

    Args:
        dim: D, the size of the features.
        num_classes: how many identities are trained on.
        s: the scale, above 0.
        m: the margin, 0 to 3.14: radians for ArcFace, units of cosine for CosFace.
        kind: arcface, cosface or adaface, the functions above.

    Raises:
        ValueError: kind is none of the three, or a number is outside its range.
    """

    def __init__(
        self, dim: int, num_classes: int, s: float = 16.0, m: float = 0.3, kind: str = "arcface"
    ):
        super().__init__()
        if kind not in ("arcface", "cosface", "adaface"):
            raise ValueError(
                f"There is no margin of kind '{kind}': choose arcface, cosface or adaface."
            )
        gates.check_range(1e-6, s=s)
        gates.check_range(0, 3.14, m=m)
        num_classes = gates.count(num_classes, "number of classes")
        self.s, self.m, self.kind, self.classes = s, m, kind, num_classes
        self.centres = nn.Parameter(torch.empty(num_classes, gates.count(dim, "dim of a loss")))
        nn.init.xavier_normal_(self.centres)
        if kind == "adaface":  # running mean and deviation of the features' norms, as in its code
            self.register_buffer("norms", torch.tensor([20.0, 100.0]))

    @in_float32
    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict]:
        cosine = F.linear(F.normalize(features), F.normalize(self.centres))  # (N, num_classes)
        place = labels[:, None]  # of the true class in each row
        true = cosine.gather(1, place)
        harder = self.with_margin(true, features)
        logits = self.s * cosine.scatter(1, place, harder)
        return F.cross_entropy(logits, labels), {
            "accuracy": accuracy(cosine, labels),  # without the margin, as in use
            "true_cosine": true.detach().mean(),
            "spherical_variance": spherical_variance(features),
        }

    def with_margin(
        self, cosine: torch.Tensor, features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The true class's cosine (N, 1) as the loss sees it; AdaFace needs the features (N, D)."""
        if self.kind == "cosface":
            return cosface(cosine, self.m)
        if self.kind == "adaface":
            return adaface(cosine, self.m, self.quality(features))
        return arcface(cosine, self.m)

    def quality(self, features: torch.Tensor) -> torch.Tensor:
        """AdaFace's quality (N, 1), -1 to 1: how long a feature is among the recent ones."""
        norms = features.detach().norm(dim=1, keepdim=True).clamp(1e-3, 100)
        if self.training and len(features) > 1:
            self.norms.lerp_(torch.stack([norms.mean(), norms.std()]), 0.01)
        return ((norms - self.norms[0]) / (self.norms[1] + 1e-3) / 3).clamp(-1, 1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scaled cosines (N, num_classes), without the margin, for prediction."""
        return F.linear(F.normalize(features.float()), F.normalize(self.centres)) * self.s

    def extra_repr(self) -> str:
        return f"num_classes={len(self.centres)}, s={self.s}, m={self.m}, kind={self.kind}"


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The share of rows of logits (N, C) whose highest score is the label's (N,)."""
    return (logits.detach().argmax(1) == labels).float().mean()


class EmbeddingDistillation(nn.Module):
    """One minus the cosine between a student's features and a teacher's embeddings.

    Knowledge distillation (Hinton et al. 2015, https://arxiv.org/abs/1503.02531) of embeddings: a
    network that learns slowly from few photos, such as a transformer, is told where each photo
    belongs, not only whom it shows.

    Args:
        contrast: scale of the cosines in a softmax over the batch, in which each photo's own target
            should be the nearest (after Tian et al. 2020, https://arxiv.org/abs/1910.10699); 0
            leaves it out. All embeddings of faces share a direction, which alone gives a high
            cosine; the softmax asks for more.
    """

    def __init__(self, contrast: float = 0.0):
        super().__init__()
        self.contrast = contrast

    @in_float32
    def forward(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, dict]:
        if features.shape != targets.shape:
            raise ValueError(
                f"The student's features are {tuple(features.shape)}, but the teacher's embeddings "
                f"are {tuple(targets.shape)}: name a teacher, and give the student an embedding of "
                "its size."
            )
        cosines = F.normalize(features) @ F.normalize(targets.float()).T
        same = torch.arange(len(cosines), device=cosines.device)
        loss = 1 - cosines.diagonal().mean()
        if self.contrast:
            loss = loss + F.cross_entropy(self.contrast * cosines, same)
        return loss, {
            "cosine": cosines.detach().diagonal().mean(),
            "nearest": accuracy(cosines, same),
            "spherical_variance": spherical_variance(features),
        }

    def extra_repr(self) -> str:
        return f"contrast={self.contrast}"


class Mixture(nn.Module):
    """Weighted sum of losses on the same features.

    Args:
        weights_and_losses: in turn, as in Mixture(1.0, TripletLoss(), 0.5, MarginHead(128, 28)).
    """

    def __init__(self, *weights_and_losses: float | nn.Module):
        super().__init__()
        gates.check_range(
            0, **{f"weight {k + 1}": w for k, w in enumerate(weights_and_losses[::2])}
        )
        self.weights, self.losses = weights_and_losses[::2], nn.ModuleList(weights_and_losses[1::2])

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict]:
        total, health = 0, {}
        for weight, loss in zip(self.weights, self.losses):
            value, signals = loss(features, labels)
            total, health = total + weight * value, health | signals
        return total, health

    @property
    def logits(self) -> Callable:
        """The `logits` of the part that has a classifier; AttributeError if none has."""
        return self._classifier().logits

    @property
    def classes(self) -> int:
        """How many classes that classifier has."""
        return self._classifier().classes

    def _classifier(self):
        for loss in self.losses:
            if hasattr(loss, "logits"):
                return loss
        raise AttributeError("None of these losses has a classifier.")

    def __repr__(self):
        return " + ".join(f"{weight} {loss!r}" for weight, loss in zip(self.weights, self.losses))
