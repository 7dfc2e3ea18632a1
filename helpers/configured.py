"""The files of helpers/config: Hydra's schema, losses and augmentations by name."""

from collections.abc import Callable

import torch
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from .batches import people_by_photos
from .settings import FIELDS, load_settings

# Hydra's schema: every setting, None until it is given. load_settings checks types and ranges, as
# it does for notebooks. `augment` is a folder of files, from which Hydra itself chooses. It is no
# dataclass, to which a configuration file of one's own could add no key.
GIVEN = [name for name in FIELDS if name != "augment"]
ConfigStore.instance().store("settings", dict.fromkeys(GIVEN))
OmegaConf.register_new_resolver(
    "setting", lambda name: getattr(load_settings(), name), replace=True
)


def configured_loss(name: str, embedding: int, num_classes: int) -> tuple[nn.Module, int | None]:
    """A loss of helpers/config/loss by its name.

    Returns:
        The loss, and how many photos of each person it wants in a batch; None: any.
    """
    words = [f"loss={name}", f"embedding={embedding}", f"classes={num_classes}"]
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", words)
    return instantiate(config.loss), config.photos_each


def configured_augment(name: str, size: int) -> Callable:
    """An augmentation of helpers/config/augment by its name, for faces of this size in pixels."""
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", [f"augment={name}", f"encoder_size={size}"])
    return instantiate(config.augment)


def batches_of(photos_each: int | None, labels: torch.Tensor, batch_size: int) -> Callable | None:
    """Batches with so many photos of each person, or None, for fit's own."""
    if photos_each is None:
        return None
    return people_by_photos(labels, max(2, batch_size // photos_each), photos_each)
