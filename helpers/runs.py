"""What a training leaves on disk: a folder with settings, curves, checkpoint and weights."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .files import to_csv, write_atomically, write_text


class Run:
    """A folder with settings, curves, the last checkpoint and, when finished, the weights."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.finished = (self.folder / "model.safetensors").exists()
        self.history, self.seconds = [], 0.0
        self.settings = _read_json(self.folder / "settings.json")
        self.results = _read_json(self.folder / "results.json")
        if self.finished:
            with (
                readable(self.folder / "curves.csv"),
                open(self.folder / "curves.csv", newline="") as file,
            ):
                self.history = [
                    {k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)
                ]
            self.seconds = self.settings.get("seconds", 0.0)

    def load_into(self, model: nn.Module, loss: nn.Module | None = None) -> None:
        """Put the trained weights into `model` (and the loss's own into `loss`)."""
        with readable(self.folder / "model.safetensors"):
            weights = load_file(self.folder / "model.safetensors")
        for name, module in (("model", model), ("loss", loss)):
            if module is not None:
                module.load_state_dict(
                    {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}
                )
        model.eval()

    def save_results(self, **figures: object) -> None:
        """Keep measured figures beside the run, for the table of all runs."""
        self.results |= figures
        write_text(self.folder / "results.json", json.dumps(self.results, indent=1))

    def start(self, extra_files: dict[str, str]) -> None:
        """Make the folder and write the settings and, beside them, further files: {name: text}."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in extra_files.items():
            write_text(self.folder / name, text)
        write_text(self.folder / "settings.json", json.dumps(self.settings, indent=1))

    def resume(
        self,
        parts: nn.ModuleDict,
        optimiser: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        scaler: torch.amp.GradScaler | None = None,
    ) -> int:
        """Load the last checkpoint, if there is one; return the epoch to start with."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return 0
        with readable(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
        parts.load_state_dict(state["both"])
        optimiser.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        if scaler is not None and state.get("scaler") is not None:
            scaler.load_state_dict(state["scaler"])
        self.history, self.seconds = state["history"], state["seconds"]
        return len(self.history)

    def checkpoint(
        self,
        parts: nn.ModuleDict,
        optimiser: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        scaler: torch.amp.GradScaler | None = None,
        best: str | None = None,
    ) -> None:
        """Write everything that a resumed run needs, in one atomic step.

        best: a name in the curves; the model, too, is written if that number was never higher.
        """
        state = {
            "both": parts.state_dict(),
            "optimizer": optimiser.state_dict(),
            "scheduler": scheduler.state_dict(),
            "scaler": scaler and scaler.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
        }
        if best is not None and self.history[-1][best] == max(row[best] for row in self.history):
            weights = {k: v.contiguous() for k, v in parts["model"].state_dict().items()}
            write_atomically(
                self.folder / "best.safetensors", lambda path: save_file(weights, path)
            )
        write_atomically(self.folder / "checkpoint.pt", lambda path: torch.save(state, path))
        keys = dict.fromkeys(key for row in self.history for key in row)
        rows = [[row.get(key, "") for key in keys] for row in self.history]
        write_text(self.folder / "curves.csv", to_csv([list(keys), *rows]))

    def finish(self, parts: nn.ModuleDict) -> None:
        """Write the weights and drop the checkpoint, which nobody needs any more."""
        self.settings["seconds"] = round(self.seconds, 1)
        write_text(self.folder / "settings.json", json.dumps(self.settings, indent=1))
        weights = {k: v.contiguous() for k, v in parts.state_dict().items()}
        write_atomically(self.folder / "model.safetensors", lambda path: save_file(weights, path))
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)
        self.finished = True


def saved_runs(folder: str | Path) -> list[Run]:
    """All finished runs under a folder, oldest first."""
    runs = [Run(path.parent) for path in Path(folder).glob("*/model.safetensors")]
    return sorted(runs, key=lambda run: (run.folder / "model.safetensors").stat().st_mtime)


def _read_json(path):
    with readable(path):
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a library says of a file of a run that is cut short or missing, say one sentence."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}), perhaps since a disk was full or a "
            f"copy was cut short: delete the folder {path.parent}, and train anew."
        ) from None
