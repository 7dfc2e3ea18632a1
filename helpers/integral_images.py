"""Integral images: the sum over any rectangle of a photo out of four numbers.

(Crow 1984, https://doi.org/10.1145/800031.808600; Viola and Jones 2001 found faces with them.) Each
number is the sum of all pixels above it and to its left. Sums of whole numbers are exact, so what
is resized here equals torch's interpolate(mode="area") to the last bit, while boxes of any sizes
are cut and resized all at once.
"""

import torch


def integral_images(photos: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, C), of up to 8 million pixels each -> int32 (N, H + 1, W + 1, C)."""
    sums = photos.cumsum(2, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    return torch.nn.functional.pad(sums, (0, 0, 1, 0, 1, 0))


def area_resize(sums: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Integral images (N, H + 1, W + 1, C) -> their photos, float32 (N, C, *size), 0 to 255."""
    height, width = (torch.tensor(side - 1, device=sums.device) for side in sums.shape[1:3])
    (top, bottom), (left, right) = _parts(0, height, size[0]), _parts(0, width, size[1])
    rows = sums.index_select(1, bottom) - sums.index_select(1, top)
    total = rows.index_select(2, right) - rows.index_select(2, left)
    mean = total.float() / (bottom - top)[:, None, None] / (right - left)[:, None]
    return mean.permute(0, 3, 1, 2)


def area_crops(
    sums: torch.Tensor, photo: torch.Tensor, boxes: torch.Tensor, side: int
) -> torch.Tensor:
    """Cut K boxes out of photos and resize them to squares.

    Args:
        sums: integral images (N, H + 1, W + 1, C).
        photo: int64 (K,), which of them each box is cut out of.
        boxes: int64 (K, 4), left, top, right, bottom in pixels, the last two past the end.
        side: of the squares, pixels.

    Returns:
        float32 (K, C, side, side), 0 to 255.
    """
    _, height, width, channels = sums.shape
    left, top, right, bottom = boxes.unbind(1)
    (left, right), (top, bottom) = _parts(left, right, side), _parts(top, bottom, side)
    flat, first = sums.flatten(0, 2), photo[:, None] * height

    def at(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        place = ((first + y) * width)[:, :, None] + x[:, None]
        return flat.index_select(0, place.flatten()).view(*place.shape, channels)

    total = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    mean = total.float() / (bottom - top)[:, :, None, None] / (right - left)[:, None, :, None]
    return mean.permute(0, 3, 1, 2)


def _parts(start, end, count):
    """Stretches (...,) -> where each of their `count` parts begins and ends, (..., count).

    As for torch's area interpolation, parts overlap where the stretch can't be divided evenly.
    """
    i = torch.arange(count, device=end.device)
    length = (end - start)[..., None]
    begin = end[..., None] - length
    return begin + i * length // count, begin - (-(i + 1) * length) // count
