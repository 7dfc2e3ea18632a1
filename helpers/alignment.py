"""Fourth station: photo + box + landmarks -> aligned face.

Cutting out a head and laying a face on the reference landmarks are both a `warp` with a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from . import detection, landmarks, photos
from .detection import Detections, landmarks_turned_back, turn_back
from .file_fingerprints import code_fingerprint
from .landmarks import StackedHourglass, predict_landmarks
from .mtcnn import run_mtcnn, weights_digest
from .warping import compose, invert, transform, warp

FACE = 112  # side of an aligned face, pixels
# where the five landmarks of an aligned face lie: the template of insightface and most of the field
REFERENCE = torch.tensor(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
HEAD = 192  # side of a head crop, pixels: more than the 112 of the face needs, so no detail is lost
# pixels of the aligned face: a larger residual is no face; the widest turned heads stay below
WORST_FIT = 12
WIDEN = 1.5  # a detector's box ends at chin and temples; the crop shows the whole head


def fit_similarity(
    landmarks: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The turn, scale and shift that bring landmarks nearest to a target, by least squares.

    Umeyama 1991, https://doi.org/10.1109/34.88573, in closed form: with landmarks as complex
    numbers z and u, centred, w = sum(conj(z) u) / sum|z|^2 is turn and scale in one.

    Args:
        landmarks: (N, P, 2), x and y in pixels.
        target: (N or 1, P, 2), where they should go.

    Returns:
        Matrices (N, 2, 3) and the residual (N,), the root mean square distance left over, in
        pixels of the target: large where the landmarks are no face.
    """
    target = target.to(landmarks).expand_as(landmarks)
    centre, goal = landmarks.mean(1, keepdim=True), target.mean(1, keepdim=True)
    z, u = (
        torch.view_as_complex((landmarks - centre).contiguous()),
        torch.view_as_complex((target - goal).contiguous()),
    )
    w = (z.conj() * u).sum(1) / (z.abs() ** 2).sum(1).clamp(min=1e-8)
    turn = torch.stack([torch.stack([w.real, -w.imag], -1), torch.stack([w.imag, w.real], -1)], -2)
    matrices = torch.cat([turn, goal.mT - turn @ centre.mT], -1)
    residual = (transform(landmarks, matrices) - target).square().sum(-1).mean(-1).sqrt()
    return matrices, residual


def head_boxes(boxes: torch.Tensor, widen: float = WIDEN) -> torch.Tensor:
    """Boxes (N, 4) of faces -> square boxes (N, 4) around the whole head, same centres."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) * widen / 2
    return torch.cat([centre - half, centre + half], 1)


def crop_heads(
    photos: Sequence[torch.Tensor], boxes: torch.Tensor, size: int = HEAD, widen: float = WIDEN
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the head out of each photo.

    Large heads are shrunk with a filter first, so that no pixel is skipped.

    Args:
        photos: N uint8 (3, H, W) of any sizes.
        boxes: (N, 4) of faces: left, top, right, bottom, pixels.
        size: side of the crops, pixels.
        widen: how much larger than the box the crop is.

    Returns:
        Crops uint8 (N, 3, size, size) and matrices (N, 2, 3), pixels of the photo -> of the crop.
    """
    squares = head_boxes(boxes.float(), widen)
    crops, matrices = [], []
    for photo, (x0, y0, x1, y1) in zip(photos, squares.tolist()):
        scale = size / max(x1 - x0, 1e-3)
        matrix = torch.tensor(
            [[scale, 0, -0.5 - scale * (x0 - 0.5)], [0, scale, -0.5 - scale * (y0 - 0.5)]]
        )
        window = [max(0, int(y0) - 2), max(0, int(x0) - 2)]
        part = photo[
            :,
            window[0] : max(int(y1) + 3, window[0] + 1),
            window[1] : max(int(x1) + 3, window[1] + 1),
        ]
        shrink = torch.eye(2, 3)
        shrink[:, 2] = -torch.tensor(window[::-1], dtype=torch.float32)
        if scale < 0.75:
            small = [max(1, round(s * scale)) for s in part.shape[1:]]
            ratio = torch.tensor([small[1] / part.shape[2], small[0] / part.shape[1]])
            part = F.interpolate(part[None], small, mode="bilinear", antialias=True)[0]
            shrink = torch.cat(
                [torch.diag(ratio), ((shrink[:, 2] + 0.5) * ratio - 0.5)[:, None]], 1
            )
        crops.append(warp(part[None], compose(matrix, invert(shrink))[None], size)[0])
        matrices.append(matrix)
    return torch.stack(crops), torch.stack(matrices)


