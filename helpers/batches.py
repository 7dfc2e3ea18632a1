"""Which photos go together into a batch: called with (epoch, seed), each gives a list of indices.

What is drawn depends on epoch and seed alone, so a run that is resumed sees the batches it would
have seen.
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
    """All photos in random order, each once an epoch; a last batch of one photo is left out."""

    def __init__(self, photos: int, batch_size: int):
        self.photos, self.batch_size = photos, batch_size

    def __call__(self, epoch: int, seed: int) -> list[torch.Tensor]:
        order = torch.randperm(self.photos, generator=generator(seed, epoch))
        return [part for part in order.split(self.batch_size) if len(part) > 1]

    def __repr__(self):
        return f"shuffled({self.photos}, {self.batch_size})"


class people_by_photos:
    """P people with K photos each: every anchor finds positives and negatives in its batch.

    Hermans et al. 2017, https://arxiv.org/abs/1703.07737. People with a single photo make no
    positive pair and are left out; those with fewer than K give what they have.

    Args:
        labels: (N,) integers, one for each photo.
        P, K: 2 or more.

    Raises:
        ValueError: for a P or K below 2, and where nobody has two photos.
    """

    def __init__(self, labels: torch.Tensor, P: int = 8, K: int = 4):
        if P < 2 or K < 2:
            raise ValueError(
                "Batches need two people or more with two photos each; "
                f"P={P} and K={K} are too few."
            )
        self.labels, self.P, self.K = torch.as_tensor(labels), P, K
        order = self.labels.argsort(stable=True)
        of_each = order.split(self.labels.unique(return_counts=True)[1].tolist())
        self.people = [photos for photos in of_each if len(photos) > 1]
        if not self.people:
            raise ValueError(
                "Batches of people with several photos each need people with two photos or more; "
                "there are none."
            )

    def __call__(self, epoch: int, seed: int) -> list[torch.Tensor]:
        draw, people = generator(seed, epoch), self.people
        at_most = sum(min(self.K, len(photos)) for photos in people)
        in_a_batch = at_most * min(self.P, len(people)) / len(people)
        # an epoch sees about as many photos as there are
        steps = ceil(len(self.labels) / in_a_batch)
        return [self._batch(draw) for _ in range(steps)]

    def _batch(self, draw):
        """The numbers of K photos, or all, of each of P people, as the generator draws them."""
        rows = []
        for person in torch.randperm(len(self.people), generator=draw)[: self.P]:
            photos = self.people[person]
            rows.append(photos[torch.randperm(len(photos), generator=draw)[: self.K]])
        return torch.cat(rows)

    def __repr__(self):
        return f"people_by_photos(P={self.P}, K={self.K})"
