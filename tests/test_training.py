"""A run that was stopped ends with the very same weights, and an edited setting starts a run of its own."""
import pytest
import torch

from helpers.augment import Jitter
from helpers.batches import people_by_photos, shuffled
from helpers.encoders import Encoder
from helpers.losses import MarginHead, TripletLoss
from helpers.training import fit, saved_runs


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


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "restarts", "constant"])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, random_faces, schedule):
    whole, _ = train(tmp_path / "whole", *random_faces, augment=StopAt(), schedule=schedule)
    for stop in (4, 7):  # in the middle of the second epoch, and of the third, after which it goes on
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", *random_faces, augment=StopAt(stop - (3 if stop == 7 else 0)), schedule=schedule)
    resumed, run = train(tmp_path / "killed", *random_faces, augment=StopAt(), schedule=schedule)
    assert len(run.history) == 4
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(one, other)


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
