"""Student copies of the notebooks: cells tagged `solution` emptied, outputs cleared.

    python -m helpers.student_copies            write them to student/

An emptied cell keeps its first comment, which says what to compute, and `...`; the asserts after
it stay, and grade. A copy that somebody has worked in since it was made is left alone.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = "student"
NOTEBOOKS = "[1-5]_*.ipynb"
MADE = "sources_as_made"  # in a copy's metadata: a digest of its sources, as they were written
GO_UP = """# This copy lies in student/, the course one folder above it.
import os

if os.path.isdir("../helpers"):
    os.chdir("..")"""
LINK = re.compile(r"(\]\(|src=\")(?![a-z]+:|#|/|attachment:|[1-5]_\w+\.ipynb)([^)\"\s]+)")
COLAB = re.compile(r"(colab\.research\.google\.com/github/[^)\s]+/)([1-5]_\w+\.ipynb)")


def emptied(source: str) -> str:
    """What remains of a solution: its leading comment lines, at least one, and an ellipsis.

    Raises:
        ValueError: the cell does not begin with a comment that says what to do.
    """
    comment = re.match(r"(?:#.*(?:\n|$))+", source)
    if not comment:
        raise ValueError(
            "A cell tagged 'solution' must begin with a comment that says what to compute, but "
            f"this one begins with: {source[:60]!r}."
        )
    return comment.group().rstrip("\n") + "\n..."


def student_copy(notebook: dict) -> dict:
    """A notebook as students get it.

    Args:
        notebook: the parsed JSON of a notebook of the course.

    Returns:
        A notebook without outputs, whose cells tagged `solution` are emptied, with a first cell
        that goes up to the folder of the course. Links lead from student/ to the same places.
    """
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        tags = cell.get("metadata", {}).get("tags", [])
        if cell["cell_type"] == "code":
            source = emptied(source) if "solution" in tags else source
            cells.append(_code(source, cell["id"], tags))
        else:
            source = COLAB.sub(rf"\1{FOLDER}/\2", LINK.sub(r"\1../\2", source))
            cells.append(cell | {"source": source.splitlines(keepends=True)})
    first = next(k for k, cell in enumerate(cells) if cell["cell_type"] == "code")
    cells.insert(first, _code(GO_UP, "go-up", []))
    metadata = notebook.get("metadata", {}) | {MADE: _sources(cells)}
    return notebook | {"cells": cells, "metadata": metadata}


def worked_in(path: Path) -> bool:
    """Do the sources of a copy differ from those it was made with? True if that can't be known."""
    try:
        copy = json.loads(path.read_text(encoding="utf-8"))
        return copy["metadata"].get(MADE) != _sources(copy["cells"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def _sources(cells):
    text = "\0".join(f"{cell['cell_type']} {''.join(cell['source'])}" for cell in cells)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _code(source, name, tags):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {"tags": tags} if tags else {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def student_copies(root: Path = ROOT) -> dict[Path, str]:
    """The path and the text of each student copy, made from the notebooks under `root`."""
    copies = {}
    for path in sorted(root.glob(NOTEBOOKS)):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        try:
            text = json.dumps(student_copy(notebook), indent=1, ensure_ascii=False) + "\n"
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None
        copies[root / FOLDER / path.name] = text
    return copies


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the copies; those that somebody worked in only with --force. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.student_copies",
        description=f"Write the student copies of the notebooks to {FOLDER}/.",
    )
    parser.add_argument(
        "--force", action="store_true", help="also replace copies that somebody has worked in"
    )
    force, code = parser.parse_args(arguments).force, 0
    for target, content in student_copies(root).items():
        name = target.relative_to(root)
        if target.exists() and not force and worked_in(target):
            print(f"left alone: {name} was edited since it was made; --force replaces it")
            code = 1
            continue
        target.parent.mkdir(exist_ok=True)
        target.write_text(content, encoding="utf-8")
        print(f"written: {name}")
    return code


if __name__ == "__main__":
    sys.exit(main())
