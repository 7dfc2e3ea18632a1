"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"
WITH_EXAMPLES = sorted(
    path.stem for path in HELPERS.glob("*.py") if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name):
    result = doctest.testmod(importlib.import_module(f"helpers.{name}".removesuffix(".__init__")))
    assert not result.failed


def test_some_modules_have_examples():
    assert {"files", "splits"} <= set(WITH_EXAMPLES)
