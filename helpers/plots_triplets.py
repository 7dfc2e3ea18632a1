"""Triplets as photos: an anchor, its farthest positive, negatives of every kind, and distances."""

import torch
from matplotlib.figure import Figure

from .batch_losses import pairs
from .plots_faces import pictures
from .plots_style import COLOURS

KINDS = ("farthest positive", "easy", "semi-hard", "hardest")


def kinds_of_triplets(distance: torch.Tensor, labels: torch.Tensor, margin: float) -> list[tuple]:
    """For each anchor, photos that stand for the kinds of triplets that miners choose among.

    Args:
        distance: (N, N), of unit embeddings.
        labels: (N,).
        margin: above 0; it divides easy from semi-hard.

    Returns:
        Tuples (anchor, farthest positive, easy, semi-hard, hardest negative) of indices: the
        farthest easy negative, the nearest semi-hard one, and the nearest of all, which is nearer
        than the positive. Anchors that lack one of them are left out.
    """
    positive, negative = pairs(labels)
    rows = []
    for anchor in range(len(labels)):
        if not positive[anchor].any() or not negative[anchor].any():
            continue
        d = distance[anchor]
        farthest = int(d.masked_fill(~positive[anchor], -1).argmax())
        hardest = int(d.masked_fill(~negative[anchor], torch.inf).argmin())
        gap = (d - d[farthest]).masked_fill(~negative[anchor], torch.nan)
        semi = (gap > 0) & (gap < margin)
        if d[hardest] < d[farthest] and semi.any() and bool((gap > margin).any()):
            easy = int(d.masked_fill(~(gap > margin), -1).argmax())
            rows.append((anchor, farthest, easy, int(d.masked_fill(~semi, 9).argmin()), hardest))
    return rows


def triplets(
    faces: torch.Tensor,
    distance: torch.Tensor,
    labels: torch.Tensor,
    margin: float = 0.2,
    rows: int = 3,
    title: str | None = None,
) -> Figure | None:
    """A row for each of some anchors of different people; None where no anchor has all kinds.

    Args:
        faces: (N, 3, H, W), 0 to 255.
        distance: (N, N), of their unit embeddings.
        labels: (N,).
    """
    chosen, shown = [], set()
    for row in kinds_of_triplets(distance, labels, margin):
        if int(labels[row[0]]) not in shown and len(chosen) < rows:
            shown.add(int(labels[row[0]]))
            chosen.append(row)
    if not chosen:
        return None
    photos = [faces[i] for row in chosen for i in row]
    titles = [
        text
        for row in chosen
        for text in ("anchor", *(f"{k}: {distance[row[0], i]:.2f}" for k, i in zip(KINDS, row[1:])))
    ]
    frames = [None, COLOURS["blue"], *[COLOURS["vermillion"]] * 3] * len(chosen)
    dashed = [False, False, True, True, True] * len(chosen)
    return pictures(photos, titles, title, 5, 1.6, frames, dashed)
