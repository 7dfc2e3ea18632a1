"""The scan equals the recurrence, step by step in float64, and looks only back."""

import pytest
import torch

from helpers.encoders import Encoder
from helpers.mamba import Mamba, MambaBlock, selective_scan


def step_by_step(x, log_decay, B, C):
    state = x.new_zeros(x.shape[0], x.shape[2], x.shape[3], B.shape[2])
    rows = []
    for t in range(x.shape[1]):
        state = (
            log_decay[:, t, :, None, None].exp() * state + x[:, t, :, :, None] * B[:, t, None, None]
        )
        rows.append((state * C[:, t, None, None]).sum(-1))
    return torch.stack(rows, 1)


def inputs(dtype, n=2, t=50, heads=3, p=4, s=5):
    draw = torch.Generator().manual_seed(0)
    x, B, C = (
        torch.randn(n, t, *shape, generator=draw, dtype=dtype) for shape in ((heads, p), (s,), (s,))
    )
    return x, -torch.rand(n, t, heads, generator=draw, dtype=dtype) * 3, B, C


def test_the_scan_is_the_recurrence():
    given = [value.requires_grad_() for value in inputs(torch.float64)]
    truth = step_by_step(*given)
    ours = selective_scan(*given)
    assert torch.allclose(ours, truth, atol=1e-10)
    towards = torch.randn_like(truth)
    for mine, theirs in zip(
        torch.autograd.grad(ours, given, towards), torch.autograd.grad(truth, given, towards)
    ):
        assert torch.allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_block_looks_one_way_only(reverse):
    torch.manual_seed(0)
    block = MambaBlock(32, reverse=reverse)
    tokens = torch.randn(1, 20, 32)
    changed = tokens.clone()
    changed[:, 10] = torch.randn(32)
    moved = (block(tokens) - block(changed)).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [(k <= 10) if reverse else (k >= 10) for k in range(20)]


def test_slopes_are_finite_and_bfloat16_is_near():
    torch.manual_seed(0)
    model = Mamba(16, width=64, depth=2)
    pictures = torch.randn(4, 3, 64, 64)
    model(pictures).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    exact = model.eval()(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(pictures)
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_mamba_is_an_encoder_by_name():
    encoder = Encoder("mamba", 128, 112).eval()
    assert encoder(torch.zeros(2, 3, 112, 112, dtype=torch.uint8)).shape == (2, 128)
    assert Encoder("mamba", None, 112, width=64).dim == 64


def test_first_steps_are_from_a_thousandth_to_a_tenth():
    steps = torch.nn.functional.softplus(MambaBlock(128).step_bias)
    assert steps[0].item() == pytest.approx(0.001, rel=0.02) and steps[-1].item() == pytest.approx(
        0.1, rel=0.02
    )
    assert torch.allclose(
        steps.log().diff(), steps.log().diff()[0].expand(len(steps) - 1), atol=1e-3
    )


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_the_side_of_a_patch_is_a_setting(patch):
    encoder = Encoder("mamba", 8, 32, width=16, depth=1, patch=patch)
    seen = []
    encoder.net.mambas[0].register_forward_hook(lambda module, given, made: seen.append(made.shape))
    encoder(torch.zeros(2, 3, 32, 32))
    assert seen == [(2, (32 // patch) ** 2, 16)]
    for wrong in (3, 0, 1, 12, 64):
        with pytest.raises(ValueError, match="A patch of 'mamba'"):
            Encoder("mamba", 8, 32, width=16, depth=1, patch=wrong)
