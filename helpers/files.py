"""Files are written whole or not at all: to a temporary name first, then renamed."""

import csv
import errno
import io
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary path), then rename that to path: a reader sees the old file or the new.

    So does whoever comes after a kill. Of two processes that write one file, the last one stays.

    Raises:
        OSError: the disk is full.
        PermissionError: the old file can't be replaced.
    """
    # a short name, as the file's own may be as long as is allowed
    part = Path(path).with_name(f"{uuid.uuid4().hex[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with enough_room(path):
            write(part)
            with open(part, "rb+") as file:
                # else a power cut may leave the new name with nothing in it
                os.fsync(file.fileno())
        _replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _replace(part, path):
    # Windows refuses while a reader, such as a virus scanner, has the old file open
    for wait in (0.1, 0.5, 2, None):
        try:
            return os.replace(part, path)
        except PermissionError:
            if wait is None:
                raise PermissionError(
                    f"{path} can't be replaced: it is write-protected, or another program or "
                    "notebook has it open. Close it there and run again."
                ) from None
            time.sleep(wait)


@contextmanager
def enough_room(path: str | Path) -> Iterator[None]:
    """Whatever a writer says when the disk is full, say it in one sentence.

    torch, Pillow and Python say it differently.
    """
    try:
        yield
    except Exception as error:
        if (
            getattr(error, "errno", None) == errno.ENOSPC
            or shutil.disk_usage(Path(path).parent).free < 2**16
        ):
            raise OSError(
                errno.ENOSPC,
                f"There is no room on the disk for {path}. Free some and run again: what was "
                "finished before is kept.",
            ) from None
        raise


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Refuse to work in a folder where another process is at work, with a BlockingIOError.

    The system frees the folder when that process ends or is killed.
    """
    lock = Path(folder).parent / f".{Path(folder).name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()  # where nothing can be written, this says so; the lock would seem to be taken
    lock = FileLock(lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"Another process is at work in {folder}: wait for it, or stop it first."
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one atomic step."""
    # names of files need not be valid text: what can't be decoded is kept as it is
    write_atomically(path, lambda part: part.write_bytes(text.encode("utf-8", "surrogateescape")))


def short_name(text: str, limit: int = 150) -> str:
    """A name for a file that no other text gets.

    It is the text itself, or, where that is long or no name for a file, its start and a checksum.

    >>> short_name("Ada Lovelace"), short_name("a/b")
    ('Ada Lovelace', 'a_b-07f4401c')
    """
    plain, whole = text.replace("/", "_").replace("\0", "_"), os.fsencode(text)
    if plain == text and len(whole) <= limit:
        return text
    return f"{os.fsencode(plain)[: limit - 9].decode('utf-8', 'ignore')}-{zlib.crc32(whole):08x}"


def printable(text: object) -> str:
    r"""Text whose control characters and broken letters show themselves, as in hostile file names.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(
        letter
        if letter.isprintable() or letter in " \n"
        else letter.encode("unicode_escape", "replace").decode()
        for letter in str(text)
    )


def to_csv(rows: Iterable[Sequence]) -> str:
    """Rows, the first one being the header, as the text of a CSV file, quoted where needed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_csv(path: str | Path) -> list[list[str]]:
    """The rows of a file that `to_csv` and `write_text` made, with its header; [] if none.

    Raises:
        ValueError: it is damaged.
    """
    if not Path(path).exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.reader(file))
    except csv.Error as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it, and what it lists is made anew."
        ) from None


def append_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Append rows to a CSV file, with the header if it is new; a last line cut short is dropped."""
    path = Path(path)
    begun = path.exists() and path.stat().st_size > 0
    if begun:
        with open(path, "rb") as file:  # its end alone: the table of all of CelebA is 40 MB
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
        if not whole:  # a kill cut the last line short
            text = path.read_bytes()
            text = text[: text.rfind(b"\n") + 1]
            write_atomically(path, lambda part: part.write_bytes(text))
            begun = bool(text)
    names = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with enough_room(path), open(path, "a", **names) as file:
        file.write(to_csv(rows if begun else [header, *rows]))
