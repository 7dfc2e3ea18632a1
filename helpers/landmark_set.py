"""Between stations: photos with landmarks -> crops of heads, to train and test an hourglass."""

from collections.abc import Iterator

import numpy as np
import torch

from .alignment import WIDEN, crop_heads, transform
from .detection import Detections, detect
from .face_set import FaceSet
from .landmarks import CROP
from .progress import progress_bar

CHUNK = 256  # photos in memory at once


def landmark_crops(
    faces: FaceSet,
    size: int = CROP,
    widen: float = WIDEN,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, dict[int, str]]:
    """Cut the heads out of photos, with their landmarks.

    The landmarks are those set by hand, where the FaceSet has them; else MTCNN is the teacher, and
    its largest face counts. Boxes are MTCNN's, since that is what the hourglass will be given
    later; where it misses a face with landmarks, a box is drawn about them.

    Args:
        faces: the photos.
        size: side of the crops, pixels.
        widen: how much larger than the detector's box the crop is.
        device: where MTCNN works.
        progress: show a progress bar.

    Returns:
        Crops uint8 (N, 3, size, size), landmarks float32 (N, 5, 2) in their pixels, and {number of
        a photo that was skipped: why}.

    Raises:
        ValueError: there is no photo to learn from.
    """
    crops, landmarks, skipped = [], [], {}
    for cut, five, bad in crops_in_pieces(faces, size, widen, device, progress):
        crops.append(cut)
        landmarks.append(five)
        skipped |= bad
    return torch.cat(crops), torch.cat(landmarks), skipped


def crops_in_pieces(
    faces: FaceSet,
    size: int = CROP,
    widen: float = WIDEN,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, dict[int, str]]]:
    """What `landmark_crops` returns, a few hundred photos at a time, with the same arguments.

    Raises:
        ValueError: at the end, if there was no photo to learn from.
    """
    some, why = False, None
    starts = range(0, len(faces), CHUNK)
    for start in progress_bar(starts, desc="cutting out heads", disable=not progress):
        photos, numbers, bad = faces.read(range(start, min(start + CHUNK, len(faces))))
        boxes, five_landmarks = _boxes_and_landmarks(faces, photos, numbers, bad, device)
        some, why = some or bool(boxes), why or next(iter(bad.values()), None)
        cut, five = torch.zeros(0, 3, size, size, dtype=torch.uint8), torch.zeros(0, 5, 2)
        if boxes:
            where, what = (
                torch.from_numpy(np.stack(list(values.values())))
                for values in (boxes, five_landmarks)
            )
            cut, matrices = crop_heads([photos[k] for k in boxes], where, size, widen)
            five = transform(what, matrices)
        yield cut, five, bad
    if not some:
        raise ValueError(
            f"None of the {len(faces)} photos of {faces.name} can be learned from; the first one: "
            f"{why or 'there are none'}."
        )


def _boxes_and_landmarks(faces, photos, numbers, bad, device):
    """{place in `photos`: box}, {place: landmarks}; `bad` is told why a photo has none."""
    boxes, five_landmarks = {}, {}
    for k, (i, found) in enumerate(zip(numbers, detect(photos, device))):
        if faces.landmarks is None:
            if not len(found):
                bad[i] = "MTCNN sees no face"
                continue
            boxes[k], five_landmarks[k] = found.boxes[0], found.landmarks[0]
        elif not inside(faces.landmarks[i], photos[k]):
            bad[i] = (
                f"{faces.files[i]}: its landmarks do not all lie inside the photo, or its eyes "
                "coincide"
            )
        else:
            nearest = nearest_face(found, faces.landmarks[i])
            about = box_about(faces.landmarks[i])
            boxes[k] = about if nearest is None else found.boxes[nearest]
            five_landmarks[k] = faces.landmarks[i]
    return boxes, five_landmarks


def nearest_face(found: Detections, landmarks: np.ndarray) -> int | None:
    """Which of a photo's faces is the one with these landmarks (5, 2)?

    None if no face has its middle among them.
    """
    if not len(found):
        return None
    middle, reach = landmarks.mean(0), np.linalg.norm(landmarks - landmarks.mean(0), axis=-1).mean()
    away = np.linalg.norm(found.landmarks.mean(1) - middle, axis=-1)
    return int(away.argmin()) if away.min() < reach else None


def box_about(landmarks: np.ndarray) -> np.ndarray:
    """A box (4,) about landmarks (5, 2) as MTCNN draws it; the factors are its means on LFW."""
    middle, reach = landmarks.mean(0), np.linalg.norm(landmarks - landmarks.mean(0), axis=-1).mean()
    centre, half = middle - [0, 0.33 * reach], 2.44 * reach * np.array([0.8, 1])
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def inside(landmarks: np.ndarray, photo: torch.Tensor) -> bool:
    """Do all landmarks (5, 2) lie inside a photo (3, H, W), the eyes two pixels apart or more?

    What is not a number never does.
    """
    height, width = photo.shape[1:]
    return bool(
        (landmarks > -0.5).all()
        and (landmarks < [width - 0.5, height - 0.5]).all()
        and np.linalg.norm(landmarks[0] - landmarks[1]) >= 2
    )
