"""The pretrained detector: a batch of photos -> boxes, scores and five landmarks each.

MTCNN (Zhang et al. 2016, https://arxiv.org/abs/1604.02878) is a cascade of three small networks:
the first proposes boxes at many scales, the second discards most, the third sets the landmarks.
The networks are facenet-pytorch's; the weights come from models/mtcnn.safetensors, since that
package keeps its own as pickles. The cascade between them finds what that package's finds, but
cuts all boxes out of integral images (integral_images.py) at once.
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from safetensors.torch import load_file
from torch import nn
from torchvision.ops import batched_nms

from .digests import digest
from .integral_images import area_crops, area_resize, integral_images

WEIGHTS = Path(__file__).parents[1] / "models" / "mtcnn.safetensors"
PROPOSED, KEPT = 0.6, 0.7  # scores that a box needs at the first network, at each of the others
FACTOR = 0.709  # from each scale of the search to the next
CELL, STRIDE = 12, 2  # pixels that the first network sees at once; from one cell to the next
PIECE = 2**15  # pixels that a network takes at once on a CPU: their feature maps fit its cache


@lru_cache(maxsize=2)
def load_mtcnn(device: str = "cpu") -> nn.ModuleDict:
    """The three networks, `pnet`, `rnet` and `onet`, ready for inference.

    Raises:
        FileNotFoundError: the weights, which ship with the course, are missing.
    """
    if not WEIGHTS.exists():
        raise FileNotFoundError(f"{WEIGHTS} is missing: fetch the repository anew.")
    networks = {"pnet": PNet, "rnet": RNet, "onet": ONet}
    mtcnn = nn.ModuleDict({name: kind(pretrained=False) for name, kind in networks.items()})
    mtcnn.load_state_dict(load_file(WEIGHTS))
    # channels_last: the same numbers, in two thirds of the time on a CPU
    return mtcnn.eval().to(device, memory_format=torch.channels_last)


def weights_digest() -> str:
    """Twelve letters that stand for the weights."""
    return digest(WEIGHTS.read_bytes())


@torch.no_grad()
def run_mtcnn(
    photos: np.ndarray, device: str = "cpu", min_face: int = 20, max_face: float = math.inf
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Find the faces of photos of one size.

    Args:
        photos: uint8 (N, H, W, 3).
        device: where the networks work.
        min_face: width of the smallest face, pixels.
        max_face: larger faces are not looked for, though some are found, pixels.

    Returns:
        For each photo boxes (K, 4), scores (K,), 0 to 1, and landmarks (K, 5, 2), the largest face
        first.
    """
    mtcnn = load_mtcnn(device)
    sums = integral_images(torch.as_tensor(photos, device=device))
    boxes, photo = _proposals(mtcnn["pnet"], sums, min_face, max_face)
    boxes, photo, offsets = _passed(mtcnn["rnet"], sums, boxes, photo, 24)
    kept = batched_nms(boxes[:, :4], boxes[:, 4], photo, 0.7)
    boxes, photo = _square(_moved(boxes[kept], offsets[kept])), photo[kept]
    boxes, photo, offsets, landmarks = _passed(mtcnn["onet"], sums, boxes, photo, 48)
    size = boxes[:, None, 2:4] - boxes[:, None, :2] + 1
    landmarks = size * landmarks.view(-1, 2, 5).mT + boxes[:, None, :2] - 1
    boxes = _moved(boxes, offsets)
    boxes, photo, landmarks = (x.cpu().numpy() for x in (boxes, photo, landmarks))
    kept = _nms_by_smaller(boxes, photo, 0.7)
    boxes, photo, landmarks = boxes[kept], photo[kept], landmarks[kept]
    return [_largest_first(boxes[photo == i], landmarks[photo == i]) for i in range(len(photos))]


