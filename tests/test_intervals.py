"""Intervals are over people, hold the truth as often as they say, and are exact at the edge."""

import numpy as np
import pytest
from scipy.stats import binomtest

from helpers import metrics


def test_an_interval_is_over_people_and_not_over_their_photos():
    own = np.random.default_rng(0).random(20)
    alone = metrics.interval(own, np.arange(20))
    assert np.allclose(metrics.interval(np.repeat(own, 50), np.repeat(np.arange(20), 50)), alone)
    draws = np.random.default_rng(1).choice(own, (20_000, 20)).mean(1)
    assert np.allclose(alone, np.quantile(draws, [0.025, 0.975]), atol=0.02)


def test_an_interval_is_the_slow_bootstrap_over_people():
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(15), draw.integers(1, 9, 15))
    values = (draw.random(len(people)) < draw.beta(3, 3, 15)[people]).astype(float)
    means = []
    for _ in range(4000):
        chosen = draw.integers(0, 15, 15)
        means.append(np.concatenate([values[people == person] for person in chosen]).mean())
    # Student's t of 14 degrees of freedom in place of the normal: 0.0129 is the tail of 15
    # people, not 0.025
    assert np.allclose(
        metrics.interval(values, people), np.quantile(means, [0.0129, 0.9871]), atol=0.025
    )


WORLDS = {
    "half": (0.5, lambda draw, n: draw.beta(4, 4, n)),
    "high": (0.9, lambda draw, n: draw.beta(18, 2, n)),
    "edge": (0.99, lambda draw, n: np.full(n, 0.99)),
    "few are hopeless": (0.97, lambda draw, n: draw.random(n) < 0.97),
}


@pytest.mark.parametrize("people", [12, 30])
@pytest.mark.parametrize("kind", WORLDS)
def test_95_of_100_simulated_worlds_hold_the_truth(kind, people):
    truth, likely = WORLDS[kind]
    held = []
    for world in range(200):
        draw = np.random.default_rng(world)
        right = (draw.random((people, 8)) < likely(draw, people)[:, None]).ravel()
        low, high = metrics.interval(right, np.repeat(np.arange(people), 8), resamples=400)
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.91  # 95 %, less what chance takes of 200
    if kind == "half":
        assert np.mean(held) <= 0.99, "it is no wider than need be, either"


@pytest.mark.parametrize("wrong", [0, 1, 19, 20])
def test_at_the_edge_the_bounds_are_those_of_a_binomial_share_of_people(wrong):
    values = np.repeat(np.arange(20) >= wrong, 7)
    exact = binomtest(20 - wrong, 20).proportion_ci(method="exact")
    assert np.allclose(
        metrics.interval(values, np.repeat(np.arange(20), 7)), [exact.low, exact.high]
    )


def test_a_perfect_tpr_is_not_certain():
    embeddings = np.repeat(np.eye(20, dtype=np.float32), 5, axis=0)
    found = metrics.verification_rate(
        embeddings, np.repeat(np.arange(20), 5), fpr=np.array([0.01, 1.0])
    )
    assert found["tpr"].tolist() == found["high"].tolist() == [1, 1]
    # at an FPR of 1 everything passes, whoever is drawn
    assert np.allclose(found["low"], [binomtest(20, 20).proportion_ci(method="exact").low, 1])
    alone = metrics.verification_rate(embeddings, np.repeat(np.arange(20), 5), fpr=0.01)
    assert alone["low"] == found["low"][0]


def test_differences_have_no_edge_at_zero():
    people = np.repeat(np.arange(20), 3)
    assert metrics.interval(np.zeros(60), people, difference=True) == (0, 0)
    assert metrics.interval(np.zeros(60), people)[1] > 0.1
    better = np.where(people == 3, 1.0, 0.0)
    assert metrics.interval(better, people, difference=True)[0] == 0, (
        "one person's difference proves nothing"
    )
    assert metrics.interval(-better, people)[1] == 0
    assert metrics.summary(better, people, difference=True).startswith("0.05 [0.00, ")


def test_the_interval_of_a_tpr_holds_the_truth():
    def world(people, seed):
        draw = np.random.default_rng(seed)
        number = np.repeat(np.arange(people), 6)
        values = draw.normal(size=(people, 24))[number] + 0.9 * draw.normal(size=(len(number), 24))
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), number

    truth = metrics.verification_rate(*world(800, 999), fpr=0.01, resamples=1)["tpr"]
    found = [
        metrics.verification_rate(*world(20, seed), fpr=0.01, resamples=200) for seed in range(60)
    ]
    assert 0.88 <= np.mean([one["low"] <= truth <= one["high"] for one in found]) <= 1
    assert np.mean([one["high"] - one["low"] for one in found]) < 0.3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_interval_of_what_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="finite values"):
        metrics.interval([0.5, bad, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="one label for each"):
        metrics.interval([0.5, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="finite values"):
        metrics.interval([], [])
