"""Every setting can be overridden, and a wrong one is named."""

import os
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hydra import compose, initialize_config_module

from benchmarks.__main__ import benchmark
from helpers import aligned_data, configured
from helpers.setting_values import default_of
from helpers.settings import FIELDS, Settings, load_settings, main, table
from helpers.training_plan import Plan


def kinds(field):
    return getattr(field.type, "__args__", (field.type,))


def test_settings_are_overridden():
    changed = load_settings(
        {"FACES_EPOCHS": "5", "FACES_VIT_WEIGHTS": "none", "FACES_SIGMA": "1.5", "HOME": "x"}
    )
    assert (changed.epochs, changed.vit_weights, changed.sigma) == (5, "none", 1.5)


def test_a_dataset_brings_its_own_defaults_which_can_be_overridden():
    assert load_settings({"FACES_DATASET": "celeba"}).distractor_people == 1000
    assert load_settings({"FACES_DATASET": "celeba", "FACES_PEOPLE": "10000"}).people == 10_000


@pytest.mark.parametrize(
    "variable,text,words",
    [
        ("FACES_EPOCH", "5", "did you mean FACES_EPOCHS"),
        ("FACES_EPOCHS", "many", "FACES_EPOCHS is 'many', but it must be a whole number"),
        ("FACES_VIT_WEIGHTS", "maybe", "shipped, imagenet, none"),
    ],
)
def test_wrong_settings_are_named(variable, text, words):
    with pytest.raises(ValueError, match=words):
        load_settings({variable: text})


@pytest.mark.parametrize(
    "variable,text,words",
    [
        ("FACES_EPOCHS", "0", "too small"),
        ("FACES_PEOPLE", "-3", "too small"),
        ("FACES_DEVICE", "gpu", "choose auto, cpu, cuda or mps"),
        ("FACES_FREEZE", "[1,x]", "whole numbers of layers"),
        ("FACES_FREEZE", "[-1]", "whole numbers of layers"),
    ],
)
def test_impossible_values_are_named(variable, text, words):
    with pytest.raises(ValueError, match=words):
        load_settings({variable: text})


def test_other_people_have_a_folder_of_their_own(tmp_path):
    """Or a model trained on somebody could be asked about that very person as a stranger."""
    variants = [
        {},
        {"FACES_SEED": "1"},
        {"FACES_SPLIT_SEED": "1"},
        {"FACES_PEOPLE": "20"},
        {"FACES_DATASET": str(tmp_path / "a" / "orl")},
        {"FACES_DATASET": str(tmp_path / "b" / "orl")},
    ]
    assert len({load_settings(variant).run_dir for variant in variants}) == len(variants)


