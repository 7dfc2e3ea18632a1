"""Odd folders and names cost nobody else a thing, and no photo is dropped in silence."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import commands
from helpers.__main__ import main
from helpers.aligned_set import build_aligned_set
from helpers.course import save_model
from helpers.enrolment import enrol_folder
from helpers.faces import folder_of_people
from helpers.files import short_name
from helpers.folders import look_into, short_names
from helpers.forget import forget
from helpers.gallery import Gallery, name_or_unknown
from helpers.photo_names import person_in
from helpers.settings import load_settings
from helpers.verification import Verifier


def test_every_photo_of_a_folder_is_taken_or_told(tmp_path):
    for name in (
        "2024/1.jpg",
        "2024/summer/2.JPG",
        "1.png",
        "1.jpg",
        "a01.png",
        "a1.png",
        "IMG.HEIC",
        "x.tga",
        "notes.txt",
        ".hidden.jpg",
        "._1.jpg",
        "@eaDir/1.jpg",
        "__MACOSX/1.jpg",
        "Thumbs.db",
        "@ada/3.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "2024" / "loop").symlink_to(tmp_path)
    pictures, [hidden, note] = look_into(tmp_path)
    assert hidden.endswith(": .hidden.jpg.")
    assert {file.relative_to(tmp_path).as_posix() for file in pictures} == {
        "2024/1.jpg",
        "2024/summer/2.JPG",
        "1.png",
        "1.jpg",
        "a01.png",
        "a1.png",
        "@ada/3.jpg",
    }
    assert "1 .heic (pip install pillow-heif), 1 .tga" in note
    names = short_names(pictures, tmp_path)
    assert len(set(names)) == 7 and "1.png" in names and "2024/1" in names


def test_no_name_is_like_another_and_none_too_long():
    names = ["я" * 120 + end for end in ("a", "b")] + ["a/b", "a_b", "a"]
    short = [short_name(name) for name in names]
    assert len(set(short)) == 5 and all(
        len(name.encode()) <= 150 and "/" not in name for name in short
    )


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0001",
        "IMG_20230101_123456",
        "DSC_12",
        "DSCN0001_1",
        "PXL_20230101_123456789",
        "_MG_1234",
        "20230101_123456",
        "image_1",
        "Photo_3",
        "P1010001_2",
        "SAM_0001",
        "FB_IMG_1699999999",
    ],
)
def test_a_cameras_name_claims_nobody(name):
    assert person_in(name) == name


def test_names_of_people_are_still_names():
    assert [
        person_in(name)
        for name in ("ada_1", "sam_2", "100_1", "P_1", "2024/ada_3", "ada_1.png", "imgard_2")
    ] == ["ada", "sam", "100", "P", "ada", "ada", "imgard"]


def test_several_faces_in_one_photo_are_told(tmp_path, people, some_orl, pipeline):
    both = torch.full((3, 168, 336), 90, dtype=torch.uint8)
    both[:, :, :168], both[:, 20:148, 200:328] = (
        some_orl.photo(0),
        some_orl.photo(5)[:, 20:148, 20:148],
    )
    party = Image.fromarray(both.permute(1, 2, 0).numpy())
    party.save(people / "p0" / "party.png")
    told = []
    enrol_folder(pipeline, folder_of_people(people), tmp_path / "g.safetensors", told.append)
    build_aligned_set(
        folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False, tell=told.append
    )
    assert any("party.png: 2 faces, of which the largest is taken" in sentence for sentence in told)
    assert any(
        "1 of 7 photos show several faces" in sentence and "party.png" in sentence
        for sentence in told
    )


def test_people_nested_folders_and_systems_folders(tmp_path, people):
    for name in (
        "p0/2024/0.bmp",
        "@eaDir/1.bmp",
        "__MACOSX/p0/1.bmp",
        "p0/._1.bmp",
        "empty/notes.txt",
        "loose.jpg",
        "only/1.heic",
    ):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes((people / "p0" / "0.bmp").read_bytes())
    faces = folder_of_people(people)
    assert "p0/2024/0.bmp" in faces.keys and len(set(faces.keys)) == len(faces) == 7
    assert set(np.array(faces.names)[faces.labels]) == {"p0", "p1", "p2"}
    notes = " ".join(faces.notes)
    for words in (
        "folders below (2024)",
        "loose.jpg",
        "no photo of empty, only",
        "1 .heic (pip install pillow-heif)",
    ):
        assert words in notes, words
    aligned = build_aligned_set(faces, None, tmp_path / "set", "MTCNN", progress=False)
    assert set(aligned.keys) == set(faces.keys)


def test_a_person_may_be_called_as_anything(tmp_path, people, pipeline):
    for old, new in (("p0", "unknown"), ("p1", "debug"), ("p2", "я" * 120)):
        (people / old).rename(people / new)
    (people / ("я" * 120) / "0.bmp").rename(people / ("я" * 120) / ("ж" * 120 + ".bmp"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        known = enrol_folder(pipeline, folder_of_people(people), tmp_path / "g.safetensors")
    assert len(faces) == len(known) == 6 and set(faces.names) == {"unknown", "debug", "я" * 120}
    names, _ = known.identify(known.embeddings[known.people.index("unknown")][None], 0.5)
    nobody, _ = known.identify(-known.embeddings[:1], 0.99)
    assert (
        names[0] == "unknown"
        and nobody[0] is None
        and name_or_unknown(names[0]) != name_or_unknown(nobody[0])
    )


@pytest.fixture
def course_folder(tmp_path, people, monkeypatch, pipeline):
    """The working directory of a user: people/, and an encoder with thresholds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    verifier = Verifier([1e-3, 0.1], [0.99999, -1.0], 10.0, -5.0, 50, 100_000)
    save_model(pipeline.encoder, "mine.safetensors", verifier=verifier.to_text())
    return tmp_path


