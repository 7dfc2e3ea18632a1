"""How far a landmark detector contradicts itself when the same photos are turned."""

from collections.abc import Sequence

import numpy as np
import torch

from .alignment import crop_heads, invert, transform, warp
from .detection import detect
from .landmarks import MIRRORED, StackedHourglass, nme, predict_landmarks


def turned(photo: torch.Tensor, degrees: float = 15) -> tuple[torch.Tensor, torch.Tensor]:
    """A photo (3, H, W) turned about its middle, on a square, and the matrix (2, 3) that did it."""
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    middle = (torch.tensor([photo.shape[2], photo.shape[1]]) - 1) / 2  # width, height
    matrix = torch.cat([turn, (middle - turn @ middle)[:, None]], 1)
    return warp(photo[None], matrix[None], max(photo.shape))[0], matrix


class AskedTwice:
    """Photos and the same photos turned, with MTCNN's faces in both and in their mirror images.

    Args:
        photos: uint8 (3, H, W) each.
        degrees: how far each is turned.
        device: where MTCNN works.

    `seen` lists the photos in which MTCNN sees a face in all four.
    """

    def __init__(self, photos: Sequence[torch.Tensor], degrees: float = 15, device: object = "cpu"):
        pairs = [turned(photo, degrees) for photo in photos]
        shots = (photos, [photo for photo, _ in pairs])
        found = [detect(some, device) for some in shots]
        mirrored = [detect([photo.flip(-1) for photo in some], device) for some in shots]
        answers = (*found, *mirrored)
        self.seen = [k for k, of_photo in enumerate(zip(*answers)) if all(map(len, of_photo))]
        if not self.seen:
            raise ValueError(f"MTCNN sees a face in none of {len(photos)} photos and their turns.")
        self.photos = [[some[k] for k in self.seen] for some in shots]
        self.found, self.mirrored = (
            [[some[k] for k in self.seen] for some in x] for x in (found, mirrored)
        )
        self.back = invert(torch.stack([pairs[k][1] for k in self.seen]))

    def doubt(self, model: StackedHourglass | None, mirror: bool = False) -> np.ndarray:
        """How far apart the two answers are, for each photo of `seen`, in eye distances (N,).

        Args:
            model: an hourglass, or None for MTCNN.
            mirror: each answer is the mean of those for the photo and for its mirror image.
        """
        find = self._mtcnn if model is None else self._hourglass
        upright, again = (find(shot, mirror, model) for shot in (0, 1))
        return nme(transform(again, self.back), upright).numpy()

    def _mtcnn(self, shot, mirror, _):
        landmarks = _first(self.found[shot], "landmarks")
        if not mirror:
            return landmarks
        again = _first(self.mirrored[shot], "landmarks")[:, MIRRORED]
        widths = torch.tensor([photo.shape[2] for photo in self.photos[shot]])
        again[..., 0] = widths[:, None] - 1 - again[..., 0]
        return (landmarks + again) / 2

    def _hourglass(self, shot, mirror, model):
        heads, matrices = crop_heads(self.photos[shot], _first(self.found[shot], "boxes"))
        return transform(predict_landmarks(model, heads, mirror=mirror)[0], invert(matrices))


def _first(found, part):
    """A part, such as the boxes, of the largest face of each photo, as one tensor."""
    return torch.from_numpy(np.stack([getattr(one, part)[0] for one in found]))
