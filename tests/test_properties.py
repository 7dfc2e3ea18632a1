"""The algebra holds for whatever hypothesis thinks of, not only for examples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import metrics
from helpers.alignment import compose, fit_similarity, invert
from helpers.augment import Jitter
from helpers.gallery import Gallery
from helpers.losses import ContrastiveLoss, CrossEntropy, MarginHead, Mixture, TripletLoss

settings.register_profile("course", deadline=None, max_examples=40)
settings.load_profile("course")
seeds = st.integers(0, 2**31 - 1)


def crowd(seed, people=6, photos=4, dim=8):
    """Unit embeddings (N, dim) of some people, and the people."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), photos)
    landmarks = draw.normal(size=(people, dim))[who] + draw.normal(size=(len(who), dim))
    return (landmarks / np.linalg.norm(landmarks, axis=1, keepdims=True)).astype(np.float32), who


@given(seeds)
def test_a_similarity_and_its_inverse_undo_each_other(seed):
    draw = torch.Generator().manual_seed(seed)
    landmarks, target = torch.rand(2, 7, 5, 2, generator=draw) * 100
    there, _ = fit_similarity(landmarks, target)
    assert torch.allclose(compose(invert(there), there), torch.eye(2, 3).expand(7, 2, 3), atol=1e-2)
    assert torch.allclose(invert(invert(there)), there, rtol=1e-3, atol=1e-2)


@given(seeds)
def test_mirrored_twice_picture_and_landmarks_are_what_they_were(seed):
    torch.manual_seed(seed)
    faces, landmarks = torch.randint(0, 256, (8, 3, 20, 20)).float(), torch.rand(8, 5, 2) * 19
    mirror = Jitter(degrees=0, scale=0, shift=0, light=0)
    once, moved = mirror(faces.clone(), landmarks)
    twice, back = mirror(once.clone(), moved)
    for k in range(8):
        flipped = torch.allclose(once[k], faces[k].flip(-1), atol=0.05)
        assert flipped or torch.allclose(once[k], faces[k], atol=0.05)
        eyes = moved[k, 1, 0] - moved[k, 0, 0], landmarks[k, 1, 0] - landmarks[k, 0, 0]
        # left stays left, so the distance keeps its sign
        assert eyes[0] == pytest.approx(eyes[1].item(), abs=1e-3)
        if torch.allclose(twice[k], faces[k], atol=0.1):
            assert torch.allclose(back[k], landmarks[k], atol=1e-3)


LOSSES = [
    CrossEntropy(16, 6),
    MarginHead(16, 6),
    MarginHead(16, 6, kind="cosface"),
    TripletLoss(0.2, "all"),
    TripletLoss(0.2, "semihard"),
    TripletLoss(0.2, "hard"),
    ContrastiveLoss(),
    Mixture(1.0, TripletLoss(), 0.5, MarginHead(16, 6)),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@given(seed=seeds)
def test_losses_ignore_the_order_of_the_batch(loss, seed):
    draw = torch.Generator().manual_seed(seed)
    features, people = (
        torch.randn(18, 16, generator=draw),
        torch.randint(0, 6, (18,), generator=draw),
    )
    order = torch.randperm(18, generator=draw)
    assert torch.allclose(
        loss(features, people)[0], loss(features[order], people[order])[0], rtol=1e-4, atol=1e-4
    )


@given(seeds)
def test_metrics_ignore_the_order_of_the_gallery(seed):
    embeddings, people = crowd(seed)
    order = np.random.default_rng(seed).permutation(len(people))
    plain, mixed = (
        metrics.retrieval(embeddings, people),
        metrics.retrieval(embeddings[order], people[order]),
    )
    for key in ("recall@1", "r_precision", "map@r"):
        assert np.allclose(plain[key][order], mixed[key])
    rates = [
        metrics.tpr_at_fpr(*metrics.pairs(e, p), [0, 0.05, 0.5])[0]
        for e, p in ((embeddings, people), (embeddings[order], people[order]))
    ]
    # a cosine that ties with the threshold may round to either side
    assert np.allclose(*rates, atol=0.02)

    first, second = Gallery(8), Gallery(8)
    first.add(embeddings, people)
    second.add(embeddings[order], people[order])
    queries, asked = crowd(seed + 1)
    assert np.allclose(
        first.precision_at(5, queries, asked), second.precision_at(5, queries, asked)
    )


@given(seeds, st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_identification_rate_grows_with_the_tolerated_fpr_and_keeps_it(seed, fprs):
    similarity, same = metrics.pairs(*crowd(seed))
    fprs = np.sort(fprs)
    rates, thresholds = metrics.tpr_at_fpr(similarity, same, fprs)
    assert (rates[1:] >= rates[:-1]).all() and (thresholds[1:] <= thresholds[:-1]).all()
    for fpr, rate, threshold in zip(fprs, rates, thresholds):
        assert (similarity[~same] > threshold).mean() <= fpr + 1e-12
        assert rate == pytest.approx((similarity[same] > threshold).mean())


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6))
def test_names_of_any_letters_survive_a_saved_gallery(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("gallery") / "any.safetensors"
    gallery = Gallery(4)
    gallery.add(np.eye(4, dtype=np.float32)[np.arange(len(names)) % 4], names, names)
    gallery.save(path)
    assert Gallery.load(path).people == names and Gallery.load(path).sources == names
