"""What somebody tried who meant to break it: each case stands for its kind."""

import csv
import io
import json
import math
import os
import subprocess
import sys
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import enrol, gates, identify, load_recogniser, networks, verify
from helpers.__main__ import main as command
from helpers.__main__ import parse
from helpers.aligned_set import COLUMNS, OWN_FILES, face_file
from helpers.augment import Degrade, Jitter
from helpers.debug_sheet import debug_folder, write_debug_sheet
from helpers.digests import digest
from helpers.encoders import Encoder
from helpers.face_set import FaceSet, folder_of_people
from helpers.faces import LANDMARK_COLUMNS, photos_with_landmarks
from helpers.file_fingerprints import file_fingerprints
from helpers.folders import look_into
from helpers.forget import forget
from helpers.gallery import Gallery
from helpers.interactive import read_uploads
from helpers.landmarks import HeatmapLoss, StackedHourglass
from helpers.losses import CrossEntropy, MarginHead
from helpers.model_files import (
    SHIPPED_RECOGNISER,
    load_verifier,
    save_model,
    save_verifier,
    thresholds_file,
)
from helpers.occlusion import MaskAugmentation
from helpers.photo_names import person_in
from helpers.photos import PhotoError, read_photo
from helpers.settings import load_settings
from helpers.splits import read_splits
from helpers.tables import celeba_table
from helpers.training import fit
from helpers.verdicts import clusters

ROOT = Path(__file__).parents[1]


def picture(path, colour="grey"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)
    return path


# --- files ---


