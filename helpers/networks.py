"""The networks that the settings name: the hourglass, the recogniser's encoder, the transformer."""

from pathlib import Path

import torch

from .encoders import Encoder, weights_id
from .landmarks import StackedHourglass
from .model_files import SHIPPED_HOURGLASS, SHIPPED_RECOGNISER, SHIPPED_VIT, load_model
from .settings import Settings


def trained_hourglass_path(settings: Settings) -> Path:
    """Where notebook 1 leaves its hourglass."""
    return settings.run_dir / "hourglass.safetensors"


def recogniser_path(settings: Settings) -> Path:
    """Where notebook 3 leaves the recogniser that the pipeline uses."""
    return settings.run_dir / "recogniser.safetensors"


def recogniser_source(settings: Settings) -> str | Path:
    """What `load_encoder` and `load_verifier` take for the recogniser that the settings name.

    Raises:
        FileNotFoundError: notebook 3's is wanted, but the notebook was not run.
    """
    if settings.recogniser == "shipped":
        return SHIPPED_RECOGNISER
    if settings.recogniser != "trained":
        return settings.recogniser
    path = recogniser_path(settings)
    if not path.exists():
        raise FileNotFoundError(
            f"FACES_RECOGNISER is 'trained', but {path} is missing: run notebook 3 first, "
            "or set FACES_RECOGNISER=shipped."
        )
    return path


def new_hourglass(settings: Settings) -> StackedHourglass:
    """An untrained hourglass, with the first weights that the seed gives."""
    torch.manual_seed(settings.seed)
    model = StackedHourglass(settings.channels, settings.stacks, grow=settings.grow)
    return model.to(settings.torch_device).eval()


def hourglass_path(settings: Settings) -> Path | None:
    """The file of the hourglass that the settings name; None for MTCNN's own landmarks."""
    named = {"mtcnn": None, "shipped": SHIPPED_HOURGLASS}
    if settings.hourglass in named:
        return named[settings.hourglass]
    if settings.hourglass == "trained":
        return trained_hourglass_path(settings)
    return Path(settings.hourglass)


def hourglass(settings: Settings) -> StackedHourglass | None:
    """The hourglass that aligns faces: shipped, trained by notebook 1, or a file's.

    Returns:
        The model, or None where MTCNN's own landmarks are to be used.

    Raises:
        FileNotFoundError: notebook 1's is wanted, but the notebook was not run.
    """
    path = hourglass_path(settings)
    if path is None:
        return None
    if settings.hourglass == "trained" and not path.exists():
        raise FileNotFoundError(
            f"FACES_HOURGLASS is 'trained', but {path} is missing: run notebook 1 first."
        )
    return load_model(StackedHourglass, path, settings.torch_device)


def hourglass_id(model: StackedHourglass | None) -> str:
    """A line that stands for what finds the landmarks: these very weights, or MTCNN (None)."""
    return "MTCNN" if model is None else f"hourglass {weights_id(model)}"


def new_encoder(settings: Settings, **options: object) -> Encoder:
    """The encoder that the settings name, with the first weights that they or the seed give.

    Args:
        settings: encoder, embedding, encoder_size, encoder_options, face_stem, flat_head, weights,
            seed and device are used.
        options: of the Encoder, in place of those of the settings.
    """
    torch.manual_seed(settings.seed)
    options = {
        "face_stem": settings.face_stem,
        "flat_head": settings.flat_head,
        **settings.encoder_options,
        **options,
    }
    model = Encoder(
        settings.encoder, settings.embedding, settings.encoder_size, settings.weights, **options
    )
    return model.to(settings.torch_device)


def new_vit(settings: Settings) -> Encoder:
    """Notebook 4's vision transformer with the weights that the settings name.

    "none" gives a small one, untrained, so that it can be trained on two CPU cores.
    """
    device = settings.torch_device
    if settings.vit_weights == "imagenet":
        return Encoder(settings.vit, None, 224, weights="imagenet").to(device).eval()
    if settings.vit_weights == "none":
        torch.manual_seed(settings.seed)
        small = {"img_size": 112, "patch_size": 14, "depth": 4, "embed_dim": 128, "num_heads": 4}
        model = Encoder(settings.vit, None, 112, hide=("all", "head", "face"), **small)
        return model.to(device).eval()
    path = SHIPPED_VIT if settings.vit_weights == "shipped" else settings.vit_weights
    return load_model(Encoder, path, device)
