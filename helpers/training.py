"""The one training loop of all notebooks: any model, any loss, one CPU to several GPUs, stopped and resumed at will.

Random numbers are a function of (seed, epoch, step), never of what happened before, so that a run that was
killed and resumed ends with the very same weights as one that was not.
"""
import csv
import hashlib
import json
import time
import zlib
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from torch import nn

from .batches import shuffled
from .files import to_csv, write_atomically, write_text
from .progress import progress_bar

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
              "sgd": lambda groups, **kw: torch.optim.SGD(groups, momentum=0.9, nesterov=True, **kw)}

_schedulers = torch.optim.lr_scheduler
SCHEDULES = {  # name: (optimiser, lr, total steps, steps in an epoch) -> a torch scheduler, stepped after every batch
    "onecycle": lambda o, lr, total, epoch: _schedulers.OneCycleLR(o, lr, total_steps=max(total + 1, 6), pct_start=0.2),
    "cosine": lambda o, lr, total, epoch: _schedulers.CosineAnnealingLR(o, total),
    "restarts": lambda o, lr, total, epoch: _schedulers.CosineAnnealingWarmRestarts(o, 3 * epoch, eta_min=lr / 10),
    "constant": lambda o, lr, total, epoch: _schedulers.LambdaLR(o, lambda step: 1.0),
}


def fit(model, loss, images, targets, folder, *, epochs, batch_size=32, optimizer="adamw", lr=1e-3,
        weight_decay=0.05, schedule="onecycle", clip=5.0, batches=None, augment=None, evaluate=None, seed=0,
        progress=True):
    """Train `model` in place, on the device it is on; return its Run. A finished run is loaded, a stopped one goes on.

    images: uint8 (N, 3, H, W), in memory or memory-mapped; whole batches are indexed and moved as bytes.
    targets: (N, ...): people or points.  loss(model(images), targets) -> scalar, dict of numbers to log.
    folder: the run is kept in `<folder>-<fingerprint>`, where the fingerprint stands for all that shapes the
    result, so that an edited setting starts a run of its own and an old one is never overwritten.
    schedule: onecycle, cosine, restarts or constant.  batches(epoch, seed) -> list of index tensors; default
    shuffled.  augment(images, targets) -> the same, on the device.  evaluate(model) -> dict, after each epoch.
    Precision is the fastest that the device has: bf16, fp16 or float32.
    """
    batches = batches or shuffled(len(images), batch_size)
    for kind, name, known in (("optimizer", optimizer, OPTIMIZERS), ("schedule", schedule, SCHEDULES)):
        if name not in known:
            raise ValueError(f"There is no {kind} '{name}': choose {', '.join(known)}.")
    described = str(getattr(model, "settings", type(model).__name__))
    hyper = dict(model=described, epochs=epochs, batch_size=batch_size, optimizer=optimizer, lr=lr, weight_decay=weight_decay,
                 schedule=schedule, clip=clip, seed=seed, loss=repr(loss), batches=repr(batches), augment=repr(augment))
    run = Run(f"{folder}-{fingerprint(hyper, model, loss, images, targets)}")
    if run.finished:
        run.load_into(model, loss)
        return run
    run.settings = hyper
    _train(run, model, loss, images, targets, batches, augment, evaluate, progress, **{
        k: hyper[k] for k in ("epochs", "optimizer", "lr", "weight_decay", "schedule", "clip", "seed")})
    return run


def _train(run, model, loss, images, targets, batches, augment, evaluate, progress, *,
           epochs, optimizer, lr, weight_decay, schedule, clip, seed):
    device = next(model.parameters()).device.type
    accelerator = Accelerator(mixed_precision=best_precision(device), cpu=device == "cpu")
    if accelerator.is_main_process:
        run.folder.mkdir(parents=True, exist_ok=True)
        write_text(run.folder / "settings.json", json.dumps(run.settings, indent=1))
    both = nn.ModuleDict({"model": model, "loss": loss})
    optimiser = OPTIMIZERS[optimizer](parameter_groups(both, weight_decay), lr=lr)
    steps = len(batches(0, seed))
    scheduler = SCHEDULES[schedule](optimiser, lr, epochs * steps, steps)
    step_module, optimiser = accelerator.prepare(_Step(model, loss), optimiser)
    first = run.resume(both, optimiser, scheduler)
    bar = progress_bar(total=epochs * steps, initial=first * steps, desc=run.folder.name,
                       disable=not (progress and accelerator.is_main_process))
    rank, world = accelerator.process_index, accelerator.num_processes
    for epoch in range(first, epochs):
        started, sums, seen = time.perf_counter(), {}, 0
        both.train()
        for step, index in enumerate(batches(epoch, seed)):
            set_seed((seed * 1_000_003 + epoch * 10_007 + step) % 2**31 + rank)
            index = index.tensor_split(world)[rank]  # in one piece, so that a person's K photos stay together
            batch, goal = (pick(source, index, accelerator.device) for source in (images, targets))
            if augment is not None:
                with torch.no_grad():
                    batch, goal = augment(batch, goal)
            value, logs = step_module(batch, goal)
            optimiser.zero_grad()
            accelerator.backward(value)
            accelerator.clip_grad_norm_(both.parameters(), clip)
            optimiser.step()
            scheduler.step()
            for key, number in {"loss": value.detach(), **logs}.items():
                sums[key] = sums.get(key, 0) + number * len(index)
            seen += len(index)
            bar.update()
        row = {"epoch": epoch + 1} | {key: float(total) / seen for key, total in sums.items()}
        row["photos_per_second"] = seen * world / (time.perf_counter() - started)
        run.seconds += time.perf_counter() - started
        if evaluate is not None:
            row |= {key: float(number) for key, number in evaluate(model.eval()).items()}
        run.history.append(row)
        bar.set_postfix({k: f"{row[k]:.3g}" for k in ("loss", "accuracy", "photos_per_second") if k in row})
        if accelerator.is_main_process:
            run.checkpoint(both, optimiser, scheduler)
    bar.close()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.finish(both)
    model.eval()


