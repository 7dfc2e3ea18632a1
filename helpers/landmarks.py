"""Third station: the crop of a head -> heatmaps -> five landmarks, by a stacked hourglass.

Newell, Yang and Deng 2016, Stacked Hourglass Networks for Human Pose Estimation,
https://arxiv.org/abs/1603.06937
"""

import torch
import torch.nn.functional as F
from torch import nn

from . import gates

LANDMARK_NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
MIRRORED = [1, 0, 2, 4, 3]  # where each landmark stands in a mirrored picture
CROP, HEATMAP = 128, 64  # sides of the network's input and of its heatmaps, pixels
STRIDE = CROP // HEATMAP


def encode_heatmaps(
    landmarks: torch.Tensor, sigma: float = 2.0, size: int = HEATMAP
) -> torch.Tensor:
    """A picture for each landmark: a Gaussian of height 1 around its place.

    Args:
        landmarks: (..., 5, 2), x and y in pixels of a heatmap. One far outside leaves an empty map.
        sigma: the Gaussian's standard deviation, heatmap pixels.
        size: side of the heatmaps, pixels.

    Returns:
        Heatmaps (..., 5, size, size), 0 to 1.
    """
    axis = torch.arange(size, dtype=landmarks.dtype, device=landmarks.device)
    along_x = torch.exp(-((axis - landmarks[..., 0:1]) ** 2) / (2 * sigma**2))
    along_y = torch.exp(-((axis - landmarks[..., 1:2]) ** 2) / (2 * sigma**2))
    return along_y[..., :, None] * along_x[..., None, :]


