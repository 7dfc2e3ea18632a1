"""What notebooks take as `course.…`, in one place; the imports say where each is written."""

from .aligned_data import aligned_folder
from .model_files import (
    MODELS,
    SHIPPED_HOURGLASS,
    SHIPPED_RECOGNISER,
    SHIPPED_VIT,
    load_encoder,
    load_model,
    load_verifier,
    save_model,
    save_note,
    save_verifier,
)
from .networks import (
    hourglass,
    hourglass_id,
    new_encoder,
    new_hourglass,
    new_vit,
    recogniser_path,
    trained_hourglass_path,
)
from .sample_photos import photo_folder

__all__ = [
    "MODELS",
    "SHIPPED_HOURGLASS",
    "SHIPPED_RECOGNISER",
    "SHIPPED_VIT",
    "aligned_folder",
    "hourglass",
    "hourglass_id",
    "load_encoder",
    "load_model",
    "load_verifier",
    "new_encoder",
    "new_hourglass",
    "new_vit",
    "photo_folder",
    "recogniser_path",
    "save_model",
    "save_note",
    "save_verifier",
    "trained_hourglass_path",
]