def align(
    crops: torch.Tensor,
    landmarks: torch.Tensor,
    reference: torch.Tensor = REFERENCE,
    size: int = FACE,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay faces on the reference landmarks.

    Args:
        crops: heads (N, 3, S, S).
        landmarks: (N, 5, 2) in pixels of the crops.
        reference: (5, 2), where they lie in an aligned face.
        size: side of an aligned face, pixels.

    Returns:
        Aligned faces (N, 3, size, size) and the residual (N,), see `fit_similarity`.
    """
    matrices, residual = fit_similarity(landmarks, reference[None])
    return warp(crops, matrices, size), residual


def align_faces(
    photos: Sequence[torch.Tensor],
    boxes: np.ndarray | torch.Tensor,
    rough_landmarks: torch.Tensor,
    hourglass: StackedHourglass | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Align one face of each photo.

    The one way from photo to face: the aligned set that trains the recogniser is made by it, and
    so is every face that the recogniser is asked about later.

    Args:
        photos: N uint8 (3, H, W) of any sizes.
        boxes: (N, 4), the face in each.
        rough_landmarks: (N, 5, 2) in the photo, the detector's; taken where there is no hourglass
            (None), or where its landmarks fit no face at all.
        hourglass: finds the landmarks.

    Returns:
        Aligned faces (N, 3, 112, 112), landmarks (N, 5, 2) in the photo, and the residual (N,).
    """
    crops, matrices = crop_heads(photos, torch.as_tensor(boxes))
    landmarks = transform(rough_landmarks, matrices)
    if hourglass is not None:
        found, _ = predict_landmarks(hourglass, crops, mirror=True)
        fits = fit_similarity(found, REFERENCE[None])[1] < WORST_FIT
        landmarks = torch.where(fits[:, None, None], found, landmarks)
    faces, residual = align(crops, landmarks)
    return faces, transform(landmarks, invert(matrices)), residual


@dataclass
class Aligned:
    """One aligned face.

    Args:
        box, landmarks: (4,) and (5, 2), in pixels of the photo.
        score: the detector's, 0 to 1.
        residual: of the alignment, pixels of the aligned face.
        face: uint8 (3, 112, 112).
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    residual: float
    face: torch.Tensor


def align_found(
    images: Sequence[torch.Tensor],
    found: Sequence[Detections],
    hourglass: StackedHourglass | None,
) -> list[list[Aligned]]:
    """Align all faces found in photos.

    A photo that lies on its side is turned upright first.

    Args:
        images: uint8 (3, H, W) each.
        found: the faces of each, see `detection.find_faces`.
        hourglass: finds the landmarks; None: MTCNN's.

    Returns:
        For each photo the list of its faces.
    """
    upright = [torch.rot90(image, one.turn, (1, 2)) for image, one in zip(images, found)]
    seen = [
        turn_back(one, (4 - one.turn) % 4, photo.shape[1:]) for one, photo in zip(found, upright)
    ]
    where = [(i, k) for i, one in enumerate(seen) for k in range(len(one))]
    result = [[] for _ in images]
    if where:
        boxes = np.stack([seen[i].boxes[k] for i, k in where])
        rough_landmarks = torch.from_numpy(np.stack([seen[i].landmarks[k] for i, k in where]))
        faces, landmarks, residual = align_faces(
            [upright[i] for i, _ in where], boxes, rough_landmarks, hourglass
        )
        for (i, k), face, five, error in zip(where, faces, landmarks.numpy(), residual.tolist()):
            box, score = found[i].boxes[k], float(found[i].scores[k])
            in_photo = landmarks_turned_back(five, found[i].turn, images[i].shape[1:])
            result[i].append(Aligned(box, score, in_photo, error, face))
    return result


def geometry() -> str:
    """What shapes an aligned face, as one line: the constants, and a digest of their code."""
    code = code_fingerprint(
        photos.read_photo,
        photos._rgb,
        photos.paste_on_canvas,
        detection.detect,
        run_mtcnn,
        detection.detect_largest,
        detection.find_faces,
        detection.shrink,
        fit_similarity,
        warp,
        crop_heads,
        align,
        align_faces,
        align_found,
        landmarks.predict_landmarks,
    )
    reference = " ".join(f"{number:.4f}" for number in REFERENCE.flatten().tolist())
    return (
        f"face {FACE} head {HEAD} widen {WIDEN} worst fit {WORST_FIT} template {reference} "
        f"detector {detection.MIN_SCORE} {detection.MIN_FACE} {detection.MAX_SIDE} "
        f"{detection.LARGE} {detection.CLOSE_SIDE} {detection.SURE} {weights_digest()} code {code}"
    )
