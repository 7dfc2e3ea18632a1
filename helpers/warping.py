"""Moving pictures and landmarks by matrices, in batches.

Three moves of a photo are one function, `warp`, with three kinds of matrix: cutting out a head,
laying a face on the reference landmarks, and the random jitter of training. Matrices (N, 2, 3) map
the pixels of the photo to those of the result; pixel centres are whole numbers.
"""

import torch
import torch.nn.functional as F


def transform(landmarks: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Landmarks (N, P, 2) moved by matrices (N, 2, 3)."""
    return landmarks @ matrices[..., :2].mT + matrices[..., None, :, 2]


def invert(matrices: torch.Tensor) -> torch.Tensor:
    """The matrices (N, 2, 3) that undo the given ones."""
    (a, b), (c, d) = matrices[..., :2].movedim((-2, -1), (0, 1))
    # in closed form: batched inverses of torch are silently wrong on some Apple GPUs
    turn = (
        torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
        / (a * d - b * c)[..., None, None]
    )
    return torch.cat([turn, -turn @ matrices[..., 2:]], -1)


def warp(
    images: torch.Tensor, matrices: torch.Tensor, size: int, keep_type: bool = True
) -> torch.Tensor:
    """Move a batch by matrices into squares, bilinear, on its device.

    Args:
        images: (N, 3, H, W). Beyond its border a picture is reflected.
        matrices: (N, 2, 3), pixels of the images -> pixels of the result.
        size: side of the result, pixels.
        keep_type: uint8 images give a uint8 result, rounded; False: floats.

    Returns:
        (N, 3, size, size): uint8 if the images are and keep_type says so, else float.
    """
    if images.device.type == "cpu" and len(images) > 8:
        # pieces of a few bytes stay in a CPU's cache, also as floats: twice as fast
        pieces = zip(images.split(8), matrices.split(8))
        return torch.cat([warp(*piece, size, keep_type) for piece in pieces])
    height, width = images.shape[-2:]
    back = invert(
        matrices.to(images.device, torch.float32)
    )  # where each pixel of the result comes from
    # grid_sample counts from -1 to 1 between the outer edges of the photo
    scale = torch.tensor([2 / width, 2 / height], device=images.device)
    x, y, shift = (back * scale[:, None]).unbind(-1)
    axis = torch.arange(size, dtype=torch.float32, device=images.device)
    columns, rows = axis[:, None] * x[:, None, None], axis[:, None, None] * y[:, None, None]
    source = columns + (rows + (shift + scale / 2 - 1)[:, None, None])
    moved = F.grid_sample(
        images.float(), source, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return moved.add_(0.5).byte() if keep_type and images.dtype == torch.uint8 else moved


def compose(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The matrices that do `before`, then `after`, both (..., 2, 3)."""
    turn = after[..., :2] @ before[..., :2]
    return torch.cat([turn, after[..., :2] @ before[..., 2:] + after[..., 2:]], -1)
