"""Fifth station: aligned face -> embedding. Any torchvision or timm model by name, normalisation inside."""

from pathlib import Path

import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import nn

from .attention import RegionDropout
from .freezing import LayerFreezer  # noqa: F401  a part of this module too
from .ingredients import digest
from .mamba import Mamba
from .mobilenet import FaceMobileNet

# ResNets of half the usual width: on two CPU cores the first learns four times as many faces a second as a ResNet-18
_HALF = {"channels": (32, 64, 128, 256), "stem_width": 16}
SMALL = {
    "resnet10_small": ("resnet10t", _HALF),
    "resnet18_small": ("resnet10t", _HALF | {"layers": (2, 2, 2, 2)}),
}


class Encoder(nn.Module):
    """uint8 faces (N, 3, H, W), or floats of values 0 to 255, -> features (N, dim), not yet of unit length.

    name: `resnet10_small`, `resnet18_small`, `mamba`, `face_mobilenet`, or a timm or torchvision model; its last linear
    layer is replaced by one with `dim` outputs, or left out if dim is None.  size: side in pixels that faces are brought to first.
    weights: "none", "imagenet" (the model's own, fetched from its hub), or the path of an encoder of the same name
    that this course saved; of it, everything is taken whose shape fits. A resnet18_small also grows out of a
    resnet10_small: its further blocks add nothing at first, and learn from there.
    face_stem: for ResNets, 3x3 convolutions first and no pooling after them, so that small faces are not thinned out.
    flat_head: for ResNets, no mean over the last map: on an aligned face each of its places is always the same part of
    the face, and the embedding layer weighs them one by one (as in ArcFace's networks). It then fits this size alone.
    hide: for vision transformers, regions such as ("all", "head", "face"): in training each batch sees one of them only.
    mirror: whether `embed` takes the mean with the mirror image unless told otherwise; strong networks gain nothing by it.
    options go to the model itself.
    """

    def __init__(
        self,
        name="resnet18",
        dim=128,
        size=64,
        weights="none",
        face_stem=False,
        flat_head=False,
        hide=(),
        mirror=True,
        **options,
    ):
        super().__init__()
        self.settings = {
            "name": name,
            "dim": dim,
            "size": size,
            "face_stem": face_stem,
            "flat_head": flat_head,
            **options,
        }
        self.size, self.mirror = size, mirror
        if not mirror:
            self.settings["mirror"] = False
        self.net = _new_net(name, dim, size, weights == "imagenet", options)
        if face_stem:
            _shrink_stem(self.net, name)
        if flat_head:
            _flatten_head(self.net, name, dim, size)
        if hide:
            self.settings["hide"] = list(hide)
            self.net.patch_drop = RegionDropout(hide, self._patches("hide is").grid_size[0])
        mean, std = (
            _imagenet_colours(self.net, name) if weights == "imagenet" else ((0.5,) * 3, (0.5,) * 3)
        )
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255)
        if weights not in ("none", "imagenet"):
            load_what_fits(self, weights)
        with torch.inference_mode():
            self.dim = dim or self.eval()(torch.zeros(1, 3, size, size)).shape[1]
        self.train()

    def prepare(self, faces):
        """What the network itself takes: floats (N, 3, size, size), normalised as its weights expect it."""
        x = (faces.float() - self.mean) / self.std
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        return x.contiguous(
            memory_format=torch.channels_last
        )  # convolutions are faster so, on CPUs and GPUs

    def forward(self, faces, attn_mask=None):
        if attn_mask is None:
            return self.net(self.prepare(faces))
        tokens = self._patches("An attention mask is").num_patches + self.net.num_prefix_tokens
        fits = attn_mask.shape[1:] == (1, tokens, tokens) and len(attn_mask) in (1, len(faces))
        if attn_mask.dtype != torch.bool or not fits:
            raise ValueError(
                f"This transformer wants masks of shape (1 or {len(faces)}, 1, {tokens}, {tokens}) and type "
                f"bool, as attention_mask makes them; this one is {attn_mask.dtype} {tuple(attn_mask.shape)}."
            )
        return self.net(self.prepare(faces), attn_mask=attn_mask)

    def _patches(self, what):
        """The patch embedding of a vision transformer; a ValueError for other networks."""
        if not hasattr(self.net, "patch_embed") or not hasattr(self.net, "num_prefix_tokens"):
            raise ValueError(f"{what} for vision transformers; '{self.settings['name']}' is none.")
        return self.net.patch_embed


def _new_net(name, dim, size, pretrained, options):
    if pretrained and (name in ("mamba", "face_mobilenet") or name in SMALL):
        raise ValueError(
            f"No ImageNet weights exist for the encoder '{name}': choose none, or the path of a saved one."
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
            f"There is no encoder '{name}': choose {', '.join(SMALL)}, mamba, face_mobilenet, or any model of timm or "
            "torchvision."
        )
    try:
        if timm.is_model(name):
            return timm.create_model(name, pretrained=pretrained, num_classes=dim or 0, **options)
        net = torchvision.models.get_model(
            name, weights="DEFAULT" if pretrained else None, **options
        )
    except Exception as error:
        what = (
            'its ImageNet weights can\'t be fetched; without a connection choose weights "none" (FACES_WEIGHTS=none)'
            if pretrained
            else f"it does not take {options}"
        )
        raise ValueError(f"The encoder '{name}' can't be made: {what} ({error}).") from None
    replace_last_linear(net, dim)
    return net


