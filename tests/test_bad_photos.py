"""Odd photos through every command: a sentence for each, and the others are still used."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from helpers.__main__ import main
from helpers.encoders import Encoder
from helpers.pipeline import FacePipeline

HALF_TURN = 3  # of EXIF's orientations


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    return FacePipeline(None, Encoder("resnet10_small", 16, 32).eval())


def picture(photo):
    return Image.fromarray(np.asarray(photo).transpose(1, 2, 0))


def test_a_folder_of_bad_photos(tmp_path, monkeypatch, some_orl, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    face = Image.fromarray(astronaut())
    face.save(folder / "Ада Л. 1.png")
    exif = Image.Exif()
    exif[0x0112] = HALF_TURN
    face.rotate(180).save(folder / "Ада Л. 2.jpg", exif=exif)
    face.save(folder / "Ада Л. 3.gif", save_all=True, append_images=[face.rotate(90)] * 3)
    face.crop((190, 0, 512, 512)).save(folder / "Ада Л. 4 cut.png")
    face.resize((7750, 7750)).save(folder / "Ада Л. 5 large.jpg")
    picture(some_orl.photo(0)).save(folder / "bob.png")
    picture(some_orl.photo(0)).resize((15, 18)).save(folder / "small.png")
    Image.new("RGB", (300, 200), "grey").save(folder / "wall.png")
    (folder / "paper.jpg").write_bytes(b"%PDF-1.7")
    (folder / "empty.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert main(["arrange", str(folder)]) == 0
    said = capsys.readouterr()
    said = said.out + said.err
    for sentence in (
        "paper.jpg: not a picture",
        "empty.png: not a picture",
        "wall: no face",
        "small: no face",
    ):
        assert sentence in said, sentence
    rows = list(
        csv.reader(open(tmp_path / "outputs" / "arrange" / "groups.csv", encoding="utf-8"))
    )[1:]
    groups = dict(rows)
    ada = [name for name in groups if name.startswith("Ада Л.")]
    assert len(groups) == 6 and len(ada) == 5, "upright, upside down, animated, cut, large, and bob"
    assert len({groups[name] for name in ada}) == 1 and groups["bob"] != groups[ada[0]]


def test_fifty_faces_in_one_photo(pipeline, some_orl):
    rows = [
        torch.cat([some_orl.photo((5 * r + 7 * c) % len(some_orl)) for c in range(10)], 2)
        for r in range(5)
    ]
    [faces] = pipeline([torch.cat(rows, 1)])
    assert 45 <= len(faces) <= 50
    areas = [np.prod(face.box[2:] - face.box[:2]) for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_photos_of_one_name_in_two_folders_are_two_photos(tmp_path, monkeypatch, some_orl, capsys):
    monkeypatch.chdir(tmp_path)
    for folder, number in (("a", 0), ("b", 5)):
        (tmp_path / folder).mkdir()
        picture(some_orl.photo(number)).save(tmp_path / folder / "photo.png")
    assert main(["predict", "a/photo.png", "b/photo.png"]) == 1
    assert "a/photo.png and b/photo.png: different people; similarity" in capsys.readouterr().out


def test_names_stay_with_their_faces_however_many_photos_there_are(
    tmp_path, monkeypatch, some_orl, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(70):
        Image.new("RGB", (40, 40), "grey").save(tmp_path / "photos" / f"wall_{number}.png")
    picture(some_orl.photo(0)).save(tmp_path / "photos" / "wall_first.png")
    picture(some_orl.photo(5)).save(tmp_path / "photos" / "wall_99.png")
    assert main(["arrange", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == ["wall_99", "wall_first"]
