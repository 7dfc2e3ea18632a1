"""Flags of commands and benchmarks, made from the settings: the same name, default and help.

`--batch-size 64` is FACES_BATCH_SIZE=64 for a notebook and batch_size=64 for Hydra.
"""

import argparse
from collections.abc import Mapping
from dataclasses import Field
from functools import partial

from .setting_presets import COMMAND_DEFAULTS
from .setting_values import checked, default_of, described
from .settings import FIELDS, Settings, load_settings


def add_flags(
    parser: argparse.ArgumentParser,
    *names: str,
    command: str = "",
    before: Mapping[str, str] | None = None,
) -> None:
    """Give a command a flag for each of these settings.

    Args:
        parser: of the command.
        names: fields of Settings.
        command: whose defaults hold, if it has some in COMMAND_DEFAULTS.
        before: {setting: its flag before}, which is still taken but listed no longer.
    """
    before = before or {}
    for name in names:
        # None until it is given: then FACES_..., or the default, holds
        options = {"dest": name, "type": partial(_value, FIELDS[name]), "default": None}
        text = flag_help(FIELDS[name], command)
        kind = getattr(FIELDS[name].type, "__name__", "value")
        parser.add_argument(flag(name), help=text, metavar=kind.upper(), **options)
        if name in before:
            parser.add_argument(before[name], help=argparse.SUPPRESS, **options)


def flag(name: str) -> str:
    """The flag of a setting: --batch-size for batch_size."""
    return "--" + name.replace("_", "-")


def flag_help(one: Field, command: str = "") -> str:
    """The help line of a setting with the default that the command has."""
    default = COMMAND_DEFAULTS.get(command, {}).get(one.name, default_of(one))
    return f"{described(one)}; default {default}".replace("%", "%%")


def settings_of(options: argparse.Namespace, command: str = "", **given: object) -> Settings:
    """The settings as the flags say; where they say nothing, as FACES_... or the defaults do.

    Args:
        options: what the parser read.
        command: whose defaults hold, if it has some in COMMAND_DEFAULTS.
        given: settings that the command itself fixes.
    """
    flags = {
        name: value for name, value in vars(options).items() if name in FIELDS and value is not None
    }
    return load_settings(given=flags | given, command=command)


def _value(one, text):
    try:
        return checked(one, text, called="it")
    except ValueError as error:
        # argparse writes this sentence behind the name of the flag
        raise argparse.ArgumentTypeError(str(error)) from None
