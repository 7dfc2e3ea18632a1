"""Augmentation of whole batches on the device; every picture draws its own random numbers.

An augmentation takes uint8 or float pictures (N, 3, H, W) of values 0 to 255 with their targets and
returns floats of the same range with targets. Targets are labels (N,), which stay as they are, or
landmarks (N, 5, 2), which move with the picture.
"""

from collections.abc import Callable
from functools import cache

import kornia.augmentation as K
import torch

from .alignment import transform, warp
from .filters import blur, grey, tint
from .gates import check_range
from .landmarks import MIRRORED
from .occlusion import MaskAugmentation  # noqa: F401  an augmentation like those here


class Jitter:
    """Random rotation, scale, shift, mirroring and light, in one warp.

    Args:
        degrees: rotation up to so many degrees either way.
        scale: the logarithm of the zoom, up to.
        shift: up to this share of the side, in x and in y.
        mirror: whether half of the pictures are mirrored.
        light: contrast (the logarithm of a factor) and brightness (times 64 grey levels), up to.
        crop: side of the square that is cut from the middle of larger pictures, so that real
            surroundings fill the corners of rotated ones. None: the whole picture.
        size: side of the result, what the network takes, so that each pixel is computed once. It is
            at least half of crop, since the warp would skip pixels otherwise.
    """

    def __init__(
        self,
        degrees: float = 15,
        scale: float = 0.15,
        shift: float = 0.08,
        mirror: bool = True,
        light: float = 0.4,
        crop: int | None = None,
        size: int | None = None,
    ):
        check_range(0, 180, degrees=degrees)
        check_range(0, 2, scale=scale, shift=shift, light=light)
        self.degrees, self.scale, self.shift = degrees, scale, shift
        self.mirror, self.light, self.crop, self.size = mirror, light, crop, size

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n, device = len(images), images.device
        kept = self.crop or images.shape[-1]
        side = max(self.size or kept, -(-kept // 2))

        def uniform(columns: int, reach: float) -> torch.Tensor:
            return (torch.rand(n, columns, device=device) * 2 - 1) * reach

        angle = torch.deg2rad(uniform(1, self.degrees))[:, 0]
        zoom = uniform(1, self.scale).exp()[:, 0] * side / kept
        mirrored = (torch.rand(n, device=device) < 0.5) & self.mirror
        sign = torch.where(mirrored, -1.0, 1.0)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        turn = torch.stack([cos * sign, -sin, sin * sign, cos], -1).view(n, 2, 2)
        before = torch.full((n, 2, 1), (images.shape[-1] - 1) / 2, device=device)
        after = (side - 1) / 2 + uniform(2, self.shift)[..., None] * side
        matrices = torch.cat([turn, after - turn @ before], -1)
        images = self.relight(warp(images, matrices, side, keep_type=False), uniform)
        if targets.ndim == 3:
            targets = transform(targets, matrices)
            targets = torch.where(mirrored[:, None, None], targets[:, MIRRORED], targets)
        return images, targets

    def relight(
        self, images: torch.Tensor, uniform: Callable[[int, float], torch.Tensor]
    ) -> torch.Tensor:
        """Stretch each picture about its mean grey and make it brighter or darker, in place."""
        mean = images.mean((1, 2, 3), keepdim=True)
        gain = torch.exp(uniform(1, self.light))[..., None, None]
        lift = uniform(1, self.light)[..., None, None] * 64
        return images.mul_(gain).add_(mean * (1 - gain) + lift).clamp_(0, 255)

    def __repr__(self):
        return f"Jitter({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


class Degrade:
    """What other cameras do to a picture. Targets stay.

    Args:
        tint: strength of the channels' factors, see `tint`.
        grey: the share of pictures that lose their colour.
        blur: half of the pictures are blurred by a Gaussian of 0 to so many pixels.
        noise: standard deviation of Gaussian noise, up to so many grey levels.
    """

    def __init__(self, tint: float = 0.3, grey: float = 0.3, blur: float = 2.5, noise: float = 8):
        check_range(0, 1, tint=tint, grey=grey)
        check_range(0, 255, blur=blur, noise=noise)
        self.tint, self.grey, self.blur, self.noise = tint, grey, blur, noise

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        n, device = len(images), images.device

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(n, *shape, device=device)

        images = tint(images.float(), self.tint)
        images = torch.where(uniform(1, 1, 1) < self.grey, grey(images), images)
        blurred = uniform() < 0.5
        if self.blur and blurred.any():
            sigma = uniform()[blurred] * self.blur
            images[blurred] = blur(images[blurred], sigma, int(3 * self.blur))
        noise = torch.randn_like(images) * uniform(1, 1, 1) * self.noise
        return (images + noise).clamp(0, 255), targets

    def __repr__(self):
        return f"Degrade({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


class Photometric:
    """Five changes of light and colour: grey, brightness and hue, blur, 2-bit colour, equalisation.

    The blur is that of 0.1 to 5 pixels on a face of 112, and less on smaller ones.

    Args:
        compose: False gives each picture one of the five or none, all equally likely; True gives it
            each of them with probability 1/2, one after another, which is a lot: some faces can
            hardly be recognised any more.
    """

    def __init__(self, compose: bool = False):
        self.compose = compose

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        x, changes = images.float() / 255, self.changes(images.shape[-1])
        one = torch.randint(len(changes) + 1, (len(x),), device=x.device)
        for k, change in enumerate(changes):
            rows = torch.rand(len(x), device=x.device) < 0.5 if self.compose else one == k
            if rows.any():
                x[rows] = change(x[rows])
        return (x * 255).clamp(0, 255), targets

    @staticmethod
    @cache
    def changes(side: int) -> tuple:
        """The five, for pictures (N, 3, side, side) of 0 to 1; cached, being slow to make."""

        def blurred(images: torch.Tensor) -> torch.Tensor:
            sigma = torch.empty(len(images), device=images.device).uniform_(0.1, 5)
            return blur(images, sigma * side / 112, round(side / 28))

        colour = K.ColorJitter(brightness=0.5, hue=0.3, p=1.0)
        return grey, colour, blurred, K.RandomPosterize((2, 2), p=1.0), K.RandomEqualize(p=1.0)

    def __repr__(self):
        return f"Photometric(compose={self.compose})"


class PhotometricSet:
    """Each photo and its five photometric changes: a batch of B becomes 6 B, targets repeated.

    The set becomes six times as large; Photometric draws one of the six for each photo and epoch.
    """

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = images.float() / 255
        changed = torch.cat([x, *(change(x) for change in Photometric.changes(images.shape[-1]))])
        return (changed * 255).clamp(0, 255), targets.repeat(6, *[1] * (targets.ndim - 1))

    def __repr__(self):
        return "PhotometricSet()"


class Compose:
    """One augmentation after another, of this module or of torchvision."""

    def __init__(self, *changes: Callable | None):
        self.changes = [as_change(change) for change in changes]

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        for change in self.changes:
            images, targets = change(images, targets)
        return images, targets

    def __repr__(self):
        return f"Compose({', '.join(map(repr, self.changes))})"


class EachPicture:
    """A transform of torchvision, such as RandAugment, applied to each uint8 picture separately.

    Raises:
        ValueError: the targets are landmarks, which it would not move, or it returns no uint8.
    """

    def __init__(self, transform: Callable):
        self.transform = transform

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if targets is not None and targets.ndim == 3:
            raise ValueError(
                "A transform of torchvision moves the picture and not its landmarks: take Jitter "
                "and Degrade."
            )
        images = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).byte()
        changed = torch.stack([self.transform(image) for image in images])
        if changed.dtype != torch.uint8:
            raise ValueError(
                f"{self.transform} gives {changed.dtype}, but pictures stay uint8 here: leave out "
                "ToTensor, ToDtype and Normalize, since the encoder scales and normalises itself."
            )
        return changed, targets

    def __repr__(self):
        return f"EachPicture({self.transform})"


def as_change(transform: Callable | None) -> Callable | None:
    """An augmentation (or None) as it is; a transform of torchvision, or a Sequential, wrapped."""
    of_torchvision = type(transform).__module__.startswith("torchvision.")
    if of_torchvision or isinstance(transform, torch.nn.Sequential):
        return EachPicture(transform)
    return transform
