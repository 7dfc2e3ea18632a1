"""Run the first cell of the notebooks as Colab would, in the environment that this Python is of.

`google.colab` is a stub, /content a temporary folder, and the course's address a local clone. The
cell must change none of the packages that are there, and stop in a sentence at a wrong address.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNSET = 'REPOSITORY = ""'
RUN = """
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
sys.modules["google.colab"] = ModuleType("google.colab")
sys.modules["google.colab"].__spec__ = ModuleSpec("google.colab", None)
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
result = shell.run_cell(open(sys.argv[1]).read())
print("ERROR:", result.error_in_exec or result.error_before_exec)
if result.success and len(sys.argv) > 2:
    print("ERROR:", shell.run_cell(sys.argv[2]).error_in_exec)
"""


def main() -> None:
    """Check every notebook's cell at a wrong address, and one whole."""
    cells = {path.name: first_cell(path) for path in sorted(ROOT.glob("[0-9]_*.ipynb"))}
    for name, cell in cells.items():
        for address in ("", "file:///no/such/course"):
            said = run(cell, address)
            assert said.endswith("to the address of your copy."), f"{name} does not stop: {said}"
    before, started = packages(), time.perf_counter()
    said = run(next(iter(cells.values())), clone(), "import helpers.course, helpers.interactive")
    assert said == "ERROR: None", said
    seconds = time.perf_counter() - started
    changed = before - packages()
    assert not changed, f"the cell changed {', '.join(sorted(changed))}"
    print(f"the first cell and imports took {seconds:.0f} s; all {len(before)} packages stayed")


def first_cell(notebook: Path) -> str:
    """The source of the first code cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    cell = "".join(next(cell for cell in cells if cell["cell_type"] == "code")["source"])
    assert UNSET in cell, f"{notebook.name} names an address, which anybody may register"
    return cell


def run(cell: str, address: str, *then: str) -> str:
    """The last line that a cell says in a fresh folder, with /content there, at this address."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "cell.py"
        source.write_text(
            cell.replace(UNSET, f'REPOSITORY = "{address}"').replace("/content", folder)
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "GIT_TERMINAL_PROMPT": "0"}
        environment["IPYTHONDIR"] = folder
        said = subprocess.run(
            [sys.executable, "-c", RUN, str(source), *then],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        return (said.stdout.strip() or said.stderr.strip()).splitlines()[-1]


def clone() -> str:
    """The address of this very course, as committed."""
    return ROOT.resolve().as_uri()


def packages() -> set[str]:
    """`name==version` of everything installed."""
    listed = [sys.executable, "-m", "pip", "list", "--format=freeze"]
    return set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())


if __name__ == "__main__":
    main()
