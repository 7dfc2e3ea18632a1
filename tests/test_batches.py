"""Batches: every photo once an epoch, or P people with K photos each."""

import pytest
import torch

from helpers.batches import people_by_photos, shuffled


def test_an_epoch_of_people_by_photos_sees_about_as_many_photos_as_there_are():
    # 20 have one photo, 10 have six
    people = torch.cat([torch.arange(50), torch.arange(30), torch.arange(10).repeat(4)])
    batches = people_by_photos(people, P=5, K=4)
    for epoch in range(3):
        drawn = batches(epoch, seed=1)
        seen = torch.cat(drawn)
        assert len(drawn) == len(batches(0, seed=0)) and 0.8 < len(seen) / len(people) < 1.3
        assert people[seen].max() < 30  # those with a single photo are nobody's positive
    with pytest.raises(ValueError, match="two photos or more"):
        people_by_photos(torch.arange(9))(0, 0)


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


def test_people_by_photos_draws_others_in_every_epoch():
    batches = people_by_photos(torch.arange(40) // 4, 4, 2)
    drawn = {tuple(torch.cat(batches(*which)).tolist()) for which in ((0, 0), (1, 0), (0, 1))}
    assert len(drawn) == 3
    for numbers in ((1, 4), (4, 1), (0, 0)):
        with pytest.raises(ValueError, match="two people or more"):
            people_by_photos(torch.arange(40) // 4, *numbers)
