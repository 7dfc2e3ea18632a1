"""Who is trained on, who is asked for, and who only stands among those asked: no person has two of these parts.

Roles of photos: `train` and `test` (other photos of the same people); `query` and `distractor` (people never trained on).
"""
import numpy as np

from .faces import load_faces
from .files import to_csv
from .tables import read_table

ROLES = ("train", "test", "query", "distractor")
PARTS = (("train", "test"), ("query",), ("distractor",))  # roles that a person's photos may share


def assign_roles(settings):
    """The FaceSet of all photos that have a role, and their roles (N,): by the settings' list, or drawn by split_seed."""
    faces = load_faces(settings.dataset, settings.data_dir)
    if settings.roles:
        roles = listed_roles(faces, settings.roles)
    else:
        roles = np.full(len(faces), "", "<U10")
        parts = split_people(faces, settings.people, settings.query_people, settings.distractor_people,
                             settings.split_seed)
        for role, part in zip(("train", "query", "distractor"), parts):
            roles[np.isin(faces.people, part.people)] = role
        trained = np.flatnonzero(roles == "train")
        owners = np.array(faces.names)[faces.people[trained]]
        roles[trained[split_photos(owners, settings.test_share, settings.split_seed)]] = "test"
    return faces.subset(roles != ""), roles[roles != ""]


def listed_roles(faces, path):
    """Roles (N,) from a CSV with the columns file and role, `file` ending in person/photo; "" for photos not listed."""
    rows = read_table(path, [])
    if not rows or not {"file", "role"} <= set(rows[0]):
        raise ValueError(f"{path} has no columns file and role: its first line must be file,person,role.")
    parts = {faces.key(i).count("/") + 1 for i in range(len(faces))}  # photos in folders below a person's have more
    role_of = {}
    for row in rows:
        names = row["file"].replace("\\", "/").removesuffix(".jpg").split("/")
        role_of |= {"/".join(names[-count:]): row["role"] for count in parts}
    if strange := set(role_of.values()) - set(ROLES):
        raise ValueError(f"{path} names the role {strange.pop()}: choose {', '.join(ROLES)}.")
    roles = np.array([role_of.get(faces.key(i), "") for i in range(len(faces))])
    if not (roles != "").any():
        raise ValueError(f"{path} lists none of the photos of {faces.name}, such as {faces.key(0)}.")
    train, query, distractor = ({faces.names[p] for p in faces.people[np.isin(roles, part)]} for part in PARTS)
    if twice := train & query | train & distractor | query & distractor:
        raise ValueError(f"{path} gives {min(twice)} two parts, of train and test, query, and distractor; choose one.")
    listed = {row["file"] for row in rows}
    if lost := len(listed) - (roles != "").sum():
        print(f"{lost} of the {len(listed)} photos that {path} lists are not in {faces.name}.")
    return roles


def roles_csv(faces, roles):
    """The list of all photos with their person and role, as the text of a CSV that `listed_roles` reads."""
    rows = ((faces.key(i), faces.names[faces.people[i]], roles[i]) for i in range(len(faces)))
    return to_csv([("file", "person", "role"), *rows])


def split(settings):
    """The dataset's people as (train, query, distractors), three FaceSets."""
    faces, roles = assign_roles(settings)
    return tuple(faces.subset(np.isin(roles, part)) for part in PARTS)


def split_people(faces, train, query, distractors=0, seed=0):
    """Three FaceSets with no person in common: to train on, to ask for, and to stand among those asked for.

    The train + query + distractors people with the most photos are shuffled by the seed.
    """
    wanted = train + query + distractors
    people = np.unique(faces.top_people(wanted).people)
    if len(people) < wanted:
        raise ValueError(f"{faces.name} has {len(people)} people, but {train} to train on, {query} to ask for and "
                         f"{distractors} distractors were wanted; ask for fewer with FACES_PEOPLE, "
                         "FACES_QUERY_PEOPLE and FACES_DISTRACTOR_PEOPLE.")
    people = np.random.default_rng(seed).permutation(people)
    return tuple(faces.of_people(part) for part in np.split(people, [train, train + query]))


def split_photos(people, share=0.2, seed=0):
    """Boolean mask (N,) that picks about a share of each person's photos: at least one and not all, so none of one."""
    people, picked = np.asarray(people), np.zeros(len(people), bool)
    draw = np.random.default_rng(seed)
    for person in np.unique(people):
        own = draw.permutation(np.flatnonzero(people == person))
        picked[own[:min(len(own) - 1, max(1, round(len(own) * share)))]] = share > 0
    return picked
