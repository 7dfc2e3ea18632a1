"""Enrolment: the photos of known people become the embeddings of a gallery."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .alignment import geometry
from .encoders import weights_id
from .faces import FaceSet
from .file_fingerprints import file_fingerprints
from .folders import listed
from .gallery import Gallery
from .pipeline import LONGEST, Face, FacePipeline, doubts, faces_of, no_face
from .progress import progress_bar


def enrolment(
    pipeline: FacePipeline, photos: FaceSet, tell: Callable = print, piece: int = 64
) -> tuple[np.ndarray, np.ndarray, int]:
    """Embed the largest face of every photo that shows one, a few photos in memory at a time.

    Args:
        pipeline: finds and embeds the faces.
        photos: of known people.
        tell: is called with a sentence about each photo that is left out or doubtful.
        piece: photos in memory at once.

    Returns:
        The numbers of the photos that show a face (M,), their embeddings (M, D), and how many
        photos could be read.
    """
    rows, embeddings, read = [], [np.zeros((0, pipeline.encoder.dim), np.float32)], 0
    for number, faces in faces_by_photo(pipeline, photos, range(len(photos)), tell, piece):
        read += 1
        if faces:
            rows.append(number)
            embeddings.append(faces[0].embedding[None])
    return np.array(rows, int), np.concatenate(embeddings), read


def faces_by_photo(
    pipeline: FacePipeline,
    photos: FaceSet,
    numbers: Sequence[int] | np.ndarray,
    tell: Callable,
    piece: int = 64,
) -> Iterator[tuple[int, list[Face]]]:
    """Yield (number, faces) of those photos that could be read: no faces, or the largest first."""
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


def enrol_folder(
    pipeline: FacePipeline, photos: FaceSet, path: Path, tell: Callable = print, piece: int = 1024
) -> Gallery:
    """The Gallery in the file `path`, brought up to date with photos of known people.

    A photo is known by its name and content and by what aligns it: only what is new or changed is
    embedded, what is gone is forgotten, and photos without a face are remembered. The file is
    saved after each piece, so that an enrolment that was killed goes on there.

    Args:
        pipeline: finds and embeds the faces; the largest of each photo counts.
        photos: of known people.
        path: of the gallery's file; need not exist yet.
        tell: is called with a sentence about each photo that is left out or doubtful.
        piece: photos between two savings.
    """
    ids = _photo_ids(pipeline, photos, path)
    known = _saved_gallery(pipeline, path, tell)
    _forget_the_others(known, ids, path)
    faceless = set(known.faceless)
    if old := [photos.key(i) for i, photo_id in enumerate(ids) if photo_id in faceless]:
        tell(f"{len(old)} of {len(photos)} photos show no face, as was found before: {listed(old)}")
    done = {*known.sources, *known.faceless}
    todo = [i for i, photo_id in enumerate(ids) if photo_id not in done]
    for start in range(0, len(todo), piece):
        rows, embeddings = [], [np.zeros((0, pipeline.encoder.dim), np.float32)]
        for i, faces in faces_by_photo(pipeline, photos, todo[start : start + piece], tell):
            if faces:
                rows.append(i)
                embeddings.append(faces[0].embedding[None])
            else:
                known.faceless.append(ids[i])
        people = [photos.names[photos.labels[i]] for i in rows]
        known.add(np.concatenate(embeddings), people, [ids[i] for i in rows])
        known.save(path)
    return known


def _photo_ids(pipeline, photos, path):
    """One line for each photo: its name, the fingerprint of its content, and of what aligns it."""
    hourglass = getattr(pipeline, "hourglass", None)
    aligner = "MTCNN" if hourglass is None else weights_id(hourglass)
    how = f"{geometry()} {LONGEST} {photos.canvas} {aligner}"
    how = hashlib.blake2b(how.encode(), digest_size=4).hexdigest()
    prints = file_fingerprints(photos.files, path.with_name(f"{path.stem}_files.csv"))
    return [f"{photos.key(i)} {one} {how}" for i, one in enumerate(prints)]


def _saved_gallery(pipeline, path, tell):
    """The gallery in the file, if there is one and this encoder made it; else an empty one."""
    empty = Gallery(pipeline.encoder.dim, encoder_id=weights_id(pipeline.encoder))
    if not path.exists():
        return empty
    try:
        saved = Gallery.load(path)
    except ValueError as error:
        tell(str(error).replace("enrol the photos again", "the photos are enrolled again"))
        return empty
    return saved if saved.encoder_id == empty.encoder_id else empty


def _forget_the_others(known, ids, path):
    """Who is gone from the folder is gone from the gallery, and from the disk as well."""
    there, current = np.isin(known.sources, ids), set(ids)
    faceless = [photo_id for photo_id in known.faceless if photo_id in current]
    if not there.all() or len(faceless) < len(known.faceless):
        known.keep(there)
        known.faceless = faceless
        known.save(path)
