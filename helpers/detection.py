"""Second station: photo -> boxes and five rough landmarks, by a pretrained MTCNN.

MTCNN (mtcnn.py) finds where faces are; it is also the teacher of our hourglass where no one set
landmarks by hand.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .mtcnn import run_mtcnn, share_of_smaller

MAX_BATCH_PIXELS = 2**22  # 4 photos of 1024x1024 in one batch: 300 MB at work
MIN_SCORE, MIN_FACE, MAX_SIDE = 0.9, 20, 1024  # the last two in pixels
LARGE = 60  # pixels: larger faces are looked for first where only the largest is wanted
CLOSE_SIDE = 2 * MAX_SIDE  # of the larger copy of photos on which nothing was found
SURE = 0.99  # the score of a face beyond doubt; those found at a second look must have it


@dataclass
class Detections:
    """The K faces of one photo, largest first, in pixels of the photo as it came.

    Args:
        boxes: (K, 4), left, top, right, bottom.
        scores: (K,), how sure the detector is, 0 to 1.
        landmarks: (K, 5, 2).
        turn: by how many quarters, against the clock, the photo must be turned to stand upright.
        others: how many faces there are beside those given.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    turn: int = 0
    others: int = 0

    def __len__(self):
        return len(self.boxes)


def detect(
    photos: Sequence[torch.Tensor],
    device: torch.device | str = "cpu",
    min_score: float = MIN_SCORE,
    min_face: int = MIN_FACE,
    max_side: int = MAX_SIDE,
    batch_size: int = 64,
    max_face: float = math.inf,
) -> list[Detections]:
    """Find every face in photos.

    Photos are padded to multiples of 32 that hold the smallest face (else MTCNN fails), in batches.

    Args:
        photos: uint8 (3, H, W) each, of any sizes.
        device: where MTCNN works; MPS lacks what it needs, so it is the CPU there.
        min_score: how sure the detector must be, 0 to 1.
        min_face: width of the smallest face, pixels.
        max_side: photos that are longer are searched in a smaller copy, pixels.
        batch_size: at most so many photos go through together.
        max_face: larger faces are not looked for, though some are found, pixels.

    Returns:
        The faces of each photo.
    """
    device = "cpu" if str(device).startswith("mps") else str(device)
    groups, scales = defaultdict(list), {}
    for i, photo in enumerate(photos):
        scales[i] = min(1.0, max_side / max(photo.shape[1:]))
        sides = [max(round(side * scales[i]), min_face) for side in photo.shape[1:]]
        groups[tuple(map(_next_multiple_of_32, sides))].append(i)
    found = [None] * len(photos)
    for size, members in groups.items():
        fits = max(1, min(batch_size, MAX_BATCH_PIXELS // (size[0] * size[1])))
        for start in range(0, len(members), fits):
            chunk = members[start : start + fits]
            batch = torch.zeros(len(chunk), *size, 3, dtype=torch.uint8)
            for row, i in enumerate(chunk):
                small = shrink(photos[i], scales[i])
                batch[row, : small.shape[1], : small.shape[2]] = small.permute(1, 2, 0)
            for i, result in zip(chunk, run_mtcnn(batch.numpy(), device, min_face, max_face)):
                found[i] = _detections(*result, scales[i], min_score)
    return found


def _next_multiple_of_32(side):
    return math.ceil(max(side, 32) / 32) * 32


def detect_largest(
    photos: Sequence[torch.Tensor],
    device: torch.device | str = "cpu",
    large: int = LARGE,
    central: bool = False,
) -> list[Detections]:
    """The largest face of each photo, and how many others there are.

    Most of MTCNN's time goes into small faces; here they are looked for only in photos without a
    large one. Others count from half the width of the largest on.

    Args:
        photos: uint8 (3, H, W) each, of any sizes.
        device: where MTCNN works.
        large: width from which a face is large, pixels.
        central: the face nearest to the middle of the photo in the place of the largest.

    Returns:
        Detections with one face or none, for each photo.
    """
    found = detect(photos, device, min_face=large)
    again = [i for i, faces in enumerate(found) if not len(faces)]
    for i, faces in zip(again, detect([photos[i] for i in again], device)):
        found[i] = faces
    if central:
        found = [_middle_first(faces, photo) for faces, photo in zip(found, photos)]
    # of faces below 2 * large pixels, others half as wide may not have been looked for yet; the
    # time goes with one over the square of the smallest, so none smaller than count are looked for,
    # and none so large that the first look would have found them
    small = defaultdict(list)
    for i, faces in enumerate(found):
        if i not in again and len(faces) and _width(faces, photos[i]) < 2 * large:
            small[max(large // 2, int(_width(faces, photos[i]) / 20) * 10)].append(i)
    for least, members in small.items():
        some = [photos[i] for i in members]
        for i, more in zip(members, detect(some, device, min_face=least, max_face=1.5 * large)):
            found[i].others = _others(found[i], _apart(more.boxes, found[i].boxes))
    return [_largest(faces) for faces in found]


def _width(faces, photo):
    """Of the largest face, in pixels of the copy that the detector saw."""
    return (faces.boxes[0, 2] - faces.boxes[0, 0]) * min(1, MAX_SIDE / max(photo.shape))


def _apart(boxes, known):
    """The boxes that are not about a known face, nor about a part of one."""
    return boxes[(share_of_smaller(boxes, known) <= 0.7).all(1)]


def _others(faces, more=None):
    """How many faces and further boxes are at least half as wide as the first, itself left out."""
    boxes = faces.boxes if more is None else np.concatenate([faces.boxes, more])
    widths = boxes[:, 2] - boxes[:, 0]
    return int((widths >= widths[0] / 2).sum()) - 1


def _middle_first(faces, photo):
    """The faces of a photo (3, H, W), the one whose box is nearest to the photo's middle first."""
    middle = np.array(photo.shape[:0:-1]) / 2
    away = np.linalg.norm((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - middle, axis=1)
    order = np.argsort(away, kind="stable")
    return Detections(
        faces.boxes[order], faces.scores[order], faces.landmarks[order], faces.turn, faces.others
    )


def _largest(faces):
    others = max(faces.others, _others(faces)) if len(faces) else 0
    return Detections(faces.boxes[:1], faces.scores[:1], faces.landmarks[:1], faces.turn, others)


def find_faces(
    photos: Sequence[torch.Tensor],
    device: torch.device | str = "cpu",
    largest: bool = False,
    central: bool = False,
) -> list[Detections]:
    """Find the faces of photos, with a second look where nothing was found.

    It looks at a larger copy, then at the photo lying on each side and upside down. Photos whose
    faces are in doubt are turned as well, since MTCNN takes some lying faces for others. A photo
    must be turned by Detections.turn before a face in it is aligned.

    Args:
        photos: uint8 (3, H, W) each, of any sizes.
        device: where MTCNN works.
        largest: only the largest face of each photo.
        central: with `largest`, the face nearest to the middle in its place.

    Returns:
        The faces of each photo.
    """
    found = detect_largest(photos, device, central=central) if largest else detect(photos, device)
    for i, photo in enumerate(photos):
        best = found[i].scores.max(initial=0)
        if best < SURE:
            seen = _second_look(photo, device, closer=max(photo.shape) > MAX_SIDE)
            if len(seen) and seen.scores.max() > best:
                found[i] = _largest(seen) if largest else seen
    return found


def _second_look(photo, device, closer):
    if closer:
        [found] = detect([photo], device, SURE, max_side=CLOSE_SIDE)
        if len(found):
            return found
    turned = detect(
        [torch.rot90(photo, turn, (1, 2)) for turn in (1, 2, 3)], device, SURE, 2 * MIN_FACE
    )
    turn = max((1, 2, 3), key=lambda turn: turned[turn - 1].scores.max(initial=0))
    return turn_back(turned[turn - 1], turn, photo.shape[1:])


def turn_back(faces: Detections, turn: int, size: tuple[int, int]) -> Detections:
    """Faces in torch.rot90(photo, turn) -> in the photo itself, of size (H, W), turn noted."""
    corners = landmarks_turned_back(faces.boxes.reshape(-1, 2, 2), turn, size)
    return Detections(
        np.concatenate([corners.min(1), corners.max(1)], 1),
        faces.scores,
        landmarks_turned_back(faces.landmarks, turn, size),
        turn,
        faces.others,
    )


def landmarks_turned_back(landmarks: np.ndarray, turn: int, size: tuple[int, int]) -> np.ndarray:
    """Landmarks (..., 2) in torch.rot90(photo, turn) -> in the photo itself, of size (H, W)."""
    height, width = size
    for quarter in reversed(range(turn)):  # each quarter brought (x, y) to (y, side - 1 - x)
        side = height if quarter % 2 else width
        landmarks = np.stack([side - 1 - landmarks[..., 1], landmarks[..., 0]], -1)
    return landmarks


def smallest_face(photo_side: int) -> int:
    """The smallest face found on a photo of this length, at the second look, both in pixels."""
    return round(MIN_FACE * max(1, photo_side / CLOSE_SIDE))


def shrink(photo: torch.Tensor, scale: float) -> torch.Tensor:
    """A photo (3, H, W) scaled down by a factor of at most 1."""
    if scale == 1:
        return photo
    size = [max(1, round(s * scale)) for s in photo.shape[1:]]
    return torch.nn.functional.interpolate(photo[None], size, mode="bilinear", antialias=True)[0]


def _detections(boxes, scores, landmarks, scale, min_score):
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    order = order[scores[order] >= min_score]
    return Detections(boxes[order] / scale, scores[order], landmarks[order] / scale)
