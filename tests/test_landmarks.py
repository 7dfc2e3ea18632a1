"""Heatmaps lose nothing, landmarks move with their picture, and the loss knows its floor."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.augment import Jitter
from helpers.landmarks import (
    MIRRORED,
    HeatmapLoss,
    StackedHourglass,
    decode_heatmaps,
    encode_heatmaps,
    nme,
    predict_landmarks,
    to_crop_pixels,
    to_heatmap_pixels,
)


@given(st.floats(1, 62), st.floats(1, 62), st.sampled_from([1.0, 2.0, 3.0]))
def test_a_landmark_comes_back_from_its_heatmap(x, y, sigma):
    back, peak = decode_heatmaps(encode_heatmaps(torch.tensor([[x, y]]), sigma))
    assert (back - torch.tensor([[x, y]])).abs().max() < 0.02
    assert peak.item() > 0.75


def test_crop_and_heatmap_pixels_are_inverse_and_share_centres():
    landmarks = torch.rand(7, 5, 2) * 128
    assert torch.allclose(to_crop_pixels(to_heatmap_pixels(landmarks)), landmarks, atol=1e-5)
    # the middle of 128 pixels is the middle of 64
    assert to_heatmap_pixels(torch.tensor(63.5)) == 31.5


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_all_zeros_cost_the_floor_and_the_truth_costs_nothing(sigma):
    landmarks = torch.rand(3, 5, 2) * 60 + 30
    loss = HeatmapLoss(sigma)
    goal = encode_heatmaps(to_heatmap_pixels(landmarks), sigma)
    assert loss(goal[:, None], landmarks)[0] == 0
    assert loss(torch.zeros(3, 1, 5, 64, 64), landmarks)[1][
        "relative_loss"
    ].item() == pytest.approx(1)
    assert (goal**2).mean().item() == pytest.approx(math.pi * sigma**2 / 64**2, rel=0.02)


def test_left_stays_left_in_a_mirrored_picture():
    torch.manual_seed(0)
    landmarks = torch.tensor([[50.0, 55], [80, 55], [65, 70], [54, 88], [77, 88]]).repeat(20, 1, 1)
    _, moved = Jitter(degrees=0, scale=0, shift=0, light=0)(torch.zeros(20, 3, 128, 128), landmarks)
    mirrored = (moved - landmarks).abs().amax((1, 2)) > 0.5
    assert 0 < mirrored.sum() < 20
    assert (moved[:, 0, 0] < moved[:, 1, 0]).all() and (moved[:, 3, 0] < moved[:, 4, 0]).all()
    assert torch.allclose(moved[mirrored][:, 0], torch.tensor([127.0 - 80, 55]), atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_landmarks_move_with_their_picture(mirrored):
    """Each of five dots, drawn alone, is found again where the jitter says it went."""
    torch.manual_seed(1)
    landmarks = torch.tensor([[50.0, 55], [80, 55], [65, 70], [54, 88], [77, 88]]).repeat(6, 1, 1)
    bumps = encode_heatmaps(landmarks, 2.0, 128)
    jitter = Jitter(degrees=30, scale=0.1, shift=0.05, mirror=mirrored, light=0)
    for k in range(5):
        torch.manual_seed(7)
        moved, moved_landmarks = jitter(bumps[:, k : k + 1].repeat(1, 3, 1, 1) * 255, landmarks)
        found, _ = decode_heatmaps(moved[:, 0])
        nearest = (moved_landmarks - found[:, None]).norm(dim=-1).min(1)
        assert nearest.values.max() < 0.6
        if not mirrored:
            assert (nearest.indices == k).all()


@pytest.mark.parametrize("stacks,channels", [(1, 16), (2, 32)])
def test_hourglass_takes_crops_of_any_size(stacks, channels):
    model = StackedHourglass(channels, stacks).eval()
    assert model(torch.zeros(2, 3, 192, 192, dtype=torch.uint8)).shape == (2, stacks, 5, 64, 64)
    landmarks, peaks = predict_landmarks(model, torch.zeros(3, 3, 192, 192, dtype=torch.uint8))
    assert landmarks.shape == (3, 5, 2) and peaks.shape == (3, 5)


def test_the_answer_for_a_mirrored_crop_is_the_mirrored_answer():
    torch.manual_seed(0)
    model = StackedHourglass(16)
    crops = torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8)
    landmarks, mirrored = (
        predict_landmarks(model, c, mirror=True)[0] for c in (crops, crops.flip(-1))
    )
    back = torch.stack([127 - mirrored[..., 0], mirrored[..., 1]], -1)
    assert torch.allclose(landmarks, back[:, MIRRORED], atol=1e-2)
    plain = predict_landmarks(model, crops)[0]
    assert (plain - landmarks).abs().max() > 0.1


def test_hourglass_learns_one_picture():
    torch.manual_seed(0)
    crop, landmarks = (
        torch.randint(0, 256, (4, 3, 128, 128), dtype=torch.uint8),
        torch.rand(4, 5, 2) * 90 + 20,
    )
    model, loss = StackedHourglass(16), HeatmapLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        value, health = loss(model(crop), landmarks)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    assert health["relative_loss"] < 0.5


def test_nme_is_in_units_of_the_distance_between_the_eyes():
    truth = torch.tensor([[[0.0, 0], [10, 0], [5, 5], [2, 9], [8, 9]]])
    assert nme(truth + torch.tensor([3.0, 4.0]), truth).item() == pytest.approx(0.5)


def test_nme_is_over_the_true_eyes():
    truth = torch.tensor([[[0.0, 0], [10, 0], [5, 5], [2, 9], [8, 9]]])
    guess = truth.clone()
    guess[0, 1, 0] = 5  # the predicted eyes are half as far apart
    assert nme(guess, truth).item() == pytest.approx(0.1)


class Knows(torch.nn.Module):
    """An hourglass that answers with the heatmaps of known landmarks in a crop of this side."""

    def __init__(self, landmarks, side):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.maps = encode_heatmaps((landmarks + 0.5) * 64 / side - 0.5, 2.0)

    def forward(self, crops):
        return self.maps[None, None].expand(len(crops), -1, -1, -1, -1)


@pytest.mark.parametrize("side", [96, 128, 192])  # 192 is what the pipeline asks about
def test_landmarks_come_back_in_pixels_of_any_crop(side):
    landmarks = torch.tensor([[60.0, 70], [110, 72], [88, 100], [66, 130], [108, 131]]) * side / 192
    found = predict_landmarks(
        Knows(landmarks, side), torch.zeros(1, 3, side, side, dtype=torch.uint8)
    )[0][0]
    assert (found - landmarks).abs().max() < 0.05


def test_the_hourglass_sees_pillows_brightness():
    crop = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    grey = Image.fromarray(crop[0].permute(1, 2, 0).numpy()).convert("L")
    seen = (StackedHourglass(16).prepare(crop)[0, 0] + 1) * 127.5
    assert (seen - torch.from_numpy(np.array(grey))).abs().max() <= 1
