"""Freezing the first layers of an encoder, in the order of the picture's way."""

from torch import nn

# what timm and torchvision call a row of blocks
_CONTAINERS = ("features", "blocks", "stages", "layers")


def layers_of(net: nn.Module) -> list:
    """The layers of a network from input to output, the embedding layer among the last of them.

    ResNets and their kin: their children: convolution, norm, activation and pooling, then the four
    stages (8 before the last pooling and the embedding layer). All others: the layers with weights,
    each block for itself: mobilenet_v2 has 19 and the embedding, efficientnet_b0 11, a transformer
    of 12 blocks 14 (the patches first, the last norm at the end), `mamba` one for the patches and
    two for each level.
    """
    if hasattr(net, "convs") and hasattr(net, "mambas"):
        levels = [block for level in zip(net.convs, net.mambas) for block in level]
        return [net.patches, *levels, net.norm, net.head]
    if hasattr(net, "layer1") and hasattr(net, "layer4"):
        return list(net.children())
    layers = []
    for name, child in net.named_children():
        in_a_row = name in _CONTAINERS and isinstance(child, (nn.Sequential, nn.ModuleList))
        layers += list(child) if in_a_row else [child]
    return [layer for layer in layers if any(True for _ in layer.parameters())]


class LayerFreezer:
    """Freeze the first layers of an encoder in each epoch.

    Frozen layers keep their weights and, in batch normalisation, their statistics.

    Args:
        layers: how many, as `layers_of` counts them: layers[i] in epoch i, then the last entry.

    Raises:
        ValueError: a number is no whole number of 0 or more, or (when called) the embedding layer
            would be frozen, so that nothing of the encoder would learn.
    """

    def __init__(self, layers: list[int]):
        self.layers = list(layers)
        if not self.layers or any(isinstance(n, bool) or n != int(n) or n < 0 for n in self.layers):
            raise ValueError(
                "How many layers are frozen in each epoch is a list of whole numbers of 0 or more, "
                f"such as [7, 7, 5, 2]; it is {self.layers}."
            )

    def __call__(self, encoder: nn.Module, epoch: int) -> None:
        layers = layers_of(encoder.net)
        learns = [any(isinstance(m, nn.Linear) for m in layer.modules()) for layer in layers]
        if not any(learns):  # without an embedding layer, the last one that has weights
            learns = [any(True for _ in layer.parameters()) for layer in layers]
        last = max(k for k, yes in enumerate(learns) if yes)
        if max(self.layers) > last:
            raise ValueError(
                f"This network has {last} layers before its embedding layer, which has to learn, "
                f"but the list {self.layers} would freeze {max(self.layers)}: freeze {last} "
                "at most."
            )
        frozen = self.layers[min(epoch, len(self.layers) - 1)]
        for layer in layers[:frozen]:
            layer.requires_grad_(False)
            layer.eval()
        if frozen:  # a transformer's class token and positions belong to its first layer
            for parameter in encoder.net.parameters(recurse=False):
                parameter.requires_grad_(False)

    def __repr__(self):
        return f"LayerFreezer({self.layers})"
