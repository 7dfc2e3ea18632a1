"""Recognisers on their data: straight faces in their roles, the one recipe, and what an encoder is worth."""
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
    load_encoder,
    load_model,
    load_verifier,
    maker_of,
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
from .roles import ROLES, assign_roles, listed_roles, roles_csv
from .training import fit
from .verification import measure


@dataclass
class RecognitionData:
    """Straight faces (FaceArrays of uint8 (N, 3, 112, 112), read when indexed) with their people (N,).

    train and test: photos of the people trained on, numbered 0 to n_people - 1.  query and distractors: people
    never trained on, with numbers of their own.  roles: the list of all photos with their roles, as text of a CSV.
    train_keys: the names of the photos in train, `person/photo`.
    """
    train: FaceArray
    train_people: torch.Tensor
    test: FaceArray
    test_people: torch.Tensor
    query: FaceArray
    query_people: np.ndarray
    query_names: dict
    distractors: FaceArray
    distractor_people: np.ndarray
    roles: str
    train_keys: list

    @property
    def n_people(self):
        """How many people are trained on."""
        return int(self.train_people.max()) + 1


def straight_faces(photos, roles, model, folder, device, tell=print):
    """Straighten photos that have roles (N,): the FaceSet of those with a face, their roles, and the faces as FaceArray.

    tell: called with sentences about what was left out.
    """
    aligned = build_aligned_set(photos, model, folder, maker_of(model), device, tell=tell)
    role_of = {photos.key(i): role for i, role in enumerate(roles)}
    return aligned, np.array([role_of[aligned.key(i)] for i in range(len(aligned))]), read_images(aligned, folder)


def recognition_data(settings):
    """The straight faces of the dataset in their roles; they are made first if no notebook has made them yet."""
    photos, roles = assign_roles(settings)
    model, folder = hourglass(settings), aligned_folder(settings)
    aligned, role, images = straight_faces(photos, roles, model, folder, settings.torch_device)
    trained = np.unique(np.array(aligned.names)[aligned.people[role == "train"]])
    if len(trained) < 2 or len(np.unique(aligned.people[role == "query"])) < 2:
        raise ValueError(f"{settings.dataset} leaves too few straight faces: two people to train on and two to ask for are "
                         f"needed; {folder / 'skipped.csv'} tells why photos were left out.")
    role[(role == "test") & ~np.isin(np.array(aligned.names)[aligned.people], trained)] = ""

    def of(part):
        return FaceArray(images.array, images.rows[role == part]), aligned.people[role == part]

    (train, train_people), (test, test_people), query, distractors = map(of, ROLES)
    train_people, test_people = (torch.from_numpy(np.searchsorted(trained, np.array(aligned.names)[people]))
                                 for people in (train_people, test_people))
    return RecognitionData(train, train_people, test, test_people, *query, dict(enumerate(aligned.names)), *distractors,
                           roles_csv(photos, roles), [aligned.key(i) for i in np.flatnonzero(role == "train")])


def strangers(settings, tell=print):
    """The straight faces of everybody in the dataset, or of a list's query and distractor people; nobody is trained on.

    A namespace with query, query_people, query_names, distractors, distractor_people as in RecognitionData, and how many
    photos were skipped. Always by the shipped hourglass. tell: called with sentences about what was left out.
    """
    faces = load_faces(settings.dataset, settings.data_dir, tell)
    model = load_model(StackedHourglass, SHIPPED_HOURGLASS, settings.torch_device)
    roles = listed_roles(faces, settings.roles) if settings.roles else np.full(len(faces), "query")
    folder = Path(settings.data_dir) / "aligned" / f"{settings.dataset_name}_listed"
    asked = np.isin(roles, ("query", "distractor"))
    aligned, role, images = straight_faces(faces.subset(asked), roles[asked], model, folder, settings.torch_device,
                                           tell)
    query = role == "query"
    return SimpleNamespace(query=FaceArray(images.array, images.rows[query]), query_people=aligned.people[query],
                           query_names=dict(enumerate(aligned.names)), skipped=int(asked.sum()) - len(aligned),
                           distractors=FaceArray(images.array, images.rows[~query]), distractor_people=aligned.people[~query])


def train_recogniser(name, loss, data, settings, encoder=None, targets=None, **options):
    """Train an encoder on data.train with a loss; return (encoder, Run). The one recipe of notebooks 2 and 3.

    targets: what to learn of each photo if not its person, such as a teacher's embeddings. options go to `fit`: epochs,
    lr, batches and the like. The curves hold `held_out_accuracy` or `held_out_knn` of data.test, for best= to choose by.
    """
    encoder = encoder or new_encoder(settings)
    recipe = dict(epochs=settings.epochs, batch_size=settings.batch_size, lr=1e-3, augment=Jitter(size=encoder.size),
                  seed=settings.seed, evaluate=held_out(data, loss))
    options["keep"] = {"roles.csv": data.roles} | options.get("keep", {})
    loss.to(settings.torch_device)
    targets = data.train_people if targets is None else targets
    run = fit(encoder, loss, data.train, targets, settings.run_dir / name, **recipe | options)
    return encoder, run


def figures(encoder, data, loss=None):
    """What an encoder is worth: a dict of numbers, each `name` with `name_low` and `name_high`, its 95 % interval over people.

    tpr: of people never trained on, at FPR 0.01, which rests on pairs_of_people; tpr_resampled: of each draw of these
    people, to compare two encoders draw by draw.  recall@1, r_precision and map@r: of the same people.  knn_accuracy,
    and accuracy where the loss has a classifier: of other photos of the people trained on.
    """
    return strangers_figures(encoder, data) | known_figures(encoder, data, loss)


