"""Who is trained on, who is a probe, and who a distractor: nobody is in two of these parts.

Splits of photos: `train` and `test`, held-out photos of the same people; `probe` and `distractor`,
identities never trained on, of which distractors only stand among the probes.
"""

from pathlib import Path

import numpy as np

from .face_set import FaceSet
from .faces import load_faces
from .files import to_csv
from .settings import Settings
from .tables import read_table

SPLITS = ("train", "test", "probe", "distractor")
PARTS = (("train", "test"), ("probe",), ("distractor",))  # splits that a person's photos may share


def assign_splits(settings: Settings) -> tuple[FaceSet, np.ndarray]:
    """All photos that have a split, and their splits (N,): by a list, or drawn by split_seed."""
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


def read_splits(faces: FaceSet, path: str | Path) -> np.ndarray:
    """Splits of all photos from a list.

    Args:
        faces: N photos.
        path: a CSV with the columns file, which ends in person/photo, and split.

    Returns:
        (N,) texts; "" for photos that are not listed.

    Raises:
        ValueError: it is no such table, lists no photo, or gives a person two parts.
    """
    rows = read_table(path, [])
    for row in rows:  # lists made before 26 November 2026 say role and query
        row.setdefault("split", row.get("role"))
        row["split"] = "probe" if row["split"] == "query" else row["split"]
    if not rows or "file" not in rows[0] or rows[0]["split"] is None:
        raise ValueError(
            f"{path} has no columns file and split: its first line must be file,person,split."
        )
    # photos in folders below a person's have more
    parts = {faces.key(i).count("/") + 1 for i in range(len(faces))}
    split_of = {}
    for row in rows:
        names = row["file"].replace("\\", "/").removesuffix(".jpg").split("/")
        for key in ("/".join(names[-count:]) for count in parts):
            if split_of.setdefault(key, row["split"]) != row["split"]:
                raise ValueError(
                    f"{path} lists {key} twice, as {split_of[key]} and as {row['split']}: a photo "
                    "has one split."
                )
    if strange := set(split_of.values()) - set(SPLITS):
        raise ValueError(f"{path} names the split {strange.pop()}: choose {', '.join(SPLITS)}.")
    splits = np.array([split_of.get(faces.key(i), "") for i in range(len(faces))])
    if not (splits != "").any():
        raise ValueError(
            f"{path} lists none of the photos of {faces.name}, such as {faces.key(0)}."
        )
    _refuse_two_parts(faces, splits, path)
    listed = {row["file"] for row in rows}
    if lost := len(listed) - (splits != "").sum():
        print(f"{lost} of the {len(listed)} photos that {path} lists are not in {faces.name}.")
    return splits


def _refuse_two_parts(faces, splits, path):
    """Nobody is both trained on and unseen."""
    train, probe, distractor = (
        {faces.names[p] for p in faces.labels[np.isin(splits, part)]} for part in PARTS
    )
    if twice := train & probe | train & distractor | probe & distractor:
        raise ValueError(
            f"{path} gives {min(twice)} two parts, of train and test, probe, and distractor; "
            "choose one."
        )


def splits_csv(faces: FaceSet, splits: np.ndarray) -> str:
    """All photos with their person and split, as the text of a CSV that `read_splits` reads."""
    rows = ((faces.key(i), faces.names[faces.labels[i]], splits[i]) for i in range(len(faces)))
    return to_csv([("file", "person", "split"), *rows])


def split_faces(settings: Settings) -> tuple[FaceSet, ...]:
    """The dataset's people as three FaceSets: train, probe, distractors."""
    faces, splits = assign_splits(settings)
    return tuple(faces.subset(np.isin(splits, part)) for part in PARTS)


def split_people(
    faces: FaceSet, train: int, probe: int, distractors: int = 0, seed: int = 0
) -> tuple[FaceSet, ...]:
    """Three FaceSets with no person in common: to train on, probes, and distractors.

    The train + probe + distractors people with the most photos are shuffled by the seed.
    ValueError if there are not so many.
    """
    wanted = train + probe + distractors
    labels = np.unique(faces.top_people(wanted).labels)
    if len(labels) < wanted:
        share = len(labels) / wanted  # the same proportions, as far as that goes
        fewer = max(2, int(probe * share)), int(distractors * share)
        raise ValueError(
            f"{faces.name} has {len(labels)} people, but {train} to train on, {probe} "
            f"probe identities and {distractors} distractors were wanted; ask for fewer, such as "
            f"FACES_PEOPLE={max(2, len(labels) - sum(fewer))} FACES_PROBE_PEOPLE={fewer[0]} "
            f"FACES_DISTRACTOR_PEOPLE={fewer[1]}."
        )
    labels = np.random.default_rng(seed).permutation(labels)
    return tuple(faces.of_people(part) for part in np.split(labels, [train, train + probe]))


def split_photos(labels: np.ndarray, share: float = 0.2, seed: int = 0) -> np.ndarray:
    """Boolean mask (N,) of about a share of each person's photos: at least one and not all.

    So it is none of a single photo.

    >>> int(split_photos([0, 0, 0, 0, 0, 1], 0.4).sum())
    2
    """
    labels, held_out = np.asarray(labels), np.zeros(len(labels), bool)
    draw = np.random.default_rng(seed)
    order, counts = np.argsort(labels, kind="stable"), np.unique(labels, return_counts=True)[1]
    for of_one in np.split(order, np.cumsum(counts)[:-1]):
        photos = draw.permutation(of_one)
        count = min(len(photos) - 1, max(1, round(len(photos) * share)))
        held_out[photos[:count]] = share > 0
    return held_out
