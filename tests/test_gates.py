"""Nothing that is not finite, not of unit length or out of range gets as far as a figure."""

import numpy as np
import pytest

from helpers import gates, metrics
from helpers.gallery import Gallery
from helpers.verification import measure


def some(people=8, photos=5):
    draw = np.random.default_rng(0)
    number = np.repeat(np.arange(people), photos)
    values = draw.normal(size=(people, 16))[number] + draw.normal(size=(len(number), 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), number


def spoilt(embeddings, kind):
    embeddings = embeddings.copy()
    if kind == "a vector":
        return embeddings[0]
    embeddings[3] *= {"nan": np.nan, "inf": np.inf, "long": 20, "a little long": 1.01, "zero": 0}[
        kind
    ]
    return embeddings


USERS = {
    "pairs": lambda e, p: metrics.pairs(e, p),
    "pairs, distractors": lambda e, p: metrics.pairs(*some(), e, p),
    "identification": lambda e, p: metrics.verification_rate(e, p),
    "identification, distractors": lambda e, p: metrics.verification_rate(*some(), e, p),
    "retrieval": metrics.retrieval,
    "knn, train": lambda e, p: metrics.knn_correct(e, p, *some()),
    "knn, test": lambda e, p: metrics.knn_correct(*some(), e, p),
    "open set, gallery": lambda e, p: metrics.open_set(e, p, *some(), some()[0], 0.1),
    "open set, probes": lambda e, p: metrics.open_set(*some(), e, p, some()[0], 0.1),
    "open set, impostors": lambda e, p: metrics.open_set(*some(), *some(), e, 0.1, p),
    "verifier": measure,
}
KINDS = ["nan", "inf", "long", "a little long", "zero", "a vector"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", USERS)
def test_figures_refuse_embeddings_that_cannot_be_compared(user, kind):
    embeddings, people = some()
    with pytest.raises(ValueError, match="row 3|shape"):
        USERS[user](spoilt(embeddings, kind), people)


@pytest.mark.parametrize("user", USERS)
def test_figures_want_one_label_for_each_photo(user):
    embeddings, people = some()
    for labels in (people[:-1], people[:, None], np.where(people == 2, np.nan, people)):
        with pytest.raises(ValueError, match="one label for each|not finite"):
            USERS[user](embeddings, labels)
    with pytest.raises(ValueError, match="one label for each"):
        # distractors without their people
        metrics.verification_rate(embeddings, people, embeddings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_refuses_them_too(kind):
    embeddings, people = some()
    gallery = Gallery(16)
    gallery.add(embeddings, people)
    bad = spoilt(embeddings, kind)
    for ask in (
        lambda: gallery.add(bad, people),
        lambda: gallery.search(bad, 1),
        lambda: gallery.identify(bad, 0.5),
        lambda: gallery.precision_at(1, bad, people),
    ):
        with pytest.raises(ValueError):
            ask()
    assert len(gallery) == len(embeddings), "what was refused left nothing behind"
    with pytest.raises(ValueError, match="between -1 and 1"):
        gallery.identify(embeddings, np.nan)


@pytest.mark.parametrize("fpr", [np.nan, -0.01, 1.01, np.inf, [0.1, np.nan]])
def test_rates_refuse_a_share_out_of_range(fpr):
    embeddings, people = some()
    for ask in (
        lambda: metrics.verification_rate(embeddings, people, fpr=fpr),
        lambda: metrics.carries(fpr, 1000),
        lambda: metrics.tpr_at_fpr(*metrics.pairs(embeddings, people), fpr),
        lambda: metrics.open_set(embeddings, people, embeddings, people, embeddings, fpr),
    ):
        with pytest.raises(ValueError, match="is a share"):
            ask()


def test_similarities_that_are_none_have_no_rate():
    same = np.array([True, True, False, False])
    for bad in (np.nan, 9.3):
        with pytest.raises(ValueError, match="between -1 and 1"):
            metrics.tpr_at_fpr([0.9, bad, 0.1, 0.2], same, 0.5)


def test_what_is_right_passes_unchanged():
    embeddings, people = some()
    assert gates.unit_embeddings(embeddings) is embeddings and gates.labels(people, 40) is people
    assert gates.unit_embeddings(embeddings.astype(np.float16)).shape == (40, 16), (
        "rounding to half is no fault"
    )
    assert gates.share(np.array([0, 1])).tolist() == [0, 1]


def test_an_open_set_needs_impostors_enough_as_people():
    embeddings, people = some()
    ask = [*some(), *some(), np.tile(embeddings, (10, 1))]
    metrics.open_set(*ask, 0.01, np.arange(400))
    with pytest.raises(ValueError, match="8 pairs of an impostor and an enrolled person"):
        metrics.open_set(*ask, 0.01, np.zeros(400))
