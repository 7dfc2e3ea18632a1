"""Triplets as photos: each kind is what its name says."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.batch_losses import pairwise_distances
from helpers.plots_triplets import kinds_of_triplets, triplets


def a_batch():
    draw = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(24, 3, generator=draw))
    return pairwise_distances(embeddings), torch.arange(6).repeat_interleave(4)


def test_each_kind_is_what_its_name_says():
    distance, labels = a_batch()
    rows = kinds_of_triplets(distance, labels, 0.2)
    assert rows
    for anchor, positive, easy, semi, hardest in rows:
        d, others = distance[anchor], labels != labels[anchor]
        assert labels[positive] == labels[anchor] and positive != anchor
        assert d[positive] == d[~others].max() and d[hardest] == d[others].min() < d[positive]
        assert others[[easy, semi, hardest]].all()
        assert d[positive] < d[semi] < d[positive] + 0.2 < d[easy]


def test_the_picture_has_a_row_for_each_person_or_is_left_out():
    distance, labels = a_batch()
    faces = np.zeros((24, 3, 16, 16), np.uint8)
    figure = triplets(faces, distance, labels, rows=2)
    assert len(figure.axes) == 10 and figure.axes[0].get_title() == "anchor"
    assert "semi-hard" in figure.axes[3].get_title()
    assert triplets(faces, distance, torch.arange(24), rows=2) is None
