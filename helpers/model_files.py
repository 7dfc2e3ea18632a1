"""Trained models on disk: weights, settings and notes in safetensors files, which hold no code."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file
from torch import nn

from .digests import digest
from .encoders import Encoder
from .files import write_atomically, write_text
from .other_encoders import OTHERS, onnx_encoder, other_encoder
from .settings import load_settings
from .verification import Verifier

MODELS = Path(__file__).parents[1] / "models"
SHIPPED_HOURGLASS = MODELS / "hourglass.safetensors"
SHIPPED_RECOGNISER = MODELS / "recogniser.safetensors"
SHIPPED_VIT = MODELS / "vit.safetensors"


def save_model(model: nn.Module, path: str | Path, half: bool = False, **notes: object) -> None:
    """Write one safetensors file with the weights, `model.settings`, and notes, all as text.

    Args:
        model: a module with a dict `settings`, the arguments that rebuild it.
        path: of the file; folders above it are made.
        half: matrices in float16, which halves the file; vectors, such as those of batch
            normalisation, whose range may be larger, stay in float32.
        notes: whatever else should be known of the model, such as its dataset.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    if half:
        weights = {
            name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()
        }
    texts = {key: str(note) for key, note in notes.items()}
    metadata = {"settings": json.dumps(model.settings), **texts}
    write_atomically(path, lambda part: save_file(weights, part, metadata=metadata))


def load_model(kind: type, path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """The model that `save_model` wrote, ready for inference.

    Args:
        kind: its class, StackedHourglass or Encoder.
        path: of the file.
        device: where it shall compute.

    Raises:
        ValueError: the file is missing, cut short, or of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            model = kind(**json.loads(file.metadata()["settings"]))
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise ValueError(
            f"{path} is no {kind.__name__} that this course saved, or it is missing or cut short "
            f"({type(error).__name__}); make it anew, or fetch the repository anew if it ships."
        ) from None
    return model.to(device).eval()


def notes_of(path: str | Path) -> dict[str, str]:
    """The notes, and the settings, that were saved with a model."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def save_note(path: str | Path, **notes: object) -> None:
    """Add notes to a model that is saved already, such as the thresholds measured for it."""
    metadata = notes_of(path) | {key: str(note) for key, note in notes.items()}
    weights = load(Path(path).read_bytes())  # not memory-mapped: Windows would not replace it
    write_atomically(path, lambda part: save_file(weights, part, metadata=metadata))


def origin(landmarks: str, people: Iterable[str] = ()) -> dict[str, str]:
    """Notes on what a model learned from, which `doubts_about` compares with what it is used for.

    Args:
        landmarks: the id of what aligned its faces, see `hourglass_id`.
        people: names of those it was trained on; only their digests are kept.
    """
    return {"landmarks": landmarks, "trained_on": " ".join(sorted(map(digest, set(people))))}


def doubts_about(
    source: str | Path, landmarks: str | None = None, people: Iterable[str] = ()
) -> list[str]:
    """Reasons not to measure an encoder so, as sentences; [] if none is known.

    Args:
        source: its file, or the name of a borrowed one, of which nothing is known.
        landmarks: the id of what aligns the faces now.
        people: names of those it is measured on.
    """
    if _is_borrowed(source):
        return []
    notes, doubts = notes_of(source), []
    for key, what in (("landmarks", "was trained"), ("measured_with", "has thresholds measured")):
        before = notes.get(key)
        if landmarks and before and before != landmarks:
            doubts.append(
                f"{source} {what} on faces aligned by {before}, but these are aligned by "
                f"{landmarks}: its thresholds and figures may not hold. FACES_HOURGLASS chooses."
            )
    trained_on = set(notes.get("trained_on", "").split())
    if known := sorted({name for name in people if digest(name) in trained_on}):
        doubts.append(
            f"{len(known)} of these people, such as {known[0]}, have names of people that {source} "
            "was trained on: if they are the same, the figures are too good. Leave them out."
        )
    return doubts


def load_encoder(source: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """An encoder by the path of a file of `save_model` or of an ONNX file, or by name.

    Names: sface, dlib, facenet, where their packages are installed.
    """
    if str(source) in OTHERS:
        return other_encoder(str(source)).to(device)
    if ".onnx" in Path(source).name:
        return onnx_encoder(str(source))
    return load_model(Encoder, source, device)


def thresholds_file(source: str | Path) -> Path:
    """Where the thresholds of an encoder lie that has no file of this course: beside the data.

    Those of an ONNX file are named after its content and colours, so that another one has none.
    """
    name, file = Path(source).name.replace(":", "-"), Path(str(source).partition(":imagenet")[0])
    if ".onnx" in name and file.is_file():
        name = f"{name}-{digest(file.read_bytes())}"
    return Path(load_settings().data_dir) / "thresholds" / f"{name}.json"


def save_verifier(source: str | Path, verifier: Verifier, landmarks: str = "") -> Path:
    """Save the thresholds of an encoder: in its file, or, if it is borrowed, beside the data.

    Args:
        source: the encoder's file, or its name.
        verifier: the thresholds.
        landmarks: the id of what aligned the faces that they were measured on, see `hourglass_id`;
            it stays with an encoder's own file.

    Returns:
        The file that they lie in now.
    """
    if _is_borrowed(source):
        write_text(thresholds_file(source), verifier.to_text())
        return thresholds_file(source)
    save_note(source, verifier=verifier.to_text(), measured_with=landmarks)
    return Path(source)


def load_verifier(source: str | Path) -> Verifier:
    """The thresholds and probabilities that were measured for an encoder and saved with it.

    Raises:
        ValueError: none were.
    """
    if not _is_borrowed(source):
        text = notes_of(source).get("verifier")
    elif thresholds_file(source).exists():
        text = thresholds_file(source).read_text(encoding="utf-8")
    else:
        text = None
    if text is None:
        raise ValueError(
            f"{source} has no thresholds with it: measure some on people it was not trained on, "
            f"with python -m helpers evaluate PEOPLE --recogniser {source} --save."
        )
    return Verifier.from_text(text)


def _is_borrowed(source):
    return str(source) in OTHERS or ".onnx" in Path(source).name
