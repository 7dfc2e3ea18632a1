"""Last station: photos -> faces with embeddings -> who is who."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .alignment import align_found, geometry
from .detection import find_faces, shrink, smallest_face
from .encoders import embed, weights_id
from .file_fingerprints import file_fingerprints
from .folders import is_picture, listed, look_into, short_names
from .gallery import Gallery
from .photos import FORMATS, guard, in_pieces, read_photo, together_or_alone
from .progress import progress_bar

LONGEST = 2048  # pixels; what the detector's second look takes
NO_PICTURE = (
    "{} holds no picture that can be read: put photos in it, named so that one person's sort together, such as "
    "ada_1.jpg and ada_2.jpg."
)
# what cameras and phones call their photos: such a name claims to show nobody
CAMERA = re.compile(
    r"((?i:_?IMG|_?DSC[A-Z]?|_MG|DCIM|PXL|MVIMG|PANO|VID|MOV|IMAGE?|PICT?|PICTURE|PHOTO|FOTO|SCREENSHOT|SCAN|"
    r"FB_IMG|RECEIVED|SNAPCHAT|BURST|CIMG|HPIM|GOPR|DJI|CAPTURE|WEBCAM|SIGNAL)|P\d{5,}|(19|20)\d{6})[\d_-]*"
)
SHORT_CAMERA = {"SAM", "WIN", "WP", "GP", "KIMG", "P", "DC"}  # these, if four digits or more follow


def read_folder(folder):
    """`read_pictures` of every picture of a folder, sorted by name; a ValueError if there is none."""
    files, notes = look_into(folder)
    photos, names, skipped = read_pictures(files, short_names(files, folder))
    if not photos:
        raise ValueError(" ".join([NO_PICTURE.format(folder), *skipped[:3], *notes]))
    return photos, names, skipped + notes


def read_pictures(paths, names=None):
    """Photos (a list of uint8 (3, H, W)), their names, and a sentence for each file that is no readable picture.

    All are in memory at once, so those of more than 2,048 pixels are made smaller.
    """
    photos, read, skipped = [], [], []
    for path, name in zip(paths, names or [path.stem for path in paths]):
        with guard(path, skipped.append):
            photos.append(read_smaller(path))
            read.append(name)
    return photos, read, skipped


def read_smaller(path, name=None):
    """`read_photo`, made smaller if it is longer than 2,048 pixels."""
    photo = read_photo(path, name)
    return shrink(photo, min(1, LONGEST / max(photo.shape)))


def person_in(name):
    """Whom a photo's name claims to show: `ada` of `ada_1`. A name without a number at its end claims nobody else's,
    nor does one that a camera gave, such as IMG_0001: both stand for themselves."""
    file = name.rpartition("/")[2]
    person, _, number = (file.rpartition(".")[0] if is_picture(file) else file).rpartition("_")
    camera = CAMERA.fullmatch(person) or person in SHORT_CAMERA and len(number) >= 4
    return person if person and number.isdecimal() and not camera else name


def longest_side(path) -> int:
    """Of a photo on disk, in pixels; 0 if that can't be told."""
    side = 0
    with guard(path, lambda sentence: None), Image.open(path, formats=FORMATS) as picture:
        side = max(picture.size)
    return side


def no_face(path, name=None) -> str:
    """That no face was found on a photo, with how small one may be there."""
    return (
        f"{name or path}: no face was found; one of {smallest_face(longest_side(path))} pixels or more is needed on a photo of this size, its "
        "eyes, nose and mouth to be seen"
    )


def largest_faces(found, names):
    """The largest face of each photo that has one; prints the names of those that have none."""
    missing = [name for name, faces in zip(names, found) if not faces]
    if missing:
        print("No face was found in:", ", ".join(missing))
    if len(missing) == len(names):
        raise ValueError(
            "No photo shows a face that the detector finds: use photos with faces of 20 pixels or more."
        )
    return [faces[0] for faces in found if faces]