def decode_heatmaps(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each heatmap's peak, with a fraction of a pixel.

    The logarithm of a Gaussian is a parabola, and three values give its top exactly: the highest
    pixel and its neighbours (the idea of DARK, Zhang et al. 2020,
    https://arxiv.org/abs/1910.06278).

    Args:
        heatmaps: (..., H, W).

    Returns:
        Landmarks (..., 2) in pixels of the heatmap, and the height of each peak (...).
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(-2).float()
    peak, index = flat.max(-1)
    x, y = index % width, index // width

    def offset(position: torch.Tensor, length: int, step: int) -> torch.Tensor:
        inside = (position > 0) & (position < length - 1)
        step = step * inside
        before, here, after = (
            flat.gather(-1, (index + k * step)[..., None])[..., 0].clamp(min=1e-6).log()
            for k in (-1, 0, 1)
        )
        bend = (2 * here - before - after).clamp(min=1e-6)
        return ((after - before) / (2 * bend)).clamp(-0.5, 0.5) * inside

    return torch.stack([x + offset(x, width, 1), y + offset(y, height, width)], -1), peak


def to_heatmap_pixels(landmarks: torch.Tensor) -> torch.Tensor:
    """Pixels of the 128x128 crop -> pixels of its 64x64 heatmap; centres are whole numbers."""
    return (landmarks + 0.5) / STRIDE - 0.5


def to_crop_pixels(landmarks: torch.Tensor) -> torch.Tensor:
    """Pixels of the 64x64 heatmap -> pixels of the 128x128 crop."""
    return (landmarks + 0.5) * STRIDE - 0.5


class Residual(nn.Module):
    """Bottleneck residual with normalisation first: 1x1 to half the channels, 3x3, 1x1 back."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, outputs, 1, bias=False),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.skip(x)


class Hourglass(nn.Module):
    """Down and up again: each level halves the picture, works on it, and adds what it skipped.

    Args:
        depth: how many levels, one inside the other.
        channels: width of the outermost level.
        grow: how many channels each level has more than the one above: small pictures have room
            for them at little cost.
    """

    def __init__(self, depth: int, channels: int, grow: int = 0):
        super().__init__()
        wider = channels + grow
        self.skip = Residual(channels, channels)
        self.down = Residual(channels, wider)
        self.inner = Hourglass(depth - 1, wider, grow) if depth > 1 else Residual(wider, wider)
        self.up = Residual(wider, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(inner, scale_factor=2)


class StackedHourglass(nn.Module):
    """Crops uint8 (N, 3, S, S) -> heatmaps (N, stacks, 5, 64, 64); the last stack is the answer.

    Args:
        channels: width of every layer (the student system had 16).
        stacks: hourglasses one after another, each given the one before's features and heatmaps.
        depth: halvings inside each.
        grow: further channels at each halving.
    """

    def __init__(self, channels: int = 64, stacks: int = 1, depth: int = 4, grow: int = 0):
        super().__init__()
        channels, stacks = gates.count(channels, "channels"), gates.count(stacks, "stacks")
        self.settings = {"channels": channels, "stacks": stacks, "depth": depth, "grow": grow}
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels // 2, 5, stride=2, padding=2),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            Residual(channels // 2, channels),
        )
        self.hourglasses = nn.ModuleList(
            nn.Sequential(
                Hourglass(depth, channels, grow),
                Residual(channels, channels),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for _ in range(stacks)
        )
        # without the normalisation just above, the heads stay at "all zeros" for epochs
        self.heads = nn.ModuleList(nn.Conv2d(channels, 5, 1) for _ in range(stacks))
        self.remember = nn.ModuleList(
            nn.Conv2d(channels + 5, channels, 1) for _ in range(stacks - 1)
        )
        self.to(memory_format=torch.channels_last)  # convolutions are faster so, on CPUs and GPUs

    def prepare(self, crops: torch.Tensor) -> torch.Tensor:
        """Crops (N, 3, S, S), 0 to 255 -> what the network takes: brightness (N, 1, 128, 128).

        It goes from -1 to 1, and colour and grey photos are alike to the network.
        """
        red, green, blue = (crops[:, i : i + 1].float() for i in range(3))
        x = (0.299 * red + 0.587 * green + 0.114 * blue) / 127.5 - 1
        if x.shape[-1] != CROP:
            x = F.interpolate(x, (CROP, CROP), mode="bilinear", antialias=True)
        return x.contiguous(memory_format=torch.channels_last)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        x, heatmaps = self.stem(self.prepare(crops)), []
        for i, (hourglass, head) in enumerate(zip(self.hourglasses, self.heads)):
            features = hourglass(x)
            heatmaps.append(head(features))
            if i < len(self.remember):
                x = x + self.remember[i](torch.cat([features, heatmaps[-1]], 1))
        return torch.stack(heatmaps, 1)


class HeatmapLoss(nn.Module):
    """Squared error between heatmaps (N, stacks, 5, 64, 64) and those of landmarks (N, 5, 2).

    A map is almost all background, so "all zeros" is cheap: peaks weigh 1 + 20 g to make it dear.
    The landmarks are in pixels of the crop. The log holds `relative_loss`, the loss as a share of
    what all zeros would cost, and `peak`, the highest value.
    """

    def __init__(self, sigma: float = 2.0):
        super().__init__()
        gates.check_range(0.1, CROP, sigma=sigma)
        self.sigma = sigma

    def forward(
        self, heatmaps: torch.Tensor, landmarks: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        goal = encode_heatmaps(to_heatmap_pixels(landmarks), self.sigma)[:, None]
        weight = 1 + 20 * goal
        loss = (weight * (heatmaps.float() - goal) ** 2).mean()
        floor = (weight * goal**2).mean()
        return loss, {
            "relative_loss": (loss / floor).detach(),
            "peak": heatmaps.detach().max().float(),
        }

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}"


@torch.inference_mode()
def predict_landmarks(
    model: StackedHourglass, crops: torch.Tensor, mirror: bool = False, batch_size: int = 16
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the landmarks of heads.

    Args:
        crops: uint8 (N, 3, S, S).
        mirror: take the mean of the heatmaps of the crop and of its mirror image, for twice the
            time and a steadier answer.
        batch_size: how many crops go through the network together.

    Returns:
        Landmarks (N, 5, 2) in pixels of the crops, and the height of each peak (N, 5), on the CPU.
    """
    model.eval()

    def heatmaps(batch: torch.Tensor) -> torch.Tensor:
        plain = model(batch)[:, -1]
        if not mirror:
            return plain
        mirrored = model(batch.flip(-1))[:, -1]
        return (plain + mirrored.flip(-1)[:, MIRRORED]) / 2

    device = next(model.parameters()).device
    landmarks, peaks = zip(
        *(decode_heatmaps(heatmaps(batch.to(device))) for batch in crops.split(batch_size))
    )
    scale = crops.shape[-1] / CROP
    return (to_crop_pixels(torch.cat(landmarks)) + 0.5).cpu() * scale - 0.5, torch.cat(peaks).cpu()


def nme(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Normalised mean error (N,): the landmarks' mean distance over that of the true eyes.

    Args:
        predicted, truth: landmarks (N, 5, 2) in the same pixels.
    """
    eyes = (truth[..., 0, :] - truth[..., 1, :]).norm(dim=-1)
    return (predicted - truth).norm(dim=-1).mean(-1) / eyes
