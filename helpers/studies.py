"""Side studies: one recogniser for each variant of the recipe, all else equal."""

import json
from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch import nn

from . import evaluation
from .aligned_data import RecognitionData
from .code_digests import code_digests
from .digests import data_digest, digest
from .losses import MarginHead
from .networks import new_encoder
from .progress import progress_bar
from .recognisers import train_recogniser
from .runs import Run
from .settings import Settings


def study(
    variants: dict[str, dict],
    data: RecognitionData,
    settings: Settings,
    make_loss: Callable[[int, int], nn.Module] = MarginHead,
) -> dict[str, Run]:
    """Train and measure one recogniser for each variant, all from the same seed.

    Args:
        variants: {label: changes}; changes of settings (encoder, optimizer, seed, ...), or options
            of `fit` (freezer, augment, ...).
        data: to train on and to measure with.
        settings: what is not changed; study_epochs says how far each training goes.
        make_loss: (embedding, num_classes) -> the loss; ArcFace unless another is given.

    Returns:
        {label: its Run}, whose results are those of `figures`.
    """
    measured = _digest_of_measurement(data)
    # `augment` may be no text here, but a function
    names = {field.name for field in fields(settings)} - {"augment"}
    runs = {}
    for label, changes in (bar := progress_bar(variants.items())):
        bar.set_description(label)
        changed = {key: value for key, value in changes.items() if key in names}
        options = {key: value for key, value in changes.items() if key not in names}
        variant = replace(settings, epochs=settings.study_epochs, **changed)
        torch.manual_seed(variant.seed)
        loss = make_loss(variant.embedding, data.num_classes)
        encoder = new_encoder(variant)
        encoder, run = train_recogniser(
            "study", loss, data, variant, encoder, progress=False, **options
        )
        if run.results.get("measured") != measured:  # on other photos, or in another way
            run.save_results(**evaluation.figures(encoder, data, loss), measured=measured)
        runs[label] = run
    return runs


def _digest_of_measurement(data):
    """A digest of the photos and labels that `figures` sees, and of its code."""
    sources = (
        data.train,
        data.test,
        data.probe,
        data.distractors,
        data.train_labels,
        data.test_labels,
        data.probe_labels,
        data.distractor_labels,
    )
    return digest(
        *map(data_digest, sources), json.dumps(code_digests(evaluation.figures), sort_keys=True)
    )