@pytest.mark.parametrize(
    "start, kind",
    [(b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"), (b"\xff\xd8\xff\xc0" + bytes(9), "JPEG")],
)
def test_a_damaged_picture_is_not_called_unknown(tmp_path, start, kind):
    path = tmp_path / "one.jpg"
    path.write_bytes(start)
    with pytest.raises(PhotoError, match=f"begins like a {kind}, but it is damaged"):
        read_photo(path)


def test_a_damaged_avif_is_not_said_to_need_another_pillow(tmp_path):
    path = picture(tmp_path / "one.avif")
    data = bytearray(path.read_bytes())
    data[data.find(b"ispe") + 8 : data.find(b"ispe") + 16] = b"\0\0\xea\x60" * 2
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="AVIF, but damaged"):
        read_photo(path)


def test_a_photo_that_vanishes_before_the_debug_sheet_ends_nothing(tmp_path):
    files = [picture(tmp_path / "ada" / f"{k}.png") for k in range(2)]
    faces = FaceSet("two", files, np.array([0, 1]), ["ada", "bob"], keys=["ada/0", "bob/1"])
    row = dict.fromkeys(["skipped"], "") | dict.fromkeys(LANDMARK_COLUMNS, "5")
    row |= dict.fromkeys(["box_left", "box_top", "box_right", "box_bottom"], "9")
    files[0].unlink()
    write_debug_sheet(
        faces, [row | {"photo": "ada/0"}, row | {"photo": "bob/1"}], tmp_path / "sheet.jpg"
    )
    assert (tmp_path / "sheet.jpg").exists()


def test_hidden_photos_and_folders_are_told_but_not_those_of_systems(tmp_path):
    for name in (".ada/1.png", ".two.png", "._3.png", ".git/4.png", "bob/5.png", "bob/.6.png"):
        picture(tmp_path / name)
    files, notes = look_into(tmp_path)
    assert [file.name for file in files] == ["5.png"]
    said = " ".join(notes)
    assert ".ada" in said and ".two.png" in said and ".6.png" in said
    assert ".git" not in said and "._3" not in said
    assert any(".ada" in note for note in folder_of_people(tmp_path).notes)


# --- names ---


@pytest.mark.parametrize("person", [*sorted(OWN_FILES), "Photos.csv"])
def test_a_person_may_be_called_like_a_file_of_the_aligned_set(tmp_path, person):
    folder = face_file(tmp_path, person, f"{person}/1").parent
    assert folder.parent == tmp_path and folder.name.lower() not in OWN_FILES
    assert face_file(tmp_path, "ada", "ada/1") == tmp_path / "ada" / "1.jpg"
    assert debug_folder(tmp_path, ["Debug"]).name == "debug_"


def test_names_that_look_alike_are_told(tmp_path):
    for name in ("José", unicodedata.normalize("NFD", "José"), "Ada", "ada ", "Bob"):
        picture(tmp_path / name / "1.png")
    [note] = [note for note in folder_of_people(tmp_path).notes if "each is a person's" in note]
    assert "José" in note and "ada " in note and "Bob" not in note


def test_one_name_in_two_forms_of_unicode_is_one_claim():
    apart = unicodedata.normalize("NFD", "José_2")
    assert person_in(apart) == person_in("José_1") == "José"


def test_names_that_are_no_text_have_a_digest_and_a_folder_of_their_own(tmp_path):
    assert digest("caf\udce9") != digest("café")
    picture(tmp_path / "caf\udce9" / "ada" / "1.png")
    assert "caf" in replace(load_settings(), dataset=str(tmp_path / "caf\udce9")).dataset_name


def test_a_folder_above_the_photos_is_nobody_to_forget(tmp_path):
    """Once, `forget people` deleted all pictures, since people/ stood in every photo's path."""
    known = Gallery(2, encoder_id="one")
    known.add(np.eye(2), ["people", "bob"][1:] * 2, ["bob/1.png 12 34", "bob/2 56 78"])
    known.save(tmp_path / "out" / "gallery" / "g.safetensors")
    table = tmp_path / "out" / "gallery" / "g_files.csv"
    rows = [["/data/people/bob/1.png", "s", "12"], ["/data/people/bob/2.jpg", "s", "56"]]
    table.write_text("".join(",".join(row) + "\n" for row in [["file", "stamp", "print"], *rows]))
    picture(tmp_path / "out" / "identify" / "1.png")
    for name in ("people", "data", "bob "):
        with pytest.raises(ValueError, match="nothing of a person"):
            forget(name, tmp_path / "data", tmp_path / "runs", tmp_path / "out")
    assert (tmp_path / "out" / "identify" / "1.png").exists()
    forget("bob", tmp_path / "data", tmp_path / "runs", tmp_path / "out")
    assert len(list(csv.reader(table.open()))) == 1 and not (tmp_path / "out" / "identify").exists()


def test_a_person_called_space_can_be_forgotten(tmp_path):
    known = Gallery(2, encoder_id="one")
    known.add(np.eye(2), [" ", "bob"], [" /1 12 34", "bob/2 56 78"])
    known.save(tmp_path / "out" / "gallery" / "g.safetensors")
    forget(" ", tmp_path / "data", tmp_path / "runs", tmp_path / "out")
    assert Gallery.load(tmp_path / "out" / "gallery" / "g.safetensors").people == ["bob"]


ARRANGED = "arrange/groups.csv", "photo,group\nada_1,0\nada_2,0\nbob/1,1\n"
DRAWN = "identify/pictures.csv", "picture,photo,names\n1_x.png,/people/x.png,eva\n"


@pytest.mark.parametrize(
    "table, rows, name", [(*ARRANGED, "ada"), (*ARRANGED, "bob"), (*DRAWN, "eva"), (*DRAWN, "x")]
)
def test_people_of_photos_side_by_side_are_forgotten_by_the_photos_names(
    tmp_path, table, rows, name
):
    """Once, `forget ada` after `arrange` of ada_1.jpg ... left the page with her face and name."""
    out = tmp_path / "out"
    picture(out / "identify" / "1_x.png")
    picture(out / "arrange" / "matrix.png")
    (out / table).write_text(rows)
    for nobody in ("people", "0", "ad", "1_x.png"):
        with pytest.raises(ValueError, match="nothing of a person"):
            forget(nobody, tmp_path / "data", tmp_path / "runs", out)
    forget(name, tmp_path / "data", tmp_path / "runs", out)
    assert not list(out.iterdir())


def test_accents_are_forgotten_however_they_are_written(tmp_path):
    """Folders of macOS have them apart; keyboards write them together."""
    apart, together = (unicodedata.normalize(form, "Jürgen Müller") for form in ("NFD", "NFC"))
    for stored, typed in ((apart, together), (together, apart)):
        known = Gallery(2, encoder_id="one")
        known.add(np.eye(2), [stored, "bob"], [f"{stored}/1.png 12 34", "bob/2.png 56 78"])
        known.faceless = [f"{stored}/3.png 12 35"]
        known.save(tmp_path / "out" / "gallery" / "g.safetensors")
        table = tmp_path / "out" / "gallery" / "g_files.csv"
        table.write_text(f"file,stamp,print\n/p/{stored}/1.png,s,12\n/p/bob/2.png,s,56\n")
        folder = tmp_path / "data" / "aligned" / "p_listed"
        face = picture(face_file(folder, stored, f"{stored}/1"))
        row = [f"{stored}/1", stored, "f", "12", *[""] * (len(COLUMNS) - 4)]
        (folder / "photos.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row) + "\n")
        (folder / "skipped.csv").write_text(f"photo,why\n{stored}/3,no face\n")
        sample = picture(tmp_path / "runs" / "r" / "sample_photos" / f"{stored}_1.png")
        (sample.parents[1] / "split.csv").write_text(f"file,person,split\na,{stored},train\n")
        done = forget(typed, tmp_path / "data", tmp_path / "runs", tmp_path / "out")
        assert any("was trained on" in sentence for sentence in done)
        known = Gallery.load(tmp_path / "out" / "gallery" / "g.safetensors")
        assert known.people == ["bob"] and known.faceless == []
        assert not face.exists() and not face.parent.exists() and not sample.exists()
        for text in (table, folder / "photos.csv", folder / "skipped.csv"):
            assert stored not in text.read_text()


def test_a_photo_listed_in_two_splits_is_refused(tmp_path):
    faces = folder_of_people(picture(tmp_path / "people" / "ada" / "1.png").parents[1])
    path = tmp_path / "list.csv"
    path.write_text("file,split\nada/1.png,train\nada/1.png,test\n")
    with pytest.raises(ValueError, match="lists ada/1.png twice"):
        read_splits(faces, path)


def test_uploads_of_one_name_in_two_folders_of_a_zip_stay_apart():
    photo, packed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30)).save(photo, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("ada/1.png", "bob/1.png", "/abs/2.png", "../3.png"):
            archive.writestr(name, photo.getvalue())
    _, names, skipped = read_uploads([("a.zip", packed.getvalue()), ("c.png", photo.getvalue())])
    assert names == ["ada/1", "bob/1", "abs/2", "3", "c"] and not skipped


def test_a_gallery_of_another_encoder_is_refused_by_identify():
    recogniser = load_recogniser()
    known = Gallery(recogniser.pipeline.encoder.dim, encoder_id="another")
    known.add(np.eye(recogniser.pipeline.encoder.dim)[:1], ["ada"])
    with pytest.raises(ValueError, match="another encoder"):
        identify(Image.new("RGB", (60, 60)), known, recogniser=recogniser)


def test_what_a_killed_process_left_of_a_gallery_is_forgotten_too(tmp_path):
    known = Gallery(2, encoder_id="one")
    known.add(np.eye(2), ["ada", "bob"], ["ada/1 12 34", "bob/2 56 78"])
    known.save(tmp_path / "gallery" / "g.safetensors")
    (tmp_path / "gallery" / "0123.part").write_bytes(b"embeddings")
    forget("ada", tmp_path / "data", tmp_path / "runs", tmp_path)
    assert not list(tmp_path.rglob("*.part"))


# --- what is remembered ---


def test_a_recogniser_is_loaded_again_when_its_file_or_a_setting_changes(tmp_path, monkeypatch):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(SHIPPED_RECOGNISER.read_bytes())
    first = load_recogniser(path)
    assert load_recogniser(path) is first
    measured = load_verifier(path)
    save_verifier(path, replace(measured, thresholds=[t * 0.9 for t in measured.thresholds]))
    assert load_recogniser(path).verifier.threshold() == pytest.approx(
        first.verifier.threshold() * 0.9
    )
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    assert load_recogniser(path).pipeline.hourglass is None
    assert networks.hourglass_path(load_settings()) is None


def test_thresholds_of_an_onnx_file_are_not_those_of_another_one_in_its_place(tmp_path):
    path = tmp_path / "one.onnx"
    path.write_bytes(b"first")
    first = thresholds_file(path)
    assert thresholds_file(f"{path}:imagenet") != first == thresholds_file(path)
    path.write_bytes(b"other")
    assert thresholds_file(path) != first
    assert thresholds_file("sface").name == "sface.json"


@pytest.mark.parametrize("junk", ['"' + "x" * 200_000, "a,b,c\n1,2\n", "\0\0\0"])
def test_a_damaged_table_of_fingerprints_is_written_anew(tmp_path, junk):
    photo, table = picture(tmp_path / "1.png"), tmp_path / "files.csv"
    before = file_fingerprints([photo], table)
    table.write_text(junk)
    assert file_fingerprints([photo], table) == before
    assert str(photo) in table.read_text()


# --- tables ---


def landmarks_csv(folder, *lines):
    header = ",".join(["file", *LANDMARK_COLUMNS])
    (folder / "l.csv").write_text("\n".join([header, "a/0.jpg,1,2,3,4,5,6,7,8,9,10", *lines]))
    return photos_with_landmarks(folder, folder / "l.csv")


@pytest.mark.parametrize("first", ["nan", "inf", "1e9", "1e40", "", "1,5"])
def test_landmarks_that_are_no_pixels_are_refused_with_their_line(tmp_path, first):
    assert len(landmarks_csv(tmp_path, "a/1.jpg,-1.5,2,3,4,5,6,7,8,9,10")) == 2
    with pytest.raises(ValueError, match="the line of a/1.jpg"):
        landmarks_csv(tmp_path, f"a/1.jpg,{first},2,3,4,5,6,7,8,9,10")


@pytest.mark.parametrize("bad", ["nan", "2.5", "-2", "1e9", "x"])
def test_celebas_people_are_whole_numbers(tmp_path, bad):
    path = tmp_path / "identity_CelebA.txt"
    path.write_text(f"000001.jpg 1\n000002.jpg {bad}\n")
    with pytest.raises(ValueError, match="line 2 does not hold"):
        celeba_table(path, ["identity"])


# --- numbers ---

UNIT = np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    "embeddings",
    [UNIT.astype(str), UNIT.astype(complex), UNIT.astype(object), [[1, 0], [1]], None, "a"],
)
def test_embeddings_that_are_no_real_numbers_are_refused(embeddings):
    for use in (gates.unit_embeddings, lambda e: Gallery(4).add(e, list("abcd"))):
        with pytest.raises(ValueError, match="must"):
            use(embeddings)


