"""Encoders by name: the embedding's size, the mirror, and names that do not exist."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.encoders import Encoder, LayerFreezer, embed, replace_last_linear, weights_id


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet10_small",
        "mamba",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnext50_32x4d",
        "mobilenet_v2",
        "efficientnet_b0",
        "efficientnet_v2_m",
        "mobilenetv3_small_050",
    ],
)
def test_any_model_ends_in_one_embedding_layer(name, random_faces):
    torch.manual_seed(0)
    encoder = Encoder(name, 64, 64)
    embeddings = embed(encoder, random_faces[0][:3])
    assert embeddings.shape == (3, 64) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_without_an_embedding_layer_the_features_come_out(random_faces):
    encoder = Encoder("resnet18", None, 64)
    assert Encoder("mobilenetv3_small_050", None, 64).dim == 1024
    assert encoder.dim == 512 and embed(encoder, random_faces[0][:2]).shape == (2, 512)


@pytest.mark.parametrize("name", ["resnet18", "resnet10_small"])
def test_the_small_stem_keeps_twice_the_detail(name):
    seen = []
    for face_stem in (False, True):
        encoder = Encoder(name, 32, 64, face_stem=face_stem).eval()
        encoder.net.layer1.register_forward_hook(
            lambda module, given, result: seen.append(result.shape[-1])
        )
        assert encoder(torch.zeros(1, 3, 112, 112)).shape == (1, 32)
    assert seen == [16, 32]
    with pytest.raises(ValueError, match="face_stem is for ResNets"):
        Encoder("efficientnet_b0", 32, 64, face_stem=True)


def test_weights_of_a_file_are_taken_where_they_fit(tmp_path):
    torch.manual_seed(0)
    first = Encoder("resnet10_small", 32, 64)
    of_a_run = {f"model.{key}": value for key, value in first.state_dict().items()} | {
        "loss.centres": torch.zeros(4, 32)
    }
    save_file(of_a_run, tmp_path / "first.safetensors")
    second = Encoder("resnet10_small", 16, 64, weights=str(tmp_path / "first.safetensors"))
    assert (
        torch.equal(first.net.layer1[0].conv1.weight, second.net.layer1[0].conv1.weight)
        and second.dim == 16
    )
    with pytest.raises(ValueError, match="is of another encoder"):
        Encoder("mobilenet_v2", 32, 64, weights=str(tmp_path / "first.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="cut.safetensors holds no weights"):
        Encoder("resnet18", 32, 64, weights=str(tmp_path / "cut.safetensors"))


def test_first_layers_rest_in_mobilenets_as_in_resnets():
    net = Encoder("mobilenet_v2", 8, 32).net
    LayerFreezer([4])(SimpleNamespace(net=net), epoch=0)
    rests = [not any(p.requires_grad for p in layer.parameters()) for layer in net.features]
    assert len(rests) == 19 and rests == [True] * 4 + [False] * 15 and not net.features[3].training


def test_a_deeper_network_grows_out_of_a_shallower_one(tmp_path, random_faces):
    torch.manual_seed(0)
    shallow = Encoder("resnet10_small", 16, 64)
    shallow(random_faces[0])  # running means that are not the first ones
    save_file(shallow.state_dict(), tmp_path / "shallow.safetensors")
    deep = Encoder("resnet18_small", 16, 64, weights=str(tmp_path / "shallow.safetensors"))
    assert len(deep.state_dict()) > 1.5 * len(shallow.state_dict())
    assert np.allclose(embed(shallow, random_faces[0]), embed(deep, random_faces[0]), atol=1e-6)


def test_a_flat_head_sees_where_on_the_face_something_is(random_faces):
    torch.manual_seed(0)
    flat, mean = (
        Encoder("resnet10_small", 32, 64, flat_head=True).eval(),
        Encoder("resnet10_small", 32, 64).eval(),
    )
    assert flat.net.fc[1].in_features == 4 * mean.net.fc.in_features
    x = flat.prepare(random_faces[0][:2])
    last_map = flat.net.forward_features(x)
    assert last_map.shape == (2, 256, 2, 2)
    for encoder, moves in ((flat, True), (mean, False)):
        same_parts_elsewhere = encoder.net.forward_head(last_map.flip(-1))
        assert (
            torch.allclose(encoder.net.forward_head(last_map), same_parts_elsewhere, atol=1e-5)
            != moves
        )
    for name in ("mobilenet_v2", "vit_tiny_patch16_224"):
        with pytest.raises(ValueError, match="flat_head is for timm's ResNets"):
            Encoder(name, 32, 224, flat_head=True)


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "resnet18"])
def test_imagenet_weights_out_of_reach_end_in_a_sentence(name, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(ValueError, match="ImageNet weights can't be fetched.*no network"):
        Encoder(name, weights="imagenet")
    with pytest.raises(ValueError, match="No ImageNet weights exist"):
        Encoder("mamba", weights="imagenet")


def test_colours_are_normalised_as_the_weights_expect(monkeypatch):
    import timm

    original = timm.create_model
    monkeypatch.setattr(
        "timm.create_model", lambda name, pretrained, **options: original(name, **options)
    )
    encoder = Encoder("resnet18", 32, 32, weights="imagenet")
    face = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(encoder.prepare(face)[0, :, 0, 0], (1 - mean) / std)
    plain = Encoder("resnet18", 32, 32)
    assert torch.equal(plain.prepare(face), torch.ones(1, 3, 32, 32))
    plain.load_state_dict(encoder.state_dict())  # what the weights expect comes along with them
    assert torch.equal(plain.prepare(face), encoder.prepare(face))


def test_a_face_and_its_mirror_image_have_the_same_embedding(random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 32, 64)
    faces = random_faces[0][:4]
    assert np.allclose(embed(encoder, faces), embed(encoder, faces.flip(-1)), atol=1e-5)
    assert not np.allclose(
        embed(encoder, faces, mirror=False), embed(encoder, faces.flip(-1), mirror=False), atol=1e-5
    )


def test_the_size_of_the_batch_does_not_matter(random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 32, 64)
    assert np.allclose(
        embed(encoder, random_faces[0], batch_size=5),
        embed(encoder, random_faces[0], batch_size=24),
        atol=1e-5,
    )


def test_no_faces_give_no_embeddings():
    assert embed(
        Encoder("resnet10_small", 32, 64), torch.zeros(0, 3, 112, 112, dtype=torch.uint8)
    ).shape == (0, 32)


def test_wrong_names_and_options_are_refused():
    with pytest.raises(ValueError, match="no encoder 'resnet19'"):
        Encoder("resnet19")
    with pytest.raises(ValueError, match="img_size"):
        Encoder("resnet18", None, 112, img_size=112)
    with pytest.raises(ValueError, match="mirror=False"):
        embed(
            Encoder("resnet10_small"), torch.zeros(1, 3, 112, 112), attn_mask=torch.ones(1, 1, 2, 2)
        )


def test_an_encoders_id_covers_its_settings_and_weights():
    def made(size=32, dim=16, seed=0, **options):
        torch.manual_seed(seed)
        return Encoder("resnet10_small", dim, size, **options)

    first = weights_id(made())
    assert first == weights_id(made()) and len(first) == 8
    bent = made()
    bent.net.fc.bias.data[3] += 1e-6
    assert (
        len(
            {
                first,
                weights_id(made(size=64)),
                weights_id(made(seed=1)),
                weights_id(made(dim=17)),
                weights_id(bent),
            }
        )
        == 5
    )


def test_weights_that_stay_as_they_were_are_named(tmp_path, capsys):
    save_file(Encoder("resnet10_small", 32, 64).state_dict(), tmp_path / "first.safetensors")
    Encoder("resnet10_small", 32, 64, weights=str(tmp_path / "first.safetensors"))
    assert capsys.readouterr().out == ""
    Encoder("resnet10_small", 16, 64, weights=str(tmp_path / "first.safetensors"))
    told = capsys.readouterr().out
    assert (
        "tensors are taken; as they were stay net.fc.weight, net.fc.bias." in told
        and str(tmp_path) not in told
    )


def test_faces_that_are_not_square_are_brought_to_the_networks_size():
    encoder = Encoder("resnet10_small", 8, 64)
    for shape in ((112, 64), (64, 112), (64, 64), (30, 40)):
        assert encoder.prepare(torch.zeros(1, 3, *shape, dtype=torch.uint8)).shape == (1, 3, 64, 64)


def test_of_several_linear_layers_the_last_becomes_the_embedding():
    net = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5))
    replace_last_linear(net, 3)
    assert net(torch.zeros(2, 8)).shape == (2, 3) and net[0].out_features == 6


def test_embeddings_of_half_the_precision_are_nearly_the_same(random_faces, device):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 64, 64).to(device)
    exact, half = (
        embed(encoder, random_faces[0], precision=precision) for precision in ("no", "bf16")
    )
    assert half.dtype == np.float32 and not np.array_equal(exact, half)
    assert (exact * half).sum(1).min() > 0.999  # cosine; a threshold is told to a hundredth
    if device.type == "cpu":  # float32 unless asked otherwise
        assert np.array_equal(exact, embed(encoder, random_faces[0]))
