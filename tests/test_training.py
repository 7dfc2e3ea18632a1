"""A run that was stopped ends with the same weights; an edited setting starts a run of its own."""

import math
import random
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import runs
from helpers.augment import Jitter
from helpers.batches import people_by_photos, shuffled
from helpers.encoders import Encoder, LayerFreezer
from helpers.ingredients import fingerprint
from helpers.losses import MarginHead, TripletLoss
from helpers.optimisers import parameter_groups
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
    for stop in (
        4,
        7,
    ):  # in the middle of the second epoch, and of the third, after which it goes on
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


def test_an_epoch_of_people_by_photos_sees_about_as_many_photos_as_there_are():
    people = torch.cat(
        [torch.arange(50), torch.arange(30), torch.arange(10).repeat(4)]
    )  # 20 have one photo, 10 have six
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
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values())
    )
    assert not (run.folder / "checkpoint.pt").exists()


def test_an_edited_setting_starts_a_run_of_its_own(tmp_path, random_faces):
    folders = [
        train(tmp_path, *random_faces, epochs=1, **change)[1].folder
        for change in ({}, {"lr": 2e-2}, {"loss": MarginHead(16, 4, m=0.1)}, {"seed": 1})
    ]
    assert len(set(folders)) == 4 and len(saved_runs(tmp_path)) == 4


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


def test_over_the_epochs_all_photos_of_a_person_are_seen():
    batches = people_by_photos(torch.zeros(12, dtype=torch.long), P=2, K=2)
    seen = torch.cat([index for epoch in range(12) for index in batches(epoch, 0)])
    assert set(seen.tolist()) == set(range(12))


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


def test_the_encoders_size_belongs_to_the_fingerprint(tmp_path, random_faces):
    folders = set()
    for size in (32, 48):
        torch.manual_seed(0)
        encoder, loss = Encoder("resnet10_small", 16, size), MarginHead(16, 4)
        folders.add(
            fit(encoder, loss, *random_faces, tmp_path / "run", epochs=1, progress=False).folder
        )
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
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values())
    )


def test_what_rested_is_free_again_and_what_was_frozen_stays_so(tmp_path, random_faces):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32)
    encoder.net.conv1.requires_grad_(False)
    fit(
        encoder,
        MarginHead(16, 4),
        *random_faces,
        tmp_path / "run",
        epochs=1,
        batch_size=8,
        freezer=LayerFreezer([5]),
        progress=False,
    )
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

# bf16 would round each process's half of a gradient for itself
training.best_precision = lambda device: "no"

# no batch normalisation, whose statistics would differ with the share of the batch
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.linear = torch.nn.Linear(48, 8), torch.nn.Linear(8, 4)
    def forward(self, x):
        return self.linear(self.first(x.float().flatten(1) / 255).relu())

class Rest:
    def __call__(self, model, epoch):
        model.first.requires_grad_(epoch % 2 == 0)
    def __repr__(self):
        return "Rest()"

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
@pytest.mark.parametrize("freezer", ["None", "Rest()"])
def test_two_processes_give_the_curve_of_one(tmp_path, on_processes, freezer):
    curves = []
    for count in (1, 2):
        script = TWO_PROCESSES.replace("FREEZER", freezer)
        on_processes(count, script, tmp_path / f"run{count}")
        [folder] = tmp_path.glob(f"run{count}-*")
        curves.append([(row["loss"], row["accuracy"]) for row in Run(folder).history])
    assert len(curves[0]) == 5 and torch.allclose(
        torch.tensor(curves[0]), torch.tensor(curves[1]), atol=1e-4
    )


CALLS = SimpleNamespace(
    left=math.inf
)  # an object of a library: no constant that the fingerprint would tell


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
        ({"augment": Jitter(degrees=math.nan)}, "not finite"),
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


def test_every_photo_counts_in_the_fingerprint():
    e, x, y = (
        torch.nn.Linear(2, 2),
        torch.zeros(1200, 3, 4, 4, dtype=torch.uint8),
        torch.arange(1200),
    )
    prints = [fingerprint({}, e, e, x, y)]
    for row in (0, 1, 511, 512, 1199):
        z = x.clone()
        z[row, 2, 3, 3] = 1
        prints.append(fingerprint({}, e, e, z, y))
    prints.append(fingerprint({}, e, e, x, y.flip(0)))
    assert len(set(prints)) == 7 and fingerprint({}, e, e, x.clone(), y.clone()) == prints[0]


