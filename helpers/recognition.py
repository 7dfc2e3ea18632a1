"""Recognisers on their data: aligned faces in their splits, the one recipe, and what an encoder is worth."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors import safe_open

from . import metrics
from .aligned_set import FaceArray, build_aligned_set, read_images
from .augment import Jitter
from .comparison import FPR, comparison, difference, effort, labelled, over_seeds, shown  # noqa: F401  for the notebooks
from .course import (
    SHIPPED_HOURGLASS,
    SHIPPED_RECOGNISER,
    aligned_folder,
    hourglass,
    hourglass_id,
    load_encoder,
    load_model,
    load_verifier,
    new_encoder,
    recogniser_path,
)
from .encoders import Encoder, embed
from .faces import load_faces
from .held_out import held_out
from .ingredients import code_digests, data_digest, digest
from .landmarks import StackedHourglass
from .losses import MarginHead
from .progress import progress_bar
from .splits import SPLITS, assign_splits, read_splits, splits_csv
from .training import fit
from .verification import measure


@dataclass
class RecognitionData:
    """Aligned faces (FaceArrays of uint8 (N, 3, 112, 112), read when indexed) with their people (N,).

    train and test: photos of the people trained on, numbered 0 to n_people - 1.  query and distractors: people
    never trained on, with numbers of their own.  splits: the list of all photos with their splits, as text of a CSV.
    train_keys: the names of the photos in train, `person/photo`.
    """

    train: FaceArray
    train_labels: torch.Tensor
    test: FaceArray
    test_labels: torch.Tensor
    probe: FaceArray
    probe_labels: np.ndarray
    probe_names: dict
    distractors: FaceArray
    distractor_labels: np.ndarray
    splits: str
    train_keys: list

    @property
    def num_classes(self):
        """How many people are trained on."""
        return int(self.train_labels.max()) + 1


def aligned_faces(photos, splits, model, folder, device, tell=print):
    """Align photos that have splits (N,): the FaceSet of those with a face, their splits, and the faces as FaceArray.

    tell: called with sentences about what was left out.
    """
    aligned = build_aligned_set(photos, model, folder, hourglass_id(model), device, tell=tell)
    split_of = {photos.key(i): split for i, split in enumerate(splits)}
    return (
        aligned,
        np.array([split_of[aligned.key(i)] for i in range(len(aligned))]),
        read_images(aligned, folder),
    )


def recognition_data(settings):
    """The aligned faces of the dataset in their splits; they are made first if no notebook has made them yet."""
    photos, splits = assign_splits(settings)
    model, folder = hourglass(settings), aligned_folder(settings)
    aligned, split, images = aligned_faces(photos, splits, model, folder, settings.torch_device)
    trained = np.unique(np.array(aligned.names)[aligned.labels[split == "train"]])
    if len(trained) < 2 or len(np.unique(aligned.labels[split == "probe"])) < 2:
        raise ValueError(
            f"{settings.dataset} leaves too few aligned faces: two people to train on and two to ask for are "
            f"needed; {folder / 'skipped.csv'} tells why photos were left out."
        )
    split[(split == "test") & ~np.isin(np.array(aligned.names)[aligned.labels], trained)] = ""

    def of(part):
        return FaceArray(images.array, images.rows[split == part]), aligned.labels[split == part]

    (train, train_labels), (test, test_labels), probe, distractors = map(of, SPLITS)
    train_labels, test_labels = (
        torch.from_numpy(np.searchsorted(trained, np.array(aligned.names)[labels]))
        for labels in (train_labels, test_labels)
    )
    return RecognitionData(
        train,
        train_labels,
        test,
        test_labels,
        *probe,
        dict(enumerate(aligned.names)),
        *distractors,
        splits_csv(photos, splits),
        [aligned.key(i) for i in np.flatnonzero(split == "train")],
    )


def unseen_faces(settings, tell=print):
    """The aligned faces of everybody in the dataset, or of a list's probe and distractor identities; nobody is trained on.

    A namespace with query, probe_people, query_names, distractors, distractor_people as in RecognitionData, and how many
    photos were skipped. Always by the shipped hourglass. tell: called with sentences about what was left out.
    """
    faces = load_faces(settings.dataset, settings.data_dir, tell)
    model = load_model(StackedHourglass, SHIPPED_HOURGLASS, settings.torch_device)
    splits = read_splits(faces, settings.split) if settings.split else np.full(len(faces), "probe")
    folder = Path(settings.data_dir) / "aligned" / f"{settings.dataset_name}_listed"
    asked = np.isin(splits, ("probe", "distractor"))
    aligned, split, images = aligned_faces(
        faces.subset(asked), splits[asked], model, folder, settings.torch_device, tell
    )
    probe = split == "probe"
    return SimpleNamespace(
        probe=FaceArray(images.array, images.rows[probe]),
        probe_labels=aligned.labels[probe],
        probe_names=dict(enumerate(aligned.names)),
        skipped=int(asked.sum()) - len(aligned),
        distractors=FaceArray(images.array, images.rows[~probe]),
        distractor_labels=aligned.labels[~probe],
    )


def train_recogniser(name, loss, data, settings, encoder=None, targets=None, **options):
    """Train an encoder on data.train with a loss; return (encoder, Run). The one recipe of notebooks 2 and 3.

    targets: what to learn of each photo if not its person, such as a teacher's embeddings. options go to `fit`: epochs,
    lr, batches and the like. The curves hold `held_out_accuracy` or `held_out_knn` of data.test, for best= to choose by.
    """
    encoder = encoder or new_encoder(settings)
    recipe = dict(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=1e-3,
        augment=Jitter(size=encoder.size),
        seed=settings.seed,
        evaluate=held_out(data, loss),
    )
    options["extra_files"] = {"split.csv": data.splits} | options.get("extra_files", {})
    loss.to(settings.torch_device)
    targets = data.train_labels if targets is None else targets
    run = fit(encoder, loss, data.train, targets, settings.run_dir / name, **recipe | options)
    return encoder, run


def figures(encoder, data, loss=None):
    """What an encoder is worth: a dict of numbers, each `name` with `name_low` and `name_high`, its 95 % interval over people.

    tpr: of people never trained on, at FPR 0.01, which rests on pairs_of_people; tpr_resampled: of each draw of these
    people, to compare two encoders draw by draw.  recall@1, r_precision and map@r: of the same people.  knn_accuracy,
    and accuracy where the loss has a classifier: of other photos of the people trained on.
    """
    return unseen_figures(encoder, data) | held_out_figures(encoder, data, loss)


def unseen_figures(encoder, data, fpr=FPR):
    """The part of `figures` that asks about people never trained on."""
    probe = embed(encoder, data.probe)
    found = metrics.verification_rate(
        probe, data.probe_labels, embed(encoder, data.distractors), data.distractor_labels, fpr
    )
    ranked = metrics.retrieval(probe, data.probe_labels)
    result = {
        "tpr": found["tpr"],
        "tpr_low": found["low"],
        "tpr_high": found["high"],
        "pairs_of_people": metrics.pairs_of_people(data.probe_labels, data.distractor_labels),
    }
    if np.ndim(fpr) == 0:
        result["tpr_resampled"] = found["resampled"].round(4)
    for key in ("recall@1", "r_precision", "map@r"):
        result |= _with_interval(key, ranked[key], ranked["people"])
    return {key: np.asarray(value).tolist() for key, value in result.items()}


def held_out_figures(encoder, data, loss=None):
    """The part of `figures` that asks who of the people trained on this is; empty if no photos of them were held out."""
    if not len(data.test):
        return {}
    right = metrics.knn_correct(
        embed(encoder, data.train), data.train_labels, embed(encoder, data.test), data.test_labels
    )
    result = _with_interval("knn_accuracy", right, data.test_labels)
    if hasattr(loss, "logits"):
        result |= _with_interval(
            "accuracy",
            classified(encoder, loss, data.test) == data.test_labels.numpy(),
            data.test_labels,
        )
    return result


def _with_interval(name, values, labels):
    low, high = metrics.interval(values, labels)
    return {name: float(np.mean(values)), f"{name}_low": float(low), f"{name}_high": float(high)}


@torch.inference_mode()
def classified(encoder, loss, faces, batch_size=64):
    """Whom the loss's own classifier takes each face, seen with its mirror image, for: (N,). There is no margin in it."""
    encoder.eval()
    device = next(encoder.parameters()).device
    batches = (
        torch.as_tensor(faces[start : start + batch_size]).to(device)
        for start in range(0, len(faces), batch_size)
    )
    guesses = [
        (loss.logits(encoder(batch)) + loss.logits(encoder(batch.flip(-1)))).argmax(1).cpu()
        for batch in batches
    ]
    return torch.cat(guesses).numpy()


