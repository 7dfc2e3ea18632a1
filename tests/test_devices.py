"""Rows move to the device ahead of the step that needs them."""

import threading

import pytest
import torch

from helpers.devices import ahead, move, take


def test_the_next_item_is_worked_on_while_one_is_used():
    begun = threading.Event()

    def work(item):
        if item == 1:
            begun.set()
        return item * 10

    results = ahead(work, range(3))
    assert next(results) == 0 and begun.wait(10)  # nobody has asked for the second one yet
    assert list(results) == [10, 20] and list(ahead(work, [])) == []


def test_a_failure_comes_at_its_own_turn():
    results = ahead(lambda item: 1 // item, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_rows_are_those_of_the_index(device):
    source, index = torch.arange(12).reshape(6, 2), torch.tensor([4, 1])
    for kind in (source, source.numpy()):
        rows = move(take(kind, index, device), device)
        assert rows.device.type == device.type and torch.equal(rows.cpu(), source[index])
