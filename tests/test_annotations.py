"""Public functions of helpers and benchmarks say what they take and what they return."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("helpers", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
)


def is_public(name):
    return name in ("__init__", "__call__") or not name.startswith("_")


def functions_of(tree):
    """(Qualified name, function, is it a method) of a module, its classes and its functions."""
    todo = [("", tree, False)]
    while todo:
        before, parent, in_class = todo.pop()
        for node in parent.body:
            if isinstance(node, ast.ClassDef):
                todo.append((f"{before}{node.name}.", node, True))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{before}{node.name}", node, in_class
                todo.append((f"{before}{node.name}.", node, False))


def unannotated(function, is_method):
    """The names of a function's parameters without an annotation, and "return"."""
    given = function.args
    parameters = given.posonlyargs + given.args
    decorators = {getattr(node, "id", "") for node in function.decorator_list}
    if is_method and "staticmethod" not in decorators:
        parameters = parameters[1:]  # self or cls
    rest = [given.vararg, *given.kwonlyargs, given.kwarg]
    parameters += [parameter for parameter in rest if parameter is not None]
    missing = [parameter.arg for parameter in parameters if parameter.annotation is None]
    if function.returns is None and function.name != "__init__":
        missing.append("return")
    return missing


def sentences(source, file):
    """A sentence for each public function that lacks annotations."""
    return [
        f"{file}: {name} lacks annotations of {', '.join(missing)}."
        for name, function, is_method in functions_of(ast.parse(source))
        if is_public(function.name) and (missing := unannotated(function, is_method))
    ]


@pytest.mark.parametrize("file", MODULES)
def test_public_functions_are_annotated(file):
    found = sentences((ROOT / file).read_text(encoding="utf-8"), file)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", MODULES)
def test_public_functions_and_classes_have_docstrings(file):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{file}: {node.name} lacks a docstring."


def test_what_is_found():
    source = """
def plain(a, b: int, *rest, key=1, **options) -> None:
    def inner(x): ...
def _private(a): ...
def nothing(): ...
def whole(a: int, *, key: str = "") -> int: ...
class Thing:
    def __init__(self, a): ...
    def __call__(self, a: int): ...
    def __len__(self): ...
    @classmethod
    def make(cls) -> "Thing": ...
    @staticmethod
    def of(a) -> int: ...
"""
    assert sentences(source, "m.py") == [
        "m.py: plain lacks annotations of a, rest, key, options.",
        "m.py: nothing lacks annotations of return.",
        "m.py: Thing.__init__ lacks annotations of a.",
        "m.py: Thing.__call__ lacks annotations of return.",
        "m.py: Thing.of lacks annotations of a.",
        "m.py: plain.inner lacks annotations of x, return.",
    ]
    assert {"helpers/gallery.py", "benchmarks/lfw.py"} <= set(MODULES)
