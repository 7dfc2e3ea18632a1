"""Encoders by name: the embedding's size, the mirror, and names that do not exist."""
import numpy as np
import pytest
import torch

from helpers.encoders import Encoder, embed


@pytest.mark.parametrize("name", ["resnet10_small", "resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_any_model_ends_in_one_embedding_layer(name, random_faces):
    torch.manual_seed(0)
    encoder = Encoder(name, 64, 64)
    embeddings = embed(encoder, random_faces[0][:3])
    assert embeddings.shape == (3, 64) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_without_an_embedding_layer_the_features_come_out(random_faces):
    encoder = Encoder("resnet18", None, 64)
    assert encoder.dim == 512 and embed(encoder, random_faces[0][:2]).shape == (2, 512)


def test_a_face_and_its_mirror_image_have_the_same_embedding(random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 32, 64)
    faces = random_faces[0][:4]
    assert np.allclose(embed(encoder, faces), embed(encoder, faces.flip(-1)), atol=1e-5)
    assert not np.allclose(embed(encoder, faces, mirror=False), embed(encoder, faces.flip(-1), mirror=False), atol=1e-5)


def test_the_size_of_the_batch_does_not_matter(random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 32, 64)
    assert np.allclose(embed(encoder, random_faces[0], batch_size=5), embed(encoder, random_faces[0], batch_size=24), atol=1e-5)


def test_no_faces_give_no_embeddings():
    assert embed(Encoder("resnet10_small", 32, 64), torch.zeros(0, 3, 112, 112, dtype=torch.uint8)).shape == (0, 32)


def test_wrong_names_and_options_are_refused():
    with pytest.raises(ValueError, match="no encoder 'resnet19'"):
        Encoder("resnet19")
    with pytest.raises(ValueError, match="img_size"):
        Encoder("resnet18", None, 112, img_size=112)
    with pytest.raises(ValueError, match="mirror=False"):
        embed(Encoder("resnet10_small"), torch.zeros(1, 3, 112, 112), attn_mask=torch.ones(1, 1, 2, 2))
