"""A setting is the same as FACES_..., for Hydra, and as the flag of a command or benchmark."""

import argparse
import importlib
import pkgutil

import pytest
from hydra import compose, initialize_config_module

import benchmarks
from helpers import __main__ as commands
from helpers import sface_weights, teachers, train_hourglass
from helpers.setting_flags import add_flags, flag, flag_help, settings_of
from helpers.setting_presets import COMMAND_DEFAULTS
from helpers.settings import FIELDS, Settings, load_settings


class Found(Exception):
    """Carries a parser out of the command that made it."""


def parser_of(main, monkeypatch):
    """The argument parser that a command builds."""

    def stop(parser, *rest):
        raise Found(parser)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(Found) as found:
            main([])
    return found.value.args[0]


def parsers(monkeypatch):
    """{command: its parser}, of python -m helpers, of the trainings and of the benchmarks."""
    main = parser_of(commands.parse, monkeypatch)
    [subcommands] = [a for a in main._actions if isinstance(a, argparse._SubParsersAction)]
    found = dict(subcommands.choices)
    for module in (train_hourglass, teachers, sface_weights):
        found[module.__name__.rpartition(".")[2]] = parser_of(module.main, monkeypatch)
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            benchmark = importlib.import_module(f"benchmarks.{module.name}")
            if hasattr(benchmark, "argparse") or hasattr(benchmark, "asked_for"):
                found[module.name] = parser_of(benchmark.main, monkeypatch)
    return found


def test_a_flag_that_is_named_like_a_setting_is_that_setting(monkeypatch):
    """With its help line, the default of the command, and its range; none is made by hand."""
    found, seen = parsers(monkeypatch), set()
    for command, parser in found.items():
        for action in parser._actions:
            if not action.option_strings or action.help == argparse.SUPPRESS:
                continue
            names = {option.strip("-").replace("-", "_") for option in action.option_strings}
            for name in (names | {action.dest}) & set(FIELDS):
                assert action.option_strings == [flag(name)] and action.dest == name, command
                assert action.help == flag_help(FIELDS[name], command), command
                assert action.default is None, command
                seen.add(name)
    assert {"fpr", "recogniser", "batch_size", "lr", "device", "dataset", "split"} <= seen
    assert set(COMMAND_DEFAULTS) <= set(found)


WRONG = {"fpr": "2", "batch_size": "0", "lr": "nan", "device": "gpu", "seed": "-1", "epochs": "x"}


@pytest.mark.parametrize("name, text", WRONG.items())
def test_all_three_refuse_the_same_values_in_the_same_words(name, text, capsys):
    parser = argparse.ArgumentParser()
    add_flags(parser, name)
    with pytest.raises(SystemExit):
        parser.parse_args([flag(name), text])
    with pytest.raises(ValueError) as by_variable:
        load_settings({f"FACES_{name.upper()}": text})
    with initialize_config_module("helpers.config", version_base="1.3"):
        given = compose("train", [f"{name}={text}"])[name]
    with pytest.raises(ValueError) as by_hydra:
        load_settings({}, {name: given})
    words = str(by_variable.value).removeprefix(f"FACES_{name.upper()} ")
    assert " ".join(words.split()) in " ".join(capsys.readouterr().err.split())
    assert str(by_hydra.value) == f"{name} {words}"


def options_of(words, *names, **how):
    parser = argparse.ArgumentParser()
    add_flags(parser, *names, **how)
    return parser.parse_args(words)


def test_a_flag_goes_before_the_environment_and_that_before_defaults(monkeypatch):
    names = ("lr", "epochs", "batch_size", "seed")
    monkeypatch.setenv("FACES_EPOCHS", "7")
    monkeypatch.setenv("FACES_SEED", "3")
    settings = settings_of(options_of(["--seed", "5"], *names), "losses")
    assert (settings.seed, settings.epochs) == (5, 7)
    assert (settings.batch_size, settings.lr) == (64, 2e-3)  # of this command
    assert settings.clip == Settings().clip


def test_what_was_typed_before_still_holds():
    before = {"recogniser": "--encoder"}
    options = options_of(["--encoder", "sface"], "recogniser", before=before)
    assert settings_of(options).recogniser == "sface"


def test_the_environment_holds_for_a_command(monkeypatch):
    monkeypatch.setenv("FACES_FPR", "0.001")
    monkeypatch.setenv("FACES_OUT_DIR", "elsewhere")
    settings = settings_of(commands.parse(["predict", "a.jpg", "b.jpg"]))
    assert (settings.fpr, settings.out_dir) == (0.001, "elsewhere")
    assert settings_of(commands.parse(["map", "a", "--fpr", "0.1"])).fpr == 0.1
