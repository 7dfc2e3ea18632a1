"""Fifth station: straight face -> embedding. Any torchvision or timm model by name, normalisation inside."""
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

# a ResNet-10 of half the usual width: on two CPU cores it learns four times as many faces a second as a ResNet-18
SMALL = {"resnet10_small": ("resnet10t", {"channels": (32, 64, 128, 256), "stem_width": 16})}


class Encoder(nn.Module):
    """uint8 faces (N, 3, H, W), or floats of values 0 to 255, -> features (N, dim), not yet of unit length.

    name: `resnet10_small`, or a timm or torchvision model; its last linear layer is replaced by one with `dim`
    outputs, or left out if dim is None.  size: side in pixels that faces are brought to first.  options go to the
    model itself.
    """

    def __init__(self, name="resnet18", dim=128, size=64, pretrained=False, **options):
        super().__init__()
        self.settings = {"name": name, "dim": dim, "size": size, **options}
        self.size = size
        name, small = SMALL.get(name, (name, {}))
        options = small | options
        if not timm.is_model(name) and name not in torchvision.models.list_models():
            raise ValueError(f"There is no encoder '{name}': choose resnet10_small, or any model of timm or torchvision.")
        try:
            if timm.is_model(name):
                self.net = timm.create_model(name, pretrained=pretrained, num_classes=dim or 0, **options)
                self.dim = dim or self.net.num_features
            else:
                self.net = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
                self.dim = replace_last_linear(self.net, dim)
        except Exception as error:
            what = "its trained weights can't be fetched" if pretrained else f"it does not take {options}"
            raise ValueError(f"The encoder '{name}' can't be made: {what} ({error}).") from None

    def prepare(self, faces):
        """What the network itself takes: floats from -1 to 1, (N, 3, size, size)."""
        x = faces.float() / 127.5 - 1
        if x.shape[-1] != self.size:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        return x.contiguous(memory_format=torch.channels_last)  # convolutions are faster so, on CPUs and GPUs

    def forward(self, faces, attn_mask=None):
        hidden = {} if attn_mask is None else {"attn_mask": attn_mask}
        return self.net(self.prepare(faces), **hidden)


def replace_last_linear(net, dim):
    """Swap the last nn.Linear of a network for one with `dim` outputs (None: for nothing); return the new width."""
    name = [n for n, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, child = net.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    inputs = net.get_submodule(name).in_features
    setattr(parent, child, nn.Linear(inputs, dim) if dim else nn.Identity())
    return dim or inputs


def unfreeze_last(encoder, blocks):
    """Freeze a timm ViT but for its last blocks, the final norm and the head; return how many numbers stay free.

    Nothing before the first free block asks for a slope, so its activations are not kept either.
    """
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    net = encoder.net
    for module in [*net.blocks[max(0, len(net.blocks) - blocks):], net.norm, net.fc_norm, net.head]:
        for parameter in module.parameters():
            parameter.requires_grad = True
    return sum(p.numel() for p in encoder.parameters() if p.requires_grad)


@torch.inference_mode()
def embed(encoder, faces, mirror=True, attn_mask=None, batch_size=32):
    """Unit embeddings, float32 (N, dim) on the CPU, of uint8 faces (N, 3, H, W).

    mirror: take the mean of the face and its mirror image, which costs twice the time and steadies the answer.
    attn_mask: one mask (1, 1, T, T) for all faces, for transformers.
    """
    if mirror and attn_mask is not None:
        raise ValueError("A mask fits the face as it stands, not its mirror image: call embed with mirror=False.")
    encoder.eval()
    device = next(encoder.parameters()).device
    attn_mask = None if attn_mask is None else attn_mask.to(device)
    parts = [torch.zeros(0, encoder.dim)]
    for batch in torch.as_tensor(faces).split(batch_size):
        batch = batch.to(device)
        unit = F.normalize(encoder(batch, attn_mask).float())
        if mirror:
            unit = F.normalize(unit + F.normalize(encoder(batch.flip(-1), attn_mask).float()))
        parts.append(unit.cpu())
    return torch.cat(parts).numpy()
