"""A MobileNet for faces: cheap convolutions, full resolution at first, a flat embedding layer.

MobileNets, Howard et al. 2017, https://arxiv.org/abs/1704.04861, with the changes that face
recognition makes to them (insightface's `fmobilenet`, the network of OpenCV's SFace): PReLU in
place of ReLU, no stride in the first layer since a face of 112 pixels is small already, and no
pooling at the end.
"""

import torch
from torch import nn

# output channels and stride of each depthwise separable block; 112x112 -> 56 -> 28 -> 14 -> 7
BLOCKS = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
]
PIECE = 8  # faces at once on a CPU, whose cache then holds the maps: three times as fast as 64


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation and PReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
        nn.PReLU(outputs),
    )


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3x3 filter for each channel on its own, then a 1x1 convolution that mixes the channels."""
    return nn.Sequential(conv(inputs, inputs, 3, stride, groups=inputs), conv(inputs, outputs, 1))


class FaceMobileNet(nn.Module):
    """Normalised faces, float (N, 3, size, size), -> features (N, dim).

    9.6 million parameters at 112 pixels and dim 128. The last feature map is flattened, not
    averaged: on an aligned face each of its places always shows the same part of the face. Two
    thirds of all parameters are in that embedding layer, and it fits faces of one size only.
    """

    def __init__(self, dim: int = 128, size: int = 112):
        super().__init__()
        layers, channels, side = [conv(3, 32, 3)], 32, size
        for outputs, stride in BLOCKS:
            layers.append(separable(channels, outputs, stride))
            channels, side = outputs, -(-side // stride)
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(channels, eps=2e-5)
        self.embedding = nn.Linear(channels * side * side, dim)
        self.norm_embedding = nn.BatchNorm1d(dim, eps=2e-5)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        if faces.device.type == "cpu" and not self.training and len(faces) > PIECE:
            return torch.cat([self(piece) for piece in faces.split(PIECE)])
        maps = self.norm(self.features(faces))
        return self.norm_embedding(self.embedding(maps.flatten(1)))