def test_embeddings_of_torch_are_taken_in_every_precision():
    for one in (torch.eye(4).bfloat16(), torch.eye(4).requires_grad_(), torch.eye(4).half()):
        assert gates.unit_embeddings(one).shape == (4, 4)


@pytest.mark.parametrize("k", [0, -1, 1.5, math.nan, "2", None, True, 5, 10**12])
def test_a_number_of_neighbours_is_a_whole_one(k):
    known = Gallery(4)
    known.add(UNIT, list("abcd"))
    with pytest.raises(ValueError, match="number of neighbours in a gallery of 4 photos"):
        known.search(UNIT, k)
    assert known.search(UNIT, np.int64(2))[0].shape == (4, 2)


@pytest.mark.parametrize("far", [0, -1, 1.5, math.nan, math.inf, "0.1", None, [0.1]])
def test_a_false_alarm_rate_is_one_share_above_zero(far):
    verifier = load_verifier(SHIPPED_RECOGNISER)
    with pytest.raises(ValueError, match="F[AP]R"):
        verifier.gallery_threshold(10, far)


@pytest.mark.parametrize("threshold", [math.nan, 2, math.inf, "0.5", None])
def test_a_threshold_is_a_cosine(threshold):
    known = Gallery(4)
    known.add(UNIT, list("abcd"))
    for use in (lambda: known.identify(UNIT, threshold), lambda: clusters(UNIT, threshold)):
        with pytest.raises(ValueError, match="cosine"):
            use()


