"""How commands answer: sentences for people, pictures that are written whole or not at all."""

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure

from .files import printable, write_atomically


def answer(options: argparse.Namespace, sentence: str) -> None:
    """Print for people; with --json to stderr, so that stdout is one line of JSON."""
    print(printable(sentence), file=sys.stderr if options.json else sys.stdout)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG in one atomic step."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=110))
