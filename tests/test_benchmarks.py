"""Benchmarks end in one line of JSON with the keys that they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import (
    _faults,
    _faults_review,
    celeba_scale,
    gallery,
    gallery_far,
    landmarks,
    lfw,
    losses,
    mamba_lfw,
    masking,
    memory,
    mutations,
    pipeline,
    recipes,
    recognition,
    training_speed,
)
from benchmarks.__main__ import benchmark
from helpers.course import save_model
from helpers.encoders import Encoder
from helpers.verification import Verifier

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch, some_orl):
    """A folder of six people, four photos each, in a place of its own."""
    monkeypatch.chdir(tmp_path)
    for i in range(len(some_orl)):
        path = tmp_path / "people" / some_orl.key(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(some_orl.photo(i).permute(1, 2, 0).numpy()).save(path.with_suffix(".png"))
    return tmp_path / "people"


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_recognition_measures_a_folder_of_people(folder, capsys):
    torch.manual_seed(0)
    save_model(Encoder("resnet10_small", 16, 32).eval(), "mine.safetensors")
    recognition.main(["--people", str(folder), "--encoder", "mine.safetensors"])
    result = last_line(capsys)
    assert list(result["tpr_at_fpr"]) == ["0.0001", "0.001", "0.01", "0.05", "0.1"]
    assert all(0 <= result[key] <= 1 for key in ("recall@1", "r_precision", "map@r"))
    splits = [
        f"people/{p.parent.name}/{p.name},{p.parent.name},"
        f"{'query' if p.parent.name < 's4' else 'distractor'}"
        for p in folder.rglob("*.png")
    ]
    (folder.parent / "split.csv").write_text("\n".join(["file,person,split", *splits]))
    recognition.main(
        ["--people", str(folder), "--split", "split.csv", "--encoder", "mine.safetensors"]
    )
    assert (
        "12 photos of 3 people asked for, 12 photos of 3 distractors; 0 photos"
        in capsys.readouterr().out
    )


def test_losses_are_compared_from_one_command(folder, capsys):
    losses.main(
        [
            "--people",
            str(folder),
            "--epochs",
            "1",
            "--size",
            "32",
            "--losses",
            "ce,triplet",
            "--batch-size",
            "8",
        ]
    )
    out = capsys.readouterr().out.splitlines()
    result = json.loads(out[-1])
    header, ce, triplet = (line for line in out if line.startswith((" " * 20, "ce ", "triplet ")))
    assert "minus ce" in header and "+0.00" not in ce
    assert set(result["ce"]) == {"accuracy", "knn_accuracy", "tpr"} and set(result["triplet"]) == {
        "knn_accuracy",
        "tpr",
    }


def test_recipes_are_compared_on_people_of_every_fold(folder, monkeypatch, capsys):
    for name, value in {"HOURGLASS": "mtcnn", "PEOPLE": 4, "PROBE_PEOPLE": 2}.items():
        monkeypatch.setenv(f"FACES_{name}", str(value))
    monkeypatch.setattr(recipes, "RECIPES", ("ce", "triplet"))
    words = f"--dataset {folder} --folds 2 --epochs 1 --batch-size 8".split()
    recipes.main(words)
    assert set(last_line(capsys)) == {"ce", "triplet"}
    asked = []

    def one_fold(name, faces, labels, held_out, *rest):
        asked.append((name, sorted(held_out.tolist())))
        found = torch.tensor([0.6, 0.7, 0.5]) if name == "ce" else torch.tensor([0.7, 0.9, 0.6])
        return {"tpr": float(found[0]), "resampled": found.numpy(), "people": 10}

    monkeypatch.setattr(recipes, "one_fold", one_fold)
    monkeypatch.setattr(recipes.metrics, "pairs_of_people", lambda *_: 1000)  # enough for a rate
    recipes.main(words)
    out = capsys.readouterr().out
    for name in ("ce", "triplet"):  # everybody to train on is held out once, nobody else ever
        assert sorted(sum((people for n, people in asked if n == name), [])) == [0, 1, 2, 3]
    assert "minus ce: +0.10 [+0.10, +0.20]" in out
    assert json.loads(out.splitlines()[-1]) == {"ce": 0.6, "triplet": 0.7}


def test_landmarks_of_the_same_photos_are_compared_in_pairs(monkeypatch, capsys):
    error = np.array([0.02, 0.04, 0.03, 0.03])
    owners = ["ada", "ada", "bob", "cleo"]
    found = {"hourglass": error, "mtcnn": error + [0.01, 0.01, 0.02, 0.03]}, owners, 0, 0
    monkeypatch.setattr(landmarks, "measure", lambda *_: found)
    monkeypatch.setattr(landmarks, "photos_with_landmarks", lambda *_: owners)
    landmarks.main(["--photos", "PHOTOS", "--landmarks", "LANDMARKS.csv"])
    out = capsys.readouterr().out
    mean, low, high = json.loads(out.splitlines()[-1])["difference"]
    assert mean == pytest.approx(-0.0175) and low < mean < high < 0
    assert "-1.75%" in out and "over 3 people" in out


def test_mamba_learns_in_two_stages_and_is_compared_with_its_control(folder, monkeypatch, capsys):
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    (folder / "alone").mkdir()
    (folder / "s1" / "1.png").rename(folder / "alone" / "1.png")  # one photo makes no pair
    small = "--most 3 --epochs 4 --batch-size 8 --encoder-size 32".split()
    monkeypatch.setitem(mamba_lfw.MAMBA, "encoder_options", {"width": 16, "depth": 1})
    mamba_lfw.main(["--dataset", str(folder), *small])
    out = capsys.readouterr().out
    assert "9 photos of 3 people to train on, 9 photos of 3 unseen people" in out
    result = json.loads(out.splitlines()[-1])
    half, whole, recipe = "all, half of the steps", mamba_lfw.CONTROL, "all, then hard"
    steps, rows = result["steps"], result["rows"]
    assert steps["untrained"] == 0 < steps[half] and 2 * steps[half] == steps[whole]
    assert steps[recipe] == steps[f"{recipe}, a tenth of the rate"] == steps[whole]  # equal budgets
    runs = sorted(path.name.partition("-")[0] for path in Path("runs").glob("*/mamba_*"))
    assert runs == ["mamba_all", "mamba_all", "mamba_hard", "mamba_hard"]
    assert rows.keys() == steps.keys() and "minus control" not in rows[whole]["map@r"]
    for name in rows.keys() - {whole}:
        for figure in mamba_lfw.FIGURES:
            found, control = (float(rows[n][figure]["value"].split()[0]) for n in (name, whole))
            shown = rows[name][figure]["minus control"].split()
            assert float(shown[0]) == pytest.approx(found - control, abs=0.0011)
            assert float(shown[1].strip("[,")) <= float(shown[0]) <= float(shown[2].strip("]"))
    mamba_lfw.main(["--dataset", str(folder), *small])  # nothing is trained again
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result


def test_training_speed_is_a_ratio(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sizes = ["--faces", "64", "--size", "32", "--batch-size", "32", "--rounds", "1"]
    training_speed.main([*sizes, "--also", "float32"])
    result = last_line(capsys)
    ratios = "of_bare", "of_bare_jitter", "over_imagefolder", "ready_over_imagefolder"
    assert all(result[key] > 0 for key in (*ratios, "ready_pk", "float32_gain"))
    assert 0 <= result["waiting"] <= 1


def test_masking_asks_under_four_masks_and_two_covers(folder, capsys):
    torch.manual_seed(0)
    save_model(
        Encoder(
            "vit_tiny_patch16_224",
            16,
            112,
            img_size=112,
            patch_size=28,
            depth=2,
            embed_dim=32,
            num_heads=2,
        ).eval(),
        "vit.safetensors",
    )
    masking.main(["--people", str(folder), "--encoder", "vit.safetensors"])
    result = last_line(capsys)
    assert result["chance"] == pytest.approx(2 / 12, abs=1e-3) and result["removed_over_masked"] > 0
    for name in ("all", "head", "face", "corner", "cover_lower", "cover_upper"):
        # two photos of each are enrolled
        assert 0 <= result[name]["p@10"] <= 0.2 and 0 <= result[name]["p@5"] <= 0.4
    save_model(Encoder("resnet10_small", 16, 32).eval(), "cnn.safetensors")
    with pytest.raises(SystemExit, match="no vision transformer"):
        masking.main(["--people", str(folder), "--encoder", "cnn.safetensors"])
    with pytest.raises(SystemExit):
        masking.main(["--people", str(folder), "--encoder", "nothing.safetensors"])
    assert "choose shipped, trained, sface, dlib, facenet, or the path" in capsys.readouterr().err


def test_the_pipeline_is_measured_from_raw_photos(folder, capsys, monkeypatch):
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    Image.new("RGB", (150, 150)).save(folder / "s1" / "wall.png")
    (folder / "s2" / "broken.jpg").write_text("no picture")
    torch.manual_seed(0)
    verifier = Verifier([1e-3, 0.1], [0.9, 0.5], 10.0, -5.0, 50, 100_000)
    save_model(
        Encoder("resnet10_small", 16, 32).eval(), "mine.safetensors", verifier=verifier.to_text()
    )
    pipeline.main(["--people", str(folder), "--encoder", "mine.safetensors", "--peers"])
    result = last_line(capsys)
    assert result["found"] == pytest.approx(24 / 25) and list(result["tpr_at_fpr"]) == [
        "0.001",
        "0.01",
        "0.1",
    ]
    assert (
        all(0 <= result[key] <= 1 for key in ("precision", "dir_at_far"))
        and result["photos_per_second"] > 0
    )


def test_simulated_galleries_are_as_alike_as_asked_and_exact_search_is_exact(monkeypatch, capsys):
    photos, queries = gallery.simulate(2000, 20, 0.6, 64)
    same = (photos.reshape(200, 10, 64) @ photos.reshape(200, 10, 64).swapaxes(1, 2))[
        :, ~torch.eye(10, dtype=bool).numpy()
    ]
    assert same.mean() == pytest.approx(0.6, abs=0.02) and queries.shape == (20, 64)
    monkeypatch.setattr(gallery, "likeness", lambda settings: (0.6, 32))
    gallery.main(["--sizes", "2000", "--queries", "20"])
    result = last_line(capsys)["2000"]
    assert (
        result["flat"]["recall@1"] == result["scikit-learn"]["recall@1"] == 1
        and result["hnsw"]["recall@1"] > 0.9
    )


def test_memory_is_measured_in_processes_of_their_own(capsys):
    memory.main(["--share", "0.01"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == {"verification", "triplets", "aligned set", "gallery", "photos"} and all(
        0.1 < row["peak_gb"] < 4 for row in result.values()
    )


def test_a_benchmark_that_does_not_exist_is_a_sentence():
    with pytest.raises(SystemExit, match="There is no benchmark 'faces': choose alignment-speed"):
        benchmark(["faces"])


def test_lfw_chooses_each_threshold_on_the_other_folds(folder, capsys, tmp_path):
    for person in folder.iterdir():
        for number, photo in enumerate(sorted(person.iterdir()), 1):
            photo.rename(person / f"{person.name}_{number:04d}{photo.suffix}")
    same = [f"s{k}\t1\t{n}" for k in (1, 2) for n in (2, 3)]
    different = [f"s{k}\t{n}\ts{k + 2}\t{n}" for k in (1, 2) for n in (1, 2)]
    lines = ["2\t2", *same[:2], *different[:2], *same[2:], *different[2:]]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    torch.manual_seed(0)
    save_model(Encoder("resnet10_small", 16, 32).eval(), "mine.safetensors")
    lfw.main(
        [
            "--photos",
            str(folder),
            "--pairs",
            str(tmp_path / "pairs.txt"),
            "--encoder",
            "mine.safetensors",
        ]
    )
    assert 0 <= last_line(capsys)["accuracy"] <= 1
    rows = ["file,split", "lfw/s1/s1_0002.png,train", "lfw/s2/s2_0003.png,test"]
    (tmp_path / "landmarks.csv").write_text("\n".join(rows))
    lfw.main(
        [
            "--photos",
            str(folder),
            "--pairs",
            str(tmp_path / "pairs.txt"),
            "--encoder",
            "mine.safetensors",
            "--landmarks",
            "mtcnn",
            "--leave-out",
            str(tmp_path / "landmarks.csv"),
        ]
    )
    result = last_line(capsys)
    # s1_0002 stands in two of the eight pairs; two pairs of people carry no FPR of 0.001
    assert result["without"]["pairs"] == 6 and result["tpr_at_fpr"] == result["without"][
        "tpr_at_fpr"
    ] == {"0.001": None}
    assert lfw.learned_photos(tmp_path / "landmarks.csv") == {"s1_0002"}
    (tmp_path / "landmarks.csv").write_text("photo\na.png")
    with pytest.raises(ValueError, match="no column file"):
        lfw.learned_photos(tmp_path / "landmarks.csv")
    first, second, truth, fold = lfw.read_pairs(tmp_path / "pairs.txt")
    assert (
        second[0] == "s1_0002"
        and truth.tolist() == [True, True, False, False] * 2
        and fold.tolist() == [0] * 4 + [1] * 4
    )
    (tmp_path / "pairs.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="not LFW's View 2"):
        lfw.read_pairs(tmp_path / "pairs.txt")


def test_the_best_threshold_is_the_best_of_all():
    draw = np.random.default_rng(0)
    for _ in range(20):
        same = draw.random(40) < 0.5
        similarity = np.round(draw.normal(size=40) + same, 1)  # with ties
        tried = [lfw.share_right(similarity, same, value) for value in [-9, *similarity]]
        assert lfw.share_right(
            similarity, same, lfw.best_threshold(similarity, same)
        ) == pytest.approx(max(tried))


def test_a_photo_without_a_face_counts_as_a_miss():
    people = np.array([0, 0, 0, 1, 1, 1])
    found = np.array([0, 1, 3, 4, 5])  # photo 2 shows no face
    embeddings = np.eye(2, dtype=np.float32)[people[found]]
    everyone = pipeline.with_misses(embeddings, found, 6)
    assert np.allclose(np.linalg.norm(everyone, axis=1), 1) and np.allclose(
        everyone[found][:, :2], embeddings
    )
    similarity = everyone @ everyone.T
    assert similarity[2].tolist() == [0, 0, 1, 0, 0, 0]
    right = (people[:, None] == people) & ~np.eye(6, dtype=bool)
    # two of person 0's three pairs are missed
    assert (similarity > 0.5)[right].mean() == pytest.approx(4 / 6)


def test_rules_of_galleries_score_the_best_photo_or_the_best_two():
    gallery = np.array([[[1, 0], [0.8, 0.6], [0, 1]]], np.float32)  # one person, three photos
    probe = np.array([[1, 0]], np.float32)
    assert gallery_far.scores(probe, gallery, "photo") == pytest.approx(1)
    assert gallery_far.scores(probe, gallery, "best two") == pytest.approx(0.9)
    verifier = Verifier([0.0001, 0.01], [0.9, 0.5], 1, 0, 10, 100)
    assert gallery_far.threshold_of("photo", verifier, 10, 10) == pytest.approx(
        verifier.threshold(0.0001)
    )
    assert gallery_far.threshold_of("person", verifier, 10, 10) == pytest.approx(
        verifier.threshold(0.001)
    )


def test_every_fault_has_its_place_in_the_code():
    assert (
        mutations.stale(_faults.FAULTS) == mutations.stale(_faults_review.REVIEW) == []
        and len(_faults.FAULTS) == 40
    )


def test_faults_are_noticed_in_a_copy_and_the_code_stays_as_it_is(tmp_path, monkeypatch, capsys):
    code = "def double(x):\n    return 2 * x\n\n\ndef triple(x):\n    return 3 * x\n"
    tests = "from helpers.sums import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
    for name, text in {
        "helpers/__init__": "",
        "helpers/sums": code,
        "tests/test_sums": tests,
        "tests/test_bad": "0 / 0",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.setattr(mutations, "LIBRARIES", ())
    monkeypatch.setattr(
        _faults,
        "FAULTS",
        [
            ("sums", "noticed", "2 * x", "1 * x"),
            ("sums", "cannot be read", "2 * x", "2 * * x"),
            ("sums", "not tested", "3 * x", "4 * x"),
            ("sums", "no such test", "3 * x", "4 * x", "test_sums -k triple"),
            ("sums", "tests that fail anyhow", "3 * x", "4 * x", "test_bad"),
        ],
    )
    mutations.main([])
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[-1]) == {"faults": 5, "noticed": 2, "survived": 1, "undecided": 2}
    assert "test_double" in out[0] and "SURVIVED" in out[2] and "tests failed without it" in out[4]
    assert mutations.run("test_sums", tmp_path, 0.01)[0] == "too slow"
    assert (tmp_path / "helpers" / "sums.py").read_text() == code
    monkeypatch.setattr(_faults, "FAULTS", [("sums", "gone", "5 * x", "4 * x")])
    with pytest.raises(SystemExit):
        mutations.main([])
    assert "must follow" in capsys.readouterr().err


def test_a_slice_of_the_zoo_of_odd_files_ends_no_command_and_loses_nothing_silently(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "odd-files", "--step", "64"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=900,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["files"] > 300 and result["sentences"] > 300
    assert result["crashes"] == result["silent"] == result["faces_lost"] == 0


def test_every_stage_of_celeba_scale_does_its_work(tmp_path, capsys):
    for stage in celeba_scale.STAGES.values():
        stage(tmp_path / "data", 240)
    row = dict.fromkeys(celeba_scale.STAGES, {"seconds": 1.0, "peak_gb": 0.5})
    later = dict.fromkeys(celeba_scale.STAGES, {"seconds": 10.0, "peak_gb": 0.5})
    celeba_scale.print_table({20_000: row, 200_000: later})
    assert "| loader | 1.0 | 0.50 | 10.0 | 0.50 | 1.00 |" in capsys.readouterr().out