def test_labels_that_are_none_are_refused():
    with pytest.raises(ValueError, match="None"):
        gates.labels([None, 1], 2)


@pytest.mark.parametrize("number", [math.nan, math.inf, -1, 1e30, "", None, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: Jitter(degrees=n),
        lambda n: Jitter(light=n),
        lambda n: Degrade(grey=n),
        lambda n: Degrade(blur=n),
        lambda n: MaskAugmentation(p=n),
        lambda n: HeatmapLoss(sigma=n),
        lambda n: StackedHourglass(channels=n),
        lambda n: Encoder("resnet10_small", dim=n or 0),
        lambda n: Encoder("resnet10_small", size=n),
        lambda n: MarginHead(8, n),
        lambda n: CrossEntropy(n, 8),
    ],
)
def test_no_part_takes_a_number_that_is_nonsense(make, number):
    with pytest.raises(ValueError, match="must be a"):
        make(number)


# --- commands ---


@pytest.mark.parametrize(
    "words",
    [
        ["arrange", ""],
        ["map", "x", "--out", ""],
        ["identify", "--gallery", " ", "a"],
        ["predict", "", "b"],
        ["predict", "a", "b", "--encoder", ""],
    ],
)
def test_an_empty_path_is_no_folder(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words)
    assert stop.value.code == 2 and "is empty: " in capsys.readouterr().err
    with pytest.raises(ValueError, match="path is empty"):
        folder_of_people("")


