"""Who is trained on, who is asked for, and who only stands among those asked: no person has two of these parts.

Splits of photos: `train` and `test` (other photos of the same people); `probe` and `distractor` (people never trained on).
"""

import numpy as np

from .faces import load_faces
from .files import to_csv
from .tables import read_table

SPLITS = ("train", "test", "probe", "distractor")
PARTS = (("train", "test"), ("probe",), ("distractor",))  # splits that a person's photos may share


def assign_splits(settings):
    """The FaceSet of all photos that have a split, and their splits (N,): by the settings' list, or drawn by split_seed."""
    faces = load_faces(settings.dataset, settings.data_dir)
    if settings.split:
        splits = read_splits(faces, settings.split)
    else:
        splits = np.full(len(faces), "", "<U10")
        parts = split_people(
            faces,
            settings.people,
            settings.probe_people,
            settings.distractor_people,
            settings.split_seed,
        )
        for split, part in zip(("train", "probe", "distractor"), parts):
            splits[np.isin(faces.labels, part.labels)] = split
        trained = np.flatnonzero(splits == "train")
        owners = np.array(faces.names)[faces.labels[trained]]
        splits[trained[split_photos(owners, settings.test_share, settings.split_seed)]] = "test"
    return faces.subset(splits != ""), splits[splits != ""]


def read_splits(faces, path):
    """Splits (N,) from a CSV with the columns file and split, `file` ending in person/photo; "" for photos not listed."""
    rows = read_table(path, [])
    for row in rows:  # lists made before 26 November 2026 say role and query
        row.setdefault("split", row.get("role"))
        row["split"] = "probe" if row["split"] == "query" else row["split"]
    if not rows or "file" not in rows[0] or rows[0]["split"] is None:
        raise ValueError(
            f"{path} has no columns file and split: its first line must be file,person,split."
        )
    parts = {
        faces.key(i).count("/") + 1 for i in range(len(faces))
    }  # photos in folders below a person's have more
    split_of = {}
    for row in rows:
        names = row["file"].replace("\\", "/").removesuffix(".jpg").split("/")
        split_of |= {"/".join(names[-count:]): row["split"] for count in parts}
    if strange := set(split_of.values()) - set(SPLITS):
        raise ValueError(f"{path} names the split {strange.pop()}: choose {', '.join(SPLITS)}.")
    splits = np.array([split_of.get(faces.key(i), "") for i in range(len(faces))])
    if not (splits != "").any():
        raise ValueError(
            f"{path} lists none of the photos of {faces.name}, such as {faces.key(0)}."
        )
    train, probe, distractor = (
        {faces.names[p] for p in faces.labels[np.isin(splits, part)]} for part in PARTS
    )
    if twice := train & probe | train & distractor | probe & distractor:
        raise ValueError(
            f"{path} gives {min(twice)} two parts, of train and test, query, and distractor; choose one."
        )
    listed = {row["file"] for row in rows}
    if lost := len(listed) - (splits != "").sum():
        print(f"{lost} of the {len(listed)} photos that {path} lists are not in {faces.name}.")
    return splits


def splits_csv(faces, splits):
    """The list of all photos with their person and split, as the text of a CSV that `read_splits` reads."""
    rows = ((faces.key(i), faces.names[faces.labels[i]], splits[i]) for i in range(len(faces)))
    return to_csv([("file", "person", "split"), *rows])


def split_faces(settings):
    """The dataset's people as (train, query, distractors), three FaceSets."""
    faces, splits = assign_splits(settings)
    return tuple(faces.subset(np.isin(splits, part)) for part in PARTS)


def split_people(faces, train, probe, distractors=0, seed=0):
    """Three FaceSets with no person in common: to train on, to ask for, and to stand among those asked for.

    The train + query + distractors people with the most photos are shuffled by the seed.
    """
    wanted = train + probe + distractors
    labels = np.unique(faces.top_people(wanted).labels)
    if len(labels) < wanted:
        raise ValueError(
            f"{faces.name} has {len(labels)} people, but {train} to train on, {probe} to ask for and "
            f"{distractors} distractors were wanted; ask for fewer with FACES_PEOPLE, "
            "FACES_PROBE_PEOPLE and FACES_DISTRACTOR_PEOPLE."
        )
    labels = np.random.default_rng(seed).permutation(labels)
    return tuple(faces.of_people(part) for part in np.split(labels, [train, train + probe]))


def split_photos(labels, share=0.2, seed=0):
    """Boolean mask (N,) that picks about a share of each person's photos: at least one and not all, so none of one."""
    labels, picked = np.asarray(labels), np.zeros(len(labels), bool)
    draw = np.random.default_rng(seed)
    order, counts = np.argsort(labels, kind="stable"), np.unique(labels, return_counts=True)[1]
    for photos in np.split(order, np.cumsum(counts)[:-1]):
        own = draw.permutation(photos)
        picked[own[: min(len(own) - 1, max(1, round(len(own) * share)))]] = share > 0
    return picked
