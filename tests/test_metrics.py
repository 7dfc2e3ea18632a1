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
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=4, max_size=60),
    st.sampled_from([0, 0.01, 0.1, 0.25, 0.5]),
)
def test_identification_rate_is_the_naive_count(pairs, fpr):
    similarity, same = np.array([p[0] / 12 for p in pairs]), np.array([p[1] for p in pairs])
    if same.any() and not same.all():
        tpr, threshold = metrics.tpr_at_fpr(similarity, same, fpr)
        assert tpr == pytest.approx(naive_rate(similarity, same, fpr))
        assert (similarity[~same] > threshold).mean() <= fpr + 1e-12


def test_identification_rate_is_monotone_and_ends_at_one(unit_embeddings):
    similarity, same = metrics.pairs(*unit_embeddings)
    rates = metrics.tpr_at_fpr(similarity, same, np.linspace(0, 1, 50))[0]
    assert (np.diff(rates) >= 0).all() and rates[-1] == 1


def test_pairs_count_queries_once_and_never_compare_distractors(unit_embeddings):
    embeddings, people = unit_embeddings
    query, distractors = people < 5, people >= 5
    parts = embeddings[query], people[query], embeddings[distractors], people[distractors]
    similarity, same = metrics.pairs(*parts)
    assert len(similarity) == 25 * 24 // 2 + 25 * 15 and same.sum() == 5 * 10
    cosine = embeddings[query] @ embeddings.T
    alike = people[query][:, None] == people[None]
    once = np.triu(np.ones(cosine.shape, bool), 1)
    for kind in (True, False):
        assert np.allclose(
            np.sort(similarity[same == kind]), np.sort(cosine[once & (alike == kind)]), atol=1e-6
        )


def crowd(people=30, distractors=20, seed=0):
    """Embeddings with 1 to 8 photos of each person, shuffled, some of them equal."""
    draw = np.random.default_rng(seed)
    who = draw.permutation(
        np.repeat(np.arange(people + distractors), draw.integers(1, 9, people + distractors))
    )
    landmarks = draw.normal(size=(people + distractors, 6))[who] + 0.7 * draw.normal(
        size=(len(who), 6)
    ).round(1)
    landmarks = (landmarks / np.linalg.norm(landmarks, axis=1, keepdims=True)).astype(np.float32)
    query = who < people
    return landmarks[query], who[query], landmarks[~query], who[~query]


# 50: all embeddings nearly alike, as an untrained network has them
@pytest.mark.parametrize("unseen_faces", [0, 20])
@pytest.mark.parametrize("squeeze", [0, 50])
def test_identification_by_the_person_is_the_figure_of_all_pairs_at_once(squeeze, unseen_faces):
    query, people, distractors, others = crowd(distractors=unseen_faces)
    query, distractors = (
        (e + squeeze) / np.linalg.norm(e + squeeze, axis=1, keepdims=True)
        for e in (query, distractors)
    )
    fpr = np.array([0, 1e-3, 0.01, 0.1, 0.5, 1])
    got = metrics.verification_rate(query, people, distractors, others, fpr)
    tpr, threshold = metrics.tpr_at_fpr(*metrics.pairs(query, people, distractors, others), fpr)
    assert np.array_equal(got["threshold"], threshold) and np.allclose(got["tpr"], tpr)
    assert (got["low"] <= got["tpr"]).all() and (got["tpr"] <= got["high"]).all()