def study(variants, data, settings, make_loss=MarginHead):
    """Train one recogniser for each variant, {label: changes}, from the same seed; return {label: its Run with figures}.

    changes: of settings (encoder, embedding, weights, seed, ...), options of `fit` (optimizer, schedule, freezer, ...), or
    encoder_options, such as {"flat_head": True}.
    settings.study_epochs says how far each goes. make_loss(embedding, people) -> the loss, ArcFace unless said otherwise.
    """
    own_fields, runs = {field.name for field in fields(settings)}, {}
    measured = digest(
        *map(
            data_digest,
            (
                data.train,
                data.test,
                data.probe,
                data.distractors,
                data.train_labels,
                data.test_labels,
                data.probe_labels,
                data.distractor_labels,
            ),
        ),
        json.dumps(code_digests(figures)),
    )
    for label, changes in (bar := progress_bar(variants.items())):
        bar.set_description(label)
        own = replace(
            settings,
            epochs=settings.study_epochs,
            **{k: v for k, v in changes.items() if k in own_fields},
        )
        torch.manual_seed(own.seed)
        options = {k: v for k, v in changes.items() if k not in own_fields}
        loss, encoder = (
            make_loss(own.embedding, data.num_classes),
            new_encoder(own, **options.pop("encoder_options", {})),
        )
        encoder, runs[label] = train_recogniser(
            "study", loss, data, own, encoder, progress=False, **options
        )
        if (
            runs[label].results.get("measured") != measured
        ):  # other photos, or another way to measure
            runs[label].save_results(**figures(encoder, data, loss), measured=measured)
    return runs