def run(capsys, *words):
    code = main([*map(str, words), "--encoder", "mine.safetensors"])
    out = capsys.readouterr()
    return code, out.out + out.err


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA driver"), MemoryError(), KeyError("a"), AssertionError(), OSError()],
)
def test_a_crash_is_never_a_verdict(course_folder, capsys, monkeypatch, error):
    photos = ["people/p0/0.bmp", "people/p1/0.bmp"]
    monkeypatch.setattr(commands, "verify", lambda *_: (_ for _ in ()).throw(error))
    code, said = run(capsys, "predict", *photos)
    assert code == 2 and said.strip() and "Traceback" not in said
    assert "Traceback" in run(capsys, "predict", *photos, "--debug")[1]


@pytest.mark.parametrize("device", ["cpu:x", "cpu:1", "cuda:x", "gpu", ""])
def test_a_device_that_is_none_is_refused_by_name(device):
    with pytest.raises(ValueError, match="FACES_DEVICE is"):
        load_settings({"FACES_DEVICE": device})


def test_evaluate_and_map_tell_what_they_left_out(course_folder, capsys):
    for name in ("junk.jpg", "wall.png", "far.heic"):
        (course_folder / "people" / "p0" / name).write_bytes(b"no picture")
    Image.new("RGB", (90, 90)).save(course_folder / "people" / "p0" / "wall.png")
    for command in ("map", "evaluate"):
        code, said = run(capsys, command, "people")
        assert (
            code == 0
            and "2 of 8 photos are left out: p0/junk (" in said
            and "wall.png (MTCNN sees no face)" in said
        )
        assert "1 .heic (pip install pillow-heif)" in said


def test_names_of_any_bytes_go_through_every_command(course_folder, capsys):
    odd = [
        "ж" * 120 + ".bmp",
        os.fsdecode(b"caf\xe9.bmp"),
        "a\nb\x1b[31m.bmp",
        "-x.bmp",
        "😀 小明.bmp",
        "$\\frac.bmp",
    ]
    for name in odd:
        (course_folder / "people" / "p0" / name).write_bytes(
            (course_folder / "people" / "p0" / "0.bmp").read_bytes()
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*[Gg]lyph.*")
        for words in (
            ["arrange", "people/p0"],
            ["map", "people"],
            ["identify", "--gallery", "people", "--"] + [f"people/p0/{name}" for name in odd],
        ):
            code, said = (
                run(capsys, *words[:1], *words[1:])
                if "--" not in words
                else (
                    main([words[0], "--encoder", "mine.safetensors", *words[1:]]),
                    "".join(capsys.readouterr()),
                )
            )
            assert code == 0 and "left out:" not in said and "\x1b" not in said, said
    assert len(list((course_folder / "outputs" / "identify").glob("*.png"))) == len(odd)


def test_forgetting_a_person_leaves_nothing_of_them(course_folder, capsys):
    for words in (
        ["identify", "--gallery", "people", "people/p0/0.bmp"],
        ["map", "people"],
        ["arrange", "people/p1"],
    ):
        assert run(capsys, *words)[0] == 0
    code, said = run(capsys, "forget", "p1")
    assert code == 0 and "2 photos of p1 forgotten" in said and "yours to delete" in said
    left = [
        path
        for folder in ("outputs", "data")
        for path in (course_folder / folder).rglob("*")
        if path.is_file()
    ]
    assert left and not [
        path
        for path in left
        if b"p1/" in path.read_bytes() or "p1" in path.parts or path.suffix == ".png"
    ]
    assert not list((course_folder / "data").rglob("faces.npy"))
    assert set(Gallery.load(next((course_folder / "outputs").rglob("*.safetensors"))).people) == {
        "p0",
        "p2",
    }
    code, said = run(capsys, "forget", "nobody")
    assert code == 2 and "nothing of a person called 'nobody'" in said


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "p0/..", "/"])
def test_forgetting_nobody_in_particular_deletes_nothing(course_folder, name):
    aligned = course_folder / "data" / "aligned" / "somebody_listed"
    (aligned / "p0").mkdir(parents=True, exist_ok=True)
    (aligned / "p0" / "face.png").write_bytes(b"face")
    with pytest.raises(ValueError, match="no person's name"):
        forget(name, course_folder / "data", course_folder / "runs", course_folder / "outputs")
    assert (aligned / "p0" / "face.png").exists()


def test_a_link_to_a_folder_above_enrols_nobody_elses_photos(tmp_path):
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / name / "1.png")
    (tmp_path / "ada" / "up").symlink_to(tmp_path)
    people = folder_of_people(tmp_path)
    assert people.labels.tolist() == [0, 1]
    assert any("a link to a folder above" in note for note in people.notes)
