"""Figures agree with naive counts and with pytorch-metric-learning."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from helpers import metrics


def naive_rate(similarity, same, fpr):
    """Try every similarity as threshold; keep the lowest that lets few enough negatives pass."""
    best = np.inf
    for threshold in sorted([*similarity, -np.inf]):
        if (similarity[~same] > threshold).mean() <= fpr + 1e-12:
            best = threshold
            break
    return (similarity[same] > best).mean()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=4, max_size=60),
       st.sampled_from([0, 0.01, 0.1, 0.25, 0.5]))
def test_identification_rate_is_the_naive_count(pairs, fpr):
    similarity, same = np.array([p[0] / 12 for p in pairs]), np.array([p[1] for p in pairs])
    if same.any() and not same.all():
        tpr, threshold = metrics.identification_rate(similarity, same, fpr)
        assert tpr == pytest.approx(naive_rate(similarity, same, fpr))
        assert (similarity[~same] > threshold).mean() <= fpr + 1e-12


def test_identification_rate_is_monotone_and_ends_at_one(unit_embeddings):
    similarity, same, _, _ = metrics.pairs(*unit_embeddings)
    rates = metrics.identification_rate(similarity, same, np.linspace(0, 1, 50))[0]
    assert (np.diff(rates) >= 0).all() and rates[-1] == 1


def test_pairs_count_queries_once_and_never_compare_distractors(unit_embeddings):
    embeddings, people = unit_embeddings
    query, distractors = people < 5, people >= 5
    similarity, same, first, second = metrics.pairs(embeddings[query], people[query],
                                                    embeddings[distractors], people[distractors])
    assert len(similarity) == 25 * 24 // 2 + 25 * 15 and same.sum() == 5 * 10
    assert not ((first >= 5) & (second >= 5)).any() and (same == (first == second)).all()


def test_weights_are_repetitions():
    similarity, same = np.array([0.9, 0.5, 0.6, 0.1]), np.array([True, True, False, False])
    repeated = np.repeat([0, 1, 2, 3], [2, 1, 3, 5])
    for fpr in (0, 0.3, 0.5):
        weighted = metrics.identification_rate(similarity, same, fpr, np.array([2, 1, 3, 5]))
        assert weighted[0] == pytest.approx(metrics.identification_rate(similarity[repeated], same[repeated], fpr)[0])


def test_retrieval_agrees_with_the_oracle(unit_embeddings):
    embeddings, people = unit_embeddings
    people = people[:-3]  # people with different numbers of photos
    embeddings = embeddings[:-3]
    ours = metrics.retrieval(embeddings, people)
    oracle = AccuracyCalculator(include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count")
    theirs = oracle.get_accuracy(embeddings, people)
    assert ours["recall@1"].mean() == pytest.approx(theirs["precision_at_1"])
    assert ours["r_precision"].mean() == pytest.approx(theirs["r_precision"])
    assert ours["map@r"].mean() == pytest.approx(theirs["mean_average_precision_at_r"])


def test_retrieval_ignores_the_order_of_the_gallery(unit_embeddings):
    embeddings, people = unit_embeddings
    order = np.random.default_rng(0).permutation(len(people))
    plain, mixed = metrics.retrieval(embeddings, people), metrics.retrieval(embeddings[order], people[order])
    assert all(plain[key].mean() == pytest.approx(mixed[key].mean()) for key in ("recall@1", "r_precision", "map@r"))


def test_intervals_hold_the_figure_and_shrink_with_people(unit_embeddings):
    pairs = metrics.pairs(*unit_embeddings)
    rate = metrics.identification_rate(*pairs[:2], 0.1)[0]
    low, high = metrics.identification_interval(*pairs, 0.1)
    assert low <= rate <= high
    draw = np.random.default_rng(0)
    few, many = (np.ptp(metrics.interval(draw.random(10 * n), np.repeat(np.arange(n), 10))) for n in (10, 400))
    assert many < few / 3


def test_knn_and_precision_on_cases_one_can_see():
    train = np.eye(3, dtype=np.float32)
    assert metrics.knn_accuracy(train, [0, 1, 2], train[[0, 1, 1]], [0, 1, 2], k=1) == pytest.approx(2 / 3)
    neighbours = np.array([[1, 1, 0], [2, 0, 2]])
    assert metrics.precision_at(2, neighbours, [1, 2]).tolist() == [1.0, 0.5]
    assert metrics.precision_by_chance([0, 0, 1, 1], [0, 1]) == 0.5


def test_one_person_alone_has_no_identification_rate():
    for people in (np.zeros(4), np.arange(4)):
        similarity, same, _, _ = metrics.pairs(np.eye(4, dtype=np.float32), people)
        with pytest.raises(ValueError, match="two people or more"):
            metrics.identification_rate(similarity, same, 0.1)
