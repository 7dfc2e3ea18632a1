"""Two answers for a photo and its turn: a detector that turns along never contradicts itself."""

import numpy as np
import pytest
import torch

from helpers.alignment import transform
from helpers.asked_twice import AskedTwice, turned
from helpers.landmarks import StackedHourglass


def test_a_photo_is_turned_about_its_middle():
    photo = torch.zeros(3, 61, 81, dtype=torch.uint8)
    photo[:, 30, 60] = 255  # 20 pixels to the right of the middle
    again, matrix = turned(photo, 90)
    assert again.shape == (3, 81, 81)
    middle, right = transform(torch.tensor([[[40.0, 30.0], [60.0, 30.0]]]), matrix[None])[0]
    assert torch.allclose(middle, torch.tensor([40.0, 30.0]), atol=1e-4)
    assert torch.allclose(right, torch.tensor([40.0, 50.0]), atol=1e-4)  # y points down
    assert again[0, 50, 40] == 255


def test_a_photo_that_is_not_turned_is_not_contradicted(some_orl):
    photos = [some_orl.photo(i) for i in range(2)]
    asked = AskedTwice(photos, degrees=0)
    assert asked.seen == [0, 1]
    torch.manual_seed(0)
    for model in (None, StackedHourglass(16)):
        for mirror in (False, True):
            assert np.allclose(asked.doubt(model, mirror), 0, atol=1e-3)


def test_mtcnn_contradicts_itself_a_little_and_noise_a_lot(some_orl):
    asked = AskedTwice([some_orl.photo(i) for i in range(3)], degrees=15)
    torch.manual_seed(0)
    doubt = asked.doubt(None)
    assert doubt.shape == (3,) and 0 < doubt.mean() < 0.15
    assert asked.doubt(StackedHourglass(16)).mean() > 2 * doubt.mean()


def test_photos_without_a_face_end_in_a_sentence():
    with pytest.raises(ValueError, match="sees a face in none of 1 photos"):
        AskedTwice([torch.zeros(3, 64, 64, dtype=torch.uint8)])
