"""Patches -> tokens, by filters that a recogniser has learned already, each patch on its own.

A vision transformer's first layer is one linear map of raw pixels, which takes millions of pictures to become good. Early
convolutions help (Xiao et al. 2021, https://arxiv.org/abs/2106.14881), but usually look across the borders of patches:
then something of a hidden patch would be seen in its neighbours. Here every patch goes through them alone.
"""
import torch
from timm.layers import PatchEmbed
from torch import nn

from .mobilenet import FaceMobileNet

LAYERS = 6  # of FaceMobileNet, that shrink a patch by four and give 256 channels
SHRINK, CHANNELS = 4, 256
PIECE = 196  # patches that go through at once: what a CPU's cache holds


class PatchStem(PatchEmbed):
    """Faces (N, 3, H, W) -> tokens (N, P, embed_dim): the first layers of FaceMobileNet in each patch, then a linear map.

    The borrowed layers stay as they are: they give no slope and always use their own statistics. `borrow` fills them.
    """

    def __init__(self, img_size=112, patch_size=16, in_chans=3, embed_dim=192, **options):
        super().__init__(img_size, patch_size, in_chans, embed_dim, **options)
        self.stem = FaceMobileNet(1, 32).features[:LAYERS].requires_grad_(False).eval()
        side = self.patch_size[0] // SHRINK
        self.proj = nn.Linear(CHANNELS * side * side, embed_dim)

    def train(self, mode: bool = True):
        super().train(mode)
        self.stem.eval()
        return self

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        side = self.patch_size[0]
        patches = faces.unfold(2, side, side).unfold(3, side, side)  # (N, 3, rows, columns, side, side)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        with torch.no_grad():
            maps = torch.cat([self.stem(part.contiguous(memory_format=torch.channels_last))
                              for part in patches.split(PIECE)])
        return self.norm(self.proj(maps.flatten(1)).unflatten(0, (len(faces), self.num_patches)))

    def borrow(self, recogniser: FaceMobileNet) -> None:
        """Take over the first layers of a trained FaceMobileNet."""
        self.stem.load_state_dict(recogniser.features[:LAYERS].state_dict())
