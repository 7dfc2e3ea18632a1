"""Aligned face -> embedding: any network of torchvision or timm by name, normalisation inside."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from . import gates
from .attention import RegionDropout
from .devices import ahead, best_precision, move, take
from .encoder_networks import (
    flatten_head,
    imagenet_colours,
    new_network,
    replace_last_linear,  # noqa: F401  for notebooks, as the freezer
    shrink_stem,
)
from .freezing import LayerFreezer  # noqa: F401
from .ingredients import digest


class Encoder(nn.Module):
    """uint8 faces (N, 3, H, W), or floats of 0 to 255, -> features (N, dim), not of unit length.

    Args:
        name: `resnet10_small`, `resnet18_small`, `mamba`, `face_mobilenet`, or a model of timm or
            torchvision, whose last linear layer is replaced.
        dim: outputs of that layer; None leaves it out.
        size: side in pixels to which faces are brought first.
        weights: "none", "imagenet" (of the model's hub), or the path of an encoder of the same name
            that this course saved, of which everything is taken whose shape fits. A resnet18_small
            also grows out of a resnet10_small: its further blocks add nothing at first.
        face_stem: for ResNets: 3x3 convolutions first and no pooling after them, which keeps the
            detail of small faces.
        flat_head: for ResNets: no mean over the last map. On an aligned face each of its places
            shows the same part of the face, and the embedding layer weighs them one by one, as in
            ArcFace's networks. It then fits this size alone.
        hide: for vision transformers: regions such as ("all", "head", "face"); in training each
            batch sees one of them only.
        mirror: whether `embed` takes the mean with the mirror image unless told otherwise; strong
            networks gain nothing by it.
        options: of the model itself.

    Raises:
        ValueError: the network can't be made so, or the weights are of another one.
    """

    def __init__(
        self,
        name: str = "resnet18",
        dim: int | None = 128,
        size: int = 64,
        weights: str = "none",
        face_stem: bool = False,
        flat_head: bool = False,
        hide: tuple = (),
        mirror: bool = True,
        **options: object,
    ):
        super().__init__()
        size = gates.count(size, "size of the faces that an encoder sees")
        dim = None if dim is None else gates.count(dim, "dim of an encoder")
        self.settings = {"name": name, "dim": dim, "size": size}
        self.settings |= {"face_stem": face_stem, "flat_head": flat_head, **options}
        self.size, self.mirror = size, mirror
        if not mirror:
            self.settings["mirror"] = False
        self.net = new_network(name, dim, size, weights == "imagenet", options)
        if face_stem:
            shrink_stem(self.net, name)
        if flat_head:
            flatten_head(self.net, name, dim, size)
        if hide:
            self.settings["hide"] = list(hide)
            self.net.patch_drop = RegionDropout(hide, self._patches("hide is").grid_size[0])
        mean = std = (0.5,) * 3
        if weights == "imagenet":
            mean, std = imagenet_colours(self.net, name)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255)
        if weights not in ("none", "imagenet"):
            load_what_fits(self, weights)
        with torch.inference_mode():
            self.dim = dim or self.eval()(torch.zeros(1, 3, size, size)).shape[1]
        self.train()

    def prepare(self, faces: torch.Tensor) -> torch.Tensor:
        """What the network takes: floats (N, 3, size, size), normalised as its weights expect."""
        x = (faces.float() - self.mean) / self.std
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        # convolutions are faster so, on CPUs and GPUs
        return x.contiguous(memory_format=torch.channels_last)

    def forward(self, faces: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Features (N, dim); attn_mask, bool (1 or N, 1, T, T), is for transformers alone."""
        if attn_mask is None:
            return self.net(self.prepare(faces))
        tokens = self._patches("An attention mask is").num_patches + self.net.num_prefix_tokens
        fits = attn_mask.shape[1:] == (1, tokens, tokens) and len(attn_mask) in (1, len(faces))
        if attn_mask.dtype != torch.bool or not fits:
            raise ValueError(
                f"This transformer wants masks of shape (1 or {len(faces)}, 1, {tokens}, {tokens}) "
                "and type bool, as attention_mask makes them; this one is "
                f"{attn_mask.dtype} {tuple(attn_mask.shape)}."
            )
        return self.net(self.prepare(faces), attn_mask=attn_mask)

    def _patches(self, what):
        """The patch embedding of a vision transformer; a ValueError for other networks."""
        if not hasattr(self.net, "patch_embed") or not hasattr(self.net, "num_prefix_tokens"):
            raise ValueError(f"{what} for vision transformers; '{self.settings['name']}' is none.")
        return self.net.patch_embed


def load_what_fits(encoder: Encoder, path: str | Path) -> None:
    """Load the encoder of a saved model or run where names and shapes agree, in place.

    Raises:
        ValueError: the file can't be read, or less than half of the tensors fit.
    """
    try:
        saved = {key.removeprefix("model."): value for key, value in load_file(path).items()}
    except Exception as error:
        raise ValueError(
            f"{path} holds no weights of an encoder that can be read ({type(error).__name__})."
        ) from None
    state, fits = encoder.state_dict(), {}
    for key, value in saved.items():
        if key in state and state[key].shape == value.shape:
            fits[key] = value
    if len(fits) < len(state) / 2:
        raise ValueError(
            f"{path} is of another encoder: only {len(fits)} of {len(state)} tensors fit "
            f"'{encoder.settings['name']}'."
        )
    left = [key for key in state if key not in fits]
    if left:
        print(
            f"{Path(path).name}: {len(fits)} of {len(state)} tensors are taken; as they were stay "
            f"{', '.join(left[:4])}{f' and {len(left) - 4} more' if len(left) > 4 else ''}."
        )
    encoder.load_state_dict(state | fits)


def weights_id(network: nn.Module) -> str:
    """Eight letters that stand for a network with its settings and weights, the encoder id."""
    kind = getattr(network, "settings", type(network).__name__)
    parts = [part for item in network.state_dict().items() for part in item]
    return digest(f"{kind} {getattr(network, 'mirror', True)}", *parts)[:8]


def unfreeze_last(encoder: Encoder, blocks: int) -> int:
    """Freeze a timm ViT but for its last blocks, the final norm and the head.

    Nothing before the first trainable block needs a gradient, so its activations are not kept.

    Returns:
        The number of parameters that stay trainable.
    """
    encoder.requires_grad_(False)
    net = encoder.net
    last = net.blocks[max(0, len(net.blocks) - blocks) :]
    for module in (*last, net.norm, net.fc_norm, net.head):
        module.requires_grad_(True)
    return sum(p.numel() for p in encoder.parameters() if p.requires_grad)


@torch.inference_mode()
def embed(
    encoder: nn.Module,
    faces: torch.Tensor,
    mirror: bool | None = None,
    attn_mask: torch.Tensor | None = None,
    batch_size: int = 32,
    precision: str | None = None,
) -> np.ndarray:
    """Unit embeddings, float32 (N, dim).

    Args:
        encoder: faces -> features, on any device.
        faces: uint8 (N, 3, H, W).
        mirror: take the mean with the mirror image, which costs twice the time and makes a small
            network's embedding steadier. None: as the encoder has it.
        attn_mask: bool (1, 1, T, T) for all faces, or (N, 1, T, T), for transformers.
        batch_size: faces at a time.
        precision: "bf16" or "no", which is float32. None: bf16 on a GPU that multiplies in it.

    Raises:
        ValueError: a mask together with the mirror image, which it would not fit.
    """
    mirror = getattr(encoder, "mirror", True) if mirror is None else mirror
    if mirror and attn_mask is not None:
        raise ValueError(
            "A mask fits the face as it is, not its mirror image: call embed with mirror=False."
        )
    encoder.eval()
    device = next(encoder.parameters()).device
    if precision is None:
        precision = best_precision("cuda") if device.type == "cuda" else "no"
    index = torch.arange(len(faces)).split(batch_size) if len(faces) else ()
    # one place for all: small results between the batches would tear the memory into pieces
    result = torch.empty(len(faces), encoder.dim)
    for rows, batch in zip(index, ahead(lambda rows: take(faces, rows, device), index)):
        batch, mask = move(batch, device), attn_mask
        if mask is not None:
            mask = (mask if len(mask) == 1 else mask[rows[0] : rows[-1] + 1]).to(device)
        views = torch.cat([batch, batch.flip(-1)]) if mirror else batch
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            features = encoder(views, mask)
        unit = F.normalize(features.float())
        result[rows] = (F.normalize(sum(unit.chunk(2))) if mirror else unit).cpu()
    return result.numpy()