def raw_pixels(faces, visible=None):
    """The simplest embedding: 32x32 grey pixels, centred, of unit length (N, 1024). A baseline.

    visible: bool (32, 32), the pixels that count; the others stay 0. None: all of them.
    """
    small = (
        torch.nn.functional.interpolate(faces[:].float(), (32, 32), mode="bilinear", antialias=True)
        .mean(1)
        .flatten(1)
    )
    counts = torch.ones(1024) if visible is None else visible.flatten().float()
    mean = (small * counts).sum(1, keepdim=True) / counts.sum()
    centred = (small - mean) * counts
    flat = (
        centred.norm(dim=1, keepdim=True) < 1e-3
    )  # pixels of one grey have no direction: these share one
    return torch.nn.functional.normalize(torch.where(flat, counts, centred)).numpy()


def recogniser(settings, data):
    """The encoder that the settings name for notebook 5, and its Verifier: shipped, own (notebook 3's), or a file's.

    The thresholds of the shipped one, and of a file's, were measured on strangers when it was trained; those of one's own are
    measured here, on the first half of the people never trained on.
    """
    if settings.recogniser != "trained":
        path = SHIPPED_RECOGNISER if settings.recogniser == "shipped" else settings.recogniser
        return load_encoder(path, settings.torch_device), load_verifier(path)
    encoder = trained_recogniser(settings, data)
    half = np.isin(data.probe_labels, np.array_split(np.unique(data.probe_labels), 2)[0])
    return encoder, measure(
        embed(encoder, data.probe[torch.from_numpy(half)]), data.probe_labels[half]
    )


def trained_recogniser(settings, data):
    """Notebook 3's encoder; if it was not run, or on faces aligned otherwise, a small ArcFace encoder trained here."""
    path = recogniser_path(settings)
    if path.exists():
        with safe_open(path, "pt") as file:
            if file.metadata().get("faces") == aligned_folder(settings).name:
                return load_model(Encoder, path, settings.torch_device)
    print("No recogniser of notebook 3 for these faces here: a small one is trained first.")
    torch.manual_seed(settings.seed)
    loss = MarginHead(settings.embedding, data.num_classes)
    return train_recogniser("small", loss, data, settings, epochs=max(1, settings.epochs // 4))[0]
