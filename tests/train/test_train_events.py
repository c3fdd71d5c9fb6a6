"""Products by events against dense ones: equal where all sums are whole, and within rounding elsewhere."""

import numpy as np
import pytest
import torch

from bitspike.train import products
from bitspike.train.events import MOST, find_events
from bitspike.train.products import dense_moments

SHAPES = [(1, 1, 1), (3, 7, 5), (300, 190, 64), (40, 500, 130), (513, 784, 96)]
"""Rows, columns and outputs: more and less than a tile, a chunk and a block, and whole numbers of them."""


def drawn(shape, rate, seed=0):
    rows, columns, outputs = shape
    generator = torch.Generator().manual_seed(seed)
    bits = (torch.rand(rows, columns, generator=generator) < rate).float()
    weights = torch.randn(outputs, columns, generator=generator)
    gradient = torch.randn(rows, outputs, generator=generator)
    return bits, weights, gradient


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.13, 1.0])
def test_whole_sums_are_equal(shape, rate):
    bits, weights, gradient = drawn(shape, rate)
    weights, gradient = (100 * weights).round(), (100 * gradient).round()
    events = find_events(bits, most=1.0)
    assert torch.equal(events.times(weights), bits @ weights.T)
    assert torch.equal(events.outer(gradient), gradient.T @ bits)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_sums_are_within_rounding(shape):
    """n additions of float32 err by at most n half units in the last place of the sum of the sizes."""
    bits, weights, gradient = drawn(shape, 0.2)
    events = find_events(bits, most=1.0)
    for found, one, other in ((events.times(weights), bits, weights.T), (events.outer(gradient), gradient.T, bits)):
        exact, size = one.double() @ other.double(), one.double().abs() @ other.double().abs()
        assert ((found - exact).abs() <= one.shape[1] * 2.0**-24 * size).all()


def test_the_number_of_threads_changes_nothing():
    bits, weights, gradient = drawn((700, 400, 300), 0.1)
    events = find_events(bits)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append((events.times(weights), events.outer(gradient)))
    torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_bits_and_other_types_are_left_to_dense_products(dtype):
    many, few = torch.zeros(10, 100, dtype=dtype), torch.zeros(10, 100, dtype=dtype)
    limit = int(MOST[dtype] * 1000)
    many.view(-1)[: limit + 1] = 1
    few.view(-1)[:limit] = 1
    assert find_events(few) is not None
    assert find_events(many) is None
    assert find_events(few.double()) is None
    assert find_events(torch.empty(0, 5, dtype=dtype)) is not None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_is_rounded_once(shape):
    """Its sums are those of float32, of factors that bfloat16 holds."""
    bits, weights, gradient = (one.bfloat16() for one in drawn(shape, 0.2))
    events, wide = find_events(bits, most=1.0), find_events(bits.float(), most=1.0)
    for found, expected in (
        (events.times(weights), wide.times(weights.float())),
        (events.outer(gradient), wide.outer(gradient.float())),
    ):
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, expected.bfloat16())


@pytest.mark.parametrize("rows", [24, 12])
def test_a_layers_product_has_the_same_gradients_either_way(rows, monkeypatch):
    """All numbers whole: means and variances, or means alone, and no gradient from the variances to the bits."""
    bits, weights, gradient = drawn((30, 70, 24), 0.2, seed=2)
    weights, gradient = (10 * weights).round(), (10 * gradient).round()
    asked, found = [], []
    for find in (find_events, lambda _: None):

        def noted(rows_of_bits, find=find):
            asked.append(find(rows_of_bits) is not None)
            return find(rows_of_bits)

        monkeypatch.setattr(products, "find_events", noted)
        leaves = [bits.reshape(5, 6, 70).clone().requires_grad_(), weights.clone().requires_grad_()]
        result = dense_moments(*leaves, rows)
        result.backward(gradient.reshape(result.shape))
        found.append([result.detach(), *(leaf.grad for leaf in leaves)])
    assert asked == [True, False]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert np.array_equal(found[0][1].reshape(30, 70), gradient[:, :rows] @ weights[:rows])
