"""What code a training is made of, as it runs now, with all that it uses in turn."""

import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import torch
from torch import nn

from .digests import digest


def code_digests(*parts: object) -> dict:
    """Digests of the code that parts are made of, with all that it uses in turn.

    Comments, docstrings and layout do not count, nor do installed libraries.

    Args:
        parts: functions, classes, modules, and objects that hold such.

    Returns:
        {file: digest}; for a notebook's functions and classes {"the code of Name": digest}.
    """
    reader = _CodeReader()
    for part in _all_inside(parts):
        for kind in [part] if isinstance(part, FunctionType) else type(part).__mro__:
            reader.visit(kind, None, "")
    return {file: digest(*sorted(texts)) for file, texts in reader.texts.items()}


def _all_inside(parts, seen=None):
    """Parts, the modules in them, and the objects that they keep, such as a Compose's changes."""
    seen = set() if seen is None else seen
    for part in parts:
        if id(part) in seen or isinstance(
            part, (str, bytes, int, float, torch.Tensor, type, type(None))
        ):
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple, set, dict)):
            yield from _all_inside(part.values() if isinstance(part, dict) else part, seen)
        else:
            yield part
            yield from _all_inside(part.modules() if isinstance(part, nn.Module) else (), seen)
            yield from _all_inside(
                [v for k, v in getattr(part, "__dict__", {}).items() if k[0] != "_"], seen
            )


class _CodeReader:
    """Collects {file: texts} of functions and classes in memory, and of what they use in turn."""

    def __init__(self):
        self.texts, self.seen = {}, set()

    def visit(self, thing: object, file: str | None, name: str) -> None:
        """Tell a thing that code of `file` calls `name`; code of ours under its own file, once."""
        if isinstance(thing, (FunctionType, type)):
            file = _file_of(thing)
            if file and id(thing) not in self.seen:
                self.seen.add(id(thing))
                (self._visit_class if isinstance(thing, type) else self._visit_function)(
                    thing, file
                )
        elif isinstance(thing, torch.Tensor):
            self._tell(file, name, digest(thing))
        elif isinstance(thing, (list, tuple, set, frozenset)) and not _plain(thing):
            for k, value in enumerate(thing):
                self.visit(value, file, f"{name}[{k}]")
        elif isinstance(thing, dict) and not _plain(thing):
            for key, value in thing.items():
                self.visit(value, file, f"{name}[{key!r}]")
        elif isinstance(thing, property):
            self.visit(thing.fget, file, name)
        elif hasattr(thing, "__func__") or hasattr(thing, "__wrapped__"):
            # methods; what functools.cache wraps
            self.visit(getattr(thing, "__func__", None) or thing.__wrapped__, file, name)
        elif _plain(thing):
            self._tell(file, name, _text(thing))
        elif not isinstance(thing, ModuleType):
            self.visit(type(thing), file, name)

    def _visit_class(self, kind, file):
        for name, value in vars(kind).items():
            if name not in (
                "__doc__",
                "__module__",
                "__firstlineno__",
                "__static_attributes__",
                "__dict__",
                "__weakref__",
            ):
                self.visit(value, file, f"{kind.__qualname__}.{name}")
        for base in kind.__bases__:
            self.visit(base, file, "")

    def _visit_function(self, function, file):
        code, name = function.__code__, function.__qualname__
        self._tell(file, name, _code_text(code, function.__doc__))
        for value in [function.__defaults__, function.__kwdefaults__, *_contents(function)]:
            self.visit(value, file, name)
        names = _names(code)
        for used in [function.__globals__[n] for n in names if n in function.__globals__]:
            if isinstance(used, ModuleType) and _own_file(used.__name__):
                for inner in names & vars(used).keys():
                    self.visit(vars(used)[inner], file, f"{name} uses {inner}")
        for n in names & function.__globals__.keys():
            self.visit(function.__globals__[n], file, f"{name} uses {n}")

    def _tell(self, file, name, text):
        self.texts.setdefault(file, []).append(f"{name} = {text}")


@cache
def _own_file(module):
    """The file of a module that is part of no installed library, or None."""
    file = Path(getattr(sys.modules.get(module), "__file__", None) or "none")
    library = {"site-packages", "dist-packages"} & set(file.parts) or Path(
        sysconfig.get_path("stdlib")
    ) in file.parents
    return file if file.suffix == ".py" and not library else None


def _file_of(thing):
    """The name under which a function or class of ours is told; None for those of libraries."""
    if thing.__module__ == "__main__" and not _own_file("__main__"):
        return f"the code of {thing.__qualname__}"  # of a notebook's cell
    path = _own_file(thing.__module__)
    return path and path.name


def _contents(function):
    """What a function inside a function has kept of the outer one."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            pass


def _names(code):
    """The names that code and the functions inside it use."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _code_text(code, docstring=None):
    constants = [
        _code_text(c) if isinstance(c, CodeType) else _text(c)
        for c in code.co_consts
        if c is None or c != docstring
    ]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _text(value):
    """repr, but that of a set does not depend on its order, which is another in every process."""
    return repr(sorted(map(repr, value))) if isinstance(value, (set, frozenset)) else repr(value)


def _plain(value):
    """Is a value told by its repr: a number, a text, or a collection of such?"""
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_plain, value))
    return isinstance(value, (str, bytes, bool, int, float, complex, type(None), type(...), slice))