def _shrink_stem(net, name):
    first = getattr(net, "conv1", None)
    if not (isinstance(first, (nn.Conv2d, nn.Sequential)) and hasattr(net, "maxpool")):
        raise ValueError(
            f"face_stem is for ResNets, with a pooling after the first layers; '{name}' is built otherwise."
        )
    if isinstance(first, nn.Conv2d):  # else it is three small ones already
        net.conv1 = nn.Conv2d(3, first.out_channels, 3, stride=2, padding=1, bias=False)
    net.maxpool = nn.Identity()


def _flatten_head(net, name, dim, size):
    if not (hasattr(net, "global_pool") and isinstance(getattr(net, "fc", None), nn.Linear)):
        raise ValueError(
            f"flat_head is for timm's ResNets with an embedding layer; '{name}' is built otherwise."
        )
    net.global_pool, net.fc = nn.Identity(), nn.Flatten()
    with torch.inference_mode():
        places = net.eval()(torch.zeros(1, 3, size, size)).shape[1]
    net.fc = nn.Sequential(nn.Flatten(), nn.Linear(places, dim))


def _imagenet_colours(net, name):
    if hasattr(net, "pretrained_cfg"):
        return net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
    expects = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return expects.mean, expects.std


def load_what_fits(encoder, path):
    """Load the encoder of a saved model or run where names and shapes agree; ValueError if less than half of them do."""
    try:
        saved = {key.removeprefix("model."): value for key, value in load_file(path).items()}
    except Exception as error:
        raise ValueError(
            f"{path} holds no weights of an encoder that can be read ({type(error).__name__})."
        ) from None
    own = encoder.state_dict()
    fits = {
        key: value for key, value in saved.items() if key in own and own[key].shape == value.shape
    }
    if len(fits) < len(own) / 2:
        raise ValueError(
            f"{path} is of another encoder: only {len(fits)} of {len(own)} tensors fit "
            f"'{encoder.settings['name']}'."
        )
    left = [key for key in own if key not in fits]
    if left:
        print(
            f"{Path(path).name}: {len(fits)} of {len(own)} tensors are taken; as they were stay {', '.join(left[:4])}"
            f"{f' and {len(left) - 4} more' if len(left) > 4 else ''}."
        )
    encoder.load_state_dict(own | fits)


def weights_id(network):
    """Eight letters that stand for a network, its settings and its weights: another size or training, another id."""
    settings = (
        f"{getattr(network, 'settings', type(network).__name__)} {getattr(network, 'mirror', True)}"
    )
    return digest(settings, *(part for item in network.state_dict().items() for part in item))[:8]


def replace_last_linear(net, dim):
    """Swap the last nn.Linear of a network for one with `dim` outputs (None: for nothing)."""
    name = [n for n, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, child = net.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    setattr(
        parent, child, nn.Linear(net.get_submodule(name).in_features, dim) if dim else nn.Identity()
    )


def unfreeze_last(encoder, blocks):
    """Freeze a timm ViT but for its last blocks, the final norm and the head; return how many numbers stay free.

    Nothing before the first free block asks for a slope, so its activations are not kept either.
    """
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    net = encoder.net
    for module in [
        *net.blocks[max(0, len(net.blocks) - blocks) :],
        net.norm,
        net.fc_norm,
        net.head,
    ]:
        for parameter in module.parameters():
            parameter.requires_grad = True
    return sum(p.numel() for p in encoder.parameters() if p.requires_grad)


@torch.inference_mode()
def embed(encoder, faces, mirror=None, attn_mask=None, batch_size=32):
    """Unit embeddings, float32 (N, dim) on the CPU, of uint8 faces (N, 3, H, W).

    mirror: take the mean of the face and its mirror image, which costs twice the time and steadies the answer of a small
    network. None: as the encoder has it.
    attn_mask: bool (1, 1, T, T) for all faces, or (N, 1, T, T), for transformers.
    """
    mirror = getattr(encoder, "mirror", True) if mirror is None else mirror
    if mirror and attn_mask is not None:
        raise ValueError(
            "A mask fits the face as it stands, not its mirror image: call embed with mirror=False."
        )
    encoder.eval()
    device = next(encoder.parameters()).device
    parts = [torch.zeros(0, encoder.dim)]
    for start in range(0, len(faces), batch_size):
        batch = torch.as_tensor(faces[start : start + batch_size]).to(device)
        mask = attn_mask
        if mask is not None:
            mask = (mask if len(mask) == 1 else mask[start : start + batch_size]).to(device)
        unit = F.normalize(
            encoder(torch.cat([batch, batch.flip(-1)]) if mirror else batch, mask).float()
        )
        parts.append((F.normalize(sum(unit.chunk(2))) if mirror else unit).cpu())
    return torch.cat(parts).numpy()
