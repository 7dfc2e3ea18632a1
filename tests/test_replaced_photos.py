"""Photos replaced, swapped or gone: no cache keeps what they showed before."""

import os

import numpy as np
import pytest
from PIL import Image

from helpers import alignment, detection, mtcnn
from helpers.aligned_set import build_aligned_set, read_images, read_rows
from helpers.enrolment import enrol_folder
from helpers.faces import folder_of_people
from helpers.file_fingerprints import file_fingerprints
from helpers.gallery import Gallery


def swap(a, b):
    """Exchange two files without a change of size or time of either."""
    whole = a.read_bytes(), b.read_bytes()
    for path, data in zip((b, a), whole):
        path.write_bytes(data)
        os.utime(path, (1e9, 1e9))


def test_a_fingerprint_knows_a_replaced_file_of_the_same_size_and_time(tmp_path):
    for name, data in (("a", b"12"), ("b", b"34")):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1e9, 1e9))
    files = [tmp_path / "a", tmp_path / "b", tmp_path / "gone"]
    before = file_fingerprints(files, tmp_path / "table.csv")
    assert (
        before == file_fingerprints(files, tmp_path / "table.csv")
        and before[2] == ""
        and before[0] != before[1]
    )
    swap(*files[:2])
    assert file_fingerprints(files, tmp_path / "table.csv") == [before[1], before[0], ""]
    (tmp_path / "a").rename(tmp_path / "c")  # times and inodes go along
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert file_fingerprints(files, tmp_path / "table.csv") == before


def test_swapped_photos_swap_their_faces_in_sets_and_galleries(tmp_path, people, pipeline):
    def both():
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        known = enrol_folder(pipeline, folder_of_people(people), tmp_path / "gallery.safetensors")
        return (
            dict(zip(faces.keys, read_images(faces, tmp_path / "set")[:])),
            {source.split()[0]: e for source, e in zip(known.sources, known.embeddings)},
        )

    faces, known = both()
    swap(people / "p0" / "0.bmp", people / "p1" / "0.bmp")
    other_faces, other_known = both()
    for old, new in ((faces, other_faces), (known, other_known)):
        a, b, c, a2, b2, c2 = (
            np.float32(s[key]) for s in (old, new) for key in ("p0/0.bmp", "p1/0.bmp", "p2/0.bmp")
        )
        scale = np.abs(a - b).mean()
        assert (
            np.abs(a - b2).mean() < scale / 20
            and np.abs(b - a2).mean() < scale / 20
            and np.allclose(c, c2)
        )


def test_who_is_gone_leaves_every_cache(tmp_path, people, pipeline):
    def both():
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        return read_images(faces, tmp_path / "set"), enrol_folder(
            pipeline, folder_of_people(people), tmp_path / "g.safetensors"
        )

    both()
    for path in (people / "p1").iterdir():
        path.unlink()
    (people / "p1").rmdir()
    images, known = both()
    assert len(images.array) == 4 and set(known.people) == {"p0", "p2"}
    assert not (tmp_path / "set" / "p1").exists() and not [
        row for row in read_rows(tmp_path / "set") if row["person"] == "p1"
    ]
    for path in tmp_path.rglob("*.csv"):
        assert "p1" not in path.read_text(), path
    assert set(Gallery.load(tmp_path / "g.safetensors").people) == {"p0", "p2"}


def test_photos_without_a_face_are_looked_at_once(tmp_path, people, pipeline):
    for k in range(3):
        Image.new("RGB", (90, 90), (k, 90, 90)).save(people / "p0" / f"wall{k}.png")
    told, path = [], tmp_path / "g.safetensors"
    enrol_folder(pipeline, folder_of_people(people), path, told.append)
    assert sum("no face was found" in sentence for sentence in told) == 3

    def never(*_, **__):
        pytest.fail("looked at again")

    never.encoder, never.hourglass, told = pipeline.encoder, pipeline.hourglass, []
    assert len(enrol_folder(never, folder_of_people(people), path, told.append)) == 6
    assert len(told) == 1 and "3 of 9 photos show no face" in told[0]


@pytest.mark.parametrize(
    "part,name,value",
    [
        (alignment, "WIDEN", 1.6),
        (alignment, "HEAD", 160),
        (alignment, "WORST_FIT", 9),
        (alignment, "REFERENCE", None),
        (detection, "MAX_SIDE", 512),
        (detection, "MIN_SCORE", 0.8),
        (mtcnn, "WEIGHTS", mtcnn.WEIGHTS.with_name("hourglass.safetensors")),
    ],
)
def test_everything_that_shapes_an_aligned_face_belongs_to_its_id(monkeypatch, part, name, value):
    before = alignment.geometry()
    monkeypatch.setattr(part, name, alignment.REFERENCE + 1 if value is None else value)
    assert alignment.geometry() != before
