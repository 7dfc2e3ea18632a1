"""Values and gradients agree with pytorch-metric-learning, and hard cases stay finite."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICE
from pytorch_metric_learning import distances, losses, miners

from helpers.losses import (
    ContrastiveLoss,
    CrossEntropy,
    EmbeddingDistillation,
    MarginHead,
    Mixture,
    TripletLoss,
    adaface,
    arcface,
    cosface,
    mine_triplets,
    pairwise_distances,
)


def batch(seed=0, n=24, dim=16, people=6):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(people).repeat_interleave(n // people)
    features = torch.randn(people, dim, generator=draw)[labels] + torch.randn(
        n, dim, generator=draw
    )
    return features.to(DEVICE).requires_grad_(), labels.to(DEVICE)


def value_and_slope(loss, features, labels, *rest):
    value = loss(features, labels, *rest)
    value = value[0] if isinstance(value, tuple) else value
    return value.detach(), torch.autograd.grad(value, features, retain_graph=True)[0]


@pytest.mark.parametrize(
    "kind,m,oracle",
    [
        ("arcface", 0.5, losses.ArcFaceLoss),
        ("arcface", 0.1, losses.ArcFaceLoss),
        ("cosface", 0.35, losses.CosFaceLoss),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_margin_heads_agree_with_the_oracle(kind, m, oracle, seed):
    features, labels = batch(seed)
    ours = MarginHead(16, 6, s=30, m=m, kind=kind).to(DEVICE)
    theirs = oracle(
        num_classes=6,
        embedding_size=16,
        margin=math.degrees(m) if kind == "arcface" else m,
        scale=30,
    ).to(DEVICE)
    theirs.W.data = ours.centres.data.T.clone()
    for mine, oracles in zip(
        value_and_slope(ours, features, labels), value_and_slope(theirs, features, labels)
    ):
        assert torch.allclose(mine, oracles, atol=1e-4, rtol=1e-3)


def test_margin_zero_is_the_normalised_softmax():
    features, labels = batch()
    for kind in ("arcface", "cosface"):
        head = MarginHead(16, 6, s=10, m=0.0, kind=kind).to(DEVICE)
        expected = torch.nn.functional.cross_entropy(head.logits(features), labels)
        assert torch.allclose(head(features, labels)[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_margin_at_cosine_one_and_minus_one_has_a_finite_slope(kind):
    head = MarginHead(4, 2, s=64, m=0.5, kind=kind).to(DEVICE)
    head.centres.data = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]], device=DEVICE)
    features = torch.tensor([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 2, 0, 0]], device=DEVICE)
    value, _ = head(features.requires_grad_(), torch.tensor([0, 0, 1], device=DEVICE))
    value.backward()
    assert (
        value.isfinite() and features.grad.isfinite().all() and head.centres.grad.isfinite().all()
    )


def test_a_larger_angle_never_costs_less():
    cosine = torch.linspace(1, -1, 500, device=DEVICE)[:, None]
    assert (arcface(cosine, 0.5).diff(dim=0) <= 1e-6).all()
    for quality in (-1, -0.5, 0, 0.5, 1):
        harder = adaface(cosine, 0.5, torch.full_like(cosine, quality))
        assert (harder.diff(dim=0) <= 1e-6).all()


def test_past_pi_the_margin_goes_straight_on():
    """There cos(theta + m) would rise again; InsightFace takes cos(theta) - m sin(m)."""
    head, m = MarginHead(2, 2, s=1, m=0.5), 0.5
    cosine = torch.tensor([-0.9, -0.95, -0.99])  # theta of 2.69 and more: past pi - 0.5
    assert torch.allclose(head.with_margin(cosine), cosine - m * math.sin(m), atol=1e-6)
    before = torch.tensor([0.9, 0.0, -0.8])
    assert torch.allclose(head.with_margin(before), (before.acos() + m).cos(), atol=1e-6)


def test_adafaces_lengths_are_a_slow_mean():
    head = MarginHead(4, 2, kind="adaface")
    features = torch.nn.functional.normalize(torch.randn(50, 4)) * torch.linspace(1, 9, 50)[:, None]
    before, seen = (
        head.norms.clone(),
        torch.stack([torch.linspace(1, 9, 50).mean(), torch.linspace(1, 9, 50).std()]),
    )
    head(features, torch.zeros(50, dtype=torch.long))
    assert torch.allclose(head.norms, 0.99 * before + 0.01 * seen, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_adaface_agrees_with_its_formula_in_float64(seed):
    features, labels = batch(seed)
    head = MarginHead(16, 6, s=30, m=0.4, kind="adaface").eval().to(DEVICE)
    head.norms = torch.tensor([4.0, 1.0], device=DEVICE)
    centres = head.centres.detach().double()
    x, cost = features.detach().double(), 0
    for row, person in zip(x, labels):
        cosine = (centres / centres.norm(dim=1, keepdim=True)) @ (row / row.norm())
        quality = min(1.0, max(-1.0, (row.norm().item() - 4) / (1 + 1e-3) * (1 / 3)))
        theta = math.acos(cosine[person]) - 0.4 * quality
        theta = min(max(theta, 1e-3), math.pi - 1e-3)
        logits = cosine.clone()
        logits[person] = math.cos(theta) - (0.4 + 0.4 * quality)
        cost += torch.nn.functional.cross_entropy(30 * logits, person) / len(x)
    assert head(features, labels)[0].item() == pytest.approx(cost.item(), rel=1e-4)


def test_adaface_lies_between_the_others_and_follows_the_norms():
    cosine = torch.linspace(0.95, -0.5, 50, device=DEVICE)[:, None]
    assert torch.allclose(adaface(cosine, 0.3, torch.tensor(-1.0)), arcface(cosine, 0.3))
    assert torch.allclose(adaface(cosine, 0.3, torch.tensor(0.0)), cosface(cosine, 0.3), atol=1e-5)
    head = MarginHead(16, 6, s=1, m=0.3, kind="adaface").to(DEVICE)
    features, labels = batch()
    before = head.norms.clone()
    head(features, labels)
    assert head.norms[0] < before[0] and head.norms[1] < before[1]
    assert torch.equal(head.norms, head.eval().norms) and head.quality(features).abs().max() <= 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
def test_triplets_agree_with_the_oracle(mining, squared, seed):
    features, labels = batch(seed)
    metric = distances.LpDistance(normalize_embeddings=True, power=2 if squared else 1)
    oracle = losses.TripletMarginLoss(margin=0.3, distance=metric)
    chosen = ()
    if mining == "semihard":
        chosen = (
            miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard", distance=metric)(
                features, labels
            ),
        )
    if mining == "hard":
        chosen = (miners.BatchHardMiner(distance=metric)(features, labels),)
    ours = value_and_slope(TripletLoss(0.3, mining, squared), features, labels)
    for mine, oracles in zip(ours, value_and_slope(oracle, features, labels, *chosen)):
        assert torch.allclose(mine, oracles, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_mined_triplets_are_those_of_the_oracle(seed):
    features, labels = batch(seed)
    unit = torch.nn.functional.normalize(features.detach())
    distance = torch.cdist(unit, unit)
    for mining, name in (("semihard", "semihard"), ("all", "all")):
        oracle = miners.TripletMarginMiner(
            margin=0.3 if mining == "semihard" else 9,
            type_of_triplets=name,
            distance=distances.LpDistance(),
        )(unit, labels)
        ours = mine_triplets(distance, labels, mining, 0.3)
        assert set(zip(*map(torch.Tensor.tolist, ours))) == set(
            zip(*map(torch.Tensor.tolist, oracle))
        )


@pytest.mark.parametrize("s", [5.0, 16.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_contrastive_loss_agrees_with_the_oracle(s, seed):
    features, labels = batch(seed)
    labels[0] = 99  # one person alone: asked by nobody, and yet in everyone's denominator
    ours = value_and_slope(ContrastiveLoss(s), features, labels)
    for mine, oracles in zip(
        ours, value_and_slope(losses.SupConLoss(temperature=1 / s), features, labels)
    ):
        assert torch.allclose(mine, oracles, atol=1e-5, rtol=1e-3)


def test_contrast_without_pairs_or_with_equal_photos_has_a_finite_slope():
    for features, labels, nearest in (
        (torch.randn(4, 8, device=DEVICE), torch.arange(4, device=DEVICE), 0),
        (torch.ones(4, 8, device=DEVICE), torch.zeros(4, device=DEVICE), 1),
    ):
        value, health = ContrastiveLoss()(features.requires_grad_(), labels)
        value.backward()
        assert value.isfinite() and features.grad.isfinite().all() and health["nearest"] == nearest


def test_soft_margin_is_softplus_of_the_gap():
    features, labels = batch()
    distance = pairwise_distances(torch.nn.functional.normalize(features))
    anchor, positive, negative = mine_triplets(distance, labels, "hard", 0)
    expected = torch.nn.functional.softplus(
        distance[anchor, positive] - distance[anchor, negative]
    ).mean()
    assert torch.allclose(TripletLoss(mining="hard", soft=True)(features, labels)[0], expected)


@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
def test_batches_with_nothing_to_compare_cost_nothing_and_can_still_be_differentiated(mining):
    features = torch.randn(4, 8, device=DEVICE, requires_grad=True)
    for labels in (torch.zeros(4, dtype=torch.long), torch.arange(4)):
        value, health = TripletLoss(0.2, mining)(features, labels.to(DEVICE))
        value.backward()
        assert value == 0 and features.grad.isfinite().all() and health["active"] == 0


def test_identical_photos_have_a_finite_slope():
    features = torch.ones(8, 8, device=DEVICE, requires_grad=True)
    labels = torch.arange(4, device=DEVICE).repeat_interleave(2)
    value, health = TripletLoss(0.2, "hard")(features, labels)
    value.backward()
    assert value.item() == pytest.approx(0.2, abs=1e-5) and features.grad.isfinite().all()
    # the signature of collapse
    assert health["spherical_variance"] < 1e-6 and health["active"] == 1


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(16, 6),
        MarginHead(16, 6),
        TripletLoss(0.2, "semihard"),
        ContrastiveLoss(),
        Mixture(1.0, TripletLoss(), 0.5, MarginHead(16, 6)),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses_ignore_the_order_of_the_batch_and_stay_in_float32(loss):
    features, labels = batch()
    loss = loss.to(DEVICE)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1)).to(DEVICE)
    plain, mixed = loss(features, labels)[0], loss(features[order], labels[order])[0]
    assert torch.allclose(plain, mixed, atol=1e-5)
    for half in (torch.bfloat16, torch.float16):
        with torch.autocast(DEVICE.type, half):
            found = loss(features.to(half), labels)[0]
        assert found.dtype == torch.float32 and torch.allclose(found, plain, rtol=0.02)


def test_a_mixture_is_the_weighted_sum():
    features, labels = batch()
    triplet, head = TripletLoss(0.3, "hard"), MarginHead(16, 6).to(DEVICE)
    expected = 2 * triplet(features, labels)[0] + 0.5 * head(features, labels)[0]
    assert torch.allclose(Mixture(2.0, triplet, 0.5, head)(features, labels)[0], expected)


def test_distillation_counts_directions_alone_and_wants_a_teacher():
    features, labels = batch()
    for sign, value in ((3, 0), (-1, 2)):
        assert EmbeddingDistillation()(features, sign * features.detach())[
            0
        ].item() == pytest.approx(value, abs=1e-6)
    with pytest.raises(ValueError, match="name a teacher"):
        EmbeddingDistillation()(features, labels)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="arcface, cosface or adaface"):
        MarginHead(4, 2, kind="sphereface")
    with pytest.raises(ValueError, match="semihard"):
        TripletLoss(mining="easy")


def test_distillation_with_contrast_learns_what_tells_photos_apart():
    # targets near one direction: that direction alone nearly satisfies the cosine, not the contrast
    torch.manual_seed(0)
    targets = F.normalize(torch.tensor([4.0] + [0.0] * 15) + torch.randn(24, 16) * 0.5).to(DEVICE)
    common = F.normalize(targets.mean(0), dim=0).expand(24, 16).clone()
    assert EmbeddingDistillation()(common, targets)[0] < 0.25
    loss, health = EmbeddingDistillation(contrast=16)(common, targets)
    # log(24) is 3.2
    assert loss - EmbeddingDistillation()(common, targets)[0] > 2 and health["nearest"] < 0.1
    expected = (
        1
        - (targets * targets).sum(1).mean()
        - torch.log_softmax(16 * targets @ targets.T, 1).diagonal().mean()
    )
    assert EmbeddingDistillation(contrast=16)(targets, targets)[0] == pytest.approx(
        expected.item(), abs=1e-5
    )


def test_accuracy_is_that_without_the_margin():
    head = MarginHead(2, 2, s=16, m=0.5)
    head.centres.data = torch.eye(2)
    # nearer to the first centre, and with the margin no longer
    angle = torch.tensor(math.radians(40.0))
    health = head(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0]))[1]
    assert health["accuracy"] == 1
