"""A run that was stopped ends with the same weights; what a training does in every epoch."""

import random
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_trainings import TINY, StopAt, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import runs
from helpers.batches import people_by_photos, shuffled
from helpers.encoders import Encoder, LayerFreezer
from helpers.losses import MarginHead, TripletLoss
from helpers.optimisers import parameter_groups
from helpers.runs import Run, saved_runs
from helpers.training import fit


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "restarts", "warmup", "constant"])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, random_faces, schedule):
    whole, _ = train(tmp_path / "whole", *random_faces, augment=StopAt(), schedule=schedule)
    # in the middle of the second epoch, and of the third, after which it goes on
    for stop in (
        4,
        7,
    ):
        with pytest.raises(KeyboardInterrupt):
            train(
                tmp_path / "killed",
                *random_faces,
                augment=StopAt(stop - (3 if stop == 7 else 0)),
                schedule=schedule,
            )
    resumed, run = train(tmp_path / "killed", *random_faces, augment=StopAt(), schedule=schedule)
    assert len(run.history) == 4
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(one, other)


def test_a_finished_run_is_loaded_and_not_trained_again(tmp_path, random_faces):
    first, run = train(tmp_path, *random_faces)
    second, again = train(tmp_path, *random_faces, augment=None)
    assert again.folder == run.folder and again.history == run.history
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values())
    )
    assert not (run.folder / "checkpoint.pt").exists()


def test_figures_stay_with_their_run(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=1)
    run.save_results(tpr=0.5)
    assert saved_runs(tmp_path)[0].results == {"tpr": 0.5}


def test_training_lowers_the_loss_and_logs_each_epoch(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=8, evaluate=lambda model: {"half": 0.5})
    assert run.history[-1]["loss"] < run.history[0]["loss"] and all(
        row["half"] == 0.5 for row in run.history
    )
    assert {"accuracy", "spherical_variance", "photos_per_second"} <= set(run.history[0])


def test_a_steep_step_is_clipped_to_its_length(tmp_path, random_faces):
    """With plain steps the weights move by lr * 1.9 * clip, not further.

    SGD's first step, by Nesterov, is 1 + 0.9 of the gradient.
    """

    class Steep(torch.nn.Module):
        def forward(self, features, people):
            return features.float().sum() * 1e6, {}

    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    before = [p.detach().clone() for p in encoder.parameters()]
    fit(
        encoder,
        Steep(),
        *random_faces,
        tmp_path / "run",
        epochs=1,
        batch_size=24,
        optimizer="sgd",
        lr=0.01,
        weight_decay=0,
        schedule="constant",
        clip=2.0,
        progress=False,
    )
    moved = sum((p - b).square().sum() for p, b in zip(encoder.parameters(), before)).sqrt().item()
    assert moved == pytest.approx(0.01 * 1.9 * 2.0, rel=0.02)


def test_triplets_train_without_people_labels_in_the_loss(tmp_path, random_faces):
    _, run = train(
        tmp_path,
        *random_faces,
        loss=TripletLoss(mining="hard"),
        batches=people_by_photos(random_faces[1], 3, 2),
    )
    assert "active" in run.history[0]


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

TINY

class FreezeInTurns:
    def __call__(self, model, epoch):
        model.first.requires_grad_(epoch % 2 == 0)
    def __repr__(self):
        return "FreezeInTurns()"

class Loss(torch.nn.Module):
    def forward(self, logits, people):
        right = (logits.argmax(1) == people).float()
        return torch.nn.functional.cross_entropy(logits, people), {"accuracy": right.mean()}

torch.manual_seed(0)
images, people = torch.randint(0, 256, (32, 3, 4, 4), dtype=torch.uint8), torch.arange(32) % 4
fit(Tiny(), Loss(), images, people, sys.argv[1], epochs=5, batch_size=8, lr=1e-2, progress=False,
    freezer=FREEZER)