def test_thresholds_of_a_model_that_ships_change_only_if_its_file_is_named(
    tmp_path, some_orl, monkeypatch, capsys
):
    """Once, `evaluate PEOPLE --save` replaced them, and predict failed at the default FPR."""
    models = tmp_path / "models"
    models.mkdir()
    file = models / "recogniser.safetensors"
    encoder = Encoder("resnet10_small", 16, 32).eval()
    save_model(encoder, file, verifier=load_verifier(SHIPPED_RECOGNISER).to_text())
    monkeypatch.setattr("helpers.commands.MODELS", models)
    monkeypatch.setattr("helpers.networks.SHIPPED_RECOGNISER", file)
    monkeypatch.chdir(tmp_path)
    for k in range(len(some_orl)):
        path = tmp_path / "people" / some_orl.names[some_orl.labels[k]] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(some_orl.photo(k).permute(1, 2, 0).numpy()).save(path)
    before = file.read_bytes()
    words = ["evaluate", "people", "--hourglass", "mtcnn", "--save"]
    for more in ([], ["--recogniser", "shipped"]):
        assert command([*words, *more]) == 2 and file.read_bytes() == before
        assert "copy that file and give --recogniser COPY" in capsys.readouterr().err
    assert command([*words, "--recogniser", "models/recogniser.safetensors"]) == 0
    said = capsys.readouterr().out
    least = load_verifier(file).fprs[0]
    assert f"saved in {Path('models', 'recogniser.safetensors')}" in said
    assert "Warning: 6 people are too few for the default FPR of 0.01" in said
    offered = float(said.split("offer is --fpr ")[1].split(". ")[0])
    assert least <= offered < least + 0.001
    load_verifier(file).threshold(offered)


