"""What a training was made of: settings, data, first weights, and the code of its parts.

Two trainings with the same digests of these end alike, so the finished one is loaded. Where one
digest differs, its name says what has changed since: "losses.py was edited".
"""

import glob
import json
import re
import sys
from pathlib import Path
from types import FunctionType

import torch
from torch import nn

from .code_digests import code_digests
from .digests import data_digest, digest

ADDRESS = r" at 0x[0-9a-fA-F]+"  # what an object without a __repr__ is told by


def ingredients(
    hyper: dict, model: nn.Module, loss: nn.Module, images: object, targets: object, *parts: object
) -> dict:
    """All that shapes a training.

    Args:
        hyper: the settings, as JSON can hold them.
        model, loss: their first weights, what is frozen, and their code count.
        images, targets: tensors or arrays (N, ...), read as a whole.
        parts: what else takes part: augmentation, batches, freezer, functions of the loop.

    Returns:
        {what: digest}, where `what` is the settings, the photos, a file of code and so on.
    """
    weights = [
        value for module in (model, loss) for item in module.state_dict().items() for value in item
    ]
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    kept = [
        v for part in parts for v in getattr(part, "__dict__", {}).values() if torch.is_tensor(v)
    ]
    settings = [
        json.dumps(hyper, sort_keys=True),
        re.sub(ADDRESS, "", repr(model)),
        *map(_numbers, (model, loss)),
    ]
    return {
        "settings": digest(*settings),
        "the first weights": digest(*weights, str(frozen)),
        "the photos": data_digest(images),
        "the targets": digest(data_digest(targets), *kept),
        "Python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        **code_digests(model, loss, *parts),
    }


def letters(made_of: dict) -> str:
    """Six letters that stand for ingredients."""
    return digest(json.dumps(made_of, sort_keys=True))[:6]


def fingerprint(*of: object) -> str:
    """The letters of a training, told by what `ingredients` takes."""
    return letters(ingredients(*of))


def what_changed(folder: str | Path, made_of: dict) -> str | None:
    """A sentence on what has changed since the newest run of the same settings and first weights.

    Args:
        folder: runs lie in `folder`-??????.
        made_of: what `ingredients` says of the new run.

    Returns:
        The sentence, or None if there is no such run.
    """
    folder = Path(folder)
    found = folder.parent.glob(f"{glob.escape(folder.name)}-??????/settings.json")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            before = json.loads(path.read_text(encoding="utf-8")).get("made_of", {})
        except (ValueError, OSError):
            continue  # damaged: no reason to stop another run
        if all(before.get(key) == made_of[key] for key in ("settings", "the first weights")):
            changed = {
                key for key in made_of.keys() | before.keys() if before.get(key) != made_of.get(key)
            }
            if "Python" in changed:  # compiles the same files otherwise
                changed = {key for key in changed if key.startswith(("the", "Python"))}
            changed = [
                f"{key} was edited" if key.endswith(".py") else f"{key} changed" for key in changed
            ]
            if changed:
                what = ", ".join(sorted(changed))
                return f"{what} since {path.parent.name} was trained: this is a run of its own."
    return None


def stable_name(part: object, what: str) -> str:
    """repr(part), or a function's own name.

    Args:
        part: a loss, an augmentation and the like.
        what: the word for it in an error.

    Raises:
        ValueError: the name holds an address in memory, which no later run would have.
    """
    name = (
        f"{part.__module__}.{part.__qualname__}" if isinstance(part, FunctionType) else repr(part)
    )
    if re.search(ADDRESS, name):
        raise ValueError(
            f"The {what} {name} is called otherwise in every run, so that no run could ever be "
            "resumed or loaded: give its class a __repr__ that tells its settings."
        )
    if re.search(r"\b(nan|inf)\b", name):
        raise ValueError(f"The {what} {name} holds a number that is not finite.")
    return name


def _numbers(module):
    """The numbers and words that a module and those inside it keep: a repr need not tell them."""
    return str(
        [
            (name, key, value)
            for name, inner in module.named_modules()
            for key, value in vars(inner).items()
            if key[0] != "_" and key != "training" and isinstance(value, (str, int, float))
        ]
    )
