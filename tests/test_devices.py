"""Nothing is left on the CPU when the pictures are not, and each kind of number gives the same.

FakeTensorMode of torch computes shapes and devices without values, so that a missing `device=`
fails here too, where there is no GPU. With FACES_TEST_DEVICE the values are compared as well.
"""

import pytest
import torch
from conftest import DEVICE
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from helpers.alignment import REFERENCE, align, fit_similarity
from helpers.augment import Degrade, Jitter, MaskAugmentation
from helpers.encoders import Encoder
from helpers.landmarks import HeatmapLoss, StackedHourglass, decode_heatmaps, encode_heatmaps
from helpers.losses import (
    ContrastiveLoss,
    CrossEntropy,
    EmbeddingDistillation,
    MarginHead,
    Mixture,
    TripletLoss,
)
from helpers.warping import invert, warp

VIT = dict(img_size=112, patch_size=8, depth=2, embed_dim=32, num_heads=4)
LOSSES = {
    "cross entropy": lambda: CrossEntropy(16, 6),
    "arcface": lambda: MarginHead(16, 6),
    "cosface": lambda: MarginHead(16, 6, kind="cosface"),
    "adaface": lambda: MarginHead(16, 6, kind="adaface"),
    "triplets": lambda: TripletLoss(),
    "hard triplets": lambda: TripletLoss(mining="hard"),
    "all triplets": lambda: TripletLoss(mining="all"),
    "contrastive": lambda: ContrastiveLoss(),
    "mixture": lambda: Mixture(1.0, TripletLoss(mining="hard"), 0.5, MarginHead(16, 6)),
}


def faces(device, n=10, side=112):
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=draw).to(device)


def batch(device):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(6).repeat_interleave(4)
    features = torch.randn(6, 16, generator=draw)[labels] + torch.randn(24, 16, generator=draw)
    return features.to(device), labels.to(device)


def landmarks(device, n=10):
    draw = torch.Generator().manual_seed(0)
    return (REFERENCE + torch.randn(n, 5, 2, generator=draw)).to(device)


def matrices(device):
    return fit_similarity(landmarks(device), REFERENCE[None].to(device))[0]


# each without luck, so that every device must give the same
EXACT = {
    "fit": lambda d: fit_similarity(landmarks(d), REFERENCE[None].to(d)),
    "invert": lambda d: invert(matrices(d)),
    "warp": lambda d: warp(faces(d), matrices(d), 64).float(),
    "warp to floats": lambda d: warp(faces(d), matrices(d), 64, keep_type=False),
    "align": lambda d: align(faces(d, side=128), landmarks(d))[1],
    "heatmaps": lambda d: decode_heatmaps(encode_heatmaps(landmarks(d) / 2, 2.0)),
    "heatmap loss": lambda d: HeatmapLoss()(torch.zeros(10, 1, 5, 64, 64, device=d), landmarks(d)),
    "distillation": lambda d: EmbeddingDistillation()(batch(d)[0], batch(d)[0].flip(0)),
}
NETWORKS = {
    "hourglass": lambda: StackedHourglass(16, 1),
    "resnet10_small": lambda: Encoder("resnet10_small", 16, 64),
    "mamba": lambda: Encoder("mamba", 16, 64),
    "transformer": lambda: Encoder("vit_tiny_patch16_224", 16, 112, **VIT),
}
LUCKY = {
    "jitter": Jitter(size=64),
    "degrade": Degrade(blur=0),
    "occlusion": MaskAugmentation(1, ("upper", "lower"), "noise"),
}


def leaves(found):
    """All tensors in nested tuples and dicts."""
    if torch.is_tensor(found):
        return [found]
    inside = found.values() if isinstance(found, dict) else found
    return [tensor for one in inside if not isinstance(one, (int, float)) for tensor in leaves(one)]


@pytest.mark.parametrize("name", EXACT)
def test_every_device_computes_the_same(name):
    for here, there in zip(leaves(EXACT[name]("cpu")), leaves(EXACT[name](DEVICE))):
        assert there.device.type == DEVICE.type
        assert torch.allclose(here, there.cpu(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_slopes_are_those_of_float32_whatever_the_features_are(name, dtype):
    features, labels = batch("cpu")
    features = features.to(dtype)  # rounded for both
    values, slopes = [], []
    for device, kind in (("cpu", torch.float32), (DEVICE, dtype)):
        torch.manual_seed(0)
        loss = LOSSES[name]().to(device)
        given = features.to(device, kind).requires_grad_()
        value, _ = loss(given, labels.to(device))
        value.backward()
        values.append(value.item())
        slopes.append(given.grad.float().cpu())
        assert value.dtype == torch.float32 and value.device.type == torch.device(device).type
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert torch.allclose(*slopes, atol=0.01 * float(slopes[0].abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_the_same_on_every_device(name):
    torch.manual_seed(0)
    network, given = NETWORKS[name]().eval(), faces("cpu", 2)
    with torch.inference_mode():
        here = network(given)
        there = network.to(DEVICE)(given.to(DEVICE))
    assert there.device.type == DEVICE.type
    assert (here - there.cpu()).abs().max() < 0.02 * here.abs().max()


# not those losses that compare photos: they ask for values, which nobody has here
@pytest.mark.parametrize("name", [*EXACT, *LUCKY, *NETWORKS, "cross entropy", "arcface", "adaface"])
def test_nothing_stays_on_the_cpu(name):
    """On a GPU that is not there: shapes and devices, no values."""
    module = (NETWORKS | LOSSES).get(name, nn.Identity)().train()
    # of real networks, since timm looks at values when it makes one
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        state = {key: mode.from_tensor(value.detach()).to("cuda") for key, value in state.items()}
        if name in EXACT:
            found = EXACT[name]("cuda")
        elif name in LUCKY:
            found = LUCKY[name](faces("cuda"), torch.zeros(10, device="cuda"))
        else:
            given = batch("cuda") if name in LOSSES else (faces("cuda", 2),)
            found = functional_call(module, state, given)
        assert {tensor.device.type for tensor in leaves(found)} == {"cuda"}


def test_shapes_need_no_values():
    """The largest network of the course, on a device without memory."""
    with torch.device("meta"):
        network = StackedHourglass(64, 4)
        assert network(torch.zeros(32, 3, 128, 128, dtype=torch.uint8)).shape == (32, 4, 5, 64, 64)
