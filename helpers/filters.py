"""Grey, blur and tint of float pictures (N, 3, H, W), for every augmentation that needs them."""

import torch
from kornia.filters import gaussian_blur2d


def grey(images: torch.Tensor) -> torch.Tensor:
    """The luma of ITU-R BT.601 in all three channels (N, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


def blur(images: torch.Tensor, sigma: torch.Tensor, radius: int) -> torch.Tensor:
    """Gaussian blur of each picture by its own sigma (N,) in pixels; the kernel ends at radius."""
    sigmas = sigma.clamp(min=1e-3)[:, None].expand(-1, 2)
    return gaussian_blur2d(images, 2 * radius + 1, sigmas)


def tint(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Each channel times a factor of its own, exp(-strength) to exp(strength): other light."""
    factor = torch.rand(len(images), 3, 1, 1, device=images.device) * 2 - 1
    return images * torch.exp(factor * strength)
