"""Second station: photo -> boxes and five rough points, by a pretrained MTCNN (Zhang et al. 2016).

MTCNN finds where faces are; it is also the teacher of our hourglass where no one set points by hand.
"""
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from facenet_pytorch import MTCNN

MAX_BATCH_PIXELS = 2**24  # 16 photos of 1024x1024 in one batch: about 1 GB at work


@dataclass
class Detections:
    """The K faces of one photo, largest first: boxes (K, 4) as x0, y0, x1, y1; scores (K,); points (K, 5, 2)."""
    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray

    def __len__(self):
        return len(self.boxes)


@lru_cache(maxsize=2)
def _mtcnn(device, min_face):
    mtcnn = MTCNN(keep_all=True, select_largest=True, min_face_size=min_face, device=device).eval()
    return mtcnn.to(memory_format=torch.channels_last)  # the same numbers, in two thirds of the time on a CPU


def detect(photos, device="cpu", min_score=0.9, min_face=20, max_side=1024, batch_size=64):
    """Find every face in a list of uint8 (3, H, W) photos of any sizes; a list of Detections, in pixels.

    Photos longer than max_side are detected on a smaller copy. Photos are padded to the next multiple of
    32 and those of equal size go through together, since MTCNN's batches need one size.
    min_score: how sure the detector must be, 0 to 1.  min_face: the smallest face in pixels.
    MPS lacks what MTCNN needs, so it works on the CPU there.
    """
    device = "cpu" if str(device).startswith("mps") else str(device)
    groups, scales = defaultdict(list), {}
    for i, photo in enumerate(photos):
        height, width = photo.shape[1:]
        scales[i] = min(1.0, max_side / max(height, width))
        groups[tuple(-(-max(round(s * scales[i]), 32) // 32) * 32 for s in (height, width))].append(i)
    found = [None] * len(photos)
    for size, members in groups.items():
        fits = max(1, min(batch_size, MAX_BATCH_PIXELS // (size[0] * size[1])))
        for start in range(0, len(members), fits):
            chunk = members[start:start + fits]
            batch = torch.zeros(len(chunk), *size, 3, dtype=torch.uint8)
            for row, i in enumerate(chunk):
                small = shrink(photos[i], scales[i])
                batch[row, :small.shape[1], :small.shape[2]] = small.permute(1, 2, 0)
            for i, result in zip(chunk, zip(*_mtcnn(device, min_face).detect(batch.numpy(), landmarks=True))):
                found[i] = _detections(*result, scales[i], min_score)
    return found


def detect_largest(photos, device="cpu", large=60):
    """The largest face of each photo, as a list of Detections with one face or none.

    Most of MTCNN's time goes into small faces; here they are looked for only in photos without one of `large` pixels or more.
    """
    found = detect(photos, device, min_face=large)
    again = [i for i, faces in enumerate(found) if not len(faces)]
    for i, faces in zip(again, detect([photos[i] for i in again], device)):
        found[i] = faces
    return [Detections(faces.boxes[:1], faces.scores[:1], faces.points[:1]) for faces in found]


def shrink(photo, scale):
    """A photo (3, H, W) scaled down by a factor of at most 1."""
    if scale == 1:
        return photo
    size = [max(1, round(s * scale)) for s in photo.shape[1:]]
    return torch.nn.functional.interpolate(photo[None].float(), size, mode="bilinear", antialias=True)[0].round().byte()


def _detections(boxes, scores, points, scale, min_score):
    if boxes is None or len(boxes) == 0:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
    boxes, scores, points = (np.asarray(a, np.float32) for a in (list(boxes), list(scores), list(points)))
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    order = order[scores[order] >= min_score]
    return Detections(boxes[order] / scale, scores[order], points[order] / scale)
