"""Which photos go together into a batch: called with (epoch, seed), each returns a list of index tensors.

What is drawn depends on epoch and seed alone, so a run that is resumed sees the batches it would have seen.
"""

from math import ceil

import numpy as np
import torch


def generator(*numbers: int) -> torch.Generator:
    """A source of random numbers told by all these numbers together."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )


class shuffled:
    """Batches of all photos in random order, each photo once an epoch; a last batch of one is left out."""

    def __init__(self, photos, batch_size):
        self.photos, self.batch_size = photos, batch_size

    def __call__(self, epoch, seed):
        order = torch.randperm(self.photos, generator=generator(seed, epoch))
        return [part for part in order.split(self.batch_size) if len(part) > 1]

    def __repr__(self):
        return f"shuffled({self.photos}, {self.batch_size})"


class people_by_photos:
    """Batches of P people with K photos each, so that every anchor finds positives and negatives in its batch.

    People with a single photo make no positive pair and are left out; those with fewer than K give what they have.
    """

    def __init__(self, labels, P=8, K=4):
        if P < 2 or K < 2:
            raise ValueError(
                f"Batches need two people or more with two photos each; P={P} and K={K} are too few."
            )
        self.labels, self.P, self.K = torch.as_tensor(labels), P, K
        order = self.labels.argsort(stable=True)
        own = order.split(self.labels.unique(return_counts=True)[1].tolist())
        self.own = [photos for photos in own if len(photos) > 1]
        if not self.own:
            raise ValueError(
                "Batches of people with several photos each need people with two photos or more; there are none."
            )

    def __call__(self, epoch, seed):
        draw, own = generator(seed, epoch), self.own
        of_all = sum(min(self.K, len(photos)) for photos in own) * min(self.P, len(own)) / len(own)
        batches = []
        for _ in range(
            ceil(len(self.labels) / of_all)
        ):  # so that an epoch sees about as many photos as there are
            chosen = torch.randperm(len(own), generator=draw)[: self.P]
            batches.append(
                torch.cat(
                    [own[i][torch.randperm(len(own[i]), generator=draw)[: self.K]] for i in chosen]
                )
            )
        return batches

    def __repr__(self):
        return f"people_by_photos(P={self.P}, K={self.K})"
