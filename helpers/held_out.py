"""How well an encoder in training knows photos held out of the people it learns, epoch by epoch.

Unseen identities are never looked at while training; this is what shows overfitting, and what
`best=` may choose by.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .aligned_data import RecognitionData
from .metrics import knn_correct

GALLERY = 4  # training photos of each person that kNN compares with: enough for a curve, and cheap
PROBES = 2000  # held-out photos at most, spread evenly


def held_out(
    data: RecognitionData, loss: nn.Module
) -> Callable[[nn.Module], dict[str, float]] | None:
    """The function `evaluate` of `fit`.

    Args:
        data: RecognitionData; its test photos are held out.
        loss: with `logits`, if it has centres.

    Returns:
        None if no photos are held out, else evaluate(encoder), which gives a dict of one share:
        held_out_accuracy, of photos whom the loss's centres name rightly, without a margin; or, for
        losses without centres, held_out_knn, by the nearest of a few training photos of everybody.
    """
    if not len(data.test):
        return None
    probes = _spread(len(data.test))
    labels = torch.as_tensor(data.test_labels)[probes]
    train_labels = torch.as_tensor(data.train_labels)
    gallery = _few_of_each(train_labels)

    @torch.inference_mode()
    def evaluate(encoder: nn.Module) -> dict[str, float]:
        found = _features(encoder, data.test, probes)
        if hasattr(loss, "logits"):
            named = loss.logits(found).argmax(1).cpu()
            return {"held_out_accuracy": (named == labels).float().mean()}
        known = _unit(_features(encoder, data.train, gallery))
        right = knn_correct(known, train_labels[gallery].numpy(), _unit(found), labels.numpy())
        return {"held_out_knn": right.mean()}

    return evaluate


def _spread(photos):
    """Numbers of at most PROBES of so many photos, spread evenly."""
    places = np.linspace(0, photos - 1, min(PROBES, photos))
    return torch.from_numpy(np.unique(places.round().astype(int)))


def _few_of_each(labels):
    """Numbers of the first GALLERY photos of everybody."""
    order = labels.argsort(stable=True)
    of_each = order.split(labels.unique(return_counts=True)[1].tolist())
    return torch.cat([photos[:GALLERY] for photos in of_each])


def _features(encoder, faces, index):
    """The encoder's features of some faces, float32 (N, D), on its device."""
    device = next(encoder.parameters()).device
    batches = (torch.as_tensor(faces[rows]).to(device) for rows in index.split(64))
    return torch.cat([encoder(batch).float() for batch in batches])


def _unit(features):
    """Features divided by their length, on the CPU."""
    return F.normalize(features).cpu().numpy()
