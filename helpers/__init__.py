"""A photo's way: faces -> detection -> landmarks -> alignment -> encoders -> who is who.

>>> from helpers import verify, identify  # doctest: +SKIP
>>> verify("ada_1.jpg", "ada_2.jpg").same  # doctest: +SKIP
True
>>> [face.name for face in identify("group.jpg", gallery="people/")]  # doctest: +SKIP
['ada', None]
"""

import importlib

# imported when first asked for, so that `import helpers` is fast
_WHERE = {
    "verify": "who_is_who",
    "identify": "who_is_who",
    "enrol": "who_is_who",
    "load_recogniser": "who_is_who",
    "Verification": "verdicts",
    "Identification": "verdicts",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module 'helpers' has no attribute '{name}'")
    return getattr(importlib.import_module(f"helpers.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
