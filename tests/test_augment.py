"""Changes of training pictures do what they say, each picture with its own luck."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2

from helpers.alignment import REFERENCE, fit_similarity, transform
from helpers.augment import (
    Compose,
    Degrade,
    Jitter,
    MaskAugmentation,
    Photometric,
    PhotometricSet,
    as_change,
)
from helpers.landmarks import decode_heatmaps, encode_heatmaps


def pictures(n=6, side=48):
    return torch.randint(
        0, 256, (n, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


def test_half_the_pictures_are_blurred_each_by_its_own_width():
    torch.manual_seed(0)
    dot = torch.zeros(60, 3, 41, 41)
    dot[:, :, 20, 20] = 255
    out, _ = Degrade(tint=0, grey=0, blur=2.5, noise=0)(dot, torch.arange(60))
    same = (out == dot).flatten(1).all(1)
    assert 20 <= same.sum() <= 40
    axis = torch.arange(41.0) - 20
    widths = ((out[~same, 0].sum(1) * axis**2).sum(1) / out[~same, 0].sum((1, 2))).sqrt()
    # the standard deviation of a blurred dot is that of the blur
    assert widths.max() < 2.6 and widths.std() > 0.4
    assert torch.allclose(out.sum((2, 3)), dot.sum((2, 3)), rtol=1e-3)


def test_a_batch_that_luck_leaves_unblurred_goes_through():
    for seed in range(6):
        torch.manual_seed(seed)
        assert Degrade()(pictures(1), torch.zeros(1))[0].shape == (1, 3, 48, 48)


def test_grey_is_for_a_share_and_targets_stay():
    torch.manual_seed(0)
    images, people = pictures(200, 16), torch.arange(200)
    out, same = Degrade(tint=0, grey=0.3, blur=0, noise=0)(images, people)
    grey = (out[:, 0] == out[:, 1]).flatten(1).all(1)
    assert 40 < grey.sum() < 80 and torch.equal(same, people)
    assert torch.equal(out[~grey], images[~grey].float())
    luma = images[grey].float().mul(torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    assert torch.allclose(out[grey][:, 0], luma)


def test_everything_at_once_stays_in_range_and_differs_by_picture():
    torch.manual_seed(0)
    out, _ = Degrade()(pictures()[:1].repeat(8, 1, 1, 1), torch.zeros(8))
    assert out.min() >= 0 and out.max() <= 255
    assert all((out[0] - other).abs().max() > 1 for other in out[1:])


def test_a_crop_from_the_middle_keeps_its_landmarks():
    landmarks = torch.tensor([[[70.0, 80], [100, 80], [85, 95], [72, 110], [98, 110]]])
    bumps = encode_heatmaps(landmarks, 2.0, 176) * 255
    for k in range(5):
        moved, five_landmarks = Jitter(0, 0, 0, False, 0, crop=128)(
            bumps[:, k : k + 1].repeat(1, 3, 1, 1), landmarks
        )
        assert moved.shape == (1, 3, 128, 128)
        assert torch.allclose(five_landmarks, landmarks - 24, atol=1e-3)
        assert (decode_heatmaps(moved[:, 0])[0] - five_landmarks[:, k]).abs().max() < 0.1


# never less than half, the network shrinks the rest
@pytest.mark.parametrize("size, side", [(112, 112), (80, 80), (64, 64), (40, 56)])
def test_pictures_given_out_small_keep_their_landmarks(size, side):
    landmarks = torch.tensor([[[38.0, 51], [73, 51], [56, 71], [41, 92], [70, 92]]])
    bumps = encode_heatmaps(landmarks, 3.0, 112) * 255
    torch.manual_seed(0)
    for k in range(5):
        moved, five_landmarks = Jitter(10, 0.1, 0.05, True, 0, size=size)(
            bumps[:, k : k + 1].repeat(1, 3, 1, 1), landmarks
        )
        assert moved.shape == (1, 3, side, side)
        found = decode_heatmaps(moved[:, 0])[0]
        # mirrored, another of the five
        assert min((found - five_landmarks[0, j]).abs().max() for j in range(5)) < 0.3


def test_each_picture_gets_one_of_five_changes_or_none():
    torch.manual_seed(0)
    images, people = pictures(120, 32), torch.arange(120)
    out, same = Photometric()(images, people)
    unchanged = (out - images).abs().flatten(1).amax(1) < 1e-3
    grey = (out[:, 0] == out[:, 1]).flatten(1).all(1)
    coarse = torch.tensor([len(image.round().unique()) <= 4 for image in out])
    for share in (unchanged, grey, coarse):
        assert 8 <= share.sum() <= 32  # a sixth of 120 is 20
    assert (
        not (grey & coarse).any()
        and torch.equal(same, people)
        and out.min() >= 0
        and out.max() <= 255
    )
    both = Photometric(compose=True)(images, people)[0]
    assert (
        (both - images).abs().flatten(1).amax(1) < 1e-3
    ).sum() < 12  # none of five changes: 1 in 32


def test_equalising_agrees_with_pillow():
    image = (pictures(1, 48)[0] // 3) + 40
    oracle = np.array(ImageOps.equalize(Image.fromarray(image.permute(1, 2, 0).numpy()))).astype(
        int
    )
    ours = Photometric.changes(48)[4](image[None].float() / 255)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - oracle).mean() < 2


def test_a_small_face_is_blurred_as_much_as_a_large_one():
    shares = []
    for side in (56, 112):
        torch.manual_seed(0)
        stripes = (torch.arange(side) * 14 // side % 2 * 255.0).repeat(60, 3, side, 1)
        blurred = Photometric.changes(side)[2](stripes / 255) * 255
        shares.append(float((blurred - stripes).abs().mean() / 255))
    assert shares[0] == pytest.approx(shares[1], rel=0.15)


@pytest.mark.parametrize("part", MaskAugmentation.SHAPES)
@pytest.mark.parametrize("fill", ["colour", "noise", "blur"])
@pytest.mark.parametrize("side", [64, 112])
def test_a_cover_hides_its_part_and_nothing_else(part, fill, side):
    torch.manual_seed(0)
    faces = pictures(20, side)
    covered, people = MaskAugmentation(1, (part,), fill)(faces, torch.arange(20))
    changed = (covered - faces).abs().amax(1) > 1e-3
    eyes, mouth = ((REFERENCE[rows] * side / 112).round().long() for rows in ([0, 1], [3, 4]))
    seen = {"upper": mouth, "sunglasses": mouth, "lower": eyes, "mask": eyes}[part]
    hidden = {"upper": eyes, "sunglasses": eyes, "lower": mouth, "mask": mouth}[part]
    assert (
        changed[:, hidden[:, 1], hidden[:, 0]].float().mean() > 0.9
        and not changed[:, seen[:, 1], seen[:, 0]].any()
    )
    assert covered.min() >= 0 and covered.max() <= 255 and torch.equal(people, torch.arange(20))
    assert not (changed.float().mean((1, 2)) > 0.4).any(), "a part is not the whole face"


def test_a_share_of_the_faces_is_covered_by_each_part_alike():
    torch.manual_seed(0)
    faces = torch.zeros(600, 3, 112, 112, dtype=torch.uint8)
    covered = MaskAugmentation(0.5, ("upper", "lower"), "noise")(faces, None)[0].amax(1) > 0
    eyes, mouth = covered[:, 51, 38], covered[:, 92, 42]
    assert 120 < eyes.sum() < 180 and 120 < mouth.sum() < 180 and not (eyes & mouth).any()
    with pytest.raises(ValueError, match="sunglasses"):
        MaskAugmentation(parts=("hat",))


def test_a_jitter_turns_scales_and_shifts_as_far_as_it_says_and_no_farther():
    torch.manual_seed(0)
    landmarks = torch.rand(400, 5, 2) * 60 + 26
    _, moved = Jitter(15, 0.15, 0.08, mirror=False, light=0)(
        torch.zeros(400, 3, 112, 112), landmarks
    )
    matrices, _ = fit_similarity(landmarks, moved)
    angle = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])).abs()
    zoom = (matrices[:, 0, 0] ** 2 + matrices[:, 1, 0] ** 2).sqrt().log().abs()
    middle = torch.full((400, 1, 2), 55.5)
    shift = (transform(middle, matrices) - middle).abs() / 112
    for reached, most in ((angle, 15), (zoom, 0.15), (shift, 0.08)):
        assert 0.95 * most < reached.max() < 1.001 * most
        assert reached.mean() == pytest.approx(most / 2, rel=0.1), "all of the range is as likely"


def test_light_stretches_about_the_mean_grey():
    jitter, faces = Jitter(0, 0, 0, False, light=0.4), torch.rand(300, 3, 16, 16) * 60 + 100
    torch.manual_seed(0)
    out = jitter.relight(
        faces.clone(), lambda columns, reach: (torch.rand(300, columns) * 2 - 1) * reach
    )
    lift = (out - faces).mean((1, 2, 3)) / 64
    gain = (out.std((1, 2, 3)) / faces.std((1, 2, 3))).log()
    for reached in (lift, gain):  # the mean moves by the lift alone, whatever the gain
        assert 0.35 < reached.abs().max() < 0.401 and abs(reached.mean()) < 0.05
    assert abs(np.corrcoef(lift, gain)[0, 1]) < 0.2


def test_the_set_of_six_holds_each_photo_and_its_five_changes():
    images, people = pictures(3, 32), torch.tensor([4, 7, 9])
    torch.manual_seed(0)
    out, six_times = PhotometricSet()(images, people)
    assert out.shape == (18, 3, 32, 32) and six_times.tolist() == [4, 7, 9] * 6
    assert (
        out.min() >= 0 and out.max() <= 255 and torch.allclose(out[:3], images.float(), atol=1e-3)
    )
    grey, coarse = out[3:6], out[12:15]
    assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-3) and all(
        len(image.round().unique()) <= 4 for image in coarse
    )
    assert all((changed - images).abs().mean() > 1 for changed in out[3:].split(3))


def test_transforms_of_torchvision_change_each_picture_by_itself():
    images, people = pictures(40, 16), torch.arange(40)
    flip = as_change(v2.RandomHorizontalFlip())
    torch.manual_seed(0)
    out, same = flip(images, people)
    flipped = [bool((out[i] == images[i].flip(-1)).all()) for i in range(40)]
    assert 8 < sum(flipped) < 32 and torch.equal(same, people), "each with its own luck"
    assert all(flipped[i] or torch.equal(out[i], images[i]) for i in range(40))
    whole = Compose(Jitter(size=16), v2.RandAugment())  # floats come from the first
    assert whole(images, people)[0].dtype == torch.uint8 and "RandAugment" in repr(whole)
    with pytest.raises(ValueError, match="stay uint8"):
        as_change(v2.ToDtype(torch.float32, scale=True))(images, people)
    with pytest.raises(ValueError, match="not its landmarks"):
        flip(images, torch.zeros(40, 5, 2))
    assert as_change(None) is None and isinstance(as_change(Jitter()), Jitter)


def test_left_stays_left_whether_mirrored_or_not():
    torch.manual_seed(0)
    landmarks = REFERENCE.repeat(20, 1, 1)
    _, moved = Jitter(0, 0, 0, light=0)(torch.zeros(20, 3, 112, 112), landmarks)
    mirrored = (moved - landmarks).abs().amax((1, 2)) > 0.1
    assert 0 < mirrored.sum() < 20 and (moved[:, [0, 3], 0] < moved[:, [1, 4], 0]).all()