SMALLEST, WORST_LANDMARKS, BLURRED = (
    40,
    8.0,
    0.012,
)  # pixels of the photo; pixels of the aligned face; see `sharpness`


@dataclass
class Face:
    """One face of one photo: which photo (its number), box (4,) and landmarks (5, 2) in pixels of the photo, the
    detector's score, the residual of the alignment (pixels of the aligned face), the aligned face uint8
    (3, 112, 112), its unit embedding (D,), and how many other faces the photo shows."""

    photo: int
    box: np.ndarray
    score: float
    landmarks: np.ndarray
    residual: float
    face: torch.Tensor
    embedding: np.ndarray
    others: int = 0

    def hints(self):
        """What speaks against trusting this face, as sentences; none for a good one."""
        side, blur = int((self.box[2:] - self.box[:2]).min()), sharpness(self.face)
        return [
            sentence
            for bad, sentence in (
                (side < SMALLEST, f"small: {side} pixels wide, {SMALLEST} or more are better"),
                (
                    blur < BLURRED,
                    f"blurred: sharpness {blur:.3f}, of good photos it is above {BLURRED}",
                ),
                (
                    self.residual > WORST_LANDMARKS,
                    f"the landmarks fit badly: off by {self.residual:.1f} pixels of the aligned face",
                ),
            )
            if bad
        ]


def sharpness(face):
    """How much of an aligned face (3, 112, 112) is fine detail: the variance of its Laplacian over that of its grey.

    Of photos of LFW, CelebA and ORL one in a hundred is below 0.026; blurred by 1.5 pixels, half of them below 0.012.
    """
    grey = face.float().mean(0)[None, None, 24:104, 20:92]  # the face itself, without the border
    laplacian = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(grey, laplacian).var() / grey.var().clamp(min=1))


class FacePipeline:
    """Photos in, faces with embeddings out: detection, landmarks, alignment, embedding, all in batches."""

    def __init__(self, hourglass, encoder):
        self.hourglass, self.encoder = hourglass, encoder

    def __call__(self, photos, largest=False):
        """A list of uint8 (3, H, W) photos -> a list of lists of Face, largest face first; an empty one for none.

        largest: only the largest face of each photo is wanted, which takes half the time.
        """
        device = next(self.encoder.parameters()).device
        found = find_faces(photos, device, largest)
        aligned = align_found(photos, found, self.hourglass)
        faces = [one.face for own in aligned for one in own]
        embeddings = iter(embed(self.encoder, torch.stack(faces)) if faces else ())
        return [
            [
                Face(
                    photo=i,
                    **vars(one),
                    embedding=next(embeddings),
                    others=max(len(own) - 1, found[i].others),
                )
                for one in own
            ]
            for i, own in enumerate(aligned)
        ]


def faces_of(pipeline, read: Callable, items, name=str, largest=False, most=64):
    """The faces of photos, whatever their number and size: yields (item, photo, list of Face, None), or, of a photo that
    could not be used, (item, None, [], sentence). A few photos are in memory at a time; every loop over photos is this one.
    """
    given = {}

    def numbered():
        for number, given[number] in enumerate(items):
            yield number

    def called(number):
        return name(given[number])

    for photos, kept, bad in in_pieces(
        lambda number: read(given[number]), numbered(), called, most
    ):
        answers = together_or_alone(
            lambda some: pipeline(some, largest=largest), photos, kept, bad, called
        )
        photo_of = dict(zip(kept, photos))
        for number in sorted({*kept, *bad}):
            sentence = bad.get(number)
            photo = None if sentence else photo_of.pop(number)
            yield given.pop(number), photo, answers.get(number, []), sentence


