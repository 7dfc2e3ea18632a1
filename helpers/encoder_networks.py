"""The networks that encoders are made of, by name, with an embedding layer at their end."""

import timm
import torch
import torchvision
from torch import nn

from .mamba import Mamba
from .mobilenet import FaceMobileNet

# ResNets of half the usual width: on two CPU cores the first learns four times as many faces a
# second as a ResNet-18. timm's resnet10t is, layer by layer:
#   conv1    three 3x3 convolutions, the first with stride 2: 3 -> 16 -> 16 -> 32 channels
#   maxpool  3x3, stride 2
#   layer1   a basic block (two 3x3 convolutions and a shortcut) of 32 channels
#   layer2   the same of 64, stride 2;  layer3 of 128, stride 2;  layer4 of 256, stride 2
#   global_pool and fc: the mean over all places, then one linear layer, the embedding
# with batch normalisation after each convolution and ReLU after it.
_HALF = {"channels": (32, 64, 128, 256), "stem_width": 16}
SMALL = {
    "resnet10_small": ("resnet10t", _HALF),
    "resnet18_small": ("resnet10t", _HALF | {"layers": (2, 2, 2, 2)}),
}


def new_network(
    name: str, dim: int | None, size: int, pretrained: bool, options: dict
) -> nn.Module:
    """A network by name that takes normalised faces (N, 3, size, size).

    Args:
        name: of SMALL, mamba, face_mobilenet, or a model of timm or torchvision.
        dim: outputs of its last linear layer; None leaves that out.
        size: side of the faces in pixels.
        pretrained: with the weights of its hub, learned on ImageNet.
        options: of the model itself.

    Raises:
        ValueError: there is no such network, weights or option.
    """
    if pretrained and (name in ("mamba", "face_mobilenet") or name in SMALL):
        raise ValueError(
            f"No ImageNet weights exist for the encoder '{name}': choose none, or the path of a "
            "saved one."
        )
    if name == "face_mobilenet":
        return FaceMobileNet(dim or 128, size)
    if name == "mamba":
        try:
            return Mamba(dim, **options)
        except TypeError as error:
            raise ValueError(
                f"The encoder 'mamba' takes width, depth and patch: {error}."
            ) from None
    name, small = SMALL.get(name, (name, {}))
    options = small | options
    if not timm.is_model(name) and name not in torchvision.models.list_models():
        raise ValueError(
            f"There is no encoder '{name}': choose {', '.join(SMALL)}, mamba, face_mobilenet, or "
            "any model of timm or torchvision."
        )
    try:
        if timm.is_model(name):
            return timm.create_model(name, pretrained=pretrained, num_classes=dim or 0, **options)
        net = torchvision.models.get_model(
            name, weights="DEFAULT" if pretrained else None, **options
        )
    except Exception as error:
        what = f"it does not take {options}"
        if pretrained:
            what = "its ImageNet weights can't be fetched; without a connection choose weights "
            what += '"none" (FACES_WEIGHTS=none)'
        raise ValueError(f"The encoder '{name}' can't be made: {what} ({error}).") from None
    replace_last_linear(net, dim)
    return net


def shrink_stem(net: nn.Module, name: str) -> None:
    """Make the first layers of a ResNet fit small faces: 3x3 convolution, no pooling; in place."""
    first = getattr(net, "conv1", None)
    if not (isinstance(first, (nn.Conv2d, nn.Sequential)) and hasattr(net, "maxpool")):
        raise ValueError(
            f"face_stem is for ResNets, with a pooling after the first layers; '{name}' is built "
            "otherwise."
        )
    if isinstance(first, nn.Conv2d):  # else it is three small ones already
        net.conv1 = nn.Conv2d(3, first.out_channels, 3, stride=2, padding=1, bias=False)
    net.maxpool = nn.Identity()


def flatten_head(net: nn.Module, name: str, dim: int, size: int) -> None:
    """Let the embedding layer of timm's ResNets see each place of the last map; in place."""
    if not (hasattr(net, "global_pool") and isinstance(getattr(net, "fc", None), nn.Linear)):
        raise ValueError(
            f"flat_head is for timm's ResNets with an embedding layer; '{name}' is built otherwise."
        )
    net.global_pool, net.fc = nn.Identity(), nn.Flatten()
    with torch.inference_mode():
        places = net.eval()(torch.zeros(1, 3, size, size)).shape[1]
    net.fc = nn.Sequential(nn.Flatten(), nn.Linear(places, dim))


def imagenet_colours(net: nn.Module, name: str) -> tuple:
    """Mean and deviation of each colour, 0 to 1, that a pretrained network expects."""
    if hasattr(net, "pretrained_cfg"):
        return net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
    expects = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return expects.mean, expects.std


def replace_last_linear(net: nn.Module, dim: int | None) -> None:
    """Swap the last nn.Linear of a network for one with `dim` outputs (None: nothing), in place."""
    name = [n for n, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    before = net.get_submodule(name)
    after = nn.Linear(before.in_features, dim) if dim else nn.Identity()
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, after)
