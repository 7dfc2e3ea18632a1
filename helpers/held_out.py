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
    probes = torch.from_numpy(
        np.unique(
            np.linspace(0, len(data.test) - 1, min(PROBES, len(data.test))).round().astype(int)
        )
    )
    labels = torch.as_tensor(data.test_labels)[probes]
    train_labels = torch.as_tensor(data.train_labels)
    order = train_labels.argsort(stable=True)
    of_each = order.split(train_labels.unique(return_counts=True)[1].tolist())
    gallery = torch.cat([photos[:GALLERY] for photos in of_each])

    @torch.inference_mode()
    def evaluate(encoder):
        device = next(encoder.parameters()).device

        def features(faces, index):
            return torch.cat(
                [
                    encoder(torch.as_tensor(faces[rows]).to(device)).float()
                    for rows in index.split(64)
                ]
            )

        found = features(data.test, probes)
        if hasattr(loss, "logits"):
            return {
                "held_out_accuracy": (loss.logits(found).argmax(1).cpu() == labels).float().mean()
            }
        known, asked = (
            F.normalize(x).cpu().numpy() for x in (features(data.train, gallery), found)
        )
        return {
            "held_out_knn": knn_correct(
                known, train_labels[gallery].numpy(), asked, labels.numpy()
            ).mean()
        }

    return evaluate