def strangers_figures(encoder, data, fpr=FPR):
    """The part of `figures` that asks about people never trained on."""
    query = embed(encoder, data.query)
    found = metrics.identification(query, data.query_people, embed(encoder, data.distractors), data.distractor_people, fpr)
    ranked = metrics.retrieval(query, data.query_people)
    result = {"tpr": found["tpr"], "tpr_low": found["low"], "tpr_high": found["high"],
              "pairs_of_people": metrics.pairs_of_people(data.query_people, data.distractor_people)}
    if np.ndim(fpr) == 0:
        result["tpr_resampled"] = found["resampled"].round(4)
    for key in ("recall@1", "r_precision", "map@r"):
        result |= _with_interval(key, ranked[key], ranked["people"])
    return {key: np.asarray(value).tolist() for key, value in result.items()}


def known_figures(encoder, data, loss=None):
    """The part of `figures` that asks who of the people trained on this is; empty if no photos of them were kept back."""
    if not len(data.test):
        return {}
    right = metrics.knn_correct(embed(encoder, data.train), data.train_people, embed(encoder, data.test), data.test_people)
    result = _with_interval("knn_accuracy", right, data.test_people)
    if hasattr(loss, "logits"):
        result |= _with_interval("accuracy", classified(encoder, loss, data.test) == data.test_people.numpy(), data.test_people)
    return result


def _with_interval(name, values, people):
    low, high = metrics.interval(values, people)
    return {name: float(np.mean(values)), f"{name}_low": float(low), f"{name}_high": float(high)}


@torch.inference_mode()
def classified(encoder, loss, faces, batch_size=64):
    """Whom the loss's own classifier takes each face, seen with its mirror image, for: (N,). There is no margin in it."""
    encoder.eval()
    device = next(encoder.parameters()).device
    batches = (torch.as_tensor(faces[start:start + batch_size]).to(device) for start in range(0, len(faces), batch_size))
    guesses = [(loss.logits(encoder(batch)) + loss.logits(encoder(batch.flip(-1)))).argmax(1).cpu() for batch in batches]
    return torch.cat(guesses).numpy()


def study(variants, data, settings, make_loss=MarginHead):
    """Train one recogniser for each variant, {label: changes}, from the same seed; return {label: its Run with figures}.

    changes: of settings (encoder, embedding, weights, seed, ...), options of `fit` (optimizer, schedule, freezer, ...), or
    encoder_options, such as {"flat_head": True}.
    settings.study_epochs says how far each goes. make_loss(embedding, people) -> the loss, ArcFace unless said otherwise.
    """
    own_fields, runs = {field.name for field in fields(settings)}, {}
    measured = digest(*map(data_digest, (data.train, data.test, data.query, data.distractors, data.train_people, data.test_people,
                                         data.query_people, data.distractor_people)), json.dumps(code_digests(figures)))
    for label, changes in (bar := progress_bar(variants.items())):
        bar.set_description(label)
        own = replace(settings, epochs=settings.study_epochs, **{k: v for k, v in changes.items() if k in own_fields})
        torch.manual_seed(own.seed)
        options = {k: v for k, v in changes.items() if k not in own_fields}
        loss, encoder = make_loss(own.embedding, data.n_people), new_encoder(own, **options.pop("encoder_options", {}))
        encoder, runs[label] = train_recogniser("study", loss, data, own, encoder, progress=False, **options)
        if runs[label].results.get("measured") != measured:  # other photos, or another way to measure
            runs[label].save_results(**figures(encoder, data, loss), measured=measured)
    return runs


def raw_pixels(faces, visible=None):
    """The simplest embedding: 32x32 grey pixels, centred, of unit length (N, 1024). A baseline.

    visible: bool (32, 32), the pixels that count; the others stay 0. None: all of them.
    """
    small = torch.nn.functional.interpolate(faces[:].float(), (32, 32), mode="bilinear", antialias=True).mean(1).flatten(1)
    counts = torch.ones(1024) if visible is None else visible.flatten().float()
    mean = (small * counts).sum(1, keepdim=True) / counts.sum()
    centred = (small - mean) * counts
    flat = centred.norm(dim=1, keepdim=True) < 1e-3  # pixels of one grey have no direction: these share one
    return torch.nn.functional.normalize(torch.where(flat, counts, centred)).numpy()


def recogniser(settings, data):
    """The encoder that the settings name for notebook 5, and its Verifier: shipped, own (notebook 3's), or a file's.

    The thresholds of the shipped one, and of a file's, were measured on strangers when it was trained; those of one's own are
    measured here, on the first half of the people never trained on.
    """
    if settings.recogniser != "own":
        path = SHIPPED_RECOGNISER if settings.recogniser == "shipped" else settings.recogniser
        return load_encoder(path, settings.torch_device), load_verifier(path)
    encoder = own_recogniser(settings, data)
    half = np.isin(data.query_people, np.array_split(np.unique(data.query_people), 2)[0])
    return encoder, measure(embed(encoder, data.query[torch.from_numpy(half)]), data.query_people[half])


def own_recogniser(settings, data):
    """Notebook 3's encoder; if it was not run, or on faces straightened otherwise, a small ArcFace encoder trained here."""
    path = recogniser_path(settings)
    if path.exists():
        with safe_open(path, "pt") as file:
            if file.metadata().get("faces") == aligned_folder(settings).name:
                return load_model(Encoder, path, settings.torch_device)
    print("No recogniser of notebook 3 for these faces here: a small one is trained first.")
    torch.manual_seed(settings.seed)
    loss = MarginHead(settings.embedding, data.n_people)
    return train_recogniser("small", loss, data, settings, epochs=max(1, settings.epochs // 4))[0]