class _Step(nn.Module):
    """Model and loss as one module, so that several processes keep the gradients of both in step."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, images, targets):
        return self.loss(self.model(images), targets)


class Run:
    """A folder with the settings, the curves, the last checkpoint and, when finished, the weights."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.finished = (self.folder / "model.safetensors").exists()
        self.history, self.seconds = [], 0.0
        self.settings = _read_json(self.folder / "settings.json")
        self.results = _read_json(self.folder / "results.json")
        if self.finished:
            with open(self.folder / "curves.csv", newline="") as file:
                self.history = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
            self.seconds = self.settings.get("seconds", 0.0)

    def load_into(self, model, loss=None):
        """Put the trained weights into `model` (and the loss's own into `loss`)."""
        weights = load_file(self.folder / "model.safetensors")
        for name, module in (("model", model), ("loss", loss)):
            if module is not None:
                module.load_state_dict({k[len(name) + 1:]: v for k, v in weights.items() if k.startswith(name + ".")})
        model.eval()

    def save_results(self, **figures):
        """Keep measured figures beside the run, for the table of all runs."""
        self.results |= figures
        write_text(self.folder / "results.json", json.dumps(self.results, indent=1))

    def resume(self, both, optimiser, scheduler):
        """Load the last checkpoint, if there is one; return the epoch to start with."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return 0
        state = torch.load(path, map_location="cpu", weights_only=True)
        both.load_state_dict(state["both"])
        optimiser.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        self.history, self.seconds = state["history"], state["seconds"]
        return len(self.history)

    def checkpoint(self, both, optimiser, scheduler):
        """Write everything a resumed run needs, in one atomic step."""
        state = {"both": both.state_dict(), "optimizer": optimiser.state_dict(), "scheduler": scheduler.state_dict(),
                 "history": self.history, "seconds": self.seconds}
        write_atomically(self.folder / "checkpoint.pt", lambda path: torch.save(state, path))
        keys = dict.fromkeys(key for row in self.history for key in row)
        rows = [[row.get(key, "") for key in keys] for row in self.history]
        write_text(self.folder / "curves.csv", to_csv([list(keys), *rows]))

    def finish(self, both):
        """Write the weights and drop the checkpoint, which nobody needs any more."""
        self.settings["seconds"] = round(self.seconds, 1)
        write_text(self.folder / "settings.json", json.dumps(self.settings, indent=1))
        weights = {k: v.contiguous() for k, v in both.state_dict().items()}
        write_atomically(self.folder / "model.safetensors", lambda path: save_file(weights, path))
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)
        self.finished = True


def saved_runs(folder):
    """All finished runs under a folder, oldest first."""
    runs = [Run(path.parent) for path in Path(folder).glob("*/model.safetensors")]
    return sorted(runs, key=lambda run: (run.folder / "model.safetensors").stat().st_mtime)


def best_precision(device):
    """bf16 where the hardware multiplies in it; float32 elsewhere, since emulated bf16 is ten times slower."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return "bf16" if device == "cpu" and fast else "no"


def pick(source, index, device):
    """Rows of a tensor or array, moved to the device."""
    return torch.as_tensor(source[index if torch.is_tensor(source) else index.numpy()]).to(device, non_blocking=True)


def parameter_groups(module, weight_decay):
    """Weight decay for matrices only; biases, norms and what is frozen are left alone."""
    free = [p for p in module.parameters() if p.requires_grad]
    return [{"params": [p for p in free if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in free if p.ndim <= 1], "weight_decay": 0.0}]


def fingerprint(hyper, model, loss, images, targets):
    """Six letters that stand for the settings, the model, the first weights and the data."""
    state = hashlib.sha256(json.dumps(hyper, sort_keys=True).encode() + repr(model).encode())
    for tensor in [*model.state_dict().values(), *loss.state_dict().values()]:
        state.update(str(zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())).encode())
    stride = max(1, len(images) // 500)
    for source in (images[::stride], targets):
        state.update(torch.as_tensor(source).contiguous().numpy().tobytes())
    state.update(str([name for name, p in model.named_parameters() if not p.requires_grad]).encode())
    return state.hexdigest()[:6]


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