@pytest.mark.parametrize("variable", ["FACES_SIGMA", "FACES_TEST_SHARE"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite_are_refused(variable, text):
    with pytest.raises(ValueError, match=f"{variable} is '{text}'"):
        load_settings({variable: text})


@pytest.mark.parametrize("device", ["cpu:x", "cuda:", "cpu:-3", "mps:99x"])
def test_devices_that_do_not_exist_are_refused_at_once(device):
    with pytest.raises(ValueError, match="FACES_DEVICE is"):
        load_settings({"FACES_DEVICE": device})


@pytest.mark.parametrize(
    "variable", ["FACES_DATASET", "FACES_ENCODER", "FACES_DATA_DIR", "FACES_WEIGHTS"]
)
def test_empty_settings_are_refused(variable):
    with pytest.raises(ValueError, match=f"{variable} is empty"):
        load_settings({variable: " "})


def as_text(value):
    return "none" if value is None else str(value)


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_has_one_name_and_default_everywhere(name):
    """As FACES_…, as a word of the command, and in Python."""
    default = default_of(FIELDS[name])
    assert getattr(load_settings({}), name) == default
    if name != "split":
        assert getattr(load_settings({f"FACES_{name.upper()}": as_text(default)}), name) == default
    assert getattr(load_settings({}, {name: default}), name) == default
    assert FIELDS[name].metadata["help"]


def test_hydra_takes_every_setting_and_adds_few():
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train")
    added = {"name", "classes", "teacher", "loss", "augment"}
    assert set(config) == set(FIELDS) | added
    assert all(config[name] is None for name in configured.GIVEN)


def test_fit_repeats_no_default():
    plan = {field.name: field.default for field in fields(Plan)}
    shared = plan.keys() & FIELDS.keys() - {"epochs", "augment"}
    assert len(shared) > 8 and all(plan[name] == default_of(FIELDS[name]) for name in shared)


def test_the_environment_chooses_the_augmentation_of_a_command(monkeypatch):
    monkeypatch.setenv("FACES_AUGMENT", "strong")
    with initialize_config_module("helpers.config", version_base="1.3"):
        assert len(compose("train").augment._args_) == 3
        assert compose("train", ["augment=none"]).augment._target_.endswith("Compose")


NUMBERS = [name for name, one in FIELDS.items() if {int, float} & set(kinds(one))]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["nan", "inf", "-1", "many", ""])
def test_no_number_may_be_nonsense(name, text):
    if text == "" and None.__class__ in kinds(FIELDS[name]):
        assert load_settings({f"FACES_{name.upper()}": text}) == Settings()
        return
    with pytest.raises(ValueError, match=f"FACES_{name.upper()} is '?{text}"):
        load_settings({f"FACES_{name.upper()}": text})


def test_python_is_checked_as_the_environment_is():
    for wrong in ({"lr": float("nan")}, {"epochs": 0}, {"optimizer": "adamm"}, {"epochs": 1.5}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"FACES_{name.upper()} is"):
            replace(Settings(), **wrong)


@pytest.mark.parametrize(
    "variable, text, name, value",
    [
        ("FACES_LR", "1e-4", "lr", 1e-4),
        ("FACES_FREEZE", "[7, 7, 5]", "freeze", [7, 7, 5]),
        ("FACES_ENCODER_OPTIONS", "{patch: 16}", "encoder_options", {"patch": 16}),
        ("FACES_FLAT_HEAD", "true", "flat_head", True),
        ("FACES_HOURS", "none", "hours", None),
        ("FACES_T_0", "5", "T_0", 5),
        ("FACES_RECOGNISER", "own", "recogniser", "trained"),
        ("FACES_QUERY_PEOPLE", "9", "probe_people", 9),
    ],
)
def test_what_a_command_takes_and_what_was_typed_before(variable, text, name, value):
    assert getattr(load_settings({variable: text}), name) == value


def test_all_settings_are_listed():
    listed = [line.split()[0] for line in table(load_settings({})).splitlines()]
    assert listed == list(FIELDS)


def test_the_list_shows_what_words_the_environment_and_a_dataset_change(monkeypatch, capsys):
    monkeypatch.setenv("FACES_DATASET", "celeba")
    main(["epochs=5"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["epochs"].split()[1] == "5" and lines["people"].split()[1] == "500"
    assert lines["epochs"].endswith("; default 60") and "default" not in lines["seed"]
    for words, says in ((["epochs"], "written name=value"), (["epoch=5"], "did you mean epochs")):
        with pytest.raises(ValueError, match=says):
            main(words)


def test_a_reader_who_has_enough_of_the_list_sees_no_traceback():
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "helpers.settings"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 0 and not done.stderr


def test_help_is_no_setting_and_no_benchmark(capsys):
    for show, says in (
        (main, "Every setting"),
        (aligned_data.main, "people=500"),
        (benchmark, "gallery-far"),
    ):
        assert not show(["--help"]) and says in capsys.readouterr().out


def test_messages_name_what_was_typed():
    with pytest.raises(ValueError, match="^epochs is 'ten', but it must be a whole number"):
        load_settings({}, {"epochs": "ten"})
    with pytest.raises(ValueError, match="There is no setting epoch: did you mean epochs"):
        load_settings({}, {"epoch": "5"})
    with pytest.raises(ValueError, match="--device, FACES_DEVICE"):
        _ = load_settings({}, {"device": "cuda:99"}).torch_device
