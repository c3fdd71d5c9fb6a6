"""Bits of synapses against nengo-loihi's numbers and Lava's own forms; the bounds against every way there is."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import dense

from bitspike.convert.connections import Conv2d, SumPool2d
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.targets.chips import chip
from bitspike.targets.lava.encode import encode
from bitspike.targets.partition.boxes import Box, grid, largest, whole
from bitspike.targets.partition.storage import delay_bits, lists_of, weight_form
from bitspike.targets.partition.synapses import WindowSynapses
from bitspike.targets.partition.window_bounds import least_window_bits

LOIHI, TINY = chip("loihi1"), chip("tiny")
KIB = 8 * 1024


@pytest.mark.parametrize(
    ("targets", "each", "kib"),
    [(1024, 1, 196), (1024, 2, 294), (1024, 8, 882)],
)
def test_784_to_1024_as_nengo_loihi_counts_it(targets, each, kib):
    assert 784 * lists_of(LOIHI).bits(np.array(targets), each) == kib * KIB


def test_a_list_by_hand():
    lists = lists_of(LOIHI)
    assert lists.bits(np.array([0, 1, 27, 28, 59, 64, 65]), 2).tolist() == [0, 64, 64, 128, 128, 192, 256]
    assert [lists.index_width(n) for n in (1, 2, 64, 65, 1024, 4096, 4097)] == [0, 6, 6, 7, 10, 12, None]


def test_one_bit_weights_take_two_bits_and_fewer_where_one_sign_is_all():
    assert weight_form(dense("a", "b", [[1, -1]]), LOIHI).width == 2
    assert weight_form(dense("a", "b", [[1, 1]]), LOIHI).width == 1
    assert weight_form(dense("a", "b", [[0, 1]]), LOIHI).width == 1
    assert weight_form(dense("a", "b", [[-1, -1]]), LOIHI).width == 1
    assert weight_form(dense("a", "b", [[-64, 96]]), LOIHI).width == 3
    assert weight_form(dense("a", "b", [[-4, 3]]), TINY).width == 4
    assert weight_form(dense("a", "b", [[-129, 3]]), LOIHI) is None


@settings(max_examples=200)
@given(st.lists(st.integers(-256, 255), min_size=1, max_size=4), st.integers(0, 3))
def test_forms_are_those_of_lavas_registers(weights, exponent):
    connection = dense("a", "b", [weights], exponent=exponent)
    found = weight_form(connection, LOIHI)
    try:
        registers = encode(connection.effective(), connection.name)
    except UnsupportedError:
        registers = None
    if registers is not None:
        assert (found.width, found.exponent) == (registers.bits, registers.exponent)
    elif found is not None:
        # Lava's registers take no exponent beyond 7; weights that are shifted less are wider and say the same.
        assert found.exponent <= 7


@given(st.integers(0, 63))
def test_delay_bits(delay):
    connection = dense("a", "b", [[1]], delay=delay)
    assert 2 ** delay_bits(connection) >= max(delay, 1) > 2 ** delay_bits(connection) // 2


@pytest.mark.parametrize("each", [1, 2, 5])
def test_the_least_bits_of_so_many_lists(each):
    lists = replace(lists_of(TINY), header=5)

    @cache
    def slow(count, parts):
        if count == 0:
            return 0
        if parts == 0:
            return 1 << 60
        ways = (
            int(lists.bits(np.array(first), each)) + slow(count - first, parts - 1) for first in range(1, count + 1)
        )
        return min(ways)

    for count in range(40):
        for parts in (1, 2, 3, 7):
            assert lists.least(count, each, parts) == slow(count, parts)
        assert lists.least_rate(each) * count <= slow(count, 7)


@st.composite
def windows(draw):
    """A small convolution or pool with at least one target."""
    size, kernel = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    geometry = {
        "source_shape": (draw(st.integers(1, 3)), size, draw(st.integers(3, 6))),
        "stride": (draw(st.integers(1, 2)), draw(st.integers(1, 3))),
        "padding": (draw(st.integers(0, 2)), 1),
        "dilation": (1, draw(st.integers(1, 2))),
        "kernel": (min(kernel, size), 2),
    }
    if draw(st.booleans()):
        return SumPool2d(source="a", target="b", **geometry)
    columns = geometry["source_shape"][0] * geometry["kernel"][0] * 2
    bits = np.random.default_rng(draw(st.integers(0, 99))).choice([-1, 1], (draw(st.integers(1, 4)), columns))
    return Conv2d(source="a", target="b", weights=weights_of(bits), **geometry)


@settings(max_examples=40, deadline=None)
@given(windows())
def test_no_box_of_a_window_takes_less_than_the_bound(window):
    known = replace(TINY, index_widths=replace(TINY.index_widths, value=(0, 3, 6, 10)))
    synapses = WindowSynapses(window, known)
    channels, rows, columns = window.target_shape
    bound = least_window_bits(synapses)
    for r in range(rows):
        for x in range(columns):
            for box in (Box((0, c), (r, r + h), (x, x + w)) for c in (1, channels) for h in range(1, rows - r + 1)
                        for w in range(1, columns - x + 1)):  # fmt: skip
                assert synapses.stored(box).bits * window.shape[0] >= bound * box.size


@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(1, 40))
def test_the_largest_part_and_the_rest_are_the_box(shape, most):
    found = largest(whole(shape), lambda box: box.size <= most)
    piece, rest = found
    neurons = np.concatenate([box.neurons(shape) for box in (piece, *rest)])
    assert piece.size <= most
    assert sorted(neurons.tolist()) == list(range(int(np.prod(shape))))
    assert largest(whole(shape), lambda box: False) is None


@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 7)] * 3), st.booleans())
def test_a_grid_covers_everything_once(shape, extents, even):
    boxes = grid(shape, extents, even=even)
    assert sorted(n for box in boxes for n in box.neurons(shape).tolist()) == list(range(int(np.prod(shape))))
    assert all(e <= most for box in boxes for e, most in zip(box.extents, extents, strict=True))
