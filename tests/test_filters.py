"""Grey, blur and tint, of which there is one implementation each."""

import numpy as np
import torch
from PIL import Image

from helpers.filters import blur, grey, tint


def test_grey_is_pillows_luma():
    picture = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    image = Image.fromarray(picture[0].permute(1, 2, 0).byte().numpy())
    assert np.abs(grey(picture.float())[0, 0].numpy() - np.array(image.convert("L"))).max() <= 1


def test_each_picture_is_blurred_by_its_own_sigma():
    dot = torch.zeros(2, 3, 41, 41)
    dot[:, :, 20, 20] = 1
    out = blur(dot, torch.tensor([1.0, 2.0]), radius=9)
    axis = torch.arange(41.0) - 20
    sigma = ((out[:, 0].sum(1) * axis**2).sum(1)).sqrt()
    assert torch.allclose(sigma, torch.tensor([1.0, 2.0]), atol=0.02)


def test_a_tint_scales_channels_within_its_strength():
    torch.manual_seed(0)
    factor = tint(torch.ones(200, 3, 2, 2), 0.3).log()
    assert 0.29 < factor.abs().max() <= 0.3 and torch.equal(factor[..., 0, 0], factor[..., 1, 1])