LOSS = """
import torch
from .part import scale

class Mine(torch.nn.Module):
    \"\"\"A loss of one's own.\"\"\"
    def forward(self, features, people):
        return scale(features).square().mean(), {}
"""


def test_edited_code_starts_a_run_of_its_own_and_says_which_file_was_edited(
    tmp_path, random_faces, monkeypatch, capsys
):
    package = tmp_path / "mine"
    package.mkdir()
    files = {"__init__.py": "", "loss.py": LOSS, "part.py": "def scale(x):\n    return 2 * x\n"}
    monkeypatch.syspath_prepend(tmp_path)

    def run_with(**edited):
        for name, text in (files | {f"{key}.py": value for key, value in edited.items()}).items():
            (package / name).write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
        from mine.loss import Mine

        folder = train(tmp_path / "runs", *random_faces, loss=Mine(), epochs=1)[1].folder
        return folder, capsys.readouterr().out

    first, told = run_with()
    assert not told
    for comment in (
        LOSS + "# a comment",
        LOSS.replace("A loss of", "The loss of"),
        LOSS.replace("import torch\n", "import torch\n\n"),
    ):
        assert run_with(loss=comment) == (first, "")
    other, told = run_with(loss=LOSS.replace("square()", "abs()"))
    assert (
        other != first
        and told
        == f"loss.py was edited since {first.name} was trained: this is a run of its own.\n"
    )
    third, told = run_with(part="def scale(x):\n    return 3 * x\n")
    assert third not in (first, other) and "part.py was edited since" in told
    _, told = run_with()
    assert not told, "the first code again is the first run"


CELL = """
import torch
STRENGTH = 1
def shift(images):
    return images.float() + STRENGTH
class Shift:
    def __call__(self, images, targets):
        return shift(images), targets
    def __repr__(self):
        return "Shift()"
"""


def test_edited_cells_of_a_notebook_start_a_run_of_their_own(random_faces):
    def print_of(code, take=lambda cell: cell["Shift"]()):
        cell = {"__name__": "__main__"}
        exec(code, cell)
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
        return fingerprint({}, layer, layer, *random_faces, take(cell))

    same = print_of(CELL)
    assert print_of(CELL + "# comment") == same
    edits = [
        CELL.replace("STRENGTH = 1", "STRENGTH = 2"),
        CELL.replace("images.float() + ", "images.float() - "),
        CELL.replace("shift(images), targets", "shift(shift(images)), targets"),
    ]
    assert len({same, *map(print_of, edits)}) == 4
    functions = [
        print_of(
            f"change = lambda images, targets: (images + {n}, targets)", lambda cell: cell["change"]
        )
        for n in (1, 1, 2)
    ]
    assert functions[0] == functions[1] != functions[2]


class Nameless:
    """A part whose repr is another in every run."""

    def __call__(self, *arguments):
        return arguments


def test_parts_without_a_stable_name_are_refused(tmp_path, random_faces):
    for part in ("augment", "batches", "freezer"):
        with pytest.raises(ValueError, match=f"The {part} .*Nameless.* give its class a __repr__"):
            train(tmp_path, *random_faces, **{part: Nameless()})


def test_numbers_that_a_repr_leaves_out_count(tmp_path, random_faces):
    class Quiet(TripletLoss):
        def __repr__(self):
            return "Quiet()"

    folders = {
        train(tmp_path, *random_faces, loss=Quiet(margin), epochs=1)[1].folder
        for margin in (0.1, 0.2)
    }
    assert len(folders) == 2


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


def test_people_by_photos_draws_others_in_every_epoch():
    batches = people_by_photos(torch.arange(40) // 4, 4, 2)
    drawn = {tuple(torch.cat(batches(*which)).tolist()) for which in ((0, 0), (1, 0), (0, 1))}
    assert len(drawn) == 3
    for numbers in ((1, 4), (4, 1), (0, 0)):
        with pytest.raises(ValueError, match="two people or more"):
            people_by_photos(torch.arange(40) // 4, *numbers)


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
