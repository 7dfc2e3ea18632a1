"""Last station: photos -> faces with embeddings -> who is who."""
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .alignment import align_faces
from .detection import detect, detect_largest, shrink
from .encoders import embed, weights_id
from .gallery import Gallery
from .photos import PhotoError, picture_files, read_photo
from .progress import progress_bar

LONGEST = 2048  # pixels; twice what the detector looks at
NO_PICTURE = ("{} holds no picture that can be read: put photos in it, named so that one person's sort together, such as "
              "ada_1.jpg and ada_2.jpg.")


def read_folder(folder):
    """`read_pictures` of every picture of a folder, sorted by name; a ValueError if there is none."""
    photos, names, skipped = read_pictures(picture_files(folder))
    if not photos:
        raise ValueError(NO_PICTURE.format(folder))
    return photos, names, skipped


def read_pictures(paths):
    """Photos (a list of uint8 (3, H, W)), their names, and a sentence for each file that is no readable picture.

    All are in memory at once, so those of more than 2,048 pixels are made smaller.
    """
    photos, names, skipped = [], [], []
    for path in paths:
        try:
            photos.append(read_smaller(path))
            names.append(path.stem)
        except PhotoError as error:
            skipped.append(str(error))
    return photos, names, skipped


def read_smaller(path, name=None):
    """`read_photo`, made smaller if it is longer than 2,048 pixels."""
    photo = read_photo(path, name)
    return shrink(photo, min(1, LONGEST / max(photo.shape)))


def person_in(name):
    """Whom a photo's name claims to show: `ada` of `ada_1`; a name without a number at its end claims nobody else's."""
    person, _, number = name.rpartition("_")
    return person if person and number.isdecimal() else name


def largest_faces(found, names):
    """The largest face of each photo that has one; prints the names of those that have none."""
    missing = [name for name, faces in zip(names, found) if not faces]
    if missing:
        print("No face was found in:", ", ".join(missing))
    if len(missing) == len(names):
        raise ValueError("No photo shows a face that the detector finds: use photos with faces of 20 pixels or more.")
    return [faces[0] for faces in found if faces]


SMALLEST, WORST_POINTS, BLURRED = 40, 8.0, 0.012  # pixels of the photo; pixels of the straight face; see `sharpness`


@dataclass
class Face:
    """One face of one photo: which photo (its number), box (4,) and points (5, 2) in pixels of the photo, the
    detector's score, the residual of the alignment (pixels of the straight face), the straight face uint8
    (3, 112, 112), and its unit embedding (D,)."""
    photo: int
    box: np.ndarray
    score: float
    points: np.ndarray
    residual: float
    face: torch.Tensor
    embedding: np.ndarray

    def hints(self):
        """What speaks against trusting this face, as sentences; none for a good one."""
        side, blur = int((self.box[2:] - self.box[:2]).min()), sharpness(self.face)
        return [sentence for bad, sentence in (
            (side < SMALLEST, f"small: {side} pixels wide, {SMALLEST} or more are better"),
            (blur < BLURRED, f"blurred: sharpness {blur:.3f}, of good photos it is above {BLURRED}"),
            (self.residual > WORST_POINTS, f"the points fit badly: off by {self.residual:.1f} pixels of the straight face"),
        ) if bad]


def sharpness(face):
    """How much of a straight face (3, 112, 112) is fine detail: the variance of its Laplacian over that of its grey.

    Of photos of LFW, CelebA and ORL one in a hundred is below 0.026; blurred by 1.5 pixels, half of them below 0.012.
    """
    grey = face.float().mean(0)[None, None, 24:104, 20:92]  # the face itself, without the border
    laplacian = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(grey, laplacian).var() / grey.var().clamp(min=1))


class FacePipeline:
    """Photos in, faces with embeddings out: detection, points, alignment, embedding, all in batches."""

    def __init__(self, hourglass, encoder):
        self.hourglass, self.encoder = hourglass, encoder

    def __call__(self, photos, largest=False):
        """A list of uint8 (3, H, W) photos -> a list of lists of Face, largest face first; an empty one for none.

        largest: only the largest face of each photo is wanted, which takes half the time.
        """
        device = next(self.encoder.parameters()).device
        found = (detect_largest if largest else detect)(photos, device)
        where = [(i, k) for i, d in enumerate(found) for k in range(len(d))]
        result = [[] for _ in photos]
        if not where:
            return result
        boxes = np.stack([found[i].boxes[k] for i, k in where])
        rough = torch.from_numpy(np.stack([found[i].points[k] for i, k in where]))
        faces, points, residual = align_faces([photos[i] for i, _ in where], boxes, rough, self.hourglass)
        embeddings = embed(self.encoder, faces)
        for row, (i, k) in enumerate(where):
            result[i].append(Face(i, boxes[row], float(found[i].scores[k]), points[row].numpy(),
                                  float(residual[row]), faces[row], embeddings[row]))
        return result


def enrolment(pipeline, photos, tell=print, piece=64):
    """The largest face of every photo of a FaceSet that shows one: the photos' numbers (M,), their embeddings (M, D), and how
    many photos could be read. A few photos are in memory at a time; tell is called with a sentence about each left out."""
    rows, embeddings, read = [], [np.zeros((0, pipeline.encoder.dim), np.float32)], 0
    for start in progress_bar(range(0, len(photos), piece), unit="batch", disable=len(photos) <= piece):
        some, numbers, bad = photos.read(range(start, min(start + piece, len(photos))))
        for sentence in bad.values():
            tell(sentence)
        for number, faces in zip(numbers, pipeline(some, largest=True)):
            if faces:
                rows.append(number)
                embeddings.append(faces[0].embedding[None])
            else:
                tell(f"{photos.key(number)}: no face was found")
        read += len(numbers)
    return np.array(rows, int), np.concatenate(embeddings), read


def enrol_folder(pipeline, photos, path, tell=print, piece=1024):
    """The Gallery in the file `path`, brought up to date with a FaceSet: the largest face of every photo that shows one.

    A photo is known by its name, size and time, so only what is new or changed is embedded, and what is gone is forgotten.
    The file is saved after each piece: enrolling that was killed goes on there.
    """
    marks = [f"{photos.key(i)} {file.stat().st_size} {file.stat().st_mtime_ns}" for i, file in enumerate(photos.files)]
    known = Gallery(pipeline.encoder.dim, maker=weights_id(pipeline.encoder))
    if path.exists():
        try:
            saved = Gallery.load(path)
            known = saved if saved.maker == known.maker else known
        except ValueError as error:
            tell(str(error).replace("enrol the photos again", "the photos are enrolled again"))
    there = np.isin(known.sources, marks)
    known.keep(there)
    if not there.all():
        known.save(path)  # who is gone from the folder is gone from the disk as well
    done = set(known.sources)
    for start in range(0, len(photos), piece):
        todo = [i for i in range(start, min(start + piece, len(photos))) if marks[i] not in done]
        if todo:
            rows, embeddings, _ = enrolment(pipeline, photos.subset(todo), tell)
            rows = [todo[row] for row in rows]
            known.add(embeddings, [photos.names[photos.people[i]] for i in rows], [marks[i] for i in rows])
            known.save(path)
    return known
