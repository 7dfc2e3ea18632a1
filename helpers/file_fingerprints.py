"""What a file or a piece of code is known by; if it changes, what was made of it is made anew."""

import ast
import hashlib
import inspect
import os
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .files import read_csv, to_csv, write_text

HEADER = ["file", "stamp", "fingerprint"]


def file_fingerprints(files: list, table: str | Path) -> list[str]:
    """The fingerprint of each file, made of its content.

    Args:
        files: paths.
        table: a CSV that is kept beside what was made of the files. It remembers size, times and
            inode of each, and only files where one of these differs are read again. A file that
            was changed within the last two seconds is always read again, since its times may not
            tell a second change.

    Returns:
        One for each file; "" of a file that can't be read.
    """
    known = {}
    with suppress(ValueError):  # of a damaged table, which is written anew
        known = {row[0]: tuple(row[1:]) for row in read_csv(table)[1:] if len(row) == len(HEADER)}
    now = {}
    for file in map(str, files):
        stamp = _stamp(file)
        old_stamp, old = known.get(file, ("", ""))
        now[file] = (stamp, old if stamp and stamp == old_stamp else _content(file))
    kept = {file: known[file] for file in known.keys() - now.keys() if os.path.lexists(file)}
    if kept | now != known:
        rows = [(file, *known_by) for file, known_by in (kept | now).items()]
        write_text(table, to_csv([HEADER, *rows]))
    return [now[str(file)][1] for file in files]


def _stamp(file):
    try:
        about = os.stat(file)
    except (OSError, ValueError):
        return ""
    fresh = time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns) < 2e9
    return (
        "" if fresh else f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
    )


def _content(file):
    try:
        if not os.path.isfile(file):  # a pipe would be waited for without end
            return ""
        with open(file, "rb") as opened:
            digest = hashlib.blake2b(digest_size=12)
            while part := opened.read(2**20):
                digest.update(part)
        return digest.hexdigest()
    except (OSError, ValueError):
        return ""


def code_fingerprint(*functions: Callable) -> str:
    """A digest of functions' code, without comments, docstrings, type annotations and layout."""
    digest = hashlib.blake2b(digest_size=6)
    for function in functions:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
        body = tree.body[0].body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.FunctionDef):
                node.returns = None
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()