def test_identification_intervals_count_a_person_as_often_as_drawn():
    query, people, distractors, others = crowd(10, 5)
    # two people whom nothing tells apart own the highest negatives
    query[people == 3] = query[people == 7][0]
    fpr, resamples = np.array([0.02, 0.2]), 50
    got = metrics.verification_rate(query, people, distractors, others, fpr, resamples, seed=3)
    draw = np.random.default_rng(3)
    times = np.hstack([draw.multinomial(n, np.full(n, 1 / n), resamples) for n in (10, 5)])
    rates = []
    for drawn in times:
        similarity, same, weight = [], [], []
        # the slow and plain way, a pair repeated as often as its people were drawn
        for i in range(len(query)):
            same_person = people[:i] == people[i]
            pairs = [
                *zip(
                    query[:i] @ query[i],
                    same_person,
                    drawn[people[i]] * np.where(same_person, 1, drawn[people[:i]]),
                ),
                *zip(
                    distractors @ query[i],
                    np.zeros(len(others), bool),
                    drawn[people[i]] * drawn[others],
                ),
            ]
            for part, numbers in zip((similarity, same, weight), zip(*pairs), strict=True):
                part.extend(numbers)
        weight = np.array(weight, int)
        rates.append(
            metrics.tpr_at_fpr(np.repeat(similarity, weight), np.repeat(same, weight), fpr)[0]
        )
    assert np.allclose([got["low"], got["high"]], metrics.bootstrap_interval(rates, 10), atol=0.01)


def test_retrieval_agrees_with_the_oracle(unit_embeddings):
    embeddings, people = unit_embeddings
    people = people[:-3]  # people with different numbers of photos
    embeddings = embeddings[:-3]
    ours = metrics.retrieval(embeddings, people)
    oracle = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count"
    )
    theirs = oracle.get_accuracy(embeddings, people)
    assert ours["recall@1"].mean() == pytest.approx(theirs["precision_at_1"])
    assert ours["r_precision"].mean() == pytest.approx(theirs["r_precision"])
    assert ours["map@r"].mean() == pytest.approx(theirs["mean_average_precision_at_r"])


def test_retrieval_ignores_the_order_of_the_gallery(unit_embeddings):
    embeddings, people = unit_embeddings
    order = np.random.default_rng(0).permutation(len(people))
    plain, mixed = (
        metrics.retrieval(embeddings, people),
        metrics.retrieval(embeddings[order], people[order]),
    )
    assert all(
        plain[key].mean() == pytest.approx(mixed[key].mean())
        for key in ("recall@1", "r_precision", "map@r")
    )


def test_intervals_shrink_with_people():
    draw = np.random.default_rng(0)
    few, many = (
        np.ptp(metrics.interval(draw.random(10 * n), np.repeat(np.arange(n), 10)))
        for n in (10, 400)
    )
    assert many < few / 3
    narrow, wide = (
        np.ptp([metrics.verification_rate(*crowd(n, n), fpr=0.1)[key] for key in ("low", "high")])
        for n in (200, 12)
    )
    assert narrow < wide / 2


def test_knn_on_a_case_one_can_see():
    train = np.eye(3, dtype=np.float32)
    assert metrics.knn_correct(train, [0, 1, 2], train[[0, 1, 1]], [0, 1, 2], k=1).tolist() == [
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("people", [np.zeros(4), np.arange(4)])
def test_one_person_alone_has_no_identification_rate(people):
    embeddings = np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match="two people or more"):
        metrics.tpr_at_fpr(*metrics.pairs(embeddings, people), 0.1)
    with pytest.raises(ValueError, match="two people or more"):
        metrics.verification_rate(embeddings, people)


def test_the_open_set_rate_agrees_with_a_count_by_hand():
    draw = np.random.default_rng(0)

    def photos(centres, each):
        values = np.repeat(centres, each, axis=0) + 1.2 * draw.normal(
            size=(len(centres) * each, 12)
        )
        return values / np.linalg.norm(values, axis=1, keepdims=True), np.repeat(
            np.arange(len(centres)), each
        )

    known, unseen_faces = draw.normal(size=(20, 12)), draw.normal(size=(30, 12))
    (gallery, names), (probes, people), (impostors, _) = (
        photos(known, 3),
        photos(known, 4),
        photos(unseen_faces, 10),
    )
    for far in (0.01, 0.05, 0.3):
        right, threshold = metrics.open_set(gallery, names, probes, people, impostors, far)
        alarms = [max(photo @ other for other in gallery) > threshold for photo in impostors]
        assert sum(alarms) == int(far * 300)
        expected = [
            max((photo @ other, name) for other, name in zip(gallery, names)) for photo in probes
        ]
        assert right.tolist() == [
            float(s > threshold and name == person) for (s, name), person in zip(expected, people)
        ]
    with pytest.raises(ValueError, match="1000 or more"):
        metrics.open_set(gallery, names, probes, people, impostors, 0.001)


