"""Who is trained on and who is not: no person on both sides, by the seed or by a list."""

import re
from dataclasses import replace

import numpy as np
import pytest

from helpers.faces import load_faces
from helpers.settings import Settings
from helpers.splits import (
    assign_splits,
    read_splits,
    split_faces,
    split_people,
    split_photos,
    splits_csv,
)


def test_people_never_share_a_role_and_the_seed_fixes_them():
    faces = load_faces("orl")
    parts = split_people(faces, 20, 10, 5, seed=3)
    people = [set(part.labels.tolist()) for part in parts]
    assert [len(p) for p in people] == [20, 10, 5] and len(set.union(*people)) == 35
    again = split_people(faces, 20, 10, 5, seed=3)
    assert all((a.labels == b.labels).all() for a, b in zip(parts, again))
    with pytest.raises(ValueError, match="FACES_PEOPLE=29 FACES_PROBE_PEOPLE=11 FACES_DIST"):
        split_people(faces, 30, 12)


def test_too_few_people_are_told_which_numbers_would_do():
    faces = load_faces("orl")
    with pytest.raises(ValueError, match="ask for fewer") as error:
        split_people(faces, 500, 200, 1000)  # CelebA's defaults
    numbers = [int(number) for number in re.findall(r"FACES_[A-Z_]+=(\d+)", str(error.value))]
    assert len(numbers) == 3 and sum(numbers) == 40
    assert [len(set(part.labels)) for part in split_people(faces, *numbers)] == numbers


def test_every_person_keeps_photos_on_both_sides():
    people = np.array([0] * 10 + [1] * 2 + [2])
    picked = split_photos(people, 0.2)
    assert np.bincount(people[picked], minlength=3).tolist() == [2, 1, 0]
    assert not split_photos(people, 0).any()
    for share in (0.6, 0.8, 0.99):
        assert (np.bincount(people[~split_photos(people, share)], minlength=3) >= 1).all()


def test_roles_share_no_person_and_a_list_of_them_gives_the_same_again(tmp_path):
    settings = Settings(people=20, probe_people=10, distractor_people=5, split_seed=4)
    faces, splits = assign_splits(settings)
    assert [int((splits == split).sum()) for split in ("train", "test", "probe", "distractor")] == [
        160,
        40,
        100,
        50,
    ]
    who = [
        set(faces.labels[np.isin(splits, part)])
        for part in (["train", "test"], ["probe"], ["distractor"])
    ]
    assert sum(map(len, who)) == len(set.union(*who)) == 35
    assert [len(part) for part in split_faces(settings)] == [200, 100, 50]
    (tmp_path / "list.csv").write_text(splits_csv(faces, splits))
    again, listed = assign_splits(replace(settings, split=str(tmp_path / "list.csv"), split_seed=0))
    assert again.files == faces.files and (listed == splits).all()


def test_another_training_seed_asks_the_same_people():
    """Or the luck of the training and the luck of whom one asks could not be told apart."""
    settings = Settings(people=20, probe_people=10, distractor_people=5)
    splits = assign_splits(settings)[1]
    assert (assign_splits(replace(settings, seed=1))[1] == splits).all()
    assert (assign_splits(replace(settings, split_seed=1))[1] != splits).any()


def test_another_seed_draws_other_people():
    faces = load_faces("orl")
    assert (
        len(
            {
                tuple(np.unique(split_people(faces, 20, 10, seed=seed)[1].labels))
                for seed in range(4)
            }
        )
        == 4
    )


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("photo,part\na,b\n", "no columns file and split"),
        ("file,person,split\ns1/1.pgm,s1,teacher\n", "names the split teacher"),
        ("file,person,split\nnobody/1.pgm,nobody,train\n", "lists none of the photos"),
        ("file,person,split\ns1/1.pgm,s1,train\nfaces/s1/2.pgm,s1,query\n", "gives s1 two parts"),
        ("file,person,split\ns1/1.pgm,s1,query\ns1/2.pgm,s1,distractor\n", "gives s1 two parts"),
    ],
)
def test_a_wrong_list_of_roles_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_splits(load_faces("orl"), tmp_path / "list.csv")