PartialState().destroy_process_group()
threads = {Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")}
# one that outlives Python may abort the process
assert not any("gloo" in name for name in threads), threads
"""


@pytest.mark.slow
@pytest.mark.parametrize("freezer", ["None", "FreezeInTurns()"])
def test_two_processes_give_the_curve_of_one(tmp_path, on_processes, freezer):
    curves = []
    for count in (1, 2):
        script = TWO_PROCESSES.replace("TINY", TINY).replace("FREEZER", freezer)
        on_processes(count, script, tmp_path / f"run{count}")
        [folder] = tmp_path.glob(f"run{count}-*")
        curves.append([(row["loss"], row["accuracy"]) for row in Run(folder).history])
    assert len(curves[0]) == 5 and torch.allclose(
        torch.tensor(curves[0]), torch.tensor(curves[1]), atol=1e-4
    )


def test_interrupted_the_same_objects_go_on_and_nothing_is_left_open(tmp_path, random_faces):
    whole, _ = train(
        tmp_path / "whole", *random_faces, augment=StopAt(), freezer=LayerFreezer([4, 4, 0])
    )
    torch.manual_seed(0)
    encoder, loss = Encoder("resnet10_small", 16, 32), MarginHead(16, 4)
    threads = threading.active_count()
    for call in (7, 4, None):  # in the third epoch, in the fourth, not at all
        recipe = dict(
            epochs=4, batch_size=8, lr=1e-2, augment=StopAt(call), freezer=LayerFreezer([4, 4, 0])
        )
        if call is None:
            run = fit(encoder, loss, *random_faces, tmp_path / "run", **recipe)
            break
        with pytest.raises(KeyboardInterrupt):
            fit(encoder, loss, *random_faces, tmp_path / "run", **recipe)
        assert threading.active_count() <= threads and all(
            p.requires_grad for p in encoder.parameters()
        )
    assert len(list(tmp_path.glob("run-*"))) == 1 and len(run.history) == 4
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), encoder.state_dict().values())
    )


def test_random_numbers_differ_between_seeds_epochs_steps_and_processes():
    from helpers.devices import seed_all

    drawn = set()
    cases = [
        (seed, epoch, step, rank)
        for seed in (0, 1)
        for epoch in (0, 1, 7919)
        for step in (0, 1, 2, 10_007)
        for rank in (0, 1, 2)
    ]
    for numbers in cases:
        seed_all(*numbers)
        of_numpy = float(np.random.random())  # noqa: NPY002  what libraries draw from
        drawn.add((float(torch.rand(())), of_numpy, random.random()))
    assert (
        len({a for a, _, _ in drawn})
        == len({b for _, b, _ in drawn})
        == len({c for _, _, c in drawn})
        == len(cases)
    )
    orders = {
        tuple(shuffled(50, 50)(epoch, seed)[0].tolist())
        for seed, epoch in ((0, 0), (1, 0), (0, 1), (0, 7919), (1, 7919))
    }
    assert len(orders) == 5


def test_a_gradient_scaler_goes_on_where_it_was(tmp_path):
    both = torch.nn.ModuleDict({"model": torch.nn.Linear(2, 2), "loss": torch.nn.Linear(2, 2)})
    optimiser = torch.optim.SGD(both.parameters(), lr=0.1)
    schedule, scaler = (
        torch.optim.lr_scheduler.ConstantLR(optimiser),
        torch.amp.GradScaler("cpu", init_scale=4.0),
    )
    scaler.scale(both["model"](torch.ones(1, 2)).sum())
    run = runs.Run(tmp_path)
    run.history = [{"epoch": 1}]
    run.checkpoint(both, optimiser, schedule, scaler)
    other = torch.amp.GradScaler("cpu")
    assert (
        runs.Run(tmp_path).resume(both, optimiser, schedule, other) == 1
        and other.get_scale() == 4.0
    )
    assert runs.Run(tmp_path).resume(both, optimiser, schedule, None) == 1


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "warmup"])
def test_a_limit_in_hours_ends_annealed(tmp_path, random_faces, schedule):
    _, cut = train(tmp_path, *random_faces, epochs=30, hours=1e-6, schedule=schedule)
    _, whole = train(tmp_path, *random_faces, epochs=1, schedule=schedule)
    assert len(cut.history) == 1 and cut.history[-1]["lr"] <= max(whole.history[-1]["lr"], 1.01e-3)


def test_restarts_come_every_t_0_epochs_and_go_down_to_eta_min(tmp_path, random_faces):
    _, run = train(tmp_path, *random_faces, epochs=5, schedule="restarts", T_0=2, eta_min=1e-4)
    rates = [row["lr"] for row in run.history]  # at the end of each epoch
    assert rates[1] == rates[3] == pytest.approx(1e-2) and rates[0] == rates[2] == pytest.approx(
        (1e-2 + 1e-4) / 2
    )
    _, other = train(tmp_path, *random_faces, epochs=5, schedule="restarts", T_0=2, eta_min=1e-3)
    assert other.folder != run.folder and rates[0] != other.history[0]["lr"]


def test_class_token_and_positions_are_not_decayed():
    vit = Encoder(
        "vit_tiny_patch16_224",
        16,
        112,
        img_size=112,
        patch_size=28,
        depth=1,
        embed_dim=32,
        num_heads=2,
    )
    names = {id(p): name for name, p in vit.named_parameters()}
    decayed, spared = (
        [names[id(p)] for p in group["params"]] for group in parameter_groups(vit, 0.05)
    )
    assert {"net.cls_token", "net.pos_embed"} <= set(
        spared
    ) and "net.blocks.0.attn.qkv.weight" in decayed
    assert all(vit.get_parameter(name).ndim > 1 for name in decayed) and len(decayed) + len(
        spared
    ) == len(names)
    both = torch.nn.ModuleDict({"model": vit, "loss": MarginHead(16, 4)})
    assert id(vit.net.pos_embed) in {id(p) for p in parameter_groups(both, 0.05)[1]["params"]}
