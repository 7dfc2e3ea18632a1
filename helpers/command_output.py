"""How commands answer: sentences for people, pictures that are written whole or not at all."""

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure

from .files import printable, write_atomically, write_text
from .unreadable import plain_cause


def answer(options: argparse.Namespace, sentence: str) -> None:
    """Print for people; with --json to stderr, so that stdout is one line of JSON."""
    print(printable(sentence), file=sys.stderr if options.json else sys.stdout)


def make_folder(out: Path) -> None:
    """Make the folder for what a command writes: where that can't be done, say so at once."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / ".writable", "")
        (out / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"Nothing can be written to {out}: {plain_cause(error)}. Name another folder: "
            "--out-dir."
        ) from None


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG in one atomic step."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=110))
