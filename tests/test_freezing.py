"""Freezing counts layers from input to output, for every encoder that the course names."""

from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from small_trainings import StopAt, train
from torch import nn

from helpers.encoders import Encoder, replace_last_linear
from helpers.freezing import LayerFreezer, layers_of
from helpers.losses import MarginHead
from helpers.mobilenet import FaceMobileNet
from helpers.setting_presets import PRESETS
from helpers.settings import Settings
from helpers.training import fit

SMALL_VIT = dict(img_size=32, patch_size=16, depth=3, embed_dim=16, num_heads=2)
NETS = {  # what is made, and how many layers stand before the embedding layer
    "resnet34": (lambda: timm.create_model("resnet34", num_classes=8), 9),
    "resnet50": (lambda: timm.create_model("resnet50", num_classes=8), 9),
    "resnext50_32x4d": (lambda: timm.create_model("resnext50_32x4d", num_classes=8), 9),
    "resnet10_small": (lambda: Encoder("resnet10_small", 8, 32).net, 9),
    "resnet10_small, flat head": (lambda: Encoder("resnet10_small", 8, 64, flat_head=True).net, 9),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=8), 9),
    "efficientnet_b0": (lambda: timm.create_model("efficientnet_b0", num_classes=8), 11),
    "torchvision efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(num_classes=8), 9),
    "efficientnet_v2_m": (lambda: torchvision.models.efficientnet_v2_m(num_classes=8), 9),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=8), 19),
    "mobilenetv3_small_100": (lambda: timm.create_model("mobilenetv3_small_100", num_classes=8), 9),
    "face_mobilenet": (lambda: FaceMobileNet(8, 32), 15),
    "mamba": (lambda: Encoder("mamba", 8, 32, width=16, depth=3).net, 8),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=8, **SMALL_VIT), 5),
}


@pytest.fixture(scope="module", params=NETS)
def net(request):
    torch.manual_seed(0)
    make, before = NETS[request.param]
    net = make()
    net.before, net.title = before, request.param
    return net


def test_every_encoder_of_the_study_lists_is_here():
    lists = [Settings.study_encoders, *(preset["study_encoders"] for preset in PRESETS.values())]
    assert {name for names in lists for name in names.split()} <= NETS.keys()


def reach(net, chosen):
    """Which of the chosen modules are computed first, in the order of a forward pass."""
    order = []
    handles = [
        module.register_forward_hook(lambda m, i, o, k=k: order.append(k))
        for k, module in enumerate(chosen)
    ]
    side = 64 if "flat" in net.title else 32
    with torch.no_grad():
        net.eval()(torch.zeros(2, 3, side, side))
    for handle in handles:
        handle.remove()
    return order


def test_layers_stand_in_the_order_of_the_pictures_way_and_leave_nothing_out(net):
    layers = layers_of(net)
    order = [k for k in reach(net, layers) if any(True for _ in layers[k].parameters())]
    assert order == sorted(order) and len(order) == sum(
        any(True for _ in layer.parameters()) for layer in layers
    )
    counted = {id(p) for layer in layers for p in layer.parameters()} | {
        id(p) for p in net.parameters(recurse=False)
    }
    assert counted == {id(p) for p in net.parameters()}


def test_the_first_layers_are_frozen_and_all_others_learn(net):
    encoder, layers = SimpleNamespace(net=net), layers_of(net)
    for frozen in (0, 1, net.before - 1, net.before):
        net.train().requires_grad_(True)
        LayerFreezer([frozen])(encoder, 0)
        rests = [
            not any(p.requires_grad for p in layer.parameters()) and not layer.training
            for layer in layers
            if any(True for _ in layer.parameters())
        ]
        weighty = sum(any(True for _ in layer.parameters()) for layer in layers[:frozen])
        assert rests == [True] * weighty + [False] * (len(rests) - weighty)
        linear = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        assert all(p.requires_grad for p in linear.parameters()), "the embedding layer learns"
        own = list(net.parameters(recurse=False))  # class token and positions
        assert all(p.requires_grad == (frozen == 0) for p in own)


def test_a_list_that_would_freeze_the_embedding_layer_is_refused_before_anything_is_learned(net):
    net.train().requires_grad_(True)
    for layers in ([net.before + 1], [0, 0, net.before + 1], [99]):
        with pytest.raises(ValueError, match=f"has {net.before} layers before its embedding layer"):
            LayerFreezer(layers)(SimpleNamespace(net=net), 0)
    assert all(p.requires_grad for p in net.parameters())


def test_without_an_embedding_layer_the_last_layer_learns():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SMALL_VIT)
    with pytest.raises(ValueError, match="has 3 layers before"):
        LayerFreezer([4])(SimpleNamespace(net=net), 0)
    net = timm.create_model("resnet18", num_classes=8)
    replace_last_linear(net, None)
    LayerFreezer([7])(SimpleNamespace(net=net), 0)
    with pytest.raises(ValueError, match="has 7 layers before"):
        LayerFreezer([8])(SimpleNamespace(net=net), 0)


@pytest.mark.parametrize("layers", [[], [-1], [1.5], [True]])
def test_lists_that_count_nothing_are_refused(layers):
    with pytest.raises(ValueError, match="list of whole numbers"):
        LayerFreezer(layers)


def test_frozen_layers_keep_their_weights_and_statistics(tmp_path, random_faces):
    torch.manual_seed(0)
    first = [p.clone() for p in Encoder("resnet10_small", 16, 32).net.conv1.state_dict().values()]
    frozen, _ = train(tmp_path / "a", *random_faces, epochs=2, freezer=LayerFreezer([4, 4]))
    assert all(torch.equal(a, b) for a, b in zip(first, frozen.net.conv1.state_dict().values()))
    later, _ = train(tmp_path / "b", *random_faces, epochs=2, freezer=LayerFreezer([4, 0]))
    assert not all(torch.equal(a, b) for a, b in zip(first, later.net.conv1.state_dict().values()))


def test_a_frozen_run_resumes_to_the_same_weights(tmp_path, random_faces):
    options = dict(freezer=LayerFreezer([7, 5, 2, 0]), epochs=4)
    whole, _ = train(tmp_path / "whole", *random_faces, augment=StopAt(), **options)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", *random_faces, augment=StopAt(7), **options)
    resumed, _ = train(tmp_path / "killed", *random_faces, augment=StopAt(), **options)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values())
    )


def test_what_froze_for_an_epoch_is_free_again_and_what_was_frozen_stays_so(tmp_path, random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    encoder.net.conv1.requires_grad_(False)
    fit(
        encoder,
        MarginHead(16, 4),
        *random_faces,
        tmp_path / "run",
        epochs=1,
        batch_size=8,
        freezer=LayerFreezer([5]),
        progress=False,
    )
    assert not any(p.requires_grad for p in encoder.net.conv1.parameters())
    assert all(p.requires_grad for p in encoder.net.layer1.parameters())
