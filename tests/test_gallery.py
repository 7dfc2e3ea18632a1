"""The gallery finds what was enrolled, survives the disk, forgets on demand, refuses misfits."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from helpers import gallery as module
from helpers import indexes
from helpers.encoders import Encoder, embed
from helpers.gallery import Gallery
from helpers.indexes import new_index


@pytest.fixture(params=["flat", "hnsw", "ivf", "torch"])
def kind(request, monkeypatch):
    """Every kind of index, and flat without faiss."""
    if request.param == "torch":
        monkeypatch.setattr(indexes, "faiss", None)
    return "flat" if request.param == "torch" else request.param


def test_search_is_the_largest_cosines(unit_embeddings, kind):
    embeddings, people = unit_embeddings
    gallery = Gallery(16, kind)
    gallery.add(embeddings[:20], people[:20])
    gallery.search(embeddings, 1)
    gallery.add(embeddings[20:], people[20:])  # into an index that is there already
    similarity, rows = gallery.search(embeddings[:7], k=5)
    full = embeddings[:7] @ embeddings.T
    assert (rows == np.argsort(-full, axis=1)[:, :5]).all()
    assert np.allclose(similarity, -np.sort(-full, axis=1)[:, :5], atol=1e-6)
    assert (gallery.people_of(rows)[:, 0] == people[:7]).all()
    assert (np.sort(gallery.search(embeddings, k=40)[1]) == np.arange(40)).all(), (
        "k may be all there are"
    )


def test_large_galleries_find_nearly_what_an_exact_search_finds():
    draw = np.random.default_rng(0)
    photos = np.repeat(draw.normal(size=(1000, 32)), 6, axis=0) + draw.normal(size=(6000, 32)) * 0.7
    photos = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    queries, known = photos[::60], np.delete(photos, np.s_[::60], axis=0)
    exact = new_index("flat", known).search(queries, 1)[1]
    for kind in ("hnsw", "ivf"):
        assert (new_index(kind, known).search(queries, 1)[1] == exact).mean() > 0.95


def test_cells_are_enough_for_photos_that_are_barely_alike():
    """From 25,600 photos on there are cells; one alone would hold the nearest photo of few."""
    draw = np.random.default_rng(0)
    photos = (
        np.repeat(draw.normal(size=(9000, 16)), 3, axis=0) + draw.normal(size=(27_000, 16)) * 0.9
    )
    photos = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    queries, known = photos[::60], np.delete(photos, np.s_[::60], axis=0)
    exact, near = (new_index(kind, known).search(queries, 1)[1] for kind in ("flat", "ivf"))
    assert (near == exact).mean() > 0.8


def test_a_cell_with_too_few_photos_is_no_reason_to_return_nothing():
    draw = np.random.default_rng(0)
    photos = draw.normal(size=(6000, 8)).astype(np.float32)
    gallery = Gallery(8, "ivf")
    gallery.add(photos / np.linalg.norm(photos, axis=1, keepdims=True), range(6000))
    rows = gallery.search(gallery.embeddings[:3], k=3000)[1]
    assert (rows >= 0).all() and all(len(set(row)) == 3000 for row in rows)


def test_a_person_can_be_forgotten(unit_embeddings, kind):
    embeddings, people = unit_embeddings
    gallery = Gallery(16, kind)
    gallery.add(embeddings, people, range(40))
    gallery.search(embeddings, 3)
    assert gallery.remove(2) == 5 and len(gallery) == 35 and 2 not in gallery.people
    similarity, rows = gallery.search(embeddings[people == 3], 1)
    assert (gallery.people_of(rows) == 3).all() and np.allclose(similarity, 1, atol=1e-5)
    assert gallery.sources[int(rows[0, 0])] == "15"
    with pytest.raises(ValueError, match="nobody called '2'"):
        gallery.remove(2)


def test_a_saved_gallery_comes_back(tmp_path, unit_embeddings, kind):
    embeddings, people = unit_embeddings
    gallery = Gallery(16, kind, encoder_id="abc")
    gallery.add(
        embeddings, [f"Ада {p}" for p in people], [f"photo {i}\n.jpg" for i in range(len(people))]
    )
    gallery.save(tmp_path / "gallery.safetensors")
    again = Gallery.load(tmp_path / "gallery.safetensors")
    assert (again.people, again.sources, again.kind, again.encoder_id) == (
        gallery.people,
        gallery.sources,
        kind,
        "abc",
    )
    assert np.array_equal(again.search(embeddings, 3)[1], gallery.search(embeddings, 3)[1])
    assert [p.name for p in tmp_path.iterdir()] == ["gallery.safetensors"]
    Gallery(16).save(tmp_path / "empty.safetensors")
    assert len(Gallery.load(tmp_path / "empty.safetensors")) == 0


def test_people_leave_and_others_come_without_mixing_up_names(unit_embeddings, kind):
    """Ids of removed photos are never given out again, in an index that stays or a new one."""
    embeddings, people = unit_embeddings
    gallery = Gallery(16, kind)
    gallery.add(embeddings[:30], people[:30])
    gallery.search(embeddings[:1], 1)
    gallery.remove(people[0])
    gallery.add(embeddings[30:], people[30:])
    gallery.remove(people[12])
    similarity, rows = gallery.search(gallery.embeddings, len(gallery))
    full = gallery.embeddings @ gallery.embeddings.T
    assert (rows[:, 0] == np.arange(len(gallery))).all()
    assert np.allclose(similarity, np.take_along_axis(full, rows, 1), atol=1e-6)
    assert not {people[0], people[12]} & set(gallery.people_of(rows).ravel())


def test_cells_forget_too():
    draw = np.random.default_rng(0)
    photos = draw.normal(size=(26_000, 8)).astype(np.float32)
    gallery = Gallery(8, "ivf")
    gallery.add(photos / np.linalg.norm(photos, axis=1, keepdims=True), np.arange(26_000) // 2)
    queries = gallery.embeddings[:40]
    assert (gallery.search(queries, 1)[1][:, 0] == np.arange(40)).all()
    index = gallery._index
    gallery.remove(3)
    rows = gallery.search(queries, 1)[1][:, 0]
    assert gallery._index is index and index.ntotal == len(gallery) == 25_998
    assert (rows[:6] == np.arange(6)).all() and (rows[8:] == np.arange(6, 38)).all()
    assert 3 not in gallery.people_of(rows)


def test_the_index_is_what_its_factory_string_says():
    faiss = pytest.importorskip("faiss")
    photos = np.eye(8, dtype=np.float32)
    flat, graph = (new_index(kind, photos, np.arange(8) + 100) for kind in ("flat", "hnsw"))
    assert isinstance(flat, faiss.IndexIDMap2) and isinstance(graph, faiss.IndexIDMap2)
    hnsw = faiss.downcast_index(graph.index).hnsw
    assert (hnsw.efConstruction, hnsw.efSearch) == (80, 256)
    assert flat.search(photos[2:3], 1)[1] == graph.search(photos[2:3], 1)[1] == 102


def test_a_gallery_of_an_older_version_is_read_and_its_index_built_anew(tmp_path, unit_embeddings):
    embeddings, people = unit_embeddings
    gallery = Gallery(16, encoder_id="abc")
    gallery.add(embeddings, people)
    gallery.save(tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "np") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    old = {"kind": "flat", "maker": "abc"}
    save_file(tensors, tmp_path / "old.safetensors", metadata=old)
    again = Gallery.load(tmp_path / "old.safetensors")
    assert again.encoder_id == "abc" and again.remove("2") == 5
    again.save(tmp_path / "old.safetensors")
    assert Gallery.load(tmp_path / "old.safetensors").encoder_id == "abc"


def test_a_file_of_faiss_is_refused_in_a_sentence(tmp_path, unit_embeddings):
    faiss = pytest.importorskip("faiss")
    index = new_index("flat", unit_embeddings[0])
    faiss.write_index(index, str(tmp_path / "gallery.faiss"))
    with pytest.raises(ValueError, match="is no gallery.*enrol the photos again"):
        Gallery.load(tmp_path / "gallery.faiss")


@pytest.mark.parametrize("kept", [0, 7, 60, 500, -1])
def test_a_file_cut_short_is_refused(tmp_path, unit_embeddings, kept):
    gallery = Gallery(16)
    gallery.add(*unit_embeddings)
    gallery.save(tmp_path / "gallery.safetensors")
    (tmp_path / "short.safetensors").write_bytes(
        (tmp_path / "gallery.safetensors").read_bytes()[:kept]
    )
    with pytest.raises(ValueError, match="no gallery"):
        Gallery.load(tmp_path / "short.safetensors")


def test_saving_that_fails_leaves_the_old_gallery(tmp_path, unit_embeddings, monkeypatch):
    gallery, path = Gallery(16), tmp_path / "gallery.safetensors"
    gallery.add(*unit_embeddings)
    gallery.save(path)

    def broken(tensors, part, metadata):
        part.write_bytes(b"half")
        raise OSError("the disk is gone")

    monkeypatch.setattr(module, "save_file", broken)
    with pytest.raises(OSError, match="gone"):
        gallery.save(path)
    assert len(Gallery.load(path)) == 40 and list(tmp_path.iterdir()) == [path]


def test_enrolling_embeds_and_another_encoder_is_refused(random_faces):
    faces, people = random_faces
    torch.manual_seed(0)
    encoder, other = Encoder("resnet10_small", 8, 32), Encoder("resnet10_small", 8, 32)
    gallery = Gallery(8)
    gallery.enrol(encoder, faces, people.tolist(), batch_size=7)
    assert np.allclose(gallery.embeddings, embed(encoder, faces), atol=1e-6) and len(gallery) == 24
    with pytest.raises(ValueError, match="another encoder"):
        gallery.check_encoder(other)


def test_precision_on_a_case_one_can_see():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], [1, 1, 2, 2])
    queries = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert gallery.precision_at(2, queries, [1, 2]).tolist() == [1.0, 0.5]
    assert gallery.precision_by_chance([1, 2]) == 0.5
    with pytest.raises(ValueError, match="such as '3'"):
        gallery.precision_at(2, queries, [1, 3])


def test_below_the_threshold_nobody_is_named():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1]], ["Ада", "Bob"])
    names, similarity = gallery.identify(np.array([[0.8, 0.6], [-1, 0]], np.float32), 0.7)
    assert names.tolist() == ["Ада", None] and np.allclose(similarity, [0.8, 0], atol=1e-6)


def test_what_does_not_fit_is_refused(tmp_path, unit_embeddings):
    embeddings, people = unit_embeddings
    gallery = Gallery(16)
    gallery.add(embeddings[:3], people[:3])
    with pytest.raises(ValueError, match="16 numbers"):
        gallery.add(embeddings[:, :8], people)
    with pytest.raises(ValueError, match="go together"):
        gallery.add(embeddings, people[:3])
    with pytest.raises(ValueError, match="gallery of 3 photos"):
        gallery.search(embeddings, k=4)
    with pytest.raises(ValueError, match="flat, hnsw or ivf"):
        Gallery(16, "tree")
    (tmp_path / "broken.safetensors").write_bytes(b"no gallery")
    with pytest.raises(ValueError, match="no gallery"):
        Gallery.load(tmp_path / "broken.safetensors")
