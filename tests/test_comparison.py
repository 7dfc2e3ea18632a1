"""Tables that compare: differences over the same draws; effort counts what went before."""

import json

import numpy as np
import pytest

from helpers import metrics
from helpers.comparison import comparison, difference, effort, over_seeds
from helpers.runs import Run


def figures(embeddings, people):
    found = metrics.verification_rate(embeddings, people, fpr=0.05)
    return {
        "tpr": float(found["tpr"]),
        "tpr_low": found["low"],
        "tpr_high": found["high"],
        "tpr_resampled": found["resampled"],
        "people": found["people"],
    }


def a_run(folder, epochs=3, seconds=2.0, **results):
    """A finished run's folder, as far as tables read it."""
    folder.mkdir()
    (folder / "settings.json").write_text(
        json.dumps(
            {"loss": folder.name, "steps_an_epoch": 5, "photos_an_epoch": 70, "seconds": seconds}
        )
    )
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "curves.csv").write_text("epoch\n" + "".join(f"{i + 1}\n" for i in range(epochs)))
    (folder / "model.safetensors").touch()
    return Run(folder)


@pytest.fixture
def two(unit_embeddings):
    """An encoder's figures, and those of one that is a little better for everybody."""
    embeddings, people = unit_embeddings
    centres = np.stack([embeddings[people == person].mean(0) for person in range(8)])[people]
    better = embeddings + 0.3 * centres
    return figures(embeddings, people), figures(
        better / np.linalg.norm(better, axis=1, keepdims=True), people
    )


def numbers(text):
    return [float(part.strip("[],")) for part in text.split()]


def test_the_difference_is_paired(two):
    """The intervals overlap, and yet in nearly every draw one is better for the same people."""
    worse, better = two
    assert better["tpr_low"] < worse["tpr_high"], "this test needs intervals that overlap"
    value, low, high = numbers(difference(better, worse))
    assert (
        value == pytest.approx(better["tpr"] - worse["tpr"], abs=0.006) and 0 < low <= value <= high
    )
    assert numbers(difference(worse, better)) == [-value, -high, -low]
    assert difference(worse, worse) == "+0.00 [+0.00, +0.00]"
    assert difference({"tpr": 0.5}, worse) == "", (
        "a run measured before draws were kept has no difference"
    )


def test_a_table_against_a_reference(tmp_path, two):
    worse, better = ({key: np.asarray(value).tolist() for key, value in one.items()} for one in two)
    runs = {"plain": a_run(tmp_path / "plain", **worse), "mine": a_run(tmp_path / "mine", **better)}
    first, second = comparison(runs, against="plain")
    assert (first["run"], second["run"]) == ("mine", "plain")
    assert first["TPR minus plain"] == difference(better, worse) and second["TPR minus plain"] == ""
    assert not any("minus" in column for column in comparison(runs)[0])
    with pytest.raises(ValueError, match="no run 'nothing'"):
        comparison(runs, against="nothing")


def test_a_second_act_counts_the_first(tmp_path):
    a_run(tmp_path / "one", epochs=4)
    a_run(tmp_path / "two", epochs=2, after="one")
    third = a_run(tmp_path / "three", epochs=1, after="two")
    assert effort(third) == {"epochs": 7, "steps": 35, "photos shown": 490, "seconds": 6}


def test_the_mean_over_seeds_is_that_of_every_draw(tmp_path):
    runs = [
        a_run(tmp_path / str(k), tpr=tpr, tpr_resampled=draws, people=12)
        for k, (tpr, draws) in enumerate([(0.4, [0.2, 0.6]), (0.8, [0.8, 0.8])])
    ]
    together = over_seeds(runs)
    assert together["tpr"] == pytest.approx(0.6) and together["tpr_resampled"] == pytest.approx(
        [0.5, 0.7]
    )
    assert 0.5 <= together["tpr_low"] <= together["tpr_high"] <= 0.7


@pytest.mark.parametrize("people, ends", [(10**6, (0.02, 0.98)), (12, (0.01, 0.99))])
def test_the_interval_of_a_difference_is_wider_for_few_people(people, ends):
    draws = np.random.default_rng(0).permutation(np.linspace(0, 1, 401))
    results, reference = (
        {"tpr": 0.5, "tpr_resampled": draws, "people": people},
        {"tpr": 0.0, "tpr_resampled": np.zeros(401), "people": people},
    )
    assert difference(results, reference) == "+0.50 [+{:.2f}, +{:.2f}]".format(*ends)