def test_a_rate_needs_pairs_of_people_not_of_photos():
    assert (
        metrics.pairs_of_people([0, 0, 1, 2], [7, 7, 8]) == 3 + 3 * 2
        and metrics.pairs_of_people(np.arange(40)) == 780
    )
    # ORL's 40 people carry 0.001, twelve of them 0.01, two nothing below a half
    for people, fpr, enough in (
        (40, 1e-3, True),
        (40, 1e-4, False),
        (12, 0.01, True),
        (10, 0.01, False),
        (2, 0.1, False),
    ):
        number = metrics.pairs_of_people(np.repeat(np.arange(people), 50))
        assert metrics.carries(fpr, number) == enough
        assert (metrics.left_out(fpr, number) == "") == enough
    assert metrics.rates_as_json((0.001, 0.1), (0.5, 0.75), 10) == {"0.001": None, "0.1": 0.75}
    lines = metrics.rates_as_lines(
        (0.001, 0.01, 0.1), (0.5, 0.6, 0.75), (0.4, 0.5, 0.6), (0.6, 0.7, 0.8), 10
    )
    assert lines[0].endswith("0.7500 [0.6000, 0.8000]") and len(lines) == 2
    assert "FPR 0.001, 0.01: left out" in lines[1] and "there are 10" in lines[1]


def test_the_five_nearest_vote_and_near_ones_weigh_more():
    def at(*degrees):
        angle = np.deg2rad(degrees)
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)

    train, people = at(5, 20, 21, 22, 40, 80), [0, 1, 1, 1, 2, 2]
    # cosine distances of 5 degrees against 20 to 22: 0.0038 against 0.06 to 0.07, so one vote
    # outweighs three
    assert metrics.knn_correct(train, people, at(0), [0]).tolist() == [1]
    assert metrics.knn_correct(train, people, at(14), [1]).tolist() == [1], (
        "now three are near enough"
    )
    # at 31.05 degrees the nearest is person 2, by a tenth of a degree; then come three of person 1
    assert metrics.knn_correct(train, people, at(31.05), [1]).tolist() == [1]
    assert metrics.knn_correct(train, people, at(31.05), [2], k=1).tolist() == [1]


def test_a_tie_with_the_threshold_raises_no_alarm():
    gallery, impostors = (
        np.eye(4, dtype=np.float32)[:2],
        np.tile(np.eye(4, dtype=np.float32)[:1], (4, 1)),
    )
    right, threshold = metrics.open_set(gallery, [0, 1], gallery, [0, 1], impostors, 0.5)
    assert threshold == 1 and right.tolist() == [0, 0], (
        "all four impostors tie: above it, none of them passes"
    )


def test_only_the_r_nearest_count_for_r_precision():
    degrees, people = np.deg2rad([0, 10, 4, 90, 91, 92, 93]), np.array([0, 0, 1, 2, 2, 2, 2])
    found = metrics.retrieval(
        np.stack([np.cos(degrees), np.sin(degrees)], 1).astype(np.float32), people
    )
    # person 0 has R = 1, and person 1 is nearer; their own photo comes second
    assert found["r_precision"].tolist() == found["map@r"].tolist() == [0, 0, 1, 1, 1, 1]


def test_resampled_rates_are_over_all_positives_where_only_some_thresholds_are_looked_at():
    # nobody is like anybody: TPR and FPR are the same
    vectors = np.random.default_rng(0).normal(size=(720, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = metrics.verification_rate(
        vectors, np.repeat(np.arange(90), 8), fpr=np.array([0.01, 0.1]), resamples=100
    )
    assert found["negatives"] > 200_000, "more than the thresholds that a resample chooses among"
    assert np.allclose(found["resampled"].mean(0), found["tpr"], atol=0.01)
    assert np.allclose(found["tpr"], [0.01, 0.1], atol=0.02)
