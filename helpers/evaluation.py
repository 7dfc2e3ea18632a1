"""What an encoder is worth, on unseen identities and on held-out photos of those it learned."""

import numpy as np
import torch
from torch import nn

from . import metrics
from .aligned_data import RecognitionData
from .comparison import FPR
from .encoders import embed


def figures(encoder: nn.Module, data: RecognitionData, loss: nn.Module | None = None) -> dict:
    """Measure an encoder.

    Args:
        encoder: faces -> unit embeddings.
        data: its probe and distractors are unseen identities; its test photos are held out.
        loss: that it was trained with; where it has a classifier, that is measured, too.

    Returns:
        Numbers, each `name` with `name_low` and `name_high`, its 95 % interval over people.
        Of unseen identities: tpr at FPR 0.01, of people with two photos or more, and
        pairs_of_people; tpr_resampled, its value in each bootstrap draw of these people, by which
        two encoders are compared in pairs; recall@1, r_precision and map@r.
        Of held-out photos: knn_accuracy, and accuracy where the loss has a classifier.
    """
    return unseen_figures(encoder, data) | held_out_figures(encoder, data, loss)


def unseen_figures(encoder: nn.Module, data: RecognitionData, fpr: float | list = FPR) -> dict:
    """The part of `figures` about unseen identities; `data` may also be that of `unseen_faces`."""
    probe = embed(encoder, data.probe)
    distractors = embed(encoder, data.distractors)
    found = metrics.verification_rate(
        probe, data.probe_labels, distractors, data.distractor_labels, fpr
    )
    ranked = metrics.retrieval(probe, data.probe_labels)
    result = {
        "tpr": found["tpr"],
        "tpr_low": found["low"],
        "tpr_high": found["high"],
        "people": found["people"],
        "pairs_of_people": metrics.pairs_of_people(data.probe_labels, data.distractor_labels),
    }
    if np.ndim(fpr) == 0:
        result["tpr_resampled"] = found["resampled"].round(4)
    for key in ("recall@1", "r_precision", "map@r"):
        result |= _with_interval(key, ranked[key], ranked["people"])
    return {key: np.asarray(value).tolist() for key, value in result.items()}


def held_out_figures(
    encoder: nn.Module, data: RecognitionData, loss: nn.Module | None = None
) -> dict:
    """The part of `figures` about held-out photos of the training identities; {} without any."""
    if not len(data.test):
        return {}
    train, test = embed(encoder, data.train), embed(encoder, data.test)
    right = metrics.knn_correct(train, data.train_labels, test, data.test_labels)
    result = _with_interval("knn_accuracy", right, data.test_labels)
    if hasattr(loss, "logits"):
        right = classified(encoder, loss, data.test) == data.test_labels.numpy()
        result |= _with_interval("accuracy", right, data.test_labels)
    return result


def _with_interval(name, values, labels):
    low, high = metrics.interval(values, labels)
    return {name: float(np.mean(values)), f"{name}_low": float(low), f"{name}_high": float(high)}


@torch.inference_mode()
def classified(
    encoder: nn.Module, loss: nn.Module, faces: torch.Tensor, batch_size: int = 64
) -> np.ndarray:
    """The class (N,) that the loss's classifier, without its margin, gives to each of N faces.

    The logits of a face and of its mirror image are added, as `embed` adds their embeddings.
    """
    encoder.eval()
    device = next(encoder.parameters()).device
    guesses = []
    for start in range(0, len(faces), batch_size):
        batch = torch.as_tensor(faces[start : start + batch_size]).to(device)
        logits = loss.logits(encoder(batch)) + loss.logits(encoder(batch.flip(-1)))
        guesses.append(logits.argmax(1).cpu())
    return torch.cat(guesses).numpy()


def raw_pixels(faces: torch.Tensor, visible: torch.Tensor | None = None) -> np.ndarray:
    """A baseline, the simplest embedding: 32x32 grey pixels, centred, of unit length (N, 1024).

    Args:
        faces: uint8 (N, 3, H, W).
        visible: bool (32, 32), the pixels that count, the others stay 0; None: all of them.
    """
    small = nn.functional.interpolate(faces[:].float(), (32, 32), mode="bilinear", antialias=True)
    grey = small.mean(1).flatten(1)
    counts = torch.ones(1024) if visible is None else visible.flatten().float()
    mean = (grey * counts).sum(1, keepdim=True) / counts.sum()
    centred = (grey - mean) * counts
    flat = centred.norm(dim=1, keepdim=True) < 1e-3  # of one grey, so without a direction:
    return nn.functional.normalize(torch.where(flat, counts, centred)).numpy()  # these share one
