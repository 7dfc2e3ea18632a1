"""A MobileNet for faces: cheap convolutions, full resolution at first, a flat embedding layer.

MobileNets, Howard et al. 2017, https://arxiv.org/abs/1704.04861, with the changes that face
recognition makes to them (insightface's `fmobilenet`, the network of OpenCV's SFace): PReLU in
place of ReLU, no stride in the first layer since a face of 112 pixels is small already, and no
pooling at the end.
"""

import platform
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_weights

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


class ConvBlock(nn.Sequential):
    """A convolution with batch normalisation and PReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.PReLU(outputs),
        )


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3x3 filter for each channel on its own, then a 1x1 convolution that mixes the channels."""
    return nn.Sequential(
        ConvBlock(inputs, inputs, 3, stride, groups=inputs), ConvBlock(inputs, outputs, 1)
    )


class FaceMobileNet(nn.Module):
    """Normalised faces, float (N, 3, size, size), -> features (N, dim).

    9.6 million parameters at 112 pixels and dim 128. The last feature map is flattened, not
    averaged: on an aligned face each of its places always shows the same part of the face. Two
    thirds of all parameters are in that embedding layer, and it fits faces of one size only.
    """

    def __init__(self, dim: int = 128, size: int = 112):
        super().__init__()
        layers, channels, side = [ConvBlock(3, 32, 3)], 32, size
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
        if runs_on_onednn(self, faces):
            maps = onednn_features(self, faces)
        else:
            maps = self.features(faces)
        return self.norm_embedding(self.embedding(self.norm(maps).flatten(1)))

    def train(self, mode: bool = True) -> "FaceMobileNet":
        """As in torch; the weights are about to change, so what was prepared from them goes."""
        if mode:
            _prepared.pop(self, None)
        return super().train(mode)


def runs_on_onednn(network: FaceMobileNet, faces: torch.Tensor) -> bool:
    """Whether only embeddings are wanted, in float32, on a processor where oneDNN was measured."""
    return (
        faces.device.type == "cpu"
        and faces.dtype == torch.float32
        and not (network.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        and not next(network.parameters()).is_inference()  # such weights don't count their changes
        and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
        and torch.backends.mkldnn.is_available()
        and platform.machine() in ("x86_64", "AMD64")
    )


_prepared = WeakKeyDictionary()  # networks -> (the state of their weights, what was made of them)


def onednn_features(network: FaceMobileNet, faces: torch.Tensor) -> torch.Tensor:
    """The last feature maps as oneDNN computes them, in little more than half of the time.

    Each batch normalisation is folded into the convolution before it, and the maps stay in oneDNN's
    own layout from the first layer to the last. What is prepared for it is made anew as soon as a
    weight has changed.
    """
    state = tuple((t.data_ptr(), t._version) for t in network.features.state_dict().values())
    if network not in _prepared or _prepared[network][0] != state:
        blocks = [layer for layer in network.modules() if isinstance(layer, ConvBlock)]
        _prepared[network] = state, [onednn_weights(*block) for block in blocks]
    maps = faces.contiguous().to_mkldnn()
    for weight, bias, slope, (stride, padding, groups) in _prepared[network][1]:
        maps = torch.mkldnn_convolution(maps, weight, bias, padding, stride, (1, 1), groups)
        maps = torch.prelu(maps, slope)
    return maps.to_dense()


def onednn_weights(conv: nn.Conv2d, norm: nn.BatchNorm2d, activation: nn.PReLU) -> tuple:
    """Of one block of `conv`: weight, bias and slope for oneDNN; (stride, padding, groups)."""
    weight, bias = fuse_conv_bn_weights(
        conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    tensors = (t.detach().contiguous().to_mkldnn() for t in (weight, bias, activation.weight))
    return *tensors, (conv.stride, conv.padding, conv.groups)
