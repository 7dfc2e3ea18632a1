"""Losses inside the batch: what a list of all triplets would give, in less memory."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICE
from small_trainings import TINY
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.batch_losses import ContrastiveLoss, TripletLoss, mine_triplets, pairwise_distances
from helpers.losses import CrossEntropy, MarginHead, Mixture

PEOPLE = {
    "alike many": torch.arange(6).repeat_interleave(4),
    "one has most": torch.tensor([0] * 17 + [1, 1, 2, 3, 3, 4, 5]),
    "two people": torch.arange(24) % 2,
    "nobody twice": torch.arange(24),
    "one person": torch.zeros(24, dtype=torch.long),
}


def over_a_list_of_triplets(loss, features, people):
    """TripletLoss as its definition says it: every triplet is written down."""
    distance = pairwise_distances(F.normalize(features), loss.squared)
    anchor, positive, negative = mine_triplets(distance.detach(), people, loss.mining, loss.margin)
    near, far = distance[anchor, positive], distance[anchor, negative]
    cost = F.softplus(near - far) if loss.soft else F.relu(near - far + loss.margin)
    active = (cost > 0).sum()
    count = max(len(cost), 1)
    return cost.sum() / active.clamp(min=1) + 0 * features.sum(), {
        "active": active / count,
        "positive": near.detach().sum() / count,
        "negative": far.detach().sum() / count,
    }


@pytest.mark.parametrize("people", PEOPLE.values(), ids=PEOPLE)
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
@pytest.mark.parametrize("squared, soft", [(False, False), (True, False), (False, True)])
def test_triplets_cost_what_a_list_of_them_would(people, mining, squared, soft):
    features = torch.randn(24, 8, generator=torch.Generator().manual_seed(3))
    features, people = features.to(DEVICE).requires_grad_(), people.to(DEVICE)
    loss = TripletLoss(0.2, mining, squared, soft)
    ours, theirs = loss(features, people), over_a_list_of_triplets(loss, features, people)
    assert torch.allclose(ours[0], theirs[0], rtol=1e-6, atol=1e-7)
    slopes = [torch.autograd.grad(value, features)[0] for value, _ in (ours, theirs)]
    assert torch.allclose(*slopes, rtol=1e-5, atol=1e-7)
    for key, number in theirs[1].items():
        assert float(ours[1][key]) == pytest.approx(float(number), rel=1e-5)


def farthest_positive_and_a_negative_inside_the_margin(distance, labels, margin):
    """A user's miner: for each anchor its farthest positive, with each semi-hard negative."""
    anchor, positive, negative = mine_triplets(distance, labels, "semihard", margin)
    hardest = distance.masked_fill(labels[:, None] != labels, -1).argmax(1)
    chosen = positive == hardest[anchor]
    return anchor[chosen], positive[chosen], negative[chosen]


@pytest.mark.parametrize("people", PEOPLE.values(), ids=PEOPLE)
def test_a_miner_can_be_a_function(people):
    """The three that are built in, handed in as functions, cost and teach the same."""
    features = torch.randn(24, 8, generator=torch.Generator().manual_seed(3)).requires_grad_()
    for mining in ("all", "semihard", "hard"):
        miner = lambda distance, labels, margin, mining=mining: mine_triplets(
            distance, labels, mining, margin
        )
        ours, theirs = TripletLoss(0.2, mining), TripletLoss(0.2, miner)
        values = ours(features, people), theirs(features, people)
        assert torch.allclose(values[0][0], values[1][0], rtol=1e-6, atol=1e-7)
        slopes = [torch.autograd.grad(value, features)[0] for value, _ in values]
        assert torch.allclose(*slopes, rtol=1e-5, atol=1e-7)
        for key, number in values[0][1].items():
            assert float(values[1][1][key]) == pytest.approx(float(number), rel=1e-5)


