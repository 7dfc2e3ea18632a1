"""Fourth station: photo + box + landmarks -> aligned face.

Three moves of a photo are one function, `warp`, with three kinds of matrix: cutting out a head, laying a face
on the reference landmarks, and the random jitter of training. Matrices (N, 2, 3) map the pixels of the photo to
those of the result; pixel centres are whole numbers.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from . import detection, landmarks, photos
from .detection import landmarks_turned_back, turn_back
from .file_fingerprints import code_fingerprint
from .landmarks import predict_landmarks

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
WORST_FIT = 12  # a residual above this, in pixels of the aligned face, is no face: the widest turned heads stay below
WIDEN = 1.5  # a detector's box ends at chin and temples; the crop shows the whole head


def fit_similarity(landmarks, target):
    """The turn, scale and shift that bring landmarks (N, P, 2) nearest to target (N or 1, P, 2), by least squares.

    Umeyama 1991, in closed form: with landmarks as complex numbers z and u, centred, w = sum(conj(z) u) / sum|z|^2
    is turn and scale in one. Returns matrices (N, 2, 3) and the residual (N,), the root mean square distance
    left over, in pixels of the target: large where the landmarks are no face.
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


def transform(landmarks, matrices):
    """Landmarks (N, P, 2) moved by matrices (N, 2, 3)."""
    return landmarks @ matrices[..., :2].mT + matrices[..., None, :, 2]


def invert(matrices):
    """The matrices (N, 2, 3) that undo the given ones."""
    (a, b), (c, d) = matrices[..., :2].movedim((-2, -1), (0, 1))
    # in closed form: batched inverses of torch are silently wrong on some Apple GPUs
    turn = (
        torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
        / (a * d - b * c)[..., None, None]
    )
    return torch.cat([turn, -turn @ matrices[..., 2:]], -1)


def warp(images, matrices, size):
    """Move a batch (N, 3, H, W) by matrices (N, 2, 3) into squares (N, 3, size, size), bilinear, on its device.

    Beyond the border the picture is reflected. uint8 in, uint8 out; float in, float out.
    """
    if (
        images.device.type == "cpu" and len(images) > 8
    ):  # small pieces stay in a CPU's cache: twice as fast
        return torch.cat([warp(*piece, size) for piece in zip(images.split(8), matrices.split(8))])
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
    return moved.add_(0.5).byte() if images.dtype == torch.uint8 else moved


def head_boxes(boxes, widen=WIDEN):
    """Boxes (N, 4) of faces -> square boxes (N, 4) around the whole head, same centres."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) * widen / 2
    return torch.cat([centre - half, centre + half], 1)


def crop_heads(photos, boxes, size=HEAD, widen=WIDEN):
    """Cut the head out of each photo: crops uint8 (N, 3, size, size) and matrices (N, 2, 3), photo -> crop.

    photos: a list of N uint8 (3, H, W) of any sizes. boxes: float (N, 4) of faces, x0, y0, x1, y1. Large heads are
    shrunk with a filter first, so that no pixel is skipped.
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


def compose(after, before):
    """The matrices that do `before`, then `after`, both (..., 2, 3)."""
    turn = after[..., :2] @ before[..., :2]
    return torch.cat([turn, after[..., :2] @ before[..., 2:] + after[..., 2:]], -1)


def align(crops, landmarks, reference=REFERENCE, size=FACE):
    """Head crops (N, 3, S, S) + landmarks (N, 5, 2) in them -> aligned faces (N, 3, 112, 112), residual (N,)."""
    matrices, residual = fit_similarity(landmarks, reference[None])
    return warp(crops, matrices, size), residual


def align_faces(photos, boxes, rough_landmarks, hourglass):
    """Photo and box of each face (N) -> aligned faces (N, 3, 112, 112), landmarks (N, 5, 2) in the photo, residual (N,).

    The one way from photo to face: the aligned set that trains the recogniser is made by it, and so is every
    face that the recogniser is asked about later. The detector's rough landmarks (N, 5, 2) in the photo stand in
    where there is no hourglass (None), or where its landmarks fit no face at all.
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
    """One aligned face, uint8 (3, 112, 112), with its box (4,), the detector's score and its landmarks (5, 2), all in pixels
    of the photo, and the residual of the alignment in pixels of the aligned face."""

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    residual: float
    face: torch.Tensor


def align_found(images, found, hourglass):
    """Photos (a list of uint8 (3, H, W)) and their Detections -> for each photo the list of its faces, Aligned.

    A photo that lies on its side is turned upright first.
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
        for (i, k), face, five, rest in zip(where, faces, landmarks.numpy(), residual.tolist()):
            own = landmarks_turned_back(five, found[i].turn, images[i].shape[1:])
            result[i].append(Aligned(found[i].boxes[k], float(found[i].scores[k]), own, rest, face))
    return result


def geometry():
    """What shapes an aligned face, as one line: the constants, and a digest of the code that uses them."""
    code = code_fingerprint(
        photos.read_photo,
        photos._rgb,
        photos.paste_on_canvas,
        detection.detect,
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
        f"face {FACE} head {HEAD} widen {WIDEN} worst fit {WORST_FIT} template {reference} detector "
        f"{detection.MIN_SCORE} {detection.MIN_FACE} {detection.MAX_SIDE} {detection.LARGE} {detection.CLOSE_SIDE} "
        f"{detection.SURE} code {code}"
    )
