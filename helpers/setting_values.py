"""What may be said of a setting, and a value or text checked against it: type, range, choices."""

import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, field
from pathlib import Path

import yaml


def setting(
    default: object,
    help: str,
    *,
    unit: str = "",
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
) -> Field:
    """A field of Settings.

    Args:
        default: its value where nobody gives another; a dataset may have one of its own (PRESETS).
        help: one line.
        unit: such as "pixels".
        least: the smallest number allowed; None: any above 0.
        below: the number that it must stay below.
        most: the largest number allowed.
        choices: texts allowed; if "a file" is one of them, so is the path of a file.
    """
    limits = {"least": least, "below": below, "most": most}
    about = {"help": help, "unit": unit, "choices": choices, **limits}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=about)
    return field(default=default, metadata=about)


def default_of(one: Field) -> object:
    """A setting's default."""
    return one.default if one.default is not MISSING else one.default_factory()


def described(one: Field) -> str:
    """What a setting is, on one line: its help, unit, range and choices."""
    about = one.metadata
    text = about["help"] + (f" ({about['unit']})" if about["unit"] else "")
    limits = [
        f"{words} {about[limit]}"
        for limit, words in (("least", "at least"), ("below", "below"), ("most", "at most"))
        if about[limit] is not None
    ]
    if limits:
        text += f"; {', '.join(limits)}"
    if about["choices"]:
        text += f": {', '.join(about['choices'])}"
    return text


def checked(one: Field, value: object, called: str | None = None) -> object:
    """A value, or a text that says it, as the type of the setting.

    Args:
        one: the setting, a field of Settings.
        value: such as 5 or "5".
        called: how the user knows the setting; None: as FACES_NAME.

    Raises:
        ValueError: it is of another kind, not finite, out of range, or no choice that there is.
    """
    called = called or f"FACES_{one.name.upper()}"
    kinds = getattr(one.type, "__args__", (one.type,))
    kind = kinds[0]
    if type(None) in kinds and (value is None or str(value).lower() in ("", "none", "null")):
        return None
    try:
        value = CONVERT[kind](value)
    except (ValueError, TypeError, KeyError, yaml.YAMLError):
        raise ValueError(f"{called} is '{value}', but it must be {KINDS[kind]}.") from None
    if kind in (int, float):
        _check_number(value, one.metadata, called)
    if kind is str:
        _check_text(value, one, called)
    if one.name == "freeze" and not all(type(n) is int and n >= 0 for n in value):
        raise ValueError(
            f"{called} is {value}, but it must list whole numbers of layers, such as [7,7,5,2]."
        )
    return value


def given_in(words: list[str]) -> dict[str, str]:
    """The settings of a command's words, `name=value` each; ValueError if one is not written so."""
    if unclear := [word for word in words if "=" not in word]:
        raise ValueError(f"A setting is written name=value, such as people=500, not {unclear[0]}.")
    return dict(word.split("=", 1) for word in words)


def _check_number(value, about, called):
    if not math.isfinite(value):
        raise ValueError(f"{called} is '{value}', but it must be a finite number.")
    least, below = about["least"], about["below"]
    if value < least if least is not None else value <= 0:
        at_least = "above 0" if least is None else f"at least {least}"
        raise ValueError(f"{called} is {value}, which is too small: it must be {at_least}.")
    if below is not None and value >= below:
        raise ValueError(f"{called} is {value}, which is too large: it must be below {below}.")
    if about["most"] is not None and value > about["most"]:
        raise ValueError(
            f"{called} is {value}, which is too large: it must be at most {about['most']}."
        )


def _check_text(text, one, called):
    if one.name == "split":
        if text and not Path(text).is_file():
            raise ValueError(
                f"{called} is '{text}', but there is no such file: give a CSV file,person,split."
            )
        return
    if not text.strip():
        raise ValueError(f"{called} is empty: give it a value, or do not set it.")
    if one.name == "device" and not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", text):
        raise ValueError(
            f"{called} is '{text}': choose auto, cpu, cuda or mps, or one of several GPUs, such as "
            "cuda:1."
        )
    choices = one.metadata["choices"]
    file = text.partition(".onnx:")[0] + ".onnx" if ".onnx:" in text else text
    if choices and text not in choices and not ("a file" in choices and Path(file).is_file()):
        known = ", ".join(choice for choice in choices if choice != "a file")
        path = ", or the path of a model that was trained" if "a file" in choices else ""
        raise ValueError(f"{called} is '{text}': choose {known}{path}.")


def _whole(value):
    if isinstance(value, bool):
        raise ValueError
    return int(str(value))


def _truth(value):
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
        str(value).lower()
    ]


def _collection(kind):
    def convert(value: object) -> object:
        value = yaml.safe_load(value) if isinstance(value, str) else value
        value = kind() if value is None else value
        if not isinstance(value, kind):
            raise ValueError
        return value

    return convert


KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list, such as [7,7,5,2]",
    dict: "names with values, such as {patch: 16}",
}
CONVERT = {
    str: str,
    int: _whole,
    float: float,
    bool: _truth,
    list: _collection(list),
    dict: _collection(dict),
}
