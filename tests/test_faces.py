"""Photos of every kind are read, strange ones are refused in a sentence, and no one is in two roles."""
import csv

import numpy as np
import pytest
from PIL import Image

from helpers import faces as face_sets
from helpers.faces import PhotoError, load_faces, read_photo, save_people, split_people, split_photos


def test_orl_is_whole_and_upright():
    faces = load_faces("orl")
    assert len(faces) == 400 and len(faces.names) == 40
    assert np.bincount(faces.people).tolist() == [10] * 40
    assert faces.names[:3] == ["s1", "s2", "s3"] and faces.key(9) == "s1/10.pgm"
    assert faces.photo(0).shape == (3, 168, 168)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_kind_of_picture_becomes_rgb_bytes(tmp_path, mode):
    values = np.linspace(0, 255, 40 * 30).reshape(40, 30).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(values).convert("RGB").convert(mode)
    path = tmp_path / ("photo.tif" if mode in ("CMYK", "I;16") else "photo.png")
    picture.save(path)
    photo = read_photo(path)
    assert photo.shape == (3, 40, 30) and str(photo.dtype) == "torch.uint8"
    assert photo[:, -10:].float().mean() > photo[:, :10].float().mean() + 100  # still dark above, bright below


def test_exif_rotation_is_obeyed(tmp_path):
    picture = Image.new("RGB", (30, 40))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg").shape == (3, 30, 40)


def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((200, 200), 80).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.jpg", "text.jpg", "empty.png", "missing.jpg"):
        with pytest.raises(PhotoError, match=name.replace(".", r"\.")):
            read_photo(tmp_path / name)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "huge.png")
    monkeypatch.setattr(face_sets, "MAX_PIXELS", 10_000)
    with pytest.raises(PhotoError, match="make it smaller"):
        read_photo(tmp_path / "huge.png")


def test_wrong_datasets_name_the_choices(tmp_path):
    with pytest.raises(ValueError, match="orl, lfw, celeba"):
        load_faces("olr")
    with pytest.raises(ValueError, match="holds no photos"):
        load_faces(str(tmp_path))


def test_people_never_share_a_role_and_the_seed_fixes_them():
    faces = load_faces("orl")
    parts = split_people(faces, 20, 10, 5, seed=3)
    people = [set(part.people.tolist()) for part in parts]
    assert [len(p) for p in people] == [20, 10, 5] and len(set.union(*people)) == 35
    again = split_people(faces, 20, 10, 5, seed=3)
    assert all((a.people == b.people).all() for a, b in zip(parts, again))
    with pytest.raises(ValueError, match="FACES_PEOPLE"):
        split_people(faces, 30, 12)


def test_every_person_keeps_photos_on_both_sides():
    people = np.array([0] * 10 + [1] * 2 + [2])
    picked = split_photos(people, 0.2)
    assert np.bincount(people[picked], minlength=3).tolist() == [2, 1, 0]


def test_lists_of_people_are_saved(tmp_path, some_orl):
    save_people(some_orl, tmp_path / "lists" / "people.csv")
    with open(tmp_path / "lists" / "people.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["person"] for row in rows] == ["s1", "s2", "s3", "s4", "s5", "s6"] and rows[0]["photos"] == "4"


def test_celeba_in_its_official_layout(tmp_path, some_orl):
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i + 1:06d}.jpg" for i in range(len(some_orl))]
    for i, name in enumerate(names):
        Image.fromarray(some_orl.photo(i).permute(1, 2, 0).numpy()).save(folder / "img_align_celeba" / name)
    (folder / "identity_CelebA.txt").write_text("".join(f"{n} {100 + p}\n" for n, p in zip(names, some_orl.people)))
    rows = [f"{name} {' '.join(map(str, range(10)))}" for name in names]
    (folder / "list_landmarks_align_celeba.txt").write_text("\n".join([str(len(rows)), "lefteye_x lefteye_y ...", *rows]))
    faces = load_faces("celeba", tmp_path)
    assert len(faces) == 24 and faces.names[0] == "100" and (faces.people == some_orl.people).all()
    assert faces.points[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
