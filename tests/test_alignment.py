"""Fits and warps agree with scikit-image, and what is done can be undone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut
from skimage.transform import AffineTransform, SimilarityTransform
from skimage.transform import warp as skimage_warp

from helpers.alignment import (
    REFERENCE,
    WORST_FIT,
    align,
    align_faces,
    compose,
    crop_heads,
    fit_similarity,
    head_boxes,
    invert,
    transform,
    warp,
)
from helpers.detection import detect
from helpers.file_fingerprints import code_fingerprint
from helpers.landmarks import MIRRORED, encode_heatmaps, to_heatmap_pixels


def test_fit_agrees_with_scikit_image():
    landmarks = REFERENCE + torch.randn(20, 5, 2, generator=torch.Generator().manual_seed(0)) * 12
    matrices, residual = fit_similarity(landmarks, REFERENCE[None])
    for k in range(20):
        oracle = SimilarityTransform()
        oracle.estimate(landmarks[k].double().numpy(), REFERENCE.double().numpy())
        assert np.allclose(matrices[k].numpy(), oracle.params[:2], atol=1e-3)
        off = oracle(landmarks[k].numpy()) - REFERENCE.numpy()
        assert residual[k].item() == pytest.approx(np.sqrt((off**2).sum(1).mean()), abs=1e-3)


@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_fit_finds_the_similarity_that_was_applied(angle, scale, right, down):
    turn = scale * torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32
    )
    matrix = torch.cat([turn, torch.tensor([[right], [down]], dtype=torch.float32)], 1)[None]
    found, residual = fit_similarity(REFERENCE[None], transform(REFERENCE[None], matrix))
    assert torch.allclose(found, matrix, atol=2e-2) and residual.item() < 1e-2
    assert torch.allclose(
        transform(transform(REFERENCE[None], found), invert(found)), REFERENCE[None], atol=1e-2
    )


def test_warp_agrees_with_scikit_image_inside_the_photo():
    photo = astronaut()
    landmarks = torch.tensor([[[195.0, 110], [245, 112], [222, 135], [200, 165], [240, 167]]])
    matrices, _ = fit_similarity(landmarks, REFERENCE[None])
    ours = (
        warp(torch.from_numpy(photo).permute(2, 0, 1)[None], matrices, 112)[0]
        .permute(1, 2, 0)
        .numpy()
    )
    full = np.vstack([matrices[0].double().numpy(), [0, 0, 1]])
    oracle = (
        skimage_warp(photo, AffineTransform(full).inverse, output_shape=(112, 112), order=1) * 255
    )
    assert np.abs(ours - oracle).max() <= 1.5


def test_inverse_agrees_with_torchs():
    matrices = (
        torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0)) + torch.eye(2, 3) * 3
    )
    whole = torch.cat([matrices, torch.tensor([[[0.0, 0, 1]]]).expand(50, 1, 3)], 1)
    assert torch.allclose(invert(matrices), torch.linalg.inv(whole)[:, :2], atol=1e-4)
    assert torch.allclose(invert(matrices[0]), invert(matrices)[0])


def test_identity_warp_and_composition():
    photo = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    same = torch.eye(2, 3)[None]
    assert torch.equal(warp(photo, same, 40), photo)
    matrix = torch.tensor([[[2.0, 0.5, 3], [-0.5, 2, 4]]])
    assert torch.allclose(compose(invert(matrix), matrix), same, atol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_crop_matrix_leads_from_photo_to_crop(scale):
    """A dot drawn into photos of small to large heads is in the crop where the matrix says."""
    side = int(200 * scale)
    axis = torch.arange(side) - 0.42 * side
    dot = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (4 * scale) ** 2)) * 255
    photo = dot.round().byte().expand(3, -1, -1).contiguous()
    box = torch.tensor([[0.3, 0.3, 0.7, 0.7]]) * side
    crops, matrices = crop_heads([photo], box, 192)
    place = transform(torch.full((1, 1, 2), 0.42 * side), matrices)[0, 0]
    brightness = crops[0, 0].float() ** 2
    grid = torch.arange(192.0)
    centre = (
        torch.stack([(brightness.sum(0) * grid).sum(), (brightness.sum(1) * grid).sum()])
        / brightness.sum()
    )
    assert (centre - place).norm() < 1.0


@pytest.mark.parametrize("side", [400, 700, 1200])
def test_a_large_head_made_smaller_first_stays_where_it_is(side):
    """A wide dot far from the corner, to a fifth of a pixel of the crop: no half pixel is lost."""
    axis = torch.arange(side) - 0.42 * side
    dot = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (side / 50) ** 2)) * 255
    photo = dot.round().byte().expand(3, -1, -1).contiguous()
    crops, matrices = crop_heads([photo], torch.tensor([[0.3, 0.3, 0.7, 0.7]]) * side, 64)
    place = transform(torch.full((1, 1, 2), 0.42 * side), matrices)[0, 0]
    brightness, grid = crops[0, 0].float() ** 2, torch.arange(64.0)
    centre = (
        torch.stack([(brightness.sum(0) * grid).sum(), (brightness.sum(1) * grid).sum()])
        / brightness.sum()
    )
    assert (centre - place).abs().max() < 0.1


def test_a_box_beyond_the_border_is_filled_by_reflection():
    photo = torch.full((3, 50, 50), 200, dtype=torch.uint8)
    crops, _ = crop_heads(
        [photo, photo], torch.tensor([[-20.0, -20, 20, 20], [30, 30, 90, 90]]), 64
    )
    assert (crops == 200).all()


def test_head_boxes_are_square_with_the_same_centre():
    square = head_boxes(torch.tensor([[10.0, 20, 50, 40]]), widen=1.5)
    assert square.tolist() == [[0, 0, 60, 60]]


def test_align_lays_the_landmarks_on_the_reference():
    crops = torch.randint(0, 256, (3, 3, 192, 192), dtype=torch.uint8)
    faces, residual = align(crops, REFERENCE[None].repeat(3, 1, 1) * 1.5 + 10)
    assert faces.shape == (3, 3, 112, 112) and faces.dtype == torch.uint8 and residual.max() < 1e-3


class Scatterbrain(torch.nn.Module):
    """An hourglass whose landmarks lie anywhere: on one line, or on a face, as asked."""

    def __init__(self, landmarks):
        super().__init__()
        self.landmarks, self.weight, self.mirrored = (
            landmarks,
            torch.nn.Parameter(torch.zeros(1)),
            True,
        )

    def forward(self, crops):
        self.mirrored = not self.mirrored  # every second question is about the mirror image
        maps = encode_heatmaps(to_heatmap_pixels(self.landmarks), 2.0)
        maps = maps.flip(-1)[MIRRORED] if self.mirrored else maps
        return maps[None, None].expand(len(crops), -1, -1, -1, -1)


@pytest.mark.parametrize("sane", [True, False])
def test_the_detectors_landmarks_stand_in_where_the_hourglass_is_lost(some_orl, sane):
    photo = some_orl.photo(0)
    [found] = detect([photo])
    rough = torch.from_numpy(found.landmarks[:1])
    face = (
        REFERENCE + 8
        if sane
        else torch.tensor([[10.0, 10], [90, 12], [20, 100], [110, 50], [15, 15]])
    )
    _, landmarks, residual = align_faces([photo], found.boxes[:1], rough, Scatterbrain(face))
    assert ((landmarks - rough).abs().max() < 0.1) == (not sane)
    assert residual.item() < WORST_FIT


def test_types_and_docstrings_do_not_change_what_code_is_known_by():
    def plain():
        def move(x, by=1):
            return x + by

        return move

    def typed():
        def move(x: int, by: int = 1) -> int:
            """Move it."""
            return x + by

        return move

    def other():
        def move(x, by=2):
            return x + by

        return move

    assert code_fingerprint(plain()) == code_fingerprint(typed()) != code_fingerprint(other())
