"""What the notebooks hand over, and the state in which they are committed."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers import aligned_data, course, evaluation, recognisers, recognition
from helpers.encoders import Encoder
from helpers.landmarks import StackedHourglass
from helpers.model_files import doubts_about, origin
from helpers.settings import Settings
from helpers.splits import split_faces

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("[0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return Settings(
        people=4,
        probe_people=2,
        data_dir=str(folder / "data"),
        runs_dir=str(folder / "runs"),
        epochs=2,
    )


def test_a_notebook_run_alone_makes_a_small_version(small, capsys):
    data = recognition.recognition_data(small)
    assert (len(data.train), len(data.test), len(data.probe)) == (
        32,
        8,
        20,
    ) and data.num_classes == 4
    encoder = recognition.trained_recogniser(small, data)
    assert "No recogniser of notebook 3" in capsys.readouterr().out
    figures = recognition.figures(encoder, data)
    for key in ("tpr", "recall@1", "r_precision", "map@r", "knn_accuracy"):
        assert 0 <= figures[f"{key}_low"] <= figures[key] <= figures[f"{key}_high"] <= 1
    lists = [path.read_text().splitlines() for path in small.run_dir.glob("small-*/split.csv")]
    assert len(lists) == 1 and len(lists[0]) == 1 + 60


def test_the_recogniser_is_used_only_for_the_faces_it_was_trained_on(small, capsys):
    data = recognition.recognition_data(small)
    encoder = course.new_encoder(small)
    course.save_model(encoder, course.recogniser_path(small), faces="another set")
    recognition.trained_recogniser(small, data)
    assert "a small one is trained" in capsys.readouterr().out
    course.save_model(
        encoder, course.recogniser_path(small), faces=course.aligned_folder(small).name
    )
    recognition.trained_recogniser(small, data)
    assert capsys.readouterr().out == ""
    course.recogniser_path(small).unlink()


def test_thresholds_of_ones_own_recogniser_come_from_half_the_people_alone(small, monkeypatch):
    """The other half is left to be asked about: a threshold that has seen them proves nothing."""
    data, asked = recognition.recognition_data(replace(small, probe_people=4)), []
    monkeypatch.setattr(
        recognisers,
        "trained_recogniser",
        lambda settings, data: course.new_encoder(settings).eval(),
    )
    monkeypatch.setattr(
        recognisers,
        "measure",
        lambda embeddings, people: asked.append((len(embeddings), set(people))),
    )
    recognition.recogniser(replace(small, recogniser="trained"), data)
    assert asked == [(20, set(sorted(set(data.probe_labels))[:2]))]


def test_a_study_trains_each_variant_once_and_its_table_is_ordered(small):
    data = recognition.recognition_data(small)
    tiny = replace(small, study_epochs=1, embedding=16, encoder_size=32)
    variants = {
        "base": {},
        "the same": {},
        "SGD": {"optimizer": "sgd"},
        "larger": {"embedding": 32},
        "flat": {"encoder_options": {"flat_head": True}},
    }
    runs = recognition.study(variants, data, tiny)
    assert (
        runs["base"].folder == runs["the same"].folder
        and len({run.folder for run in runs.values()}) == 4
    )
    assert "'flat_head': True" in runs["flat"].settings["model"]
    assert (
        "'dim': 32" in runs["larger"].settings["model"]
        and runs["SGD"].settings["optimizer"] == "sgd"
    )
    table = recognition.comparison(runs)
    assert {row["run"] for row in table} == set(variants)
    rates = [runs[row["run"]].results["tpr"] for row in table]
    assert rates == sorted(rates, reverse=True) and table[0]["accuracy"].count(".") == 3
    for run in runs.values():  # training and held-out photos in each run's curves
        assert all(0 <= row["held_out_accuracy"] <= 1 for row in run.history)
        assert "held_out_accuracy" in (run.folder / "curves.csv").read_text().splitlines()[0]


def test_a_studys_figures_are_measured_again_where_the_photos_changed(small, monkeypatch):
    data = recognition.recognition_data(small)
    tiny, calls = (
        replace(small, study_epochs=1, embedding=16, encoder_size=32),
        SimpleNamespace(count=0),
    )
    measure = recognition.unseen_figures

    def counted(*given, **options):
        calls.count += 1
        return measure(*given, **options)

    monkeypatch.setattr(evaluation, "unseen_figures", counted)
    for photos, times in (
        (data.probe, 1),
        (data.probe, 1),
        (data.probe[:].flip(-2), 2),
        (data.probe[:].flip(-2), 2),
    ):
        recognition.study({"base": {}}, replace(data, probe=photos), tiny)
        assert calls.count == times


def test_whose_landmarks_align_is_a_setting(small):
    shipped = course.hourglass(small)
    own = replace(small, hourglass="trained")
    with pytest.raises(FileNotFoundError, match="run notebook 1 first"):
        course.hourglass(own)
    course.save_model(StackedHourglass(16), course.trained_hourglass_path(own))
    assert course.hourglass(own).settings["channels"] == 16 != shipped.settings["channels"]
    assert course.hourglass(replace(small, hourglass="mtcnn")) is None
    assert (
        len(
            {
                course.aligned_folder(replace(small, hourglass=kind))
                for kind in ("shipped", "trained", "mtcnn")
            }
        )
        == 3
    )


def test_a_command_makes_the_aligned_set(small, capsys):
    words = [f"{name}={getattr(small, name)}" for name in ("people", "probe_people", "data_dir")]
    aligned_data.main(words)
    said = capsys.readouterr().out
    assert "40 faces of 4 people to train on, 20 of probe identities, 0 of distractors" in said
    assert (
        str(course.aligned_folder(small)) in said
        and (course.aligned_folder(small) / "debug" / "landmarks.jpg").exists()
    )
    with pytest.raises(ValueError, match="name=value"):
        aligned_data.main(["people"])


def test_the_same_hourglass_has_the_same_maker():
    settings = Settings()
    one, two = course.new_hourglass(settings), course.new_hourglass(settings)
    assert course.hourglass_id(one) == course.hourglass_id(two) != course.hourglass_id(None)
    two.heads[0].bias.data += 1
    assert course.hourglass_id(one) != course.hourglass_id(two)


def test_models_come_back_as_they_were_saved(tmp_path):
    example = torch.zeros(1, 3, 128, 128)
    for model in (Encoder("resnet10_small", 16, 32), StackedHourglass(16)):
        course.save_model(model.eval(), tmp_path / "model.safetensors", note="a test")
        again = course.load_model(type(model), tmp_path / "model.safetensors")
        assert torch.equal(model(example), again(example))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"cut short")
    with pytest.raises(ValueError, match="cut.safetensors"):
        course.load_model(Encoder, tmp_path / "cut.safetensors")


def test_the_users_own_photos_come_first(small, tmp_path, monkeypatch, some_orl):
    monkeypatch.chdir(tmp_path)
    Path("test_images").mkdir()
    query = split_faces(small)[1]
    stranger = query.names[query.labels[0]]
    samples = course.photo_folder(small, names=[stranger])
    assert sorted(path.name for path in samples.iterdir()) == [
        f"{stranger}_{k}.png" for k in (1, 2, 3)
    ]
    (tmp_path / "test_images" / "ada_1.jpg").write_bytes(b"")
    assert course.photo_folder(small, names=[]) == Path("test_images")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_as_a_real_run_left_them(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    assert (
        "widgets" not in notebook["metadata"]
        and notebook["metadata"]["kernelspec"]["name"] == "python3"
    )
    assert not re.search(r"/(root|tmp|home|work)/\w", json.dumps(notebook))


def test_five_notebooks_and_the_readme_runs_them_all():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 5 and all(path.name in readme for path in NOTEBOOKS)
    assert re.search(r"^pip install -r requirements.txt && pytest --nbval$", readme, re.M)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "models").glob("*.safetensors")), ids=lambda path: path.name
)
def test_shipped_weights_are_those_of_their_card(path):
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card, (
        "weights and card go together: measure, then write both"
    )
    assert path.stat().st_size < 25e6


def test_an_encoder_knows_who_and_what_it_learned_from(tmp_path):
    path = tmp_path / "encoder.safetensors"
    encoder = Encoder("resnet10_small", 16, 32, channels=[8, 16, 16, 32], stem_width=8)
    course.save_model(encoder, path, **origin("hourglass a", ["Ada", "Émile", "Ada"]))
    assert doubts_about(path, "hourglass a", ["Grace", "ada"]) == []
    (other,) = doubts_about(path, "MTCNN")
    assert "aligned by hourglass a" in other and "aligned by MTCNN" in other
    (known,) = doubts_about(path, "hourglass a", ["Grace", "Émile", "Émile"])
    assert "1 of these people, such as Émile" in known
    assert b"mile" not in path.read_bytes()  # names themselves do not travel with the weights
    course.save_note(path, verifier="x")  # which adds to them and takes nothing away
    assert len(doubts_about(path, "MTCNN", ["Ada"])) == 2
    assert doubts_about(course.SHIPPED_RECOGNISER, "MTCNN", ["Ada"]) == []  # older than the notes
    assert doubts_about("sface", "MTCNN", ["Ada"]) == []


def test_unseen_faces_are_aligned_as_the_settings_say(small, monkeypatch):
    asked = []
    monkeypatch.setattr(
        aligned_data, "aligned_faces", lambda *given: asked.append(given[2:4]) or 1 / 0
    )
    for kind, end in (("shipped", "listed"), ("mtcnn", "listed_mtcnn")):
        with pytest.raises(ZeroDivisionError):
            aligned_data.unseen_faces(replace(small, hourglass=kind))
        assert (asked[-1][0] is None) == (kind == "mtcnn") and asked[-1][1].name.endswith(end)