def enrolment(pipeline, photos, tell=print, piece=64):
    """The largest face of every photo of a FaceSet that shows one: the photos' numbers (M,), their embeddings (M, D), and how
    many photos could be read. A few photos are in memory at a time; tell is called with a sentence about each left out."""
    rows, embeddings, read = [], [np.zeros((0, pipeline.encoder.dim), np.float32)], 0
    for number, faces in enrolled(pipeline, photos, range(len(photos)), tell, piece):
        read += 1
        if faces:
            rows.append(number)
            embeddings.append(faces[0].embedding[None])
    return np.array(rows, int), np.concatenate(embeddings), read


def enrolled(pipeline, photos, numbers, tell, piece=64):
    """(number, faces) of those photos of a FaceSet that could be read; no faces, or the largest first. Told: which photos are
    left out, and why, and what is doubtful about the others."""
    bar = progress_bar(numbers, unit="photo", disable=len(numbers) <= piece)
    for number, _, faces, sentence in faces_of(
        pipeline, photos.photo, bar, lambda i: photos.files[i], True, piece
    ):
        if sentence or not faces:
            tell(sentence or no_face(photos.files[number]))
        for doubt in doubts(faces):
            tell(f"{photos.files[number]}: {doubt}")
        if sentence is None:
            yield number, faces


def doubts(faces) -> list[str]:
    """What to know where only the largest of a photo's faces counts: that there are others, and its own hints."""
    others = getattr(faces[0], "others", 0) if faces else 0
    several = [f"{others + 1} faces, of which the largest is taken"] if others else []
    return several + (faces[0].hints() if faces and hasattr(faces[0], "hints") else [])


def enrol_folder(pipeline, photos, path, tell=print, piece=1024):
    """The Gallery in the file `path`, brought up to date with a FaceSet: the largest face of every photo that shows one.

    A photo is known by its name and content and by what aligns it, so only what is new or changed is embedded, what is
    gone is forgotten, and photos without a face are remembered. The file is saved after each piece: enrolling that was
    killed goes on there.
    """
    hourglass = getattr(pipeline, "hourglass", None)
    how = f"{geometry()} {LONGEST} {photos.canvas} {'MTCNN' if hourglass is None else weights_id(hourglass)}"
    how = hashlib.blake2b(how.encode(), digest_size=4).hexdigest()
    prints = file_fingerprints(photos.files, path.with_name(f"{path.stem}_files.csv"))
    marks = [f"{photos.key(i)} {one} {how}" for i, one in enumerate(prints)]
    known = Gallery(pipeline.encoder.dim, encoder_id=weights_id(pipeline.encoder))
    if path.exists():
        try:
            saved = Gallery.load(path)
            known = saved if saved.encoder_id == known.encoder_id else known
        except ValueError as error:
            tell(str(error).replace("enrol the photos again", "the photos are enrolled again"))
    current = set(marks)
    there, faceless = (
        np.isin(known.sources, marks),
        [mark for mark in known.faceless if mark in current],
    )
    if not there.all() or len(faceless) < len(known.faceless):
        known.keep(there)
        known.faceless = faceless
        known.save(path)  # who is gone from the folder is gone from the disk as well
    done, faceless = {*known.sources, *known.faceless}, set(known.faceless)
    if old := [photos.key(i) for i, mark in enumerate(marks) if mark in faceless]:
        tell(f"{len(old)} of {len(photos)} photos show no face, as was found before: {listed(old)}")
    todo = [i for i, mark in enumerate(marks) if mark not in done]
    for start in range(0, len(todo), piece):
        rows, embeddings = [], [np.zeros((0, pipeline.encoder.dim), np.float32)]
        for i, faces in enrolled(pipeline, photos, todo[start : start + piece], tell):
            if faces:
                rows.append(i)
                embeddings.append(faces[0].embedding[None])
            else:
                known.faceless.append(marks[i])
        known.add(
            np.concatenate(embeddings),
            [photos.names[photos.labels[i]] for i in rows],
            [marks[i] for i in rows],
        )
        known.save(path)
    return known
