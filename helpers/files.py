"""Files are written whole or not at all: to a temporary name first, then renamed."""

import csv
import errno
import io
import os
import shutil
import time
import uuid
import zlib
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def write_atomically(path, write):
    """write(temporary path), then rename it to path: a reader, or a kill, sees the old file or the new one."""
    # two processes or threads may write the same file: the last one stays; short, as the file's own name may be long
    part = Path(path).with_name(f"{uuid.uuid4().hex[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with enough_room(path):
            write(part)
            with open(part, "rb+") as file:
                os.fsync(
                    file.fileno()
                )  # else a power cut may leave the new name with nothing in it
        _replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _replace(part, path):
    for wait in (
        0.1,
        0.5,
        2,
        None,
    ):  # Windows refuses while a reader, such as a virus scanner, has the old file open
        try:
            return os.replace(part, path)
        except PermissionError:
            if wait is None:
                raise PermissionError(
                    f"{path} can't be replaced: it is write-protected, or another program or notebook has "
                    "it open. Close it there and run again."
                ) from None
            time.sleep(wait)


@contextmanager
def enough_room(path):
    """Whatever a writer says when the disk is full (torch, Pillow and Python differ), say it in one sentence."""
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
def alone_in(folder):
    """Refuse to work in a folder where another process is at work; the system frees it when that process ends or is killed."""
    lock = Path(folder).parent / f".{Path(folder).name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
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


def write_text(path, text):
    """Write a text file in one atomic step."""
    # names of files need not be valid text: what can't be decoded is kept as it is
    write_atomically(path, lambda part: part.write_bytes(text.encode("utf-8", "surrogateescape")))


def short_name(text: str, limit: int = 150) -> str:
    """A name for a file that no other text gets: the text itself, or its start and a checksum if it is long."""
    plain, whole = text.replace("/", "_").replace("\0", "_"), os.fsencode(text)
    if plain == text and len(whole) <= limit:
        return text
    return f"{os.fsencode(plain)[: limit - 9].decode('utf-8', 'ignore')}-{zlib.crc32(whole):08x}"


def printable(text) -> str:
    """Text whose control characters and broken letters show themselves, such as those of hostile file names."""
    return "".join(
        letter
        if letter.isprintable() or letter in " \n"
        else letter.encode("unicode_escape", "replace").decode()
        for letter in str(text)
    )


def to_csv(rows):
    """Rows (sequences, the first one being the header) as the text of a CSV file, quoted where needed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_csv(path) -> list[list[str]]:
    """The rows of a file that `to_csv` and `write_text` made, header and all; none if it is not there."""
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))
