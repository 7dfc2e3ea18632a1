"""Who is trained on and who is not: no person on both sides, by the seed or by a list."""
from dataclasses import replace

import numpy as np
import pytest

from helpers.faces import load_faces
from helpers.roles import assign_roles, listed_roles, roles_csv, split, split_people, split_photos
from helpers.settings import Settings


def test_people_never_share_a_role_and_the_seed_fixes_them():
    faces = load_faces("orl")
    parts = split_people(faces, 20, 10, 5, seed=3)
    people = [set(part.people.tolist()) for part in parts]
    assert [len(p) for p in people] == [20, 10, 5] and len(set.union(*people)) == 35
    again = split_people(faces, 20, 10, 5, seed=3)
    assert all((a.people == b.people).all() for a, b in zip(parts, again))
    with pytest.raises(ValueError, match="FACES_PEOPLE"):
        split_people(faces, 30, 12)


def test_every_person_keeps_photos_on_both_sides():
    people = np.array([0] * 10 + [1] * 2 + [2])
    picked = split_photos(people, 0.2)
    assert np.bincount(people[picked], minlength=3).tolist() == [2, 1, 0]
    assert not split_photos(people, 0).any()
    for share in (0.6, 0.8, 0.99):
        assert (np.bincount(people[~split_photos(people, share)], minlength=3) >= 1).all()


def test_roles_share_no_person_and_a_list_of_them_gives_the_same_again(tmp_path):
    settings = Settings(people=20, query_people=10, distractor_people=5, split_seed=4)
    faces, roles = assign_roles(settings)
    assert [int((roles == role).sum()) for role in ("train", "test", "query", "distractor")] == [160, 40, 100, 50]
    who = [set(faces.people[np.isin(roles, part)]) for part in (["train", "test"], ["query"], ["distractor"])]
    assert sum(map(len, who)) == len(set.union(*who)) == 35
    assert [len(part) for part in split(settings)] == [200, 100, 50]
    (tmp_path / "list.csv").write_text(roles_csv(faces, roles))
    again, listed = assign_roles(replace(settings, roles=str(tmp_path / "list.csv"), split_seed=0))
    assert again.files == faces.files and (listed == roles).all()


def test_another_training_seed_asks_the_same_people():
    """Or the luck of the training and the luck of whom one asks could not be told apart."""
    settings = Settings(people=20, query_people=10, distractor_people=5)
    roles = assign_roles(settings)[1]
    assert (assign_roles(replace(settings, seed=1))[1] == roles).all()
    assert (assign_roles(replace(settings, split_seed=1))[1] != roles).any()


def test_another_seed_draws_other_people():
    faces = load_faces("orl")
    assert len({tuple(np.unique(split_people(faces, 20, 10, seed=seed)[1].people)) for seed in range(4)}) == 4


@pytest.mark.parametrize("text, sentence", [
    ("photo,part\na,b\n", "no columns file and role"),
    ("file,person,role\ns1/1.pgm,s1,teacher\n", "names the role teacher"),
    ("file,person,role\nnobody/1.pgm,nobody,train\n", "lists none of the photos"),
    ("file,person,role\ns1/1.pgm,s1,train\nfaces/s1/2.pgm,s1,query\n", "gives s1 two parts"),
    ("file,person,role\ns1/1.pgm,s1,query\ns1/2.pgm,s1,distractor\n", "gives s1 two parts"),
])
def test_a_wrong_list_of_roles_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        listed_roles(load_faces("orl"), tmp_path / "list.csv")
