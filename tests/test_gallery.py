"""The gallery finds what was enrolled, survives the disk, and refuses what does not fit."""
import numpy as np
import pytest

from helpers.gallery import Gallery


def test_search_is_the_largest_cosines(unit_embeddings):
    embeddings, people = unit_embeddings
    gallery = Gallery(16)
    gallery.add(embeddings, people)
    similarity, rows = gallery.search(embeddings[:7], k=5)
    full = embeddings[:7] @ embeddings.T
    assert (rows == np.argsort(-full, axis=1)[:, :5]).all()
    assert np.allclose(similarity, -np.sort(-full, axis=1)[:, :5], atol=1e-6)
    assert (gallery.people_of(rows)[:, 0] == people[:7]).all()


def test_a_saved_gallery_comes_back(tmp_path, unit_embeddings):
    embeddings, people = unit_embeddings
    gallery = Gallery(16)
    gallery.add(embeddings, [f"Ада {p}" for p in people], [f"photo {i}\n.jpg" for i in range(len(people))])
    gallery.save(tmp_path / "gallery.safetensors")
    again = Gallery.load(tmp_path / "gallery.safetensors")
    assert again.people == gallery.people and again.sources == gallery.sources
    assert np.array_equal(again.search(embeddings, 3)[1], gallery.search(embeddings, 3)[1])
    assert [p.name for p in tmp_path.iterdir()] == ["gallery.safetensors"]


def test_what_does_not_fit_is_refused(tmp_path, unit_embeddings):
    embeddings, people = unit_embeddings
    gallery = Gallery(16)
    gallery.add(embeddings[:3], people[:3])
    with pytest.raises(ValueError, match="16 numbers"):
        gallery.add(embeddings[:, :8], people)
    with pytest.raises(ValueError, match="holds 3 photos"):
        gallery.search(embeddings, k=4)
    (tmp_path / "broken.safetensors").write_bytes(b"no gallery")
    with pytest.raises(ValueError, match="no gallery"):
        Gallery.load(tmp_path / "broken.safetensors")
