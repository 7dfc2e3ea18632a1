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
        if head[8:12] in (b"avif", b"avis"):
            return "it is AVIF, which this Pillow lacks (pip install -U pillow)"
        heic = head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
        return "it is HEIC (pip install pillow-heif)" if heic else "it is a film"
    named = [kind for start, kind in OTHERS.items() if head.startswith(start)]
    return named[0] if named else "its content is of no known picture format"


def plain_cause(error: BaseException) -> str:
    """What an exception of any library says, as a part of one sentence."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return f"{text[:200].rstrip('.') or 'no word'} ({type(error).__name__})"
