"""How a training goes: all that may be said to `fit`, checked before it begins."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import nn

from .augment import as_change
from .batches import shuffled
from .ingredients import stable_name
from .setting_values import checked
from .settings import FIELDS, Settings


@dataclass(kw_only=True)
class Plan:
    """The options of `fit`; defaults are those of Settings.

    Args:
        epochs: how often each photo is seen.
        batch_size: photos in a batch, of all processes together.
        optimizer: adamw, adam or sgd.
        lr: the highest learning rate.
        weight_decay: of matrices; biases, norms and positions are left alone.
        schedule: onecycle, cosine, restarts, warmup or constant, see `new_schedule`.
        T_0: for restarts, the epochs between two of them.
        eta_min: for cosine and restarts, the lowest rate.
        clip: the longest gradient; longer ones are shortened to it.
        batches: batches(epoch, seed) -> list of index tensors; None: shuffled photos.
        augment: augment(images, targets) -> the same, on the device; or a transform of torchvision.
        evaluate: evaluate(model) -> {name: number}, after each epoch.
        freezer: freezer(model, epoch) freezes layers for the epoch, such as a LayerFreezer.
        best: a name of `evaluate`; the model of the epoch where it was highest is kept, too, as
            best.safetensors.
        hours: a limit; the schedule comes to its end by then, and the epoch is the last.
        extra_files: {name: text} of files to lay into the run folder, such as the list of people.
        seed: of all that is random.
        precision: auto, bf16, fp16, tf32 or float32.
        compile: whether torch.compile makes the model's kernels, which takes a minute at first.
        progress: whether there is a bar.
    """

    epochs: int
    batch_size: int = Settings.batch_size
    optimizer: str = Settings.optimizer
    lr: float = Settings.lr
    weight_decay: float = Settings.weight_decay
    schedule: str = Settings.schedule
    T_0: int = Settings.T_0
    eta_min: float | None = Settings.eta_min
    clip: float = Settings.clip
    batches: Callable | None = None
    augment: Callable | None = None
    evaluate: Callable | None = None
    freezer: Callable | None = None
    best: str | None = Settings.best
    hours: float | None = Settings.hours
    extra_files: dict = field(default_factory=dict)
    seed: int = Settings.seed
    precision: str = Settings.precision
    compile: bool = Settings.compile
    progress: bool = True

    def complete(self, photos: int) -> None:
        """Check the numbers and names, and fill in the batches of so many photos."""
        values = {name: getattr(self, name) for name in RECIPE if name != "best"}
        # 0: refused later, with a sentence of its own
        values["epochs"] = 1 if self.epochs == 0 else self.epochs
        for name, value in values.items():
            if checked(FIELDS[name], value, called=name) != value:  # it is a text that says it
                raise ValueError(f"{name} is {value!r}, but it must be a number.")
        for name in ("batches", "augment", "freezer"):
            part = getattr(self, name)
            if part is not None and not callable(part):
                raise ValueError(f"{name} must be None or something to call, but it is {part!r}.")
        self.batches = self.batches or shuffled(photos, self.batch_size)
        self.augment = as_change(self.augment)

    def described(self, model: nn.Module, loss: nn.Module) -> dict:
        """What shapes the result, as JSON can hold it: {name: number or text}."""
        about = {"model": str(getattr(model, "settings", type(model).__name__))}
        for name in ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule"):
            about[name] = getattr(self, name)
        about |= {"clip": self.clip, "seed": self.seed, "loss": stable_name(loss, "loss")}
        for name in ("batches", "augment", "freezer"):
            about[name] = stable_name(getattr(self, name), name)
        if self.schedule == "restarts":
            about["T_0"] = self.T_0
        for name in ("precision", "compile"):  # their defaults change nothing
            if getattr(self, name) != getattr(Settings, name):
                about[name] = getattr(self, name)
        for name in ("best", "hours", "eta_min"):
            if getattr(self, name) is not None:
                about[name] = repr(getattr(self, name))
        return about


# the settings that `fit` takes as they are
RECIPE = tuple(
    option.name for option in fields(Plan) if option.name in FIELDS and option.name != "augment"
)


def checked_targets(targets: object, photos: int, loss: nn.Module) -> torch.Tensor:
    """Targets (N, ...) as a tensor, labels as long integers.

    Raises:
        ValueError: there is not one for each photo, they are not finite, or the loss has no class
            of such a number.
    """
    targets, classes = torch.as_tensor(targets), getattr(loss, "classes", None)
    if len(targets) != photos:
        raise ValueError(
            f"Each photo has one target, but there are {photos} photos and {len(targets)} targets."
        )
    if targets.is_floating_point():
        if not targets.isfinite().all():
            raise ValueError(
                "Some targets are not finite numbers: mend them, or leave those photos out."
            )
        if classes is not None:
            raise ValueError("Labels must be whole numbers, but these targets are floats.")
        return targets
    targets = targets.long()
    if classes is None or not len(targets):
        return targets
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"The loss knows {classes} people, so labels must be 0 to {classes - 1}, but they are "
            f"{low} to {high}: number them anew with "
            "torch.unique(labels, return_inverse=True)[1]."
        )
    return targets
