"""Every setting can be overridden, and a wrong one is named."""

import pytest

from helpers.settings import Settings, load_settings


def test_defaults_and_overrides():
    assert load_settings({}) == Settings()
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
        ("FACES_EPOCH", "5", "FACES_EPOCHS"),
        ("FACES_EPOCHS", "many", "kind 'int'"),
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
