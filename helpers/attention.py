"""Hidden regions: a region of the aligned face -> patches -> an attention mask for a ViT.

A hidden patch is one that nobody looks at: its column in the mask is False, in every block. Then
nothing that stands there can reach the class token, just as if the patch had been taken out. The
class token is always visible.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from .alignment import FACE

REGIONS = ("all", "head", "face", "corner")


def region(name: str, segmentation: np.ndarray | None = None) -> np.ndarray:
    """A region of the face as a picture.

    Args:
        name: "all": everything; "head": head and hair, without the background; "face": brows to
            chin, without hair; "corner": a spot in the upper left corner, where no face is.
        segmentation: what each pixel shows, ints (H, W): 0 background, 1 hair, 2 face. None:
            ellipses on the aligned face (112, 112), placed by the reference landmarks, which fit
            most people and nobody well.

    Returns:
        bool (H, W), True where the face may be seen.

    Raises:
        ValueError: an unknown name, or a segmentation of other numbers.
    """
    if name not in REGIONS:
        raise ValueError(
            f"There is no region '{name}': choose {', '.join(REGIONS)}, or hand in a boolean "
            "picture."
        )
    if segmentation is None:
        y, x = np.mgrid[:FACE, :FACE]
        head, face = (
            ((x - 55.5) / half_width) ** 2 + ((y - centre) / half_height) ** 2 <= 1
            for half_width, centre, half_height in ((50, 60, 64), (38, 72, 42))
        )
    else:
        segmentation = np.asarray(segmentation)
        if segmentation.ndim != 2 or not np.isin(segmentation, (0, 1, 2)).all():
            raise ValueError(
                "A segmentation is a picture (H, W) of the numbers 0 (background), 1 (hair) and "
                "2 (face)."
            )
        head, face = segmentation > 0, segmentation == 2
    corner = np.zeros(head.shape, bool)
    corner[0, 0] = True
    return {"all": np.ones(head.shape, bool), "head": head, "face": face, "corner": corner}[name]


def visible_patches(picture: np.ndarray, grid: int) -> torch.Tensor:
    """Which of grid x grid patches a region shows: those at least half inside.

    A region too small for that keeps the one patch that it covers most.

    Args:
        picture: the region, bool (H, W), at least one pixel of it True.
        grid: patches in a row.

    Returns:
        bool (grid * grid,), row by row from the top left.
    """
    picture = np.asarray(picture)
    if picture.dtype != bool or picture.ndim != 2:
        raise ValueError(
            f"A region is a boolean picture (H, W), not {picture.dtype} of shape {picture.shape}."
        )
    if not picture.any():
        raise ValueError("This region hides everything: let at least one pixel be seen.")
    share = torch.nn.functional.interpolate(
        torch.from_numpy(picture)[None, None].float(), (grid, grid), mode="area"
    )
    share = share.flatten()
    visible = share >= 0.5
    if not visible.any():
        visible[share.argmax()] = True
    return visible


def patches_to_pixels(visible: torch.Tensor, side: int = FACE) -> torch.Tensor:
    """Visible patches, bool (P,) -> the pixels that they cover, bool (side, side)."""
    grid = int(len(visible) ** 0.5)
    patches = visible.view(1, 1, grid, grid).float()
    return torch.nn.functional.interpolate(patches, (side, side))[0, 0].bool()


def attention_mask(visible: torch.Tensor) -> torch.Tensor:
    """Visible patches as an attention mask, True where a token may look.

    The class token stands first. Rows of hidden patches stay filled, so that no softmax is over
    nothing.

    Args:
        visible: bool (P,), or (B, P) with a region for each photo.

    Returns:
        bool (1 or B, 1, P + 1, P + 1): photo, head, token that looks, token that is looked at.
    """
    visible = torch.as_tensor(visible)
    visible = visible[None] if visible.ndim == 1 else visible
    if visible.dtype != torch.bool or visible.ndim != 2 or not visible.any(1).all():
        raise ValueError(
            "Visible patches are bool (P,) or (B, P), at least one of each photo's, as "
            "visible_patches gives."
        )
    keys = torch.cat([torch.ones_like(visible[:, :1]), visible], 1)
    return keys[:, None, None, :].expand(-1, 1, keys.shape[1], -1)


class _OnlyVisible(nn.Module):
    """Of the tokens (N, 1 + P, C), the class token and the visible patches."""

    def __init__(self, visible: torch.Tensor):
        super().__init__()
        patches = 1 + torch.where(torch.as_tensor(visible))[0]
        self.rows = torch.cat([torch.zeros(1, dtype=torch.long), patches])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, self.rows.to(tokens.device)]


class RegionDropout(nn.Module):
    """In training each batch sees one of some regions only, all equally likely.

    It stands in a timm VisionTransformer where PatchDropout would
    (https://arxiv.org/abs/2208.07220), before the first block, so hidden patches cost no time
    either. Outside of training every batch sees everything.

    Args:
        regions: names for `region`.
        grid: patches in a row.
    """

    def __init__(self, regions: Sequence[str], grid: int):
        super().__init__()
        patches = [visible_patches(region(name), grid) for name in regions]
        self.regions = nn.ModuleList(_OnlyVisible(visible) for visible in patches)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return tokens
        return self.regions[torch.randint(len(self.regions), ())](tokens)


@contextmanager
def hidden_removed(vit: nn.Module, visible: torch.Tensor) -> Iterator[nn.Module]:
    """Within it a timm VisionTransformer drops hidden patches before its first block.

    The embedding is that of the masked picture, and hidden patches cost no time: the fast way
    where all photos share one region. Positions are added before, so they stay right.

    Args:
        vit: a timm VisionTransformer.
        visible: bool (P,), one for the whole batch.
    """
    patches = vit.patch_embed.num_patches
    if len(visible) != patches:
        raise ValueError(
            f"This transformer sees {patches} patches, and the region has {len(visible)}."
        )
    before, vit.patch_drop = vit.patch_drop, _OnlyVisible(visible)
    try:
        yield vit
    finally:
        vit.patch_drop = before


@torch.inference_mode()
def class_token_attention(
    vit: nn.Module, faces: torch.Tensor, attn_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """How much the class token looks at each patch in the last block.

    Args:
        vit: a timm VisionTransformer.
        faces: what the vit itself takes, floats (N, 3, H, W).
        attn_mask: as `attention_mask` gives it, or None.

    Returns:
        (N, P), the mean over heads. A row sums to one minus what the class token gives itself.
    """
    device = next(vit.parameters()).device
    faces, attn_mask = faces.to(device), None if attn_mask is None else attn_mask.to(device)
    seen = {}
    block = vit.blocks[-1].attn
    handle = block.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    try:
        vit.forward_features(faces, attn_mask=attn_mask)
    finally:
        handle.remove()
    # tokens (N, T, C) -> (N, T, 3, heads, C / heads) -> (3, N, heads, T, C / heads)
    qkv = block.qkv(seen["x"]).unflatten(-1, (3, block.num_heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys = block.q_norm(qkv[0]), block.k_norm(qkv[1])
    # of the class token alone, (N, heads, 1, T)
    scores = (queries[:, :, :1] * block.scale) @ keys.mT
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask[:, :, :1], -torch.inf)
    return scores.softmax(-1).mean(1)[:, 0, 1:].cpu()