def test_identify_says_where_it_drew_and_clears_its_own_pictures_alone(
    tmp_path, some_orl, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        path = tmp_path / "people" / f"p{k}" / "1.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(some_orl.photo(4 * k).permute(1, 2, 0).numpy()).save(path)
    photos = [str(tmp_path / "people" / f"p{k}" / "1.png") for k in range(2)]
    Path(photos[1]).rename(tmp_path / "b.png")
    photos[1] = "b.png"
    drawn = tmp_path / "outputs" / "identify"
    mine = picture(drawn / "3_mine.png")
    assert command(["identify", "--gallery", "people", *photos, "--fpr", "0.9"]) == 0
    said = capsys.readouterr().out
    assert f"written to {Path('outputs', 'identify')}/" in said and "names more" not in said
    assert {path.name for path in drawn.glob("*.png")} == {"1_1.png", "2_b.png", mine.name}
    assert command(["identify", "--gallery", "people", "b.png", "--fpr", "0.2"]) == 0
    assert "--fpr 0.5 names more" in capsys.readouterr().out
    assert {path.name for path in drawn.glob("*.png")} == {"1_b.png", mine.name}
    assert command(["forget", "b"]) == 0 and not drawn.exists()


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert command(["arrange", str(tmp_path), "--out", "file/below"]) == 2
    said = capsys.readouterr().err
    assert "Nothing can be written to file/below" in said and "--out-dir" in said


def test_arrange_takes_no_picture_that_it_drew_for_a_photo_and_minds_no_link(tmp_path, some_orl):
    """Once, the matrix of the first call was a photo of the second."""
    for k in range(2):
        photo = Image.fromarray(some_orl.photo(k).permute(1, 2, 0).numpy())
        photo.save(tmp_path / f"ada_{k}.png")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    for _ in range(2):
        assert command(["arrange", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    table = (tmp_path / "out" / "arrange" / "similarity.csv").read_text()
    assert table.splitlines()[0] == ",ada_0,ada_1"


def test_predict_compares_the_photos_that_can_be_read_and_no_verdict_is_its_code(
    tmp_path, some_orl, capsys
):
    photos = [str(tmp_path / f"{k}.png") for k in range(2)]
    for k, path in enumerate(photos):
        Image.fromarray(some_orl.photo(k).permute(1, 2, 0).numpy()).save(path)
    assert command(["predict", "--json", photos[0], str(tmp_path / "gone.png"), photos[1]]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert [pair["photos"] for pair in answer["pairs"]] == [photos]
    assert "gone.png" in answer["skipped"][0]


def test_ctrl_c_is_a_sentence_and_no_verdict(monkeypatch, capsys):
    def stopped(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.commands.run", stopped)
    assert command(["arrange", "photos"]) == 130
    assert "Stopped" in capsys.readouterr().err


def test_a_console_that_lacks_letters_ends_nothing(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    result = {"name": "Ада 😀 caf\udce9"}

    def run(options):
        print(result["name"])
        return result, 0

    monkeypatch.setattr("helpers.commands.run", run)
    assert command(["arrange", "photos", "--json"]) == 0
    out.flush()
    said, answer = out.buffer.getvalue().decode("cp1252").splitlines()
    assert said.startswith("\\u0410") and json.loads(answer) == result


def test_errors_of_the_system_name_the_file_and_no_number(capsys, monkeypatch):
    def run(options):
        raise PermissionError(13, "Permission denied", "data/x")

    monkeypatch.setattr("helpers.commands.run", run)
    assert command(["arrange", "photos"]) == 2
    assert capsys.readouterr().err == "data/x: permission denied.\n"


def test_a_benchmark_hands_on_its_exit_code(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    package = tmp_path / "benchmarks"
    package.joinpath("__init__.py").write_text("")
    package.joinpath("__main__.py").write_text((ROOT / "benchmarks" / "__main__.py").read_text())
    package.joinpath("fails.py").write_text("def main(words):\n    return 1\n")
    package.joinpath("works.py").write_text("def main(words):\n    return {'figure': 1}\n")
    package.joinpath("lacks.py").write_text("def main(words):\n    raise ValueError('No data.')\n")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def code(name):
        words = [sys.executable, "-m", "benchmarks", name]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        return SimpleNamespace(code=done.returncode, said=done.stderr)

    assert [code(name).code for name in ("fails", "works")] == [1, 0]
    assert code("lacks").said == "No data.\n"


@pytest.mark.parametrize(
    "options, says",
    [
        ({name: bad}, name)
        for name in ("batch_size", "epochs", "lr", "seed")
        for bad in (-1, "3", None)
    ]
    + [
        ({"batch_size": 1.5}, "batch_size"),
        ({"freezer": [1, 2]}, "freezer"),
        ({"augment": "x"}, "augment"),
    ],
)
def test_fit_names_the_option_that_is_nonsense(tmp_path, options, says):
    model, labels = torch.nn.Flatten(), torch.zeros(4)
    with pytest.raises(ValueError, match=f"^{says} (is|must be)"):
        given = {"epochs": 1, "batch_size": 2, "lr": 0.1} | options
        fit(model, CrossEntropy(3, 2), torch.zeros(4, 3, 1, 1), labels, tmp_path, **given)


def test_labels_that_are_floats_are_refused(tmp_path):
    loss, photos = CrossEntropy(3, 2), torch.zeros(4, 3, 1, 1)
    given = {"epochs": 1, "batch_size": 2, "lr": 0.1}
    with pytest.raises(ValueError, match="whole numbers"):
        fit(torch.nn.Flatten(), loss, photos, torch.zeros(4), tmp_path, **given)


# --- Python ---


def test_several_faces_and_unusable_photos_are_told_in_python_too(some_orl, tmp_path):
    one, other = some_orl.photo(0), some_orl.photo(10)
    party = torch.cat([one, other], 2)
    assert any("2 faces" in hint for hint in verify(one, party).hints)
    Path(tmp_path / "cut.png").write_bytes(b"\x89PNG")
    photos = {"ada": [one, party, tmp_path / "cut.png", tmp_path / "gone.png"], "bob": other}
    with pytest.warns(UserWarning) as told:
        known = enrol(photos)
    said = " ".join(str(warning.message) for warning in told)
    assert known.people == ["ada", "ada", "bob"] and "ada: 2 faces" in said
    assert "cut.png" in said and "gone.png" in said
    with pytest.raises(ValueError, match="^ada: nobody is enrolled"), pytest.warns(UserWarning):
        enrol({"ada": tmp_path / "gone.png"})


def test_what_a_folder_holds_beside_photos_is_told_in_python_too(some_orl, tmp_path):
    face = Image.fromarray(some_orl.photo(0).permute(1, 2, 0).numpy())
    (tmp_path / "ada").mkdir()
    face.save(tmp_path / "ada" / "1.png")
    (tmp_path / "ada" / "2.heic").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 .heic"):
        assert enrol(tmp_path).people == ["ada"]
