"""Why a file can't be read, in words for people."""

import errno
import os
from typing import IO

from PIL import Image

# what else is found under a picture's name, by the first bytes
OTHERS = {
    b"%PDF": "it is a PDF",
    b"%!PS": "it is PostScript (EPS)",
    b"8BPS": "it is Photoshop's",
    b"PK\3\4": "it is a zip archive",
    b"<": "it is a web page or a drawing (SVG)",
}
# how pictures begin that are known, but whose next bytes make no sense
PICTURES = {b"\xff\xd8": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"\0\0\0\x0cjP  ": "JPEG 2000"}
PICTURES |= {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"qoif": "QOI"}
BRANDS = {"AVIF": (b"avif", b"avis"), "HEIF": (b"heic", b"heix", b"hevc", b"mif1", b"msf1")}
LACKING = {
    "AVIF": "AVIF, which this Pillow lacks (pip install -U pillow)",
    "HEIF": "HEIC (pip install pillow-heif)",
}


def why_not(error: BaseException, path: str | os.PathLike | IO[bytes]) -> str:
    """Why a picture can't be read: the true cause, as the end of a sentence."""
    known = isinstance(path, (str, os.PathLike))
    if isinstance(error, FileNotFoundError):
        if known and os.path.islink(path):
            return f"it is a link to {os.readlink(path)}, which is not there."
        if any(sign in str(path) for sign in "*?["):
            return "no file matches this pattern; look at the folder and the ending."
        return "there is no such file; look at its name and its folder."
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name the photos in it, such as FOLDER/*.jpg."
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a link that leads back to itself; take it out."
    if isinstance(error, PermissionError):
        return "its permissions forbid it; change them, or copy it."
    if isinstance(error, Image.UnidentifiedImageError):
        return f"{_kind_of(path)}; save it again as JPEG or PNG, or take it out."
    if type(error) is OSError and error.errno is None and str(error).endswith("."):
        return str(error)  # a sentence of ours
    return f"{plain_cause(error)}; save it again as JPEG or PNG, or take it out."


def _kind_of(path):
    if isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as file:
            head = file.read(64).lstrip()
    else:
        path.seek(0)
        head = path.read(64).lstrip()
    if head[4:8] == b"ftyp":
        known = [kind for kind, brands in BRANDS.items() if head[8:12] in brands]
        if not known:
            return "it is a film"
        damaged = known[0] in Image.OPEN
        return f"it is {known[0]}, but damaged" if damaged else f"it is {LACKING[known[0]]}"
    for start, kind in PICTURES.items():
        if head.startswith(start):
            return f"it begins like a {kind}, but it is damaged"
    named = [kind for start, kind in OTHERS.items() if head.startswith(start)]
    return named[0] if named else "its content is of no known picture format"


def sentence_of(error: OSError) -> str:
    """What the system says, as a sentence that begins with the file; ours as they are."""
    if error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {plain_cause(error)}."
    return error.strerror or str(error)


def plain_cause(error: BaseException) -> str:
    """What an exception of any library says, as a part of one sentence."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return f"{text[:200].rstrip('.') or 'no word'} ({type(error).__name__})"
