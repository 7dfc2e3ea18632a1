"""A run that was stopped ends with the very same weights, and an edited setting starts a run of its own."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.augment import Jitter
from helpers.batches import people_by_photos, shuffled
from helpers.encoders import Encoder, LayerFreezer
from helpers.losses import MarginHead, TripletLoss
from helpers.runs import Run, saved_runs
from helpers.training import fit


class StopAt(Jitter):
    """A jitter that pulls the plug at a given call; its name is that of the plain one."""

    def __init__(self, call=None):
        super().__init__()
        self.__dict__["left"] = call

    def __call__(self, images, targets):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return super().__call__(images, targets)

    def __repr__(self):
        return "StopAt()"


def train(folder, faces, people, loss=None, **options):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    loss = loss or MarginHead(16, 4)
    recipe = dict(epochs=4, batch_size=8, lr=1e-2, progress=False)
    run = fit(encoder, loss, faces, people, folder / "run", **recipe | options)
    return encoder, run


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "restarts", "warmup", "constant"])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, random_faces, schedule):
    whole, _ = train(tmp_path / "whole", *random_faces, augment=StopAt(), schedule=schedule)
    for stop in (4, 7):  # in the middle of the second epoch, and of the third, after which it goes on
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", *random_faces, augment=StopAt(stop - (3 if stop == 7 else 0)), schedule=schedule)
    resumed, run = train(tmp_path / "killed", *random_faces, augment=StopAt(), schedule=schedule)
    assert len(run.history) == 4
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(one, other)


def test_an_epoch_of_people_by_photos_sees_about_as_many_photos_as_there_are():
    people = torch.cat([torch.arange(50), torch.arange(30), torch.arange(10).repeat(4)])  # 20 have one photo, 10 have six
    batches = people_by_photos(people, P=5, K=4)
    for epoch in range(3):
        drawn = batches(epoch, seed=1)
        seen = torch.cat(drawn)
        assert len(drawn) == len(batches(0, seed=0)) and 0.8 < len(seen) / len(people) < 1.3
        assert people[seen].max() < 30  # those with a single photo are nobody's positive
    with pytest.raises(ValueError, match="two photos or more"):
        people_by_photos(torch.arange(9))(0, 0)


def test_a_finished_run_is_loaded_and_not_trained_again(tmp_path, random_faces):
    first, run = train(tmp_path, *random_faces)
    second, again = train(tmp_path, *random_faces, augment=None)
    assert again.folder == run.folder and again.history == run.history
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    assert not (run.folder / "checkpoint.pt").exists()


def test_an_edited_setting_starts_a_run_of_its_own(tmp_path, random_faces):
    folders = [train(tmp_path, *random_faces, epochs=1, **change)[1].folder
               for change in ({}, {"lr": 2e-2}, {"loss": MarginHead(16, 4, m=0.1)}, {"seed": 1})]
    assert len(set(folders)) == 4 and len(saved_runs(tmp_path)) == 4


def test_figures_stay_with_their_run(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=1)
    run.save_results(tpr=0.5)
    assert saved_runs(tmp_path)[0].results == {"tpr": 0.5}


def test_training_lowers_the_loss_and_logs_each_epoch(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=8, evaluate=lambda model: {"half": 0.5})
    assert run.history[-1]["loss"] < run.history[0]["loss"] and all(row["half"] == 0.5 for row in run.history)
    assert {"accuracy", "spread", "photos_per_second"} <= set(run.history[0])


def test_a_steep_step_is_clipped_to_its_length(tmp_path, random_faces):
    """With plain steps (SGD's first, Nesterov: 1 + 0.9 of the gradient) the weights move by lr * 1.9 * clip, not further."""
    class Steep(torch.nn.Module):
        def forward(self, features, people):
            return features.float().sum() * 1e6, {}

    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    before = [p.detach().clone() for p in encoder.parameters()]
    fit(encoder, Steep(), *random_faces, tmp_path / "run", epochs=1, batch_size=24, optimizer="sgd", lr=0.01,
        weight_decay=0, schedule="constant", clip=2.0, progress=False)
    moved = sum((p - b).square().sum() for p, b in zip(encoder.parameters(), before)).sqrt().item()
    assert moved == pytest.approx(0.01 * 1.9 * 2.0, rel=0.02)


def test_triplets_train_without_people_labels_in_the_loss(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, loss=TripletLoss(mining="hard"), batches=people_by_photos(random_faces[1], 3, 2))
    assert "active" in run.history[0]


def test_every_photo_comes_once_an_epoch():
    batches = shuffled(23, 5)(epoch=2, seed=0)
    assert sorted(torch.cat(batches).tolist()) == list(range(23))
    assert torch.cat(batches).tolist() != torch.cat(shuffled(23, 5)(3, 0)).tolist()


def test_batches_hold_p_people_with_k_photos():
    people = torch.arange(9).repeat_interleave(6)
    batches = people_by_photos(people, P=4, K=3)
    for epoch in range(3):
        for index in batches(epoch, 0):
            chosen, counts = people[index].unique(return_counts=True)
            assert len(chosen) == 4 and (counts == 3).all() and len(set(index.tolist())) == 12
    assert len(batches(0, 0)) == len(batches(1, 0)) == -(-54 // 12)


def test_a_training_with_nothing_to_learn_is_refused(tmp_path, random_faces):
    for options in ({"epochs": 0}, {"batch_size": 1}):
        with pytest.raises(ValueError, match="nothing to learn"):
            train(tmp_path, *random_faces, **options)
    with pytest.raises(ValueError, match="No batch has two photos"):
        train(tmp_path, *random_faces, batches=lambda epoch, seed: [torch.tensor([0]), torch.tensor([1])])


def test_unknown_schedules_are_refused(tmp_path, random_faces):
    with pytest.raises(ValueError, match="onecycle"):
        train(tmp_path, *random_faces, schedule="linear")
    with pytest.raises(ValueError, match="adamw"):
        train(tmp_path, *random_faces, optimizer="lion")
    assert not list(tmp_path.iterdir())


def test_the_encoders_size_belongs_to_the_fingerprint(tmp_path, random_faces):
    folders = set()
    for size in (32, 48):
        torch.manual_seed(0)
        encoder, loss = Encoder("resnet10_small", 16, size), MarginHead(16, 4)
        folders.add(fit(encoder, loss, *random_faces, tmp_path / "run", epochs=1, progress=False).folder)
    assert len(folders) == 2


def test_resting_layers_keep_their_weights_and_statistics(tmp_path, random_faces):
    torch.manual_seed(0)
    first = [p.clone() for p in Encoder("resnet10_small", 16, 32).net.conv1.state_dict().values()]
    resting, _ = train(tmp_path / "a", *random_faces, epochs=2, freezer=LayerFreezer([4, 4]))
    assert all(torch.equal(a, b) for a, b in zip(first, resting.net.conv1.state_dict().values()))
    later, _ = train(tmp_path / "b", *random_faces, epochs=2, freezer=LayerFreezer([4, 0]))
    assert not all(torch.equal(a, b) for a, b in zip(first, later.net.conv1.state_dict().values()))


def test_a_frozen_run_resumes_to_the_same_weights(tmp_path, random_faces):
    options = dict(freezer=LayerFreezer([7, 5, 2, 0]), epochs=4)
    whole, _ = train(tmp_path / "whole", *random_faces, augment=StopAt(), **options)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", *random_faces, augment=StopAt(7), **options)
    resumed, _ = train(tmp_path / "killed", *random_faces, augment=StopAt(), **options)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values()))


