"""What pulls photos of one person together: softmax heads with margins, imitation, and mixtures.

Triplets and contrast, which compare the photos of a batch, stand in batch_losses.py and can be had from here too.

Every loss takes features (N, D) and people (N,), works in float32 whatever autocast says, and returns a scalar
and a dict of its own health: numbers that show a collapse before the loss does.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .batch_losses import (  # noqa: F401
    ContrastiveLoss,
    TripletLoss,
    check_range,
    in_float32,
    mine_triplets,
    pairwise_distances,
    spherical_variance,
)


class CrossEntropy(nn.Module):
    """Plain softmax classifier: one linear layer of `people` outputs on the features as they come."""

    def __init__(self, dim, people):
        super().__init__()
        self.linear, self.classes = nn.Linear(dim, people), people

    @in_float32
    def forward(self, features, people):
        logits = self.linear(features)
        return F.cross_entropy(logits, people), {
            "accuracy": accuracy(logits, people),
            "spherical_variance": spherical_variance(features),
        }

    def logits(self, features):
        """Class scores (N, people), to predict with."""
        return self.linear(features.float())


class MarginHead(nn.Module):
    """Softmax over cosines with a margin for the true person: s * cos(theta + m) or s * (cos(theta) - m), or in between.

    kind: "arcface" (Deng et al. 2019, https://arxiv.org/abs/1801.07698; m in radians), "cosface" (Wang et al.
    2018, https://arxiv.org/abs/1801.09414; m of cosine), or "adaface" (Kim et al. 2022,
    https://arxiv.org/abs/2204.00964), which tells good photos by their long features: poor ones get ArcFace's margin,
    middling ones CosFace's, good ones one that spares easy faces. m = 0 is the normalised softmax.
    The first loss is about s sin(m) + log(people): with s = 64 and m = 0.5 it is far above log(people).
    """

    def __init__(self, dim, people, s=16.0, m=0.3, kind="arcface"):
        super().__init__()
        if kind not in ("arcface", "cosface", "adaface"):
            raise ValueError(
                f"There is no margin of kind '{kind}': choose arcface, cosface or adaface."
            )
        check_range(1e-6, s=s)
        check_range(0, 3.14, m=m)
        self.s, self.m, self.kind, self.classes = s, m, kind, people
        self.centres = nn.Parameter(torch.empty(people, dim))
        nn.init.xavier_normal_(self.centres)
        if (
            kind == "adaface"
        ):  # running mean and deviation of the features' lengths; AdaFace's first values
            self.register_buffer("length", torch.tensor([20.0, 100.0]))

    @in_float32
    def forward(self, features, people):
        cosine = F.linear(F.normalize(features), F.normalize(self.centres))
        true = cosine.gather(1, people[:, None])
        logits = (
            cosine.scatter(1, people[:, None], self.with_margin(true, self.quality(features)))
            * self.s
        )
        health = {
            "accuracy": accuracy(
                cosine, people
            ),  # without the margin, or it is judged by a harder exam
            "true_cosine": true.detach().mean(),
            "spherical_variance": spherical_variance(features),
        }
        return F.cross_entropy(logits, people), health

    def quality(self, features):
        """Where between poor (-1) and good (1) each photo stands (N, 1); None, the kind's own, but for AdaFace."""
        if self.kind != "adaface":
            return None
        lengths = features.detach().norm(dim=1, keepdim=True).clamp(1e-3, 100)
        if self.training and len(features) > 1:
            self.length.lerp_(torch.stack([lengths.mean(), lengths.std()]), 0.01)
        return ((lengths - self.length[0]) / (self.length[1] + 1e-3) / 3).clamp(-1, 1)

    def with_margin(self, cosine, quality=None):
        """The true person's cosine, made harder: by the angle -m * quality, and by m + m * quality off the cosine.

        quality: of the same shape as cosine. None: ArcFace takes all photos as poor (-1), CosFace as middling (0).
        """
        if quality is None:
            quality = torch.full_like(cosine, -1.0 if self.kind == "arcface" else 0.0)
        angle = -self.m * quality
        # acos has an infinite slope at 1 and -1; stay off them
        turned = cosine.clamp(-1 + 1e-5, 1 - 1e-5).acos() + angle
        # past pi the cosine would rise again and reward the wrong way; go on straight down instead (as insightface)
        hard = torch.where(
            turned < torch.pi,
            turned.clamp(min=0).cos(),
            cosine - self.m * torch.tensor(self.m).sin(),
        )
        return torch.where(angle == 0, cosine, hard) - self.m * (1 + quality)

    def logits(self, features):
        """Scaled cosines (N, people), without the margin."""
        return F.linear(F.normalize(features.float()), F.normalize(self.centres)) * self.s

    def extra_repr(self):
        return f"people={len(self.centres)}, s={self.s}, m={self.m}, kind={self.kind}"


def accuracy(logits, people):
    """Share of rows whose highest score is the true person's."""
    return (logits.detach().argmax(1) == people).float().mean()


class EmbeddingDistillation(nn.Module):
    """Embedding distillation: one minus the cosine between features and a teacher's embeddings of the same photos.

    Knowledge distillation (Hinton et al. 2015, https://arxiv.org/abs/1503.02531), of embeddings: a network that is slow to
    learn from few photos, such as a transformer, is told where each photo belongs in place of whom it shows.
    contrast: what cosines are multiplied by in a softmax over the batch's targets, in which a photo's own should be the
    nearest (in the spirit of Tian et al. 2020, https://arxiv.org/abs/1910.10699); 0 leaves it out. Embeddings of all
    faces have a direction in common: the cosine alone is content with that for long, the softmax never.
    """

    def __init__(self, contrast=0.0):
        super().__init__()
        self.contrast = contrast

    @in_float32
    def forward(self, features, targets):
        if features.shape != targets.shape:
            raise ValueError(
                f"The student's features are {tuple(features.shape)} and what it should imitate "
                f"{tuple(targets.shape)}: name a teacher, and give the student an embedding of its size."
            )
        unit, targets = F.normalize(features), F.normalize(targets.float())
        cosines, own = unit @ targets.T, torch.arange(len(unit), device=unit.device)
        loss = 1 - cosines.diagonal().mean()
        if self.contrast:
            loss = loss + F.cross_entropy(self.contrast * cosines, own)
        health = {
            "cosine": cosines.detach().diagonal().mean(),
            "nearest": accuracy(cosines, own),
            "spherical_variance": spherical_variance(features),
        }
        return loss, health

    def extra_repr(self):
        return f"contrast={self.contrast}"


class Mixture(nn.Module):
    """Weighted sum of losses on the same features, such as Mixture(1.0, TripletLoss(), 1.0, MarginHead(128, 28))."""

    def __init__(self, *weights_and_losses):
        super().__init__()
        check_range(0, **{f"weight {k + 1}": w for k, w in enumerate(weights_and_losses[::2])})
        self.weights, self.losses = weights_and_losses[::2], nn.ModuleList(weights_and_losses[1::2])

    def forward(self, features, people):
        total, health = 0, {}
        for weight, loss in zip(self.weights, self.losses):
            value, signals = loss(features, people)
            total, health = total + weight * value, health | signals
        return total, health

    @property
    def logits(self):
        """The class scores of the part that has a classifier; a mixture of others has no logits."""
        return self._classifier().logits

    @property
    def classes(self):
        """How many people that classifier knows."""
        return self._classifier().classes

    def _classifier(self):
        for loss in self.losses:
            if hasattr(loss, "logits"):
                return loss
        raise AttributeError("None of these losses has a classifier.")

    def __repr__(self):
        return " + ".join(f"{weight} {loss!r}" for weight, loss in zip(self.weights, self.losses))
