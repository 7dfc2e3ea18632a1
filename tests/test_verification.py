"""Thresholds and probabilities mean what they say, on people who did not set them."""

import numpy as np
import pytest
import torch

from helpers import metrics
from helpers.pipeline import Face
from helpers.verdicts import clusters, compare, verdict
from helpers.verification import FPRS, Verifier, measure


def crowd(people, seed, photos=6, dim=24):
    draw = np.random.default_rng(seed)
    number = np.repeat(np.arange(people), photos)
    values = draw.normal(size=(people, dim))[number] + 0.9 * draw.normal(
        size=(people * photos, dim)
    )
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), number


def test_thresholds_hold_for_other_strangers():
    verifier = measure(*crowd(150, 0))
    similarity, same = metrics.pairs(*crowd(150, 1))
    for fpr in (0.001, 0.01, 0.037, 0.1):
        assert (similarity[~same] > verifier.threshold(fpr)).mean() == pytest.approx(fpr, rel=0.2)
    exact = metrics.tpr_at_fpr(*metrics.pairs(*crowd(150, 0)), 0.01)[1]
    assert verifier.threshold(0.01) == pytest.approx(float(exact), abs=0.003)


def test_of_pairs_given_a_probability_that_share_is_right():
    embeddings, people = crowd(150, 0)
    verifier = measure(embeddings, people)
    similarity, same = metrics.pairs(*crowd(150, 1))
    # as if both were equally likely beforehand
    weight = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    said = verifier.probability(similarity)
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        inside = (said > low) & (said < high)
        share = weight[inside & same].sum() / weight[inside].sum()
        # two numbers make the curve
        assert share == pytest.approx(np.average(said[inside], weights=weight[inside]), abs=0.08)


def test_distractors_count_as_different_people():
    embeddings, people = crowd(60, 0)
    other, names = crowd(200, 2)
    assert measure(embeddings, people, other, names).people == 260
    far = measure(embeddings, people, -embeddings, people + 60)
    assert far.threshold(0.1) < measure(embeddings, people).threshold(0.1)


def test_a_verifier_survives_as_text_and_says_what_it_cannot_say():
    verifier = measure(*crowd(30, 0))
    again = Verifier.from_text(verifier.to_text())
    assert again == verifier
    with pytest.raises(ValueError, match="was not measured"):
        verifier.threshold(1e-4)
    with pytest.raises(ValueError, match="too few"):
        measure(*crowd(2, 0, photos=2))


def test_clusters_find_people_without_names():
    embeddings, people = crowd(8, 3)
    similarity = embeddings @ embeddings.T
    threshold = measure(*crowd(150, 0)).threshold(0.01)
    found = clusters(similarity, threshold)
    assert (np.bincount(found)[:-1] >= np.bincount(found)[1:]).all(), (
        "the largest group is number 0"
    )
    together = found[:, None] == found
    same = people[:, None] == people
    assert together[same].mean() > 0.8 and together[~same].mean() < 0.02
    assert clusters(np.ones((1, 1)), 0.5).tolist() == [0] and clusters(np.eye(3), 0.5).tolist() == [
        0,
        1,
        2,
    ]
    assert set(clusters(np.ones((4, 4)), 0.5)) == {0}


def test_a_larger_gallery_lets_no_more_strangers_through():
    """A stranger has as many chances as there are photos: the threshold of pairs is too low."""
    verifier = measure(*crowd(300, 0, dim=32))
    unseen_faces, (enrolled, _) = crowd(500, 1, photos=1, dim=32)[0], crowd(20, 2, dim=32)
    best = (unseen_faces @ enrolled.T).max(1)
    assert (best > verifier.threshold(0.05)).mean() > 0.3
    assert 0.01 < (best > verifier.gallery_threshold(len(enrolled), 0.05)).mean() < 0.08
    assert verifier.gallery_threshold(10**9) == verifier.thresholds[0]


def test_strangers_with_one_photo_each_but_one_give_thresholds_all_the_same():
    embeddings, people = crowd(31, 0)
    few = (people == 0) | (np.arange(len(people)) % 6 == 0)
    assert measure(embeddings[few], people[few]).people == 31


