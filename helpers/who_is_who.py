"""One call for users of Python: `from helpers import verify, identify`."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from .enrolment import enrolment
from .faces import folder_of_people
from .gallery import Gallery
from .model_files import load_encoder, load_verifier, thresholds_file
from .networks import hourglass, hourglass_path, recogniser_source
from .photos import PhotoError, _rgb, guard, plain_cause
from .pipeline import Face, FacePipeline, doubts, no_face, read_smaller
from .settings import load_settings
from .verdicts import Identification, Verification, compare, name_faces
from .verification import Verifier

Photo = str | Path | np.ndarray | torch.Tensor | Image.Image | Face


class Recogniser(NamedTuple):
    """What finds and embeds faces, and the thresholds that were measured for its encoder."""

    pipeline: FacePipeline
    verifier: Verifier


def verify(
    first: Photo, second: Photo, fpr: float | None = None, recogniser: Recogniser | None = None
) -> Verification:
    """Are the largest faces of two photos of one person?

    Args:
        first, second: each a path, a PIL picture, an array (H, W, 3) or (H, W) of uint8, a tensor
            uint8 (3, H, W), or a Face that the pipeline has found.
        fpr: tolerated share of false matches, 0 to 1; None: that of the settings, else 0.01.
        recogniser: None takes that of the settings, else the one that ships; `load_recogniser`
            makes others.

    Returns:
        A Verification: same, verdict, similarity, threshold, probability, hints.

    Raises:
        PhotoError: a photo can't be read, or shows no face that the detector finds.
        ValueError: such an FPR was never measured.
    """
    pipeline, verifier = recogniser or load_recogniser()
    fpr = load_settings().fpr if fpr is None else fpr
    return compare(largest_face(first, pipeline), largest_face(second, pipeline), verifier, fpr=fpr)


def identify(
    photo: Photo,
    gallery: Gallery | str | Path | Mapping[str, Photo | list],
    far: float | None = None,
    recogniser: Recogniser | None = None,
) -> list[Identification]:
    """Whose faces are in a photo?

    Args:
        photo: as for `verify`.
        gallery: who is known: a folder with a folder of photos for each person, a dict {name: a
            photo or a list of them}, or a Gallery.
        far: tolerated share of faces of people not enrolled that get a name, 0 to 1; None: `fpr` of
            the settings, else 0.01.
        recogniser: None takes that of the settings, else the one that ships; `load_recogniser`
            makes others.

    Returns:
        An Identification for each face, the largest first: name (None for unknown), nearest,
        similarity, threshold, box, hints. An empty list if no face is found.

    Raises:
        PhotoError: a photo can't be read.
        ValueError: nobody is enrolled, another encoder made the gallery, or such a FAR can't be
            had.
    """
    recogniser = recogniser or load_recogniser()
    pipeline, verifier = recogniser
    far = load_settings().fpr if far is None else far
    faces = [photo] if isinstance(photo, Face) else pipeline([as_photo(photo)])[0]
    known = gallery if isinstance(gallery, Gallery) else enrol(gallery, recogniser)
    if known.encoder_id:  # what embedded a gallery that was filled by hand, nobody knows
        known.check_encoder(pipeline.encoder)
    return name_faces(faces, known, verifier, far)


def enrol(
    people: str | Path | Mapping[str, Photo | list], recogniser: Recogniser | None = None
) -> Gallery:
    """A Gallery of the largest face of each photo, to be used for many calls of `identify`.

    Args:
        people: a folder with a folder of photos for each person, or a dict {name: a photo or a
            list of them}. Unusable photos are left out with a warning.
        recogniser: None takes that of the settings, else the one that ships.
    """
    if not isinstance(people, (str, Path, Mapping)):
        raise ValueError(
            "A gallery is a folder with a folder of photos for each person, a dict "
            f"{{name: photos}} or a Gallery; this is a {type(people).__name__}."
        )
    pipeline, _ = recogniser or load_recogniser()
    known = Gallery(pipeline.encoder.dim)
    known.check_encoder(pipeline.encoder)
    if isinstance(people, Mapping):
        if not people:
            raise ValueError("The dict names nobody, so nobody is enrolled: give {name: photos}.")
        for name, photos in people.items():
            for photo in photos if isinstance(photos, (list, tuple)) else [photos]:
                with guard(name, lambda sentence, name=name: _warn(f"{name}: {sentence}")):
                    face = largest_face(photo, pipeline)
                    known.add(face.embedding[None], [name])
                    for doubt in doubts([face]):
                        _warn(f"{name}: {doubt}")
    else:
        photos = folder_of_people(people)
        for note in photos.notes:
            _warn(note)
        rows, embeddings, _ = enrolment(pipeline, photos, tell=_warn)
        known.add(embeddings, [photos.names[photos.labels[i]] for i in rows])
    if not len(known):
        whose = ", ".join(map(str, people)) if isinstance(people, Mapping) else people
        raise ValueError(f"{whose}: nobody is enrolled, as no photo shows a face that is found.")
    return known


def _warn(sentence):
    warnings.warn(sentence, stacklevel=3)


def load_recogniser(encoder: str | Path | None = None) -> Recogniser:
    """The pipeline and the thresholds of an encoder.

    Loaded once, and again when one of its files or a setting has changed.

    encoder: a file or a name; None: as FACES_RECOGNISER says, else the one that ships.
    """
    settings = load_settings()
    encoder = encoder or recogniser_source(settings)
    files = encoder, thresholds_file(encoder), hourglass_path(settings)
    return _loaded(encoder, settings.hourglass, settings.device, *map(_stamp, files))


@lru_cache(maxsize=2)
def _loaded(encoder, hourglass_name, device, *_):
    settings = replace(load_settings(), hourglass=hourglass_name, device=device)
    network = load_encoder(encoder, settings.torch_device)
    return Recogniser(FacePipeline(hourglass(settings), network), load_verifier(encoder))


def _stamp(file):
    """What changes when a file is replaced; None if there is none."""
    try:
        about = os.stat(file)
    except (OSError, TypeError):  # an encoder's name is no file, and MTCNN has none here
        return str(file)
    return str(file), about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def largest_face(photo: Photo, pipeline: FacePipeline) -> Face:
    """The largest face of a photo; a PhotoError if none is found."""
    if isinstance(photo, Face):
        return photo
    [faces] = pipeline([as_photo(photo)], largest=True)
    if not faces:
        named = isinstance(photo, (str, Path))
        raise PhotoError(no_face(photo) + "." if named else "No face was found in this photo.")
    return faces[0]


def as_photo(photo: str | Path | np.ndarray | torch.Tensor | Image.Image) -> torch.Tensor:
    """A path, PIL picture, array (H, W[, 3]) or tensor (3, H, W) as a tensor uint8 (3, H, W)."""
    if isinstance(photo, (str, Path)):
        return read_smaller(photo)
    given = photo
    if isinstance(photo, Image.Image):
        try:
            photo = np.array(_rgb(photo))
        except Exception as error:  # Pillow raises many kinds, for truncated and hostile files
            raise PhotoError(f"This picture can't be read: {plain_cause(error)}.") from None
    if isinstance(photo, np.ndarray):
        if photo.ndim == 2:
            photo = np.stack([photo] * 3, axis=-1)
        photo = torch.from_numpy(np.array(photo))
        photo = photo.movedim(-1, 0) if photo.ndim == 3 else photo
    if (
        not isinstance(photo, torch.Tensor)
        or photo.dtype != torch.uint8
        or photo.ndim != 3
        or photo.shape[0] != 3
        or not photo.numel()
    ):
        raise PhotoError(
            "A photo must be a path, a PIL picture, a uint8 array (H, W, 3) or (H, W), or a uint8 "
            f"tensor (3, H, W); this is {_described(given)}."
        )
    return photo.contiguous()


def _described(photo):
    if isinstance(photo, (torch.Tensor, np.ndarray)):
        return f"a {photo.dtype} of shape {tuple(photo.shape)}".replace("torch.", "")
    return f"a {type(photo).__name__}"
