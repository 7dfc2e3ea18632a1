"""Every setting can be overridden, and a wrong one is named."""
import pytest

from helpers.settings import Settings, load_settings


def test_defaults_and_overrides():
    assert load_settings({}) == Settings()
    changed = load_settings({"FACES_EPOCHS": "5", "FACES_VIT_PRETRAINED": "1", "FACES_SIGMA": "1.5", "HOME": "x"})
    assert (changed.epochs, changed.vit_pretrained, changed.sigma) == (5, True, 1.5)


def test_a_dataset_brings_its_own_defaults_which_can_be_overridden():
    assert load_settings({"FACES_DATASET": "celeba"}).distractor_people == 1000
    assert load_settings({"FACES_DATASET": "celeba", "FACES_PEOPLE": "10000"}).people == 10_000


@pytest.mark.parametrize("variable,text,words", [("FACES_EPOCH", "5", "FACES_EPOCHS"), ("FACES_EPOCHS", "many", "kind 'int'"),
                                                 ("FACES_VIT_PRETRAINED", "maybe", "write 0 or 1")])
def test_wrong_settings_are_named(variable, text, words):
    with pytest.raises(ValueError, match=words):
        load_settings({variable: text})