def test_a_threshold_stands_on_ten_pairs_of_people_however_many_photos_they_have():
    embeddings, people = crowd(40, 0, photos=8)
    twins = (people == 0) | (people == 1)  # two look-alikes own all of the highest negatives
    embeddings[twins] = embeddings[0]
    verifier = measure(embeddings, people)
    cosine, others = embeddings @ embeddings.T, people[:, None] < people[None]
    alike = [
        cosine[i * 8 : i * 8 + 8, j * 8 : j * 8 + 8].max()
        for i in range(40)
        for j in range(i + 1, 40)
    ]
    for fpr, threshold in zip(verifier.fprs, verifier.thresholds):
        assert (
            cosine[others] > threshold + 1e-6
        ).mean() <= fpr  # equal cosines may round to either side
        assert (alike > np.float32(threshold - 1e-6)).sum() >= 10
    at = list(FPRS).index(verifier.fprs[0])
    stricter = metrics.verification_rate(embeddings, people, fpr=FPRS[at - 1])["threshold"]
    assert (alike > stricter + 1e-6).sum() < 10, (
        "the smallest FPR is the smallest that ten pairs of people carry"
    )


def test_the_interval_of_a_thresholds_fpr_holds_what_others_find():
    similarity, same = metrics.pairs(*crowd(400, 999, dim=8))
    held = []
    for world in range(25):
        verifier = measure(*crowd(30, world, photos=4, dim=8))
        low, high = verifier.fpr_interval(0.05)
        assert low < 0.05 < high
        held.append(low <= (similarity[~same] > verifier.threshold(0.05)).mean() <= high)
    assert 0.85 <= np.mean(held) <= 1
    with pytest.raises(ValueError, match="was not measured"):
        verifier.fpr_interval(1e-9)


def test_thresholds_kept_before_there_were_intervals_are_read_and_damaged_ones_refused():
    old = (
        '{"fprs": [0.001, 0.1], "thresholds": [0.7, 0.3], "slope": 9.0, "intercept": -4.0, '
        '"people": 50, "pairs": 9000}'
    )
    verifier = Verifier.from_text(old)
    assert verifier.threshold(0.1) == 0.3 and verifier.fpr_interval(0.01) is None
    for change in ("[0.7]", "[0.3, 0.7]", "[NaN, 0.3]", "[9.0, 0.3]", "0.7", "[]"):
        with pytest.raises(ValueError, match="[Mm]easure"):
            Verifier.from_text(old.replace("[0.7, 0.3]", change))
    for text in ("", "{}", "[1, 2]", old[:40], old.replace("people", "persons")):
        with pytest.raises(ValueError, match="Measure them again"):
            Verifier.from_text(text)


@pytest.mark.parametrize("fpr", [np.nan, -0.1, 1.5, np.inf])
def test_a_share_out_of_range_is_refused(fpr):
    verifier = measure(*crowd(30, 0))
    for ask in (
        verifier.threshold,
        verifier.fpr_interval,
        lambda far: verifier.gallery_threshold(5, far),
    ):
        with pytest.raises(ValueError, match="is a share"):
            ask(fpr)


def test_similarities_out_of_range_have_no_probability_and_no_groups():
    verifier = measure(*crowd(30, 0))
    for similarity in (np.nan, 9.3):
        with pytest.raises(ValueError, match="between -1 and 1"):
            verifier.probability(similarity)
        with pytest.raises(ValueError, match="between -1 and 1"):
            clusters(np.full((3, 3), similarity), 0.5)


def test_between_two_measured_fprs_the_threshold_goes_with_the_logarithm():
    verifier = Verifier([1e-4, 1e-2], [0.8, 0.4], 10.0, -4.0, 50, 10**6, [5e-5, 5e-3], [2e-4, 2e-2])
    assert verifier.threshold(1e-3) == pytest.approx(0.6)
    assert verifier.fpr_interval(1e-3) == pytest.approx((5e-4, 2e-3))


# alike enough for so loose an FPR, but likely two people
@pytest.mark.parametrize(
    "similarity, fpr, expected",
    [
        (0.9, 0.01, "the same person"),
        (0.0, 0.01, "different people"),
        (0.45, 0.01, "undecided"),  # likely one person, but not alike enough for so strict an FPR
        (0.35, 0.3, "undecided"),
    ],
)
def test_a_verdict_never_contradicts_its_probability(similarity, fpr, expected):
    verifier = Verifier(
        fprs=[0.001, 0.01, 0.3],
        thresholds=[0.6, 0.5, 0.3],
        slope=20,
        intercept=-8,
        people=10,
        pairs=100,
    )
    assert verdict(similarity, verifier, fpr) == expected
    one, other = (
        Face(0, np.zeros(4), 1, np.zeros((5, 2)), 0, torch.zeros(3, 112, 112), np.array(embedding))
        for embedding in ((1, 0), (similarity, (1 - similarity**2) ** 0.5))
    )
    assert compare(one, other, verifier, fpr).same == (expected == "the same person")
    likely = verifier.probability(similarity) >= 0.5
    assert not (expected == "the same person" and not likely) and not (
        expected == "different people" and likely
    )
