"""Student copies of the notebooks: cells tagged `solution` emptied, outputs cleared.

    python -m helpers.student_copies            write them to student/

An emptied cell keeps its first comment, which says what to compute, and `...`; the asserts after
it stay, and grade. The copies are made from the notebooks of the course and never edited by hand.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = "student"
NOTEBOOKS = "[1-5]_*.ipynb"
GO_UP = """# This copy lies in student/, the course one folder above it.
import os

if os.path.isdir("../helpers"):
    os.chdir("..")"""
LINK = re.compile(r"(\]\(|src=\")(?![a-z]+:|#|/|attachment:|[1-5]_\w+\.ipynb)([^)\"\s]+)")


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
            source = LINK.sub(r"\1../\2", source)
            cells.append(cell | {"source": source.splitlines(keepends=True)})
    first = next(k for k, cell in enumerate(cells) if cell["cell_type"] == "code")
    cells.insert(first, _code(GO_UP, "go-up", []))
    return notebook | {"cells": cells}


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


if __name__ == "__main__":
    for target, content in student_copies().items():
        target.parent.mkdir(exist_ok=True)
        target.write_text(content, encoding="utf-8")
        print(f"written: {target.relative_to(ROOT)}")
