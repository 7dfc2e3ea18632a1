"""What no training can use is refused in a sentence, and nothing half-done stays."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from small_trainings import StopAt, train

from helpers.losses import MarginHead, TripletLoss
from helpers.runs import Run


def test_a_training_with_nothing_to_learn_is_refused(tmp_path, random_faces):
    for options in ({"epochs": 0}, {"batch_size": 1}):
        with pytest.raises(ValueError, match="nothing to learn"):
            train(tmp_path, *random_faces, **options)
    with pytest.raises(ValueError, match="No batch has two photos"):
        train(
            tmp_path,
            *random_faces,
            batches=lambda epoch, seed: [torch.tensor([0]), torch.tensor([1])],
        )


def test_unknown_schedules_are_refused(tmp_path, random_faces):
    with pytest.raises(ValueError, match="onecycle"):
        train(tmp_path, *random_faces, schedule="linear")
    with pytest.raises(ValueError, match="adamw"):
        train(tmp_path, *random_faces, optimizer="lion")
    assert not list(tmp_path.iterdir())


# an object of a library: no constant that the fingerprint would tell
CALLS = SimpleNamespace(left=math.inf)


class Diverges(MarginHead):
    """A loss that is not a number after some calls."""

    def forward(self, features, people):
        CALLS.left -= 1
        value, health = super().forward(features, people)
        return value * (math.nan if CALLS.left < 0 else 1), health


@pytest.mark.parametrize(
    "call, kept", [(0, "No epoch was finished"), (4, "after epoch 1"), (5, "after epoch 1")]
)
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path, random_faces, call, kept, monkeypatch
):
    loss = Diverges(16, 4)
    monkeypatch.setattr(CALLS, "left", call)
    with pytest.raises(ValueError, match=f"not a finite number.*{kept}.*smaller lr"):
        train(tmp_path, *random_faces, loss=loss)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert not Run(folder).finished and (folder / "checkpoint.pt").exists() == (call > 3)
    if call > 3:
        weights = torch.load(folder / "checkpoint.pt", weights_only=True)["both"]
        assert all(tensor.isfinite().all() for tensor in weights.values())
    CALLS.left = math.inf  # what was wrong is mended: it goes on
    assert (
        len(train(tmp_path, *random_faces, loss=loss)[1].history) == 4
        and len(list(tmp_path.glob("run-*"))) == 1
    )


def test_a_rate_that_blows_the_weights_up_leaves_no_finished_model(tmp_path, random_faces):
    with pytest.raises(ValueError, match="not a finite number"):
        train(tmp_path, *random_faces, optimizer="sgd", lr=1e38, clip=1e38)
    assert not list(tmp_path.glob("*/model.safetensors"))


@pytest.mark.parametrize(
    "options, says",
    [
        ({"lr": math.nan}, "lr is 'nan', but it must be a finite number"),
        ({"lr": 0.0}, "lr is"),
        ({"weight_decay": -1.0}, "weight_decay is"),
        ({"clip": math.inf}, "clip is"),
        ({"hours": math.nan}, "hours is"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": 1.5}, "epochs is"),
        ({"T_0": 0, "schedule": "restarts"}, "T_0 is"),
        ({"eta_min": -1.0}, "eta_min is"),
        ({"augment": partial(print, math.nan)}, "not finite"),
    ],
)
def test_settings_that_are_not_finite_or_out_of_range_are_refused(
    tmp_path, random_faces, options, says
):
    with pytest.raises(ValueError, match=says):
        train(tmp_path, *random_faces, **options)
    assert not list(tmp_path.iterdir())


def test_labels_that_a_loss_does_not_know_are_refused(tmp_path, random_faces):
    faces, people = random_faces
    for labels in (people + 1, people - 1, people * 10):
        with pytest.raises(ValueError, match=r"labels must be 0 to 3.*number them anew"):
            train(tmp_path, faces, labels)
    with pytest.raises(ValueError, match="24 photos and 23 targets"):
        train(tmp_path, faces, people[1:])
    with pytest.raises(ValueError, match="not finite"):
        train(tmp_path, faces, torch.full((24, 16), math.nan), loss=TripletLoss())
    _, run = train(tmp_path, faces, people.numpy().astype("int16"), epochs=1)
    assert run.finished


@pytest.mark.parametrize(
    "name, stopped",
    [
        ("checkpoint.pt", True),
        ("settings.json", True),
        ("model.safetensors", False),
        ("settings.json", False),
        ("curves.csv", False),
        ("results.json", False),
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\x00{", None])
def test_damaged_files_of_a_run_name_the_folder_to_delete(
    tmp_path, random_faces, name, stopped, content
):
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, *random_faces, augment=StopAt(4))
    else:
        train(tmp_path, *random_faces, epochs=1)[1].save_results(tpr=0.5)
    (path,) = tmp_path.glob(f"run-*/{name}")
    if content is None:
        path.write_bytes(path.read_bytes()[:-5] if name != "curves.csv" else b"a,b\n1,x\n")
    else:
        path.write_bytes(content if name != "curves.csv" else b"\xff\x00,{\n\xff,1\n")
    with pytest.raises(ValueError, match=f"{name} can't be read.*delete the folder .*run-"):
        train(tmp_path, *random_faces, **{"augment": StopAt()} if stopped else {"epochs": 1})
