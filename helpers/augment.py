"""Changes of training pictures, for whole batches on the device, each picture with its own luck.

They take uint8 or float pictures (N, 3, H, W) of values 0 to 255 with their targets, and give floats of the same
range. Targets are people (N,), which stay, or landmarks (N, 5, 2), which move with the picture.
"""

from functools import cache

import kornia.augmentation as K
import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from PIL import Image, ImageDraw

from .alignment import FACE, transform, warp
from .landmarks import MIRRORED


class Jitter:
    """Random turn (degrees), scale and shift (shares), mirroring, and light (contrast and brightness, a share).

    crop: side of what is kept, cut from the middle; larger pictures then show real surroundings where the border
    would come into sight. None keeps the whole side.
    size: side of the pictures given out: what the network will see, so that each pixel is computed once. Below half of
    what is kept pixels would be skipped: half it is then, and the network shrinks the rest.
    """

    def __init__(
        self, degrees=15, scale=0.15, shift=0.08, mirror=True, light=0.4, crop=None, size=None
    ):
        self.degrees, self.scale, self.shift, self.mirror, self.light = (
            degrees,
            scale,
            shift,
            mirror,
            light,
        )
        self.crop, self.size = crop, size

    def __call__(self, images, targets):
        n, device = len(images), images.device
        kept = self.crop or images.shape[-1]
        side = max(self.size or kept, -(-kept // 2))

        def uniform(columns, reach):
            return (torch.rand(n, columns, device=device) * 2 - 1) * reach

        angle, zoom = (
            torch.deg2rad(uniform(1, self.degrees))[:, 0],
            torch.exp(uniform(1, self.scale))[:, 0] * side / kept,
        )
        mirrored = (torch.rand(n, device=device) < 0.5) & self.mirror
        sign = torch.where(mirrored, -1.0, 1.0)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        turn = torch.stack(
            [torch.stack([cos * sign, -sin], -1), torch.stack([sin * sign, cos], -1)], -2
        )
        before, after = (
            torch.full((n, 2, 1), (length - 1) / 2, device=device)
            for length in (images.shape[-1], side)
        )
        matrices = torch.cat(
            [turn, after - turn @ before + uniform(2, self.shift)[..., None] * side], -1
        )
        images = self.relight(warp(images.float(), matrices, side), uniform)
        if targets.ndim == 3:
            targets = transform(targets, matrices)
            targets = torch.where(mirrored[:, None, None], targets[:, MIRRORED], targets)
        return images, targets

    def relight(self, images, uniform):
        """Stretch each picture about its mean grey and lift it, in place."""
        mean = images.mean((1, 2, 3), keepdim=True)
        gain = torch.exp(uniform(1, self.light))[..., None, None]
        lift = uniform(1, self.light)[..., None, None] * 64
        return images.mul_(gain).add_(mean * (1 - gain) + lift).clamp_(0, 255)

    def __repr__(self):
        return f"Jitter({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


class Degrade:
    """What other cameras do: a tint (gain of each colour, a share), grey for a share of pictures, blur (Gaussian, up to
    so many pixels, half the pictures) and noise (grey levels, up to). Targets stay."""

    def __init__(self, tint=0.3, grey=0.3, blur=2.5, noise=8):
        self.tint, self.grey, self.blur, self.noise = tint, grey, blur, noise

    def __call__(self, images, targets):
        n, device = len(images), images.device

        def uniform(*shape):
            return torch.rand(n, *shape, device=device)

        images = images.float() * torch.exp((uniform(3, 1, 1) * 2 - 1) * self.tint)
        images = torch.where(uniform(1, 1, 1) < self.grey, images.mean(1, keepdim=True), images)
        blurred = uniform() < 0.5
        if self.blur and blurred.any():
            side, sigmas = (
                2 * int(3 * self.blur) + 1,
                (uniform()[blurred] * self.blur).clamp(min=1e-3),
            )
            images[blurred] = gaussian_blur2d(
                images[blurred], (side, side), sigmas[:, None].expand(-1, 2)
            )
        return (images + torch.randn_like(images) * uniform(1, 1, 1) * self.noise).clamp(
            0, 255
        ), targets

    def __repr__(self):
        return f"Degrade({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


class Photometric:
    """Five changes of light and colour: grey, brightness and hue, blur, two bits for each colour, equalised histogram.

    Each picture gets one of the five, or none, all equally likely; with compose=True it gets each of them with chance
    1/2, one after another, which is much: some faces are hardly seen any more. The blur is that of 0.1 to 5 pixels on a
    face of 112, and less on smaller ones.
    """

    def __init__(self, compose=False):
        self.compose = compose

    def __call__(self, images, targets):
        x, changes = images.float() / 255, self.changes(images.shape[-1])
        one = torch.randint(len(changes) + 1, (len(x),), device=x.device)
        for k, change in enumerate(changes):
            rows = torch.rand(len(x), device=x.device) < 0.5 if self.compose else one == k
            if rows.any():
                x[rows] = change(x[rows])
        return (x * 255).clamp(0, 255), targets

    @staticmethod
    @cache
    def changes(side):
        """The five, for pictures of this side; made once, since that takes as long as a batch."""
        kernel, sigma = 2 * round(side / 28) + 1, (0.1 * side / 112, 5 * side / 112)
        return (
            K.RandomGrayscale(p=1.0),
            K.ColorJitter(brightness=0.5, hue=0.3, p=1.0),
            K.RandomGaussianBlur((kernel, kernel), sigma, p=1.0),
            K.RandomPosterize((2, 2), p=1.0),
            K.RandomEqualize(p=1.0),
        )

    def __repr__(self):
        return f"Photometric(compose={self.compose})"


class PhotometricSet:
    """Each photo and its five changes, all six of them: a batch of B gives 6 B pictures, with their targets six times.

    So the set is multiplied by six, where Photometric draws one of the six for each photo and epoch.
    """

    def __call__(self, images, targets):
        x = images.float() / 255
        changed = torch.cat([x, *(change(x) for change in Photometric.changes(images.shape[-1]))])
        return (changed * 255).clamp(0, 255), targets.repeat(6, *[1] * (targets.ndim - 1))

    def __repr__(self):
        return "PhotometricSet()"


class MaskAugmentation:
    """Cover a part of aligned faces, for a share p of them: each time one of `parts`, a little moved and scaled.

    parts: of "upper" (a bar over the eyes), "lower" (mouth and chin), "mask" (a surgical mask) and "sunglasses", where
    the reference landmarks have them.  fill: "colour" (one random grey or colour), "noise" or "blur".
    """

    SHAPES = {  # polygons on the 112-pixel face, x and y
        "upper": [[(18, 36), (94, 36), (94, 66), (18, 66)]],
        "lower": [[(24, 74), (88, 74), (88, 112), (24, 112)]],
        "mask": [
            [
                (56, 63),
                (80, 72),
                (96, 74),
                (90, 94),
                (76, 112),
                (36, 112),
                (22, 94),
                (16, 74),
                (32, 72),
            ]
        ],
        "sunglasses": [
            [(20, 43), (52, 43), (53, 54), (46, 64), (30, 64), (21, 55)],
            [(60, 43), (92, 43), (91, 55), (82, 64), (66, 64), (59, 54)],
            [(52, 45), (60, 45), (60, 49), (52, 49)],
            [(2, 44), (20, 44), (20, 49), (2, 47)],
            [(92, 44), (110, 44), (110, 47), (92, 49)],
        ],
    }

    def __init__(self, p=0.5, parts=("upper", "lower"), fill="colour", shift=4, scale=0.06):
        unknown = set(parts) - set(self.SHAPES)
        if unknown or not parts or fill not in ("colour", "noise", "blur"):
            raise ValueError(
                f"MaskAugmentation has no parts {', '.join(unknown) or 'at all'} with fill '{fill}': choose of "
                f"{', '.join(self.SHAPES)}, and colour, noise or blur."
            )
        self.p, self.parts, self.fill, self.shift, self.scale = p, tuple(parts), fill, shift, scale

    def __call__(self, faces, targets):
        n, side, device = len(faces), faces.shape[-1], faces.device
        chosen = torch.randint(len(self.parts), (n,), device=device)
        inside = torch.stack([self.cover(part) for part in self.parts]).to(device)[chosen] & (
            torch.rand(n, 1, 1, 1, device=device) < self.p
        )
        zoom = torch.exp((torch.rand(n, 1, 1, device=device) * 2 - 1) * self.scale) * side / FACE
        shift = (
            (torch.rand(n, 2, 1, device=device) * 2 - 1) * self.shift * side / FACE
            + side / 2
            - zoom * FACE / 2
        )
        inside = (
            warp(inside.float(), torch.cat([zoom * torch.eye(2, device=device), shift], -1), side)
            > 0.5
        )
        return torch.where(inside, self.filling(faces.float()), faces.float()), targets

    @classmethod
    def cover(cls, part):
        """The pixels that a part hides, bool (1, 112, 112)."""
        picture = Image.new("1", (FACE, FACE))
        for polygon in cls.SHAPES[part]:
            ImageDraw.Draw(picture).polygon(polygon, fill=1)
        return torch.from_numpy(np.array(picture))[None]

    def filling(self, faces):
        """What is seen on the cover."""
        if self.fill == "colour":
            return torch.rand(len(faces), 3, 1, 1, device=faces.device) * 255
        if self.fill == "noise":
            return torch.rand_like(faces) * 255
        side = faces.shape[-1]
        small = F.interpolate(faces, (6, 6), mode="bilinear", antialias=True)
        return F.interpolate(small, (side, side), mode="bilinear")

    def __repr__(self):
        return (
            f"MaskAugmentation({', '.join(f'{key}={value}' for key, value in vars(self).items())})"
        )


class Compose:
    """One change after another, of this module or of torchvision."""

    def __init__(self, *changes):
        self.changes = [as_change(change) for change in changes]

    def __call__(self, images, targets):
        for change in self.changes:
            images, targets = change(images, targets)
        return images, targets

    def __repr__(self):
        return f"Compose({', '.join(map(repr, self.changes))})"


class EachPicture:
    """A transform of torchvision, such as RandAugment, as a change: each picture, uint8, with its own luck."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, images, targets):
        if targets is not None and targets.ndim == 3:
            raise ValueError(
                "A transform of torchvision moves the picture and not its landmarks: take Jitter and Degrade."
            )
        images = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).byte()
        changed = torch.stack([self.transform(image) for image in images])
        if changed.dtype != torch.uint8:
            raise ValueError(
                f"{self.transform} gives {changed.dtype}, but pictures stay uint8 here: leave out ToTensor, "
                "ToDtype and Normalize, since the encoder scales and normalises by itself."
            )
        return changed, targets

    def __repr__(self):
        return f"EachPicture({self.transform})"


def as_change(transform):
    """A change as it is, None too; a transform of torchvision, or a Sequential of some, wrapped."""
    of_torchvision = type(transform).__module__.startswith("torchvision.") or isinstance(
        transform, torch.nn.Sequential
    )
    return EachPicture(transform) if of_torchvision else transform
