"""Occlusion as augmentation: bars, surgical masks and sunglasses over aligned faces."""

import numpy as np
import torch
from PIL import Image, ImageDraw

from .alignment import FACE, warp
from .filters import blur
from .gates import check_range


def part(*polygons: str) -> list[list[int]]:
    """Polygons written as SVG writes them, "x,y x,y ...", as lists of numbers for Pillow."""
    return [[int(n) for n in polygon.replace(",", " ").split()] for polygon in polygons]


class MaskAugmentation:
    """Occlude a part of a share of aligned faces, each time a little moved and scaled.

    The parts lie where the reference landmarks have eyes, mouth and chin, so faces must be aligned.

    Args:
        p: the share of faces that are occluded, 0 to 1.
        parts: which; each occluded face gets one, all equally likely. "upper" is a bar over the
            eyes, "lower" one over mouth and chin, "mask" a surgical mask.
        fill: what stands there: "colour" (a random one), "noise" or "blur" (the blurred face).
        shift: how far a part moves at most, in pixels of a face of 112.
        scale: how much it grows or shrinks at most, the logarithm of the factor.

    Raises:
        ValueError: there is no such part or fill.
    """

    SHAPES = {  # on the aligned face of 112 pixels
        "upper": part("18,36 94,36 94,66 18,66"),
        "lower": part("24,74 88,74 88,112 24,112"),
        "mask": part("56,63 80,72 96,74 90,94 76,112 36,112 22,94 16,74 32,72"),
        "sunglasses": part(
            "20,43 52,43 53,54 46,64 30,64 21,55",  # two lenses,
            "60,43 92,43 91,55 82,64 66,64 59,54",
            "52,45 60,45 60,49 52,49",  # the bridge,
            "2,44 20,44 20,49 2,47",  # and two temples
            "92,44 110,44 110,47 92,49",
        ),
    }

    def __init__(
        self,
        p: float = 0.5,
        parts: tuple = ("upper", "lower"),
        fill: str = "colour",
        shift: float = 4,
        scale: float = 0.06,
    ):
        unknown = set(parts) - set(self.SHAPES)
        if unknown or not parts or fill not in ("colour", "noise", "blur"):
            raise ValueError(
                f"MaskAugmentation has no parts {', '.join(unknown) or 'at all'} with fill "
                f"'{fill}': choose of {', '.join(self.SHAPES)}, and colour, noise or blur."
            )
        check_range(0, 1, p=p)
        check_range(0, 100, shift=shift, scale=scale)
        self.p, self.parts, self.fill, self.shift, self.scale = p, tuple(parts), fill, shift, scale

    def __call__(
        self, faces: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Faces (N, 3, H, H) of 0 to 255 -> floats with occlusions; the targets as they came."""
        n, side, device = len(faces), faces.shape[-1], faces.device
        shapes = torch.stack([self.cover(name) for name in self.parts]).to(device)
        shapes = shapes[torch.randint(len(self.parts), (n,), device=device)]
        shapes &= torch.rand(n, 1, 1, 1, device=device) < self.p

        def uniform(rows: int, reach: float) -> torch.Tensor:
            return (torch.rand(n, rows, 1, device=device) * 2 - 1) * reach

        zoom = uniform(1, self.scale).exp() * side / FACE
        shift = uniform(2, self.shift * side / FACE) + (side - zoom * FACE) / 2  # about the middle
        matrices = torch.cat([zoom * torch.eye(2, device=device), shift], -1)
        occluded = warp(shapes.float(), matrices, side) > 0.5
        return torch.where(occluded, self.filling(faces.float()), faces.float()), targets

    @classmethod
    def cover(cls, name: str) -> torch.Tensor:
        """The pixels that a part hides, bool (1, 112, 112)."""
        picture = Image.new("1", (FACE, FACE))
        for polygon in cls.SHAPES[name]:
            ImageDraw.Draw(picture).polygon(polygon, fill=1)
        return torch.from_numpy(np.array(picture))[None]

    def filling(self, faces: torch.Tensor) -> torch.Tensor:
        """What is seen in place of the part."""
        n, side = len(faces), faces.shape[-1]
        if self.fill == "colour":
            return torch.rand(n, 3, 1, 1, device=faces.device) * 255
        if self.fill == "noise":
            return torch.rand_like(faces) * 255
        return blur(faces, torch.full((n,), side / 12, device=faces.device), side // 4)

    def __repr__(self):
        settings = ", ".join(f"{key}={value}" for key, value in vars(self).items())
        return f"MaskAugmentation({settings})"
