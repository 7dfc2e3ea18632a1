"""Recognisers: the one recipe by which they are trained, and the one that notebook 5 uses."""

import numpy as np
import torch
from torch import nn

from .aligned_data import RecognitionData, aligned_folder
from .configured import batches_of, configured_augment
from .encoders import Encoder, LayerFreezer, embed
from .held_out import held_out
from .losses import MarginHead
from .model_files import (
    doubts_about,
    load_encoder,
    load_model,
    load_verifier,
    notes_of,
)
from .networks import new_encoder, recogniser_path, recogniser_source
from .runs import Run
from .settings import Settings
from .training import fit
from .training_plan import RECIPE
from .verification import Verifier, measure


def train_recogniser(
    name: str,
    loss: nn.Module,
    data: RecognitionData,
    settings: Settings,
    encoder: nn.Module | None = None,
    targets: torch.Tensor | None = None,
    **options: object,
) -> tuple[nn.Module, Run]:
    """Train an encoder on data.train with a loss: the one recipe of notebooks 2 to 4.

    Args:
        name: of the run; its folder starts so.
        loss: loss(embeddings, targets) -> a number, and more to log.
        data: data.test is measured after each epoch: `held_out_accuracy` or `held_out_knn`.
        settings: what `options` don't say: epochs, batch_size, photos_each, optimizer, lr, augment,
            freeze and so on.
        encoder: None makes the one that the settings name.
        targets: what to learn of each photo if not its label, such as a teacher's embeddings.
        options: of `fit`: epochs, lr, batches and the like.

    Returns:
        The encoder, trained, and its Run.
    """
    encoder = encoder or new_encoder(settings)
    recipe = {name: getattr(settings, name) for name in RECIPE}
    recipe["evaluate"] = held_out(data, loss)
    recipe["batches"] = batches_of(settings.photos_each, data.train_labels, settings.batch_size)
    recipe["freezer"] = LayerFreezer(settings.freeze) if settings.freeze else None
    if "augment" not in options:
        recipe["augment"] = configured_augment(settings.augment, encoder.size)
    options["extra_files"] = {"split.csv": data.splits} | options.get("extra_files", {})
    loss.to(settings.torch_device)
    targets = data.train_labels if targets is None else targets
    run = fit(encoder, loss, data.train, targets, settings.run_dir / name, **recipe | options)
    return encoder, run


def recogniser(settings: Settings, data: RecognitionData) -> tuple[nn.Module, Verifier]:
    """The encoder that the settings name for notebook 5, and its Verifier.

    The thresholds of the shipped one were measured on people not trained on here (SFace may have
    seen them), those of a file on whomever its maker took. Those of notebook 3's ("trained") are
    measured here, on the first half of the probe identities.
    """
    if settings.recogniser != "trained":
        path = recogniser_source(settings)
        people = [data.probe_names[label] for label in np.unique(data.probe_labels)]
        for sentence in doubts_about(path, data.landmarks, people):
            print(sentence)
        return load_encoder(path, settings.torch_device), load_verifier(path)
    encoder = trained_recogniser(settings, data)
    first_half = np.array_split(np.unique(data.probe_labels), 2)[0]
    half = np.isin(data.probe_labels, first_half)
    embeddings = embed(encoder, data.probe[torch.from_numpy(half)])
    return encoder, measure(embeddings, data.probe_labels[half])


def trained_recogniser(settings: Settings, data: RecognitionData) -> nn.Module:
    """Notebook 3's encoder.

    If the notebook was not run, or on faces aligned otherwise, a small one is trained here.
    """
    path = recogniser_path(settings)
    if path.exists() and notes_of(path).get("faces") == aligned_folder(settings).name:
        return load_model(Encoder, path, settings.torch_device)
    print("No recogniser of notebook 3 for these faces here: a small one is trained first.")
    torch.manual_seed(settings.seed)
    loss = MarginHead(settings.embedding, data.num_classes)
    epochs = max(1, settings.epochs // 4)
    return train_recogniser("small", loss, data, settings, epochs=epochs)[0]
