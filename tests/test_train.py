"""`python -m helpers.train`: every loss and augmentation can be made, and its runs are whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from safetensors.torch import load_file

from helpers import train as train_command
from helpers.augment import Jitter
from helpers.course import load_model
from helpers.encoders import Encoder
from helpers.runs import saved_runs
from helpers.splits import SPLITS

TINY = "encoder_options={channels:[8,16,16,32],stem_width:8}"
CONFIG = Path(__file__).parents[1] / "helpers" / "config"


def choices(group):
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


@pytest.mark.parametrize("name", choices("loss"))
def test_every_loss_of_the_configuration_learns_from_a_batch(name):
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", [f"loss={name}", "classes=4", "embedding=16"])
    features = torch.randn(8, 16, requires_grad=True)
    goal = torch.randn(8, 16) if name == "distillation" else torch.arange(4).repeat_interleave(2)
    value, health = instantiate(config.loss)(features, goal)
    value.backward()
    assert features.grad.abs().sum() > 0 and "spherical_variance" in health
    assert (config.photos_each == 4) == ("triplet" in name or name == "contrastive")


@pytest.mark.parametrize("name", choices("augment"))
def test_every_augmentation_of_the_configuration_keeps_range_and_people(name, random_faces):
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", [f"augment={name}", "encoder_size=64"])
    torch.manual_seed(0)
    faces, people = instantiate(config.augment)(*random_faces)
    times = 6 if name == "six" else 1
    assert faces.shape[:2] == (24 * times, 3) and torch.equal(people, random_faces[1].repeat(times))
    assert faces.min() >= 0 and faces.max() <= 255


def test_the_numbers_of_an_augmentation_may_be_given_though_no_file_repeats_them():
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", train_command.overrides(["augment.degrees=20"]))
    jitter = instantiate(config.augment)
    assert (jitter.degrees, jitter.scale) == (20, Jitter().scale)


def command(folder, *words, launcher=("-m", "helpers.train")):
    options = [
        f"data_dir={folder / 'data'}",
        f"runs_dir={folder / 'runs'}",
        "people=6",
        "probe_people=3",
        "epochs=2",
        "batch_size=8",
        "embedding=16",
        "encoder_size=32",
    ]
    done = subprocess.run(
        [sys.executable, *launcher, *words, *options],
        cwd=CONFIG.parents[1],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("FACES_")}
        | {"OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_one_command_trains_several_losses_and_leaves_whole_runs(tmp_path):
    out = command(tmp_path, "-m", "loss=arcface,triplet", TINY, "freeze=[2,0]")
    assert out.count("map@r") == 2
    runs = saved_runs(next((tmp_path / "runs").iterdir()))
    assert sorted(run.folder.name.rpartition("-")[0] for run in runs) == ["arcface", "triplet"]
    for run in runs:
        files = {path.name for path in run.folder.iterdir()}
        assert {"config.yaml", "curves.csv", "split.csv", "settings.json", "results.json"} <= files
        listed = [
            line.rpartition(",")[2]
            for line in (run.folder / "split.csv").read_text().splitlines()[1:]
        ]
        assert len(listed) == 90 and set(listed) == set(SPLITS[:3])
        encoder = load_model(Encoder, run.folder / "encoder.safetensors")
        assert (
            encoder(torch.zeros(1, 3, 112, 112)).shape == (1, 16) and 0 <= run.results["tpr"] <= 1
        )
    again = command(tmp_path, "loss=arcface", TINY, "freeze=[2,0]")
    assert "2 epochs" in again and len(saved_runs(next((tmp_path / "runs").iterdir()))) == 2
    taught = command(
        tmp_path, "loss=distillation", f"teacher={runs[0].folder / 'encoder.safetensors'}", TINY
    )
    assert "distillation" in taught and "map@r" in taught


@pytest.mark.slow
def test_the_best_epoch_is_measured_and_kept_by_command(tmp_path):
    out = command(tmp_path, "loss=ce", TINY, "best=held_out_accuracy")
    (run,) = saved_runs(next((tmp_path / "runs").iterdir()))
    shares = [row["held_out_accuracy"] for row in run.history]
    epoch = 1 + shares.index(max(shares))
    assert f"The best epoch by held_out_accuracy is {epoch} of {len(shares)}" in out
    best, kept = (load_file(run.folder / f"{n}.safetensors") for n in ("best", "encoder"))
    assert all(torch.equal(kept[key].float(), best[key].float()) for key in best)
    assert "accuracy" not in run.results, "the last epoch's centres fit no other encoder"


@pytest.mark.slow
def test_the_command_under_accelerate_launch_trains_in_two_processes(tmp_path):
    launcher = (
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "-m",
        "helpers.train",
    )
    out = command(tmp_path, "loss=ce", "device=cpu", TINY, launcher=launcher)
    assert out.count("2 epochs in") == 1
    (run,) = saved_runs(next((tmp_path / "runs").iterdir()))
    assert len(run.history) == 2 and "tpr" in run.results


NAMES = [
    "photos (1)",
    "фото",
    "a,b",
    "it's",
    "c:\\people\\",
    "[brackets]",
    "100%",
    "a=b",
    "${dataset}",
    "2024",
    "1e3",
    "~x",
    'with "quotes"',
    "новая папка (2)",
    "{braces}",
    "back\\'slash",
]


@pytest.mark.parametrize("name", NAMES)
def test_paths_of_any_name_arrive_as_they_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name.startswith(("[", "{")):
        (tmp_path / name).mkdir()  # else it might be meant as a list
    for key in ("dataset", "weights", "runs_dir"):
        with initialize_config_module("helpers.config", version_base="1.3"):
            config = compose("train", train_command.overrides([f"{key}={name}", "loss=ce"]))
        assert str(config[key]) == name


def test_several_paths_are_tried_one_after_another():
    assert train_command.overrides(["-m", "dataset=a (1),b", "loss=ce,arcface"]) == [
        "-m",
        "dataset='a (1)','b'",
        "loss=ce,arcface",
    ]
    assert train_command.overrides(["teacher=[a,b]", "weights=null", "dataset='a b'"]) == [
        "teacher=[a,b]",
        "weights=null",
        "dataset='a b'",
    ]


@pytest.mark.parametrize(
    "word, says",
    [
        ("batchsize=3", "did you mean batch_size"),
        ("+batchsize=3", "did you mean batch_size"),
        ("++epoch=3", "did you mean epochs"),
        ("los=ce", "did you mean loss"),
        ("qqq=1", "helpers.settings lists"),
        ("lr", "write lr=VALUE"),
    ],
)
def test_misspelt_settings_are_refused(word, says):
    with pytest.raises(ValueError, match=says):
        train_command.overrides([word])


@pytest.mark.parametrize(
    "words, says",
    [
        (["loss=arcfase"], "Could not find 'loss/arcfase'"),
        (["loss.margn=1"], "Could not override 'loss.margn'"),
        (["people=many"], "people is 'many', but it must be a whole number"),
        (["dataset=nowhere (1)"], "nowhere (1)"),
        (["device=cpu:x"], "device is 'cpu:x'"),
        (["epochs=(3"], "epochs"),
        (["batchsize=3"], "did you mean"),
        (["loss=ce", "encoder=resnet19", "people=4", "probe_people=3"], "resnet19"),
    ],
)
def test_mistakes_end_in_one_sentence(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as stopped:
        train_command.run([*words, f"data_dir={tmp_path}", f"runs_dir={tmp_path}"])
    text = str(stopped.value.code)
    assert (
        says in text
        and "\n" not in text
        and "Traceback" not in capsys.readouterr().err
        and "use +" not in text
    )
    with pytest.raises(Exception) as raised:
        train_command.run([*words, f"data_dir={tmp_path}", f"runs_dir={tmp_path}", "--debug"])
    assert not isinstance(raised.value, SystemExit)
