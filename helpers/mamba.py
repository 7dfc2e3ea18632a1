"""A face read as a sequence of patches by selective state spaces: the encoder `mamba`.

Mamba, Gu and Dao 2023, https://arxiv.org/abs/2312.00752, with the scan of Mamba-2, Dao and Gu 2024,
https://arxiv.org/abs/2405.21060: with one decay for each head, the whole recurrence is one masked
matrix product.
"""

import torch
import torch.nn.functional as F
from torch import nn


def selective_scan(
    x: torch.Tensor, log_decay: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> torch.Tensor:
    """The recurrence h_t = exp(log_decay_t) h_(t-1) + B_t x_t, y_t = C_t h_t, for all t at once.

    What step s leaves for step t is C_t.B_s times all decays in between: a lower triangular (T, T)
    matrix, fine for the few hundred patches of a face.

    Args:
        x: inputs (N, T, heads, P).
        log_decay: (N, T, heads), not above 0.
        B: (N, T, S), how the input is written into the state, which is 0 at first.
        C: (N, T, S), how the state is read.

    Returns:
        y (N, T, heads, P).
    """
    wide = torch.promote_types(log_decay.dtype, torch.float32)
    total = log_decay.to(wide).cumsum(1).transpose(1, 2)
    between = total[..., :, None] - total[..., None, :]
    past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    decay = between.masked_fill(~past, -torch.inf).exp().to(x.dtype)  # (N, heads, T, T)
    weights = decay * (C @ B.mT)[:, None]
    return torch.einsum("nhts,nshp->nthp", weights, x)


class MambaBlock(nn.Module):
    """Tokens (N, T, dim) -> the same, with a residual: what is kept of the past depends on each.

    reverse: read from the last token to the first, since a picture has no reading direction.
    """

    def __init__(
        self, dim: int, state: int = 16, head: int = 32, expand: int = 2, reverse: bool = False
    ):
        super().__init__()
        self.inner, self.state, self.head, self.reverse = dim * expand, state, head, reverse
        heads = self.inner // head
        self.norm = nn.LayerNorm(dim)
        self.split = [self.inner, self.inner + 2 * state, heads]
        self.enter = nn.Linear(dim, sum(self.split), bias=False)
        self.mix = nn.Conv1d(self.split[1], self.split[1], 4, groups=self.split[1], padding=3)
        self.log_rate = nn.Parameter(torch.linspace(1, 16, heads).log())
        step = torch.linspace(-6.9, -2.3, heads).exp()  # 0.001 to 0.1 at first, as in the paper
        self.step_bias = nn.Parameter(step.expm1().log())
        self.direct = nn.Parameter(torch.ones(heads))
        self.out_norm = nn.RMSNorm(self.inner)
        self.leave = nn.Linear(self.inner, dim, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.norm(tokens.flip(1) if self.reverse else tokens)  # (N, T, dim)
        gate, x, step = self.enter(x).split(self.split, -1)
        # each token with the three before it; the convolution runs on beyond the last one
        mixed = self.mix(x.mT)[..., : x.shape[1]].mT
        x, B, C = F.silu(mixed).split([self.inner, self.state, self.state], -1)
        x = x.unflatten(-1, (-1, self.head))  # (N, T, inner) -> (N, T, heads, head)
        step = F.softplus(step.float() + self.step_bias)  # (N, T, heads), above 0
        log_decay = -self.log_rate.exp() * step
        y = selective_scan(x * step[..., None].to(x.dtype), log_decay, B, C)
        y = y + self.direct[:, None].to(x.dtype) * x
        y = y.flatten(-2) * F.silu(gate)  # (N, T, inner)
        y = self.leave(self.out_norm(y.float()))
        return tokens + (y.flip(1) if self.reverse else y)


class ConvBlock(nn.Module):
    """Pictures (N, dim, H, W) -> the same: 3x3 convolutions with normalisation, and a residual."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            nn.BatchNorm2d(dim),
            nn.Conv2d(dim, 2 * dim, 1, bias=False),
            nn.BatchNorm2d(2 * dim),
            nn.GELU(),
            nn.Conv2d(2 * dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Mamba(nn.Module):
    """Normalised faces, floats (N, 3, H, W), -> (N, outputs).

    Convolutions cut the face into patches; then convolution and Mamba blocks alternate.

    Args:
        outputs: size of the embedding; 0 or None leaves its layer out.
        width: channels of a patch.
        depth: how many pairs of blocks.
        patch: side of a patch in pixels, a power of two. Time and memory grow with the square of
            the number of patches.

    Raises:
        ValueError: patch is no power of two from 2 to width.
    """

    def __init__(self, outputs: int = 128, width: int = 128, depth: int = 4, patch: int = 8):
        super().__init__()
        halvings = int(patch).bit_length() - 1
        if patch < 2 or 2**halvings != patch or width < 2**halvings:
            raise ValueError(
                "A patch of 'mamba' has a side of 2, 4, 8, 16, ... pixels, not more than its width "
                f"({width}); it is {patch}."
            )
        sizes = (3, *(width >> k for k in reversed(range(halvings))))
        self.patches = nn.Sequential()  # each step halves the side
        for inputs, channels in zip(sizes, sizes[1:]):
            self.patches.append(nn.Conv2d(inputs, channels, 3, stride=2, padding=1, bias=False))
            self.patches.append(nn.BatchNorm2d(channels))
            self.patches.append(nn.GELU())
        self.convs = nn.ModuleList(ConvBlock(width) for _ in range(depth))
        self.mambas = nn.ModuleList(
            nn.Sequential(MambaBlock(width), MambaBlock(width, reverse=True)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs) if outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x)
        for conv, mamba in zip(self.convs, self.mambas):
            x = conv(x)
            x = mamba(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])
        return self.head(self.norm(x.mean((2, 3))))
