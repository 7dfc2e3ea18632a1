"""Changes of training pictures do what they say, each picture with its own luck."""
import numpy as np
import torch
from PIL import Image, ImageOps
from skimage.filters import gaussian

from helpers.augment import Degrade, Jitter, Photometric, gaussian_blur
from helpers.landmarks import decode_heatmaps, encode_heatmaps


def pictures(n=6, side=48):
    return torch.randint(0, 256, (n, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_blur_agrees_with_scikit_image_and_zero_is_none():
    images = pictures().float()
    sigmas = torch.tensor([0.0, 0.7, 1.0, 2.0, 2.5, 0.0])
    blurred = gaussian_blur(images, sigmas)
    assert torch.allclose(blurred[0], images[0], atol=1e-3) and torch.allclose(blurred[5], images[5], atol=1e-3)
    inner = slice(10, -10)  # the border is filled another way there
    for ours, image, sigma in zip(blurred[1:5], images[1:5], sigmas[1:5].tolist()):
        oracle = gaussian(image.numpy(), sigma, truncate=7 / sigma, preserve_range=True, channel_axis=0)
        assert np.abs(ours.numpy() - oracle)[:, inner, inner].max() < 0.5


def test_a_batch_that_luck_leaves_unblurred_goes_through():
    assert gaussian_blur(torch.zeros(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)


def test_grey_is_for_a_share_and_targets_stay():
    torch.manual_seed(0)
    images, people = pictures(200, 16), torch.arange(200)
    out, same = Degrade(tint=0, grey=0.3, blur=0, noise=0)(images, people)
    grey = (out[:, 0] == out[:, 1]).flatten(1).all(1)
    assert 40 < grey.sum() < 80 and torch.equal(same, people)
    assert torch.equal(out[~grey], images[~grey].float())
    assert torch.allclose(out[grey][:, 0], images[grey].float().mean(1))


def test_everything_at_once_stays_in_range_and_differs_by_picture():
    torch.manual_seed(0)
    out, _ = Degrade()(pictures()[:1].repeat(8, 1, 1, 1), torch.zeros(8))
    assert out.min() >= 0 and out.max() <= 255
    assert all((out[0] - other).abs().max() > 1 for other in out[1:])


def test_a_crop_from_the_middle_keeps_its_points():
    points = torch.tensor([[[70.0, 80], [100, 80], [85, 95], [72, 110], [98, 110]]])
    bumps = encode_heatmaps(points, 2.0, 176) * 255
    for k in range(5):
        moved, fives = Jitter(0, 0, 0, False, 0, crop=128)(bumps[:, k:k + 1].repeat(1, 3, 1, 1), points)
        assert moved.shape == (1, 3, 128, 128)
        assert torch.allclose(fives, points - 24, atol=1e-3)
        assert (decode_heatmaps(moved[:, 0])[0] - fives[:, k]).abs().max() < 0.1


def test_each_picture_gets_one_of_five_changes_or_none():
    torch.manual_seed(0)
    images, people = pictures(120, 32), torch.arange(120)
    out, same = Photometric()(images, people)
    unchanged = (out - images).abs().flatten(1).amax(1) < 1e-3
    grey = (out[:, 0] == out[:, 1]).flatten(1).all(1)
    coarse = torch.tensor([len(image.round().unique()) <= 4 for image in out])
    for share in (unchanged, grey, coarse):
        assert 8 <= share.sum() <= 32  # a sixth of 120 is 20
    assert not (grey & coarse).any() and torch.equal(same, people) and out.min() >= 0 and out.max() <= 255
    both = Photometric(compose=True)(images, people)[0]
    assert ((both - images).abs().flatten(1).amax(1) < 1e-3).sum() < 12  # none of five changes: 1 in 32


def test_equalising_agrees_with_pillow():
    image = (pictures(1, 48)[0] // 3) + 40
    oracle = np.array(ImageOps.equalize(Image.fromarray(image.permute(1, 2, 0).numpy()))).astype(int)
    ours = Photometric().changes[4](image[None].float() / 255)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - oracle).mean() < 2