def test_what_rested_is_free_again_and_what_was_frozen_stays_so(tmp_path, random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    encoder.net.conv1.requires_grad_(False)
    fit(encoder, MarginHead(16, 4), *random_faces, tmp_path / "run", epochs=1, batch_size=8, freezer=LayerFreezer([5]),
        progress=False)
    assert not any(p.requires_grad for p in encoder.net.conv1.parameters())
    assert all(p.requires_grad for p in encoder.net.layer1.parameters())


def test_the_best_model_is_kept_and_the_curves_are_in_tensorboard(tmp_path, random_faces):
    scores, seen = iter([0.1, 0.9, 0.5]), []

    def evaluate(model):
        seen.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"score": next(scores)}

    _, run = train(tmp_path, *random_faces, epochs=3, evaluate=evaluate, best="score")
    best = load_file(run.folder / "best.safetensors")
    assert all(torch.equal(best[key], seen[1][key]) for key in best)
    events = EventAccumulator(str(run.folder)).Reload()
    assert [round(event.value, 1) for event in events.Scalars("score")] == [0.1, 0.9, 0.5]
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]


def test_a_limit_in_hours_ends_a_run_after_a_whole_epoch(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=50, hours=1e-6)
    assert run.finished and len(run.history) == 1


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
from accelerate import PartialState
from helpers import training
from helpers.training import fit

training.best_precision = lambda device: "no"  # bf16 would round each process's half of a gradient for itself

class Tiny(torch.nn.Module):  # no batch normalisation, whose statistics would differ with the share of the batch
    def __init__(self):
        super().__init__()
        self.first, self.linear = torch.nn.Linear(48, 8), torch.nn.Linear(8, 4)
    def forward(self, x):
        return self.linear(self.first(x.float().flatten(1) / 255).relu())

class Rest:
    def __call__(self, model, epoch):
        model.first.requires_grad_(epoch % 2 == 0)

class Loss(torch.nn.Module):
    def forward(self, logits, people):
        return torch.nn.functional.cross_entropy(logits, people), {"accuracy": (logits.argmax(1) == people).float().mean()}

torch.manual_seed(0)
images, people = torch.randint(0, 256, (32, 3, 4, 4), dtype=torch.uint8), torch.arange(32) % 4
fit(Tiny(), Loss(), images, people, sys.argv[1], epochs=5, batch_size=8, lr=1e-2, progress=False,
    freezer=FREEZER)
PartialState().destroy_process_group()
threads = {Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")}
assert not any("gloo" in name for name in threads), f"{threads}: one that outlives Python may abort the process"
"""


@pytest.mark.parametrize("freezer", ["None", "Rest()"])
def test_two_processes_give_the_curve_of_one(tmp_path, freezer):
    (tmp_path / "train.py").write_text(TWO_PROCESSES.replace("FREEZER", freezer))
    here = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    curves = []
    for count in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "train.py"]
        subprocess.run([*command, str(tmp_path / f"run{count}")], cwd=tmp_path, env=os.environ | here, check=True, timeout=300)
        [folder] = tmp_path.glob(f"run{count}-*")
        curves.append([(row["loss"], row["accuracy"]) for row in Run(folder).history])
    assert len(curves[0]) == 5 and torch.allclose(torch.tensor(curves[0]), torch.tensor(curves[1]), atol=1e-4)
