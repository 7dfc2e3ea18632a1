"""The pretrained detector: a batch of photos -> boxes, scores and five landmarks each.

MTCNN (Zhang et al. 2016, https://arxiv.org/abs/1604.02878) is a cascade of three small networks:
the first proposes boxes at many scales, the second discards most, the third sets the landmarks.
Networks and cascade are facenet-pytorch's code; the weights come from models/mtcnn.safetensors,
since that package keeps its own as pickles.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face
from safetensors.torch import load_file
from torch import nn

from .digests import digest

WEIGHTS = Path(__file__).parents[1] / "models" / "mtcnn.safetensors"
THRESHOLDS = [0.6, 0.7, 0.7]  # scores that a box needs to pass each network
FACTOR = 0.709  # from each scale of the search to the next


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
    photos: np.ndarray, device: str = "cpu", min_face: int = 20
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Find the faces of photos of one size.

    Args:
        photos: uint8 (N, H, W, 3).
        device: where the networks work.
        min_face: width of the smallest face, pixels.

    Returns:
        For each photo boxes (K, 4), scores (K,), 0 to 1, and landmarks (K, 5, 2), the largest face
        first.
    """
    mtcnn = load_mtcnn(device)
    boxes, landmarks = detect_face(
        photos,
        min_face,
        mtcnn["pnet"],
        mtcnn["rnet"],
        mtcnn["onet"],
        THRESHOLDS,
        FACTOR,
        torch.device(device),
    )
    found = []
    for box, five in zip(boxes, landmarks):
        box = np.asarray(box, np.float32).reshape(-1, 5)  # left, top, right, bottom, score
        five = np.asarray(five, np.float32).reshape(-1, 5, 2)
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        order = np.argsort(area)[::-1]
        found.append((box[order, :4], box[order, 4], five[order]))
    return found
