"""Trainings of seconds, for the tests of several files."""

import torch
from conftest import DEVICE

from helpers.augment import Jitter
from helpers.encoders import Encoder
from helpers.losses import MarginHead
from helpers.training import fit


class StopAt(Jitter):
    """A jitter that pulls the plug at a given call; its name is that of the plain one."""

    def __init__(self, call=None):
        super().__init__()
        self.__dict__["left"] = call

    def __call__(self, images, targets):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return super().__call__(images, targets)

    def __repr__(self):
        return "StopAt()"


def train(folder, faces, people, loss=None, **options):
    torch.manual_seed(0)
    encoder = Encoder("resnet10_small", 16, 32).to(DEVICE)
    loss = (loss or MarginHead(16, 4)).to(DEVICE)
    recipe = dict(epochs=4, batch_size=8, lr=1e-2, progress=False)
    run = fit(encoder, loss, faces, people, folder / "run", **recipe | options)
    return encoder, run


# the start of a script that several processes run: a network that learns alike on one and on two
TINY = """
# bf16 would round each process's half of a gradient for itself
training.best_precision = lambda device: "no"

# no batch normalisation, whose statistics would differ with the share of the batch
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.linear = torch.nn.Linear(48, 8), torch.nn.Linear(8, 4)
    def forward(self, x):
        return self.linear(self.first(x.float().flatten(1) / 255).relu())
"""
