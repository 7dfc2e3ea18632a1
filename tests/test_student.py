"""Student copies: solutions are emptied, asserts stay, and the copies are up to date."""

import ast
import json
from pathlib import Path

import pytest

from helpers.student_copies import emptied, main, student_copies, student_copy

ROOT = Path(__file__).parents[1]
COPIES = student_copies()
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))


def cell(source, kind="code", tags=()):
    ran = {"outputs": [{"output_type": "stream"}], "execution_count": 3} if kind == "code" else {}
    return {
        "cell_type": kind,
        "id": "a",
        "metadata": {"tags": list(tags)},
        "source": source.splitlines(keepends=True),
    } | ran


def test_a_solution_keeps_its_comment_and_nothing_else():
    assert emptied("# Your turn: add\n# a and b\nc = a + b\n# why\n") == (
        "# Your turn: add\n# a and b\n..."
    )
    with pytest.raises(ValueError, match="must begin with a comment"):
        emptied("c = a + b")


def test_a_copy_loses_solutions_and_outputs_and_keeps_asserts_and_links():
    notebook = {
        "cells": [
            cell(
                "[the card](models/vit.md), [on](2_arcface.ipynb), [paper](https://a.b)", "markdown"
            ),
            cell("# Your turn: c\nc = 3", tags=["solution"]),
            cell("assert c == 3", tags=["nbval-ignore-output"]),
        ],
        "nbformat": 4,
    }
    text, up, yours, graded = student_copy(notebook)["cells"]
    assert "".join(text["source"]) == (
        "[the card](../models/vit.md), [on](2_arcface.ipynb), [paper](https://a.b)"
    )
    assert "os.chdir" in "".join(up["source"])
    assert "".join(yours["source"]) == "# Your turn: c\n..." and "".join(graded["source"]) == (
        "assert c == 3"
    )
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in (up, yours, graded))
    assert notebook["cells"][1]["source"] == ["# Your turn: c\n", "c = 3"], "the course stays"


def test_a_copy_opens_itself_in_colab_and_not_the_solved_notebook():
    base = "https://colab.research.google.com/github/a/b/blob/main/"
    badge = f"[![Open](https://colab.research.google.com/x.svg)]({base}3_triplet.ipynb)"
    cells = student_copy({"cells": [cell(badge, "markdown"), cell("1")]})["cells"]
    assert "".join(cells[0]["source"]) == badge.replace("3_", "student/3_")


def test_a_copy_that_somebody_worked_in_is_replaced_by_force_alone(tmp_path, capsys):
    """Once, even --help wrote all five copies over a student's work."""
    notebook = {"cells": [cell("# Your turn: c\nc = 3", tags=["solution"]), cell("assert c")]}
    for name in ("1_a.ipynb", "2_b.ipynb"):
        (tmp_path / name).write_text(json.dumps(notebook))
    with pytest.raises(SystemExit) as stop:
        main(["--help"], tmp_path)
    assert stop.value.code == 0 and not (tmp_path / "student").exists()
    assert main([], tmp_path) == 0 and main([], tmp_path) == 0, "nobody worked in them"
    mine, other = (tmp_path / "student" / name for name in ("1_a.ipynb", "2_b.ipynb"))
    fresh = mine.read_text(encoding="utf-8")
    work = json.loads(fresh)
    work["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hi"}]
    mine.write_text(json.dumps(work))
    assert main([], tmp_path) == 0, "a run alone is no work"
    work["cells"][1]["source"] = ["c = 5"]
    mine.write_text(json.dumps(work))
    capsys.readouterr()
    assert main([], tmp_path) == 1 and json.loads(mine.read_text()) == work
    said = capsys.readouterr().out
    assert (
        "left alone: student" in said
        and "--force" in said
        and f"written: {Path('student', other.name)}" in said
    )
    del work["metadata"]
    mine.write_text(json.dumps(work))
    assert main([], tmp_path) == 1, "a copy of which nothing is known may be somebody's work"
    assert main(["--force"], tmp_path) == 0 and mine.read_text(encoding="utf-8") == fresh


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.name)
def test_student_copies_are_up_to_date(path):
    assert path.exists() and path.read_text(encoding="utf-8") == COPIES[path], (
        f"{path.name} is out of date: run `python -m helpers.student_copies --force`"
    )


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.name)
def test_every_stage_leaves_something_to_write_and_asserts_to_grade_it(path):
    sources = ["".join(c["source"]) for c in json.loads(COPIES[path])["cells"]]
    yours = [k for k, source in enumerate(sources) if source.startswith("# Your turn")]
    assert yours, "no cell of this notebook is tagged 'solution'"
    assert all(sources[k].endswith("\n...") for k in yours)
    assert any("assert " in source for source in sources[yours[0] :])


def test_every_notebook_has_worked_solutions_as_a_real_run_left_them():
    assert [path.name for path in SOLUTIONS] == [path.name for path in COPIES]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.name)
def test_solutions_are_executed(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    assert not any(out["output_type"] == "error" for c in cells for out in c["outputs"])
    assert "widgets" not in notebook["metadata"]
    assert any("assert" in "".join(c["source"]) for c in cells), "an answer that nothing checks"


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.name)
def test_copies_are_python(path):
    for c in json.loads(COPIES[path])["cells"]:
        source = "".join(c["source"])
        if c["cell_type"] == "code" and not any(
            line.lstrip().startswith(("!", "%")) for line in source.splitlines()
        ):
            ast.parse(source)
