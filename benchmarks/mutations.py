"""Do the tests notice when the code is wrong?

Small faults, one at a time, each run against the tests of its module. Everything happens in a
temporary copy of helpers/, benchmarks/, tests/ and models/; the working tree is only read. First
the tests run on the copy as it is: a fault counts as noticed if tests fail that passed before,
within the time that each is given.
"""

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import _faults, _faults_review

ROOT = Path(__file__).parents[1]
COPIED = ("helpers", "benchmarks", "tests", "models", "pyproject.toml", "README.md", "test_images")

# what tests and helpers import, loaded once for all children
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "kornia",
    "faiss",
    "sklearn.neighbors",
    "sklearn.cluster",
    "scipy.stats",
    "hypothesis",
    "pytorch_metric_learning",
    "skimage.transform",
    "facenet_pytorch",
    "accelerate",
    "matplotlib.pyplot",
    "nbval.plugin",
    "tensorboard",
)


def main(arguments: list[str]) -> None:
    """Put the faults in one after another and print who noticed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutations", description=__doc__)
    parser.add_argument(
        "--review",
        action="store_true",
        help="the faults of an earlier round, each against the test written for it",
    )
    parser.add_argument(
        "--modules", nargs="+", metavar="MODULE", help="faults in these modules only"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=300,
        help="seconds for the tests of one fault (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    faults = [
        fault
        for fault in (_faults_review.REVIEW if options.review else _faults.FAULTS)
        if not options.modules or fault[0] in options.modules
    ]
    if not faults:
        parser.error("there are no faults in these modules")
    if gone := stale(faults):
        parser.error("; ".join(gone))
    for library in LIBRARIES:
        if importlib.util.find_spec(library):
            importlib.import_module(library)
    outcomes, sound = [], {}
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        for fault in faults:
            outcome, seconds, test = outcome_of(fault, Path(folder), options.timeout, sound)
            outcomes.append(outcome)
            module, what = fault[:2]
            print(f"{module:18s}{what:75s}{outcome:10s}{seconds:6.0f} s  {test}", flush=True)
    counts = {
        "faults": len(faults),
        "noticed": outcomes.count("noticed"),
        "survived": outcomes.count("SURVIVED"),
    }
    print(json.dumps(counts | {"undecided": len(faults) - counts["noticed"] - counts["survived"]}))


def outcome_of(
    fault: tuple, folder: Path, timeout: float, sound: dict[str, str]
) -> tuple[str, float, str]:
    """Put one fault into a copy of the code and run its tests.

    Args:
        fault: module, what it is, the code, the code with the fault, and perhaps its tests.
        folder: of the copy.
        timeout: seconds for the tests.
        sound: {tests: how they end without a fault}, the control; filled in here.

    Returns:
        "noticed", "SURVIVED" or why it can't be told; the seconds, and the test that noticed.
    """
    module, _, old, new, *tests = fault
    tests = tests[0] if tests else f"test_{module}"
    if tests not in sound:
        sound[tests] = run(tests, folder, timeout)[0]
    if sound[tests] != "passed":
        return f"tests {sound[tests]} without it", 0.0, ""
    with fault_in(place_of(folder / "helpers", module, old), old, new):
        outcome, seconds, test = run(tests, folder, timeout)
    return {"passed": "SURVIVED", "failed": "noticed"}.get(outcome, outcome), seconds, test


def stale(faults: list[tuple]) -> list[str]:
    """A sentence for each fault whose place in the code is no longer there, or not the only one."""
    sentences = []
    for module, _, old, *_ in faults:
        if place_of(ROOT / "helpers", module, old) is None:
            sentences.append(
                f"{module}.py does not hold '{old}' once, nor does another module alone: the code "
                "has changed, and benchmarks/_faults.py must follow"
            )
    return sentences


def place_of(folder: Path, module: str, old: str) -> Path | None:
    """The file with this text once: the module's own, else the only other one; None if unclear."""
    others = [path for path in sorted(folder.glob("*.py")) if path.stem != module]
    for paths in ([folder / f"{module}.py"], others):
        texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
        times = [len(pattern(old).findall(text)) for text in texts]
        if any(times):
            return paths[times.index(1)] if sum(times) == 1 else None
    return None


def pattern(code: str) -> re.Pattern:
    """Finds a piece of code however it is formatted: spaces, line breaks, a comma at the end."""
    tokens = re.findall(r"\w+|\S", code)
    return re.compile(
        r"\s*".join(
            rf"(?:,\s*)?\{token}" if token in ")]}" else re.escape(token) for token in tokens
        )
    )


def copy(folder: Path) -> None:
    """Lay what the tests need into a folder."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.part")
            )
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)


class fault_in:
    """Within it a file of the copy has the new text in the place of the old one."""

    def __init__(self, path: Path, old: str, new: str):
        self.path, self.text, self.old, self.new = path, path.read_text(encoding="utf-8"), old, new

    def __enter__(self) -> None:
        faulty = pattern(self.old).sub(lambda _: self.new.lstrip(), self.text)
        self.path.write_text(faulty, encoding="utf-8")

    def __exit__(self, *error: object) -> None:
        self.path.write_text(self.text, encoding="utf-8")


def run(tests: str, folder: Path, timeout: float) -> tuple[str, float, str]:
    """Run tests, named as in `test_losses test_training -k slow`.

    They run in a child of this process, which has the large libraries loaded already where the
    system can fork.

    Returns:
        passed, failed, too slow or not run; seconds; what failed first.
    """
    started, log = time.perf_counter(), folder / "log.txt"
    words = [f"tests/{word}.py" if word.startswith("test_") else word for word in tests.split()]
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    child = multiprocessing.get_context(method).Process(target=run_here, args=(words, folder, log))
    child.start()
    child.join(timeout)
    if child.exitcode is None:
        child.kill()
        child.join()
        return "too slow", timeout, ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next(
        (
            line.split()[1].partition("::")[2]
            for line in lines
            if line.startswith(("FAILED ", "ERROR "))
        ),
        "",
    )
    # 1: tests failed, 2: they could not even be collected; anything else is no verdict, such as
    # 5, no test by this name
    outcome = {0: "passed", 1: "failed", 2: "failed"}.get(child.exitcode, "not run")
    return outcome, time.perf_counter() - started, first


def run_here(words: list[str], folder: Path, log: Path) -> None:
    """In the child: pytest on the copy, its output in a log; the exit code is pytest's."""
    import pytest

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = (
        True  # or a faulty module of the same second and size could be taken for the sound one
    )
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / ".hypothesis")
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ("benchmarks", "helpers")
    ]:
        del sys.modules[name]  # the copy's own are meant
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *words])
        file.flush()
    os._exit(code)