def _proposals(network, sums, min_face, max_face):
    """The first network at many scales -> square boxes (K, 5), scores last, and their photos."""
    height, width = (side - 1 for side in sums.shape[1:3])
    scale = CELL / min_face
    found = [(torch.zeros(0, 9, device=sums.device), torch.zeros(0, device=sums.device).long())]
    while scale * min(height, width, max_face) >= CELL:
        size = int(height * scale + 1), int(width * scale + 1)
        offsets, probabilities = _outputs(network, _centred(area_resize(sums, size)))
        photo, row, column = torch.nonzero(probabilities[:, 1] >= PROPOSED, as_tuple=True)
        corner = STRIDE * torch.stack([column, row], 1).float()
        box = [((corner + 1) / scale).floor(), ((corner + CELL) / scale).floor()]
        box += [probabilities[photo, 1, row, column][:, None], offsets[photo, :, row, column]]
        box = torch.cat(box, 1)
        kept = batched_nms(box[:, :4], box[:, 4], photo, 0.5)
        found.append((box[kept], photo[kept]))
        scale *= FACTOR
    boxes, photo = map(torch.cat, zip(*found))
    kept = batched_nms(boxes[:, :4], boxes[:, 4], photo, 0.7)
    boxes, photo = boxes[kept], photo[kept]
    size = (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
    return _square(torch.cat([boxes[:, :4] + boxes[:, 5:] * size, boxes[:, 4:5]], 1)), photo


def _passed(network, sums, boxes, photo, side):
    """The boxes that a network takes for faces, their photos, and its other outputs for them."""
    cut, end = boxes[:, :4].long(), sums.shape[2:0:-1]
    # the networks' authors count pixels from 1
    cut[:, :2] = cut[:, :2].clamp(min=1) - 1
    cut[:, 2:] = cut[:, 2:].minimum(cut.new_tensor(end) - 1)
    inside = (cut[:, 2:] > cut[:, :2]).all(1)
    boxes, photo, cut = boxes[inside], photo[inside], cut[inside]
    *others, probabilities = _outputs(network, _centred(area_crops(sums, photo, cut, side)))
    passed = probabilities[:, 1] > KEPT
    boxes = torch.cat([boxes[:, :4], probabilities[:, 1:]], 1)
    return [of_boxes[passed] for of_boxes in (boxes, photo, *others)]


def _outputs(network, pictures):
    """A network's outputs for pictures (K, 3, H, W), those of all pieces together."""
    if not len(pictures):  # which the networks can't take
        return [out[:0] for out in network(pictures.new_zeros(1, *pictures.shape[1:]))]
    if pictures.device.type != "cpu":
        return network(pictures)
    pieces = pictures.split(max(1, PIECE // pictures[0, 0].numel()))
    return map(torch.cat, zip(*map(network, pieces)))


def _centred(pixels):
    return (pixels - 127.5) * 0.0078125  # 1 / 128


def _moved(boxes, offsets):
    """Boxes (K, 5) moved by a network's offsets (K, 4), in shares of their size."""
    size = (boxes[:, 2:4] - boxes[:, :2] + 1).repeat(1, 2)
    return torch.cat([boxes[:, :4] + offsets * size, boxes[:, 4:]], 1)


def _square(boxes):
    """Boxes (K, 5) about the same middle, as wide and as high as their longer side."""
    size = boxes[:, 2:4] - boxes[:, :2]
    side = size.amax(1, keepdim=True)
    corner = boxes[:, :2] + size * 0.5 - side * 0.5
    return torch.cat([corner, corner + side, boxes[:, 4:]], 1)


def _nms_by_smaller(boxes, photo, limit):
    """Which boxes stay, best first: no two of a photo share more than `limit` of the smaller."""
    apart = photo.astype(np.float32) * (boxes[:, :4].max(initial=0) + 1)
    corners = boxes[:, :4] + apart[:, None]
    left, kept = np.argsort(boxes[:, 4])[::-1], []
    while len(left):
        best, left = left[:1], left[1:]
        kept.extend(best)
        left = left[share_of_smaller(corners[best], corners[left])[0] <= limit]
    return kept


def share_of_smaller(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Boxes (K, 4) and others (M, 4) -> (K, M), what both cover, as a share of the smaller."""
    areas = [(some[:, 2:] - some[:, :2] + 1).prod(1) for some in (boxes, others)]
    first = np.maximum(boxes[:, None, :2], others[:, :2])
    last = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (last - first + 1).clip(min=0).prod(2) / np.minimum.outer(*areas)


def _largest_first(boxes, landmarks):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(area)[::-1]
    return boxes[order, :4], boxes[order, 4], landmarks[order]