def test_a_miner_of_ones_own_chooses_and_is_named_in_the_run():
    features = torch.randn(24, 8, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    people = PEOPLE["two people"].to(DEVICE)
    loss = TripletLoss(0.2, farthest_positive_and_a_negative_inside_the_margin)
    value, health = loss(features, people)
    distance = pairwise_distances(F.normalize(features))
    a, p, n = farthest_positive_and_a_negative_inside_the_margin(distance, people, 0.2)
    assert 0 < len(a) < len(mine_triplets(distance, people, "semihard", 0.2)[0])
    assert torch.allclose(value, (distance[a, p] - distance[a, n] + 0.2).mean(), rtol=1e-5)
    assert float(health["positive"]) == pytest.approx(float(distance[a, p].mean()), rel=1e-5)
    assert "farthest_positive_and_a_negative" in repr(loss)


class Largest(TorchDispatchMode):
    """The number of values in the largest tensor that was made."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.values = max(
            [self.values, *(t.numel() for t in tree_leaves(made) if torch.is_tensor(t))]
        )
        return made


@pytest.mark.parametrize(
    "loss",
    [
        TripletLoss(mining="all"),
        TripletLoss(mining="semihard"),
        TripletLoss(mining="hard"),
        ContrastiveLoss(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("people", [2, 16])
def test_memory_grows_with_the_square_of_the_batch(loss, people):
    features = torch.randn(64, 8, device=DEVICE, requires_grad=True)
    labels = torch.arange(64, device=DEVICE) % people
    with Largest() as largest:
        loss(features, labels)[0].backward()
    assert largest.values <= 2 * 64**2  # two numbers for each pair: the indices of positive pairs


@pytest.mark.parametrize(
    "make",
    [
        lambda x: TripletLoss(margin=x),
        lambda x: ContrastiveLoss(s=x),
        lambda x: MarginHead(4, 2, s=x),
        lambda x: MarginHead(4, 2, m=x),
        lambda x: Mixture(x, TripletLoss()),
    ],
)
@pytest.mark.parametrize("number", [math.nan, math.inf, -1.0])
def test_numbers_of_a_loss_are_finite_and_in_their_range(make, number):
    with pytest.raises(ValueError, match="must be a number"):
        make(number)


def test_a_mixture_without_a_classifier_has_no_logits():
    assert not hasattr(Mixture(1.0, TripletLoss(), 1.0, ContrastiveLoss()), "logits")
    assert not hasattr(Mixture(1.0, TripletLoss(), 1.0, ContrastiveLoss()), "classes")
    mixed = Mixture(1.0, TripletLoss(), 1.0, Mixture(0.5, CrossEntropy(4, 7)))
    assert mixed.logits(torch.zeros(2, 4)).shape == (2, 7) and mixed.classes == 7


PROCESSES = """
import sys, torch
from accelerate import PartialState
from helpers import training
from helpers.batch_losses import ContrastiveLoss, TripletLoss
from helpers.losses import CrossEntropy, Mixture
from helpers.training import fit

TINY

losses = {"triplet": TripletLoss(), "hard": TripletLoss(mining="hard"),
          "contrastive": ContrastiveLoss(),
          "mixture": Mixture(1.0, TripletLoss(mining="all"), 0.5, CrossEntropy(4, 4))}
draw = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (33, 3, 4, 4), dtype=torch.uint8, generator=draw)
people = torch.arange(33) % 4
for name, loss in losses.items():
    torch.manual_seed(0)
    if name == "mixture":
        for p in loss.losses[1].linear.parameters():
            torch.nn.init.zeros_(p)
    fit(Tiny(), loss, images, people, f"{sys.argv[1]}/{name}", epochs=4, batch_size=11, lr=1e-2,
        progress=False)
PartialState().destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_from_the_whole_batch_as_one_does(tmp_path, on_processes):
    for count in (1, 2):
        on_processes(count, PROCESSES.replace("TINY", TINY), tmp_path / f"with{count}")
    for name in ("triplet", "hard", "contrastive", "mixture"):
        curves = []
        for count in (1, 2):
            (path,) = (tmp_path / f"with{count}").glob(f"{name}-*/curves.csv")
            rows = [line.split(",") for line in path.read_text().splitlines()]
            curves.append([float(row[rows[0].index("loss")]) for row in rows[1:]])
        # 11 photos: one process has six, the other five
        assert curves[0] == pytest.approx(curves[1], rel=1e-3), name
        assert abs(curves[0][0] - curves[0][-1]) > 1e-3 * abs(curves[0][0]), "the curve moves"
