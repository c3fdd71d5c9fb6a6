"""Summed input of one-bit weights: carry-save counters with a lane for each target neuron.

The weights that one source sends to 256 targets are 256 bits, one vector. Adding the vectors of all spikes of a step
is counting in each lane, and the counter is kept in vectors too: plane p holds bit p of all 256 counts. Eight vectors
at a time go through a tree of seven full adders (five instructions each, for 256 neurons), whose last carry ripples
into the higher planes: Harley's and Seal's way to count bits, but of columns instead of words. A spike so costs about
six instructions for 256 synapses, whatever the weights.

A sum of weights `low` and 1 is ``(1 - low) * count + low * active``: the definition's 2 * popcount(w & s) - popcount(s)
for -1.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from bitspike.convert.weights import BinaryWeights
from bitspike.sim.fast.vectors import (
    BITS,
    COLUMN,
    add_counts,
    both,
    column,
    either,
    load_bits,
    set_counts,
    unlike,
    zero_bits,
)

#: Spikes that go through a tree of full adders together; lists of events are padded to whole groups.
GROUP = 8
#: Most spikes that eleven planes count, in whole groups.
MOST = 2040
_WORDS = BITS // 64
_BYTE = 255


def by_source(weights: BinaryWeights) -> npt.NDArray[np.uint64]:
    """Return the bits of the weights, shape (blocks of 256 targets, sources + 1, 4 words).

    Target ``256 * block + 32 * s + b`` is bit s of byte b of its block's vector, so that counts come out of the planes
    in order. The last source is one that sends nothing: a list of events is filled up with it.
    """
    targets, sources = weights.shape
    blocks = -(-targets // BITS)
    bits = np.zeros((blocks * BITS, sources + 1), np.uint8)
    bits[:targets, :sources] = weights.matrix() == 1
    lanes = bits.reshape(blocks, 8, COLUMN, sources + 1).transpose(0, 3, 2, 1)
    packed = np.packbits(lanes, axis=-1, bitorder="little")[..., 0]
    return np.ascontiguousarray(packed).view(np.uint64)


@njit(cache=True, nogil=True)
def _half(one: Any, other: Any, carried: Any) -> Any:
    """Return the carry of a full adder; its sum is the three unlike each other."""
    return either(both(one, other), both(unlike(one, other), carried))


@njit(cache=True, nogil=True)
def count(  # noqa: PLR0917
    places: Any, offsets: Any, active: Any, weights: Any, factor: Any, low: Any, pairs: Any, fresh: Any, inputs: Any
) -> None:
    """Add the summed input of one-bit weights, or write it over what was left where `fresh` is true.

    Args:
        places, offsets: events of the source's rows, each row in whole groups.
        active: how many events a row has.
        weights: of :func:`by_source`.
        factor, low: ``(1 - low) << exponent`` and ``low << exponent``.
        pairs: shape (rows, 2): which row of `inputs` takes which row of the source.
        inputs: result, added to, shape (rows, targets in whole columns), int16.
    """
    width = inputs.shape[1]
    for block in range(len(weights)):
        table = weights[block].ravel()
        first = block * BITS
        columns = min(BITS, width - first) // COLUMN
        for pair in range(len(pairs)):
            row = inputs[pairs[pair, 0]]
            source = pairs[pair, 1]
            at, end = offsets[source], offsets[source + 1]
            offset = np.int16(low * active[source])
            over = fresh
            while over or at < end:
                stop = min(end, at + MOST)
                _count_some(places, at, stop, table, row, first, columns, np.int16(factor), offset, over)
                over, offset, at = False, np.int16(0), stop


@njit(cache=True, nogil=True, inline="always")
def _count_some(  # noqa: PLR0917
    places: Any,
    at: Any,
    stop: Any,
    table: Any,
    row: Any,
    first: Any,
    columns: Any,
    factor: Any,
    offset: Any,
    over: Any,
) -> None:
    """Count the spikes from `at` to `stop` for one block, and add or write `columns` columns."""
    zero = zero_bits()
    one, two, four = zero, zero, zero
    p3, p4, p5, p6, p7, p8, p9, p10 = zero, zero, zero, zero, zero, zero, zero, zero
    for group in range(at, stop, GROUP):
        a = load_bits(table, _WORDS * places[group])
        b = load_bits(table, _WORDS * places[group + 1])
        two_a = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        a = load_bits(table, _WORDS * places[group + 2])
        b = load_bits(table, _WORDS * places[group + 3])
        two_b = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        four_a = _half(two_a, two_b, two)
        two = unlike(unlike(two_a, two_b), two)
        a = load_bits(table, _WORDS * places[group + 4])
        b = load_bits(table, _WORDS * places[group + 5])
        two_a = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        a = load_bits(table, _WORDS * places[group + 6])
        b = load_bits(table, _WORDS * places[group + 7])
        two_b = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        four_b = _half(two_a, two_b, two)
        two = unlike(unlike(two_a, two_b), two)
        carry = _half(four_a, four_b, four)
        four = unlike(unlike(four_a, four_b), four)
        p3, carry = unlike(p3, carry), both(p3, carry)
        p4, carry = unlike(p4, carry), both(p4, carry)
        p5, carry = unlike(p5, carry), both(p5, carry)
        p6, carry = unlike(p6, carry), both(p6, carry)
        p7, carry = unlike(p7, carry), both(p7, carry)
        p8, carry = unlike(p8, carry), both(p8, carry)
        p9, carry = unlike(p9, carry), both(p9, carry)
        p10 = unlike(p10, carry)
    many = stop - at > _BYTE
    for bit in range(columns):
        low = either(either(column(one, bit, 0), column(two, bit, 1)), either(column(four, bit, 2), column(p3, bit, 3)))
        high = either(either(column(p4, bit, 4), column(p5, bit, 5)), either(column(p6, bit, 6), column(p7, bit, 7)))
        place = first + COLUMN * bit
        if over:
            set_counts(row, place, either(low, high), factor, offset)
        else:
            add_counts(row, place, either(low, high), factor, offset)
        if many:
            counts = either(either(column(p8, bit, 0), column(p9, bit, 1)), column(p10, bit, 2))
            add_counts(row, place, counts, np.int16(factor << 8), np.int16(0))
