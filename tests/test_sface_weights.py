"""SFace's weights in our network: integers become numbers, every tensor finds its place."""

import copy
import pickle

import numpy as np
import pytest
import torch

from helpers.mobilenet import BLOCKS, PIECE, FaceMobileNet
from helpers.sface_weights import BATCH_NORM, dequantised, state_of


def test_integers_in_blocks_become_numbers():
    draw = np.random.default_rng(0)
    values = draw.integers(-128, 128, (3, 10)).astype(np.int8)
    # blocks of 4, 4, 2
    scales, zeros = (
        draw.random((3, 3)).astype(np.float32),
        draw.integers(-9, 9, (3, 3)).astype(np.int8),
    )
    found = dequantised(values, scales, zeros, axis=1, block=4)
    for row in range(3):
        for column in range(10):
            scale, zero = scales[row, column // 4], zeros[row, column // 4]
            assert np.isclose(found[row, column], (int(values[row, column]) - int(zero)) * scale)


def theirs(net: FaceMobileNet) -> dict[str, np.ndarray]:
    """The tensors of a FaceMobileNet as SFace's file calls them."""
    tensors = {}

    def norm(module, name):
        for ours, called in BATCH_NORM.items():
            tensors[f"{name}_{called}"] = getattr(module, ours).detach().numpy()

    def conv(module, name):
        tensors[f"{name}_conv2d_weight"] = module[0].weight.detach().numpy()
        norm(module[1], f"{name}_batchnorm")
        tensors[f"{name}_relu_gamma"] = module[2].weight.detach().numpy()[:, None, None]

    conv(net.features[0], "conv_1")
    for i in range(len(BLOCKS)):
        conv(net.features[i + 1][0], f"conv_{i + 2}_dw")
        conv(net.features[i + 1][1], f"conv_{i + 2}")
    norm(net.norm, "bn1")
    norm(net.norm_embedding, "fc1")
    tensors["pre_fc1_weight"], tensors["pre_fc1_bias"] = (
        p.detach().numpy() for p in net.embedding.parameters()
    )
    return tensors


def test_every_tensor_finds_its_place_and_the_scale_of_the_pixels_is_kept():
    torch.manual_seed(0)
    one, other = FaceMobileNet(8, 32).eval(), FaceMobileNet(8, 32).eval()
    for module in one.modules():  # statistics that tell the norms apart
        if hasattr(module, "running_mean"):
            module.running_mean.uniform_(-0.1, 0.1), module.running_var.uniform_(0.5, 1.5)
    other.load_state_dict(state_of(theirs(one)))
    pixels = torch.randint(0, 256, (2, 3, 32, 32)).float()
    with torch.inference_mode():  # SFace takes (x - 127.5) / 128, ours (x - 127.5) / 127.5
        assert torch.allclose(
            one((pixels - 127.5) / 128), other((pixels - 127.5) / 127.5), atol=1e-4
        )


def test_many_faces_in_pieces_are_the_same_faces():
    torch.manual_seed(0)
    net = FaceMobileNet(8, 32).eval()
    faces = torch.randn(2 * PIECE + 3, 3, 32, 32)
    with torch.inference_mode():
        one_by_one = torch.cat([net(face[None]) for face in faces])
        assert torch.allclose(net(faces), one_by_one, atol=1e-5)


def plain(net, faces):
    """The network layer by layer, without what is prepared for oneDNN."""
    maps = net.norm(net.features(faces))
    return net.norm_embedding(net.embedding(maps.flatten(1)))


def with_settled_norms(net):
    """In eval mode, with statistics and factors of its batch normalisations as after a training."""
    for layer in net.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            layer.momentum = 1.0
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.3)
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 32, 32))
    return net.eval()


def test_the_way_by_onednn_gives_the_same_embeddings():
    torch.manual_seed(0)
    net = with_settled_norms(FaceMobileNet(8, 32))
    faces = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = plain(net, faces)
        assert torch.allclose(net(faces), expected, atol=1e-4 * float(expected.abs().max()))
    with torch.no_grad():  # what was prepared in inference mode serves here as well
        assert torch.allclose(net(faces), expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("how", ["in place", "loaded", "data", "a new tensor"])
def test_changed_weights_are_seen_at_once(how):
    torch.manual_seed(0)
    net = with_settled_norms(FaceMobileNet(8, 32))
    faces = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = net(faces)
        weight = net.features[3][0][0].weight
        if how == "in place":
            weight.mul_(2)
        elif how == "loaded":
            net.load_state_dict({k: v * 2 for k, v in net.state_dict().items()})
        elif how == "data":
            net.train()
            weight.data.mul_(2)
            net.eval()
        else:
            net.features[3][0][0].weight = torch.nn.Parameter(weight * 2)
        after = net(faces)
        assert not torch.allclose(before, after, rtol=1e-2)
        assert torch.allclose(after, plain(net, faces), atol=1e-4 * float(after.abs().max()))


def test_a_hook_sees_the_maps_of_its_layer():
    net, seen = with_settled_norms(FaceMobileNet(8, 32)), []
    net.features[2].register_forward_hook(lambda layer, given, maps: seen.append(maps.shape))
    with torch.inference_mode():
        net(torch.randn(2, 3, 32, 32))
    assert seen == [(2, 128, 16, 16)]


def test_a_copy_and_a_file_of_a_used_network_hold_no_more_than_its_weights():
    net, faces = FaceMobileNet(8, 32).eval(), torch.randn(1, 3, 32, 32)
    names = set(net.state_dict())
    with torch.inference_mode():
        before = net(faces)
        assert torch.allclose(copy.deepcopy(net)(faces), before, atol=1e-5)
        assert torch.allclose(pickle.loads(pickle.dumps(net))(faces), before, atol=1e-5)
    assert set(net.state_dict()) == names
    faces.requires_grad_()
    net(faces).sum().backward()  # gradients flow as ever
    assert float(faces.grad.abs().sum()) > 0
