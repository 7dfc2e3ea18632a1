"""Every cell left to the student is graded: left as `...` it fails, and the solution passes.

The notebooks run cell by cell in this process, with an epoch or two each, up to the last graded
cell.
"""

import ast
import json
from pathlib import Path

import matplotlib
import pytest

from helpers.student_copies import emptied

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.name for path in ROOT.glob("[1-5]_*.ipynb"))
SHORT = {
    "LANDMARK_EPOCHS": 1,
    "EPOCHS": 2,
    "STUDY_EPOCHS": 1,
    "VIT_EPOCHS": 1,
    "DATA_DIR": ROOT / "data",
}


def code_cells(name):
    """The code cells of a notebook of the course, without Colab's, and which are solutions."""
    cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
    cells = [cell for cell in cells if cell["cell_type"] == "code"][1:]
    solution = ["solution" in cell["metadata"].get("tags", []) for cell in cells]
    return ["".join(cell["source"]) for cell in cells], solution


def graders(sources, solution):
    """{number of a solution cell: number of the first later cell with an assert}."""
    tests = [k for k, source in enumerate(sources) if "assert " in source and not solution[k]]
    return {k: next(g for g in tests if g > k) for k in range(len(sources)) if solution[k]}


def run(source, name, variables, asserts=True):
    code = compile(source, name, "exec", optimize=0 if asserts else 1)
    exec(code, variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_emptied_cell_fails_and_the_solution_passes(name, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(ROOT)
    for variable, value in (SHORT | {"RUNS_DIR": tmp_path}).items():
        monkeypatch.setenv(f"FACES_{variable}", str(value))
    sources, solution = code_cells(name)
    grader = graders(sources, solution)
    grading, last = set(grader.values()), max(grader.values())

    def run_cell(k, variables, source=None):
        # other claims of the notebook hold for a training of the usual length
        run(source or sources[k], f"{name}, code cell {k}", variables, k in grading)

    variables = {"__name__": "__main__"}
    for k in range(last + 1):
        if solution[k]:
            left = dict(variables)
            with pytest.raises((AssertionError, NameError)):
                run_cell(k, left, emptied(sources[k]))
                for later in range(k + 1, grader[k] + 1):
                    run_cell(later, left)
                pytest.fail(f"left empty, this cell of {name} is not noticed:\n{sources[k]}")
        run_cell(k, variables)


def defined(source):
    """Names that a cell defines."""
    names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    stored = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
    return names | {node.id for node in stored if isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_asserts_about_an_answer_say_what_is_wrong(name):
    sources, solution = code_cells(name)
    for k, grader in graders(sources, solution).items():
        answers = defined(sources[k])
        for node in ast.walk(ast.parse(sources[grader])):
            if not isinstance(node, ast.Assert):
                continue
            asked = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
            assert node.msg or not asked & answers, f"{name}: no message: {ast.unparse(node)}"
