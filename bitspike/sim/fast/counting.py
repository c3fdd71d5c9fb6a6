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

from bitspike.compiled import compiled
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.sums import add_counts, set_counts
from bitspike.sim.fast.vectors import BITS, both, crossed, either, load_bits, raised, unlike, zero_bits

#: Spikes that go through a tree of full adders together; lists of events are padded to whole groups.
GROUP = 8
#: Most spikes that eight planes count, in whole groups.
MOST = 248
_WORDS = BITS // 64
#: The lower half, quarters and eighths of each byte.
_HALF, _QUARTERS, _EIGHTHS = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x3333333333333333), np.uint64(0x5555555555555555)


def by_source(weights: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return which weights, (targets, sources), are 1: bits of shape (blocks of 256 targets, sources + 1, 4 words).

    Target ``256 * block + 32 * s + b`` is bit s of byte b of its block's vector, so that counts come out of the planes
    in order. The last source is one that sends nothing: a list of events is filled up with it.
    """
    targets, sources = weights.shape
    blocks = -(-targets // BITS)
    bits = np.zeros((blocks * BITS, sources + 1), np.uint8)
    bits[:targets, :sources] = weights == 1
    lanes = bits.reshape(blocks, 8, COLUMN, sources + 1).transpose(0, 3, 2, 1)
    packed = np.packbits(lanes, axis=-1, bitorder="little")[..., 0]
    return np.ascontiguousarray(packed).view(np.uint64)


@compiled
def _half(one: Any, other: Any, carried: Any) -> Any:
    """Return the carry of a full adder; its sum is the three unlike each other."""
    return either(both(one, other), both(unlike(one, other), carried))


@compiled
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
    # A view of an array costs as much as many vectors: the loops have places in flat arrays instead.
    flat, table, width = inputs.ravel(), weights.ravel(), inputs.shape[1]
    for block in range(len(weights)):
        begin, first = block * weights.shape[1] * _WORDS, block * BITS
        columns = min(BITS, width - first) // COLUMN
        for pair in range(len(pairs)):
            source = pairs[pair, 1]
            at, end = offsets[source], offsets[source + 1]
            to, offset = pairs[pair, 0] * width + first, np.int16(low * active[source])
            over = fresh
            while over or at < end:
                stop = min(end, at + MOST)
                scale = np.int16(factor), offset
                count_some(places, (at, stop), table, begin, flat, to, to, columns, scale, over)
                over, offset, at = False, np.int16(0), stop


@compiled
def count_row(  # noqa: PLR0917
    places: Any, at: Any, end: Any, weights: Any, factor: Any, offset: Any, inputs: Any, to: Any, width: Any
) -> None:
    """Add the summed input of one row, whose events are whole groups, to `width` flat inputs from place `to` on."""
    table = weights.ravel()
    for block in range(len(weights)):
        begin, first = block * weights.shape[1] * _WORDS, block * BITS
        columns, start, left = min(BITS, width - first) // COLUMN, at, np.int16(offset)
        while start < end:
            stop = min(end, start + MOST)
            scale, place = (np.int16(factor), left), to + first
            count_some(places, (start, stop), table, begin, inputs, place, place, columns, scale, False)
            left, start = np.int16(0), stop


@compiled(inline="always")
def count_some(  # noqa: PLR0917
    places: Any, span: Any, table: Any, begin: Any, sums: Any, to: Any, of: Any, columns: Any, scale: Any, over: Any
) -> None:
    """Count spikes, whole groups, for the block that begins at `begin` in the table.

    Args:
        places: of the spikes; `span` says which, the first one and the one after the last.
        table: weights, flat.
        sums: flat; ``factor * count + offset``, the two of `scale`, is written to `columns` columns from place `to` on,
            plus those from place `of` on unless `over` is true.
    """
    at, end = span
    factor, offset = scale
    zero = zero_bits()
    one, two, four = zero, zero, zero
    p3, p4, p5, p6, p7 = zero, zero, zero, zero, zero
    start = np.uint64(begin)
    for group in range(np.uint64(at), np.uint64(end), np.uint64(GROUP)):
        a = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group]))
        b = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(1)]))
        two_a = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        a = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(2)]))
        b = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(3)]))
        two_b = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        four_a = _half(two_a, two_b, two)
        two = unlike(unlike(two_a, two_b), two)
        a = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(4)]))
        b = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(5)]))
        two_a = _half(a, b, one)
        one = unlike(unlike(a, b), one)
        a = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(6)]))
        b = load_bits(table, start + np.uint64(_WORDS) * np.uint64(places[group + np.uint64(7)]))
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
        p7 = unlike(p7, carry)
    _write(sums, to, of, columns, (one, two, four, p3, p4, p5, p6, p7), factor, offset, over)


@compiled(inline="always")
def _write(sums: Any, to: Any, of: Any, columns: Any, planes: Any, factor: Any, offset: Any, over: Any) -> None:  # noqa: PLR0917
    """Turn the planes, bit by bit of all counts, into counts, and add or write `columns` columns of them.

    Plane p has bit p of 256 counts, bit s of each of its bytes for column s: eight planes are matrices of 8 by 8 bits,
    one for each byte, which are turned over in three rounds of exchanges.
    """
    one, two, four, p3, p4, p5, p6, p7 = planes
    one, p4 = exchange(one, p4, 4, _HALF)
    two, p5 = exchange(two, p5, 4, _HALF)
    four, p6 = exchange(four, p6, 4, _HALF)
    p3, p7 = exchange(p3, p7, 4, _HALF)
    one, four = exchange(one, four, 2, _QUARTERS)
    two, p3 = exchange(two, p3, 2, _QUARTERS)
    p4, p6 = exchange(p4, p6, 2, _QUARTERS)
    p5, p7 = exchange(p5, p7, 2, _QUARTERS)
    one, two = exchange(one, two, 1, _EIGHTHS)
    four, p3 = exchange(four, p3, 1, _EIGHTHS)
    p4, p5 = exchange(p4, p5, 1, _EIGHTHS)
    p6, p7 = exchange(p6, p7, 1, _EIGHTHS)
    _put(sums, to + COLUMN * 0, of + COLUMN * 0, columns > 0, one, factor, offset, over)
    _put(sums, to + COLUMN * 1, of + COLUMN * 1, columns > 1, two, factor, offset, over)
    _put(sums, to + COLUMN * 2, of + COLUMN * 2, columns > 2, four, factor, offset, over)
    _put(sums, to + COLUMN * 3, of + COLUMN * 3, columns > 3, p3, factor, offset, over)
    _put(sums, to + COLUMN * 4, of + COLUMN * 4, columns > 4, p4, factor, offset, over)
    _put(sums, to + COLUMN * 5, of + COLUMN * 5, columns > 5, p5, factor, offset, over)
    _put(sums, to + COLUMN * 6, of + COLUMN * 6, columns > 6, p6, factor, offset, over)
    _put(sums, to + COLUMN * 7, of + COLUMN * 7, columns > 7, p7, factor, offset, over)


@compiled
def exchange(one: Any, other: Any, shift: Any, mask: Any) -> Any:
    """Swap the upper bits of one, `shift` above the mask, with the lower bits of the other."""
    differing = crossed(one, other, shift, mask)
    return unlike(one, raised(differing, shift)), unlike(other, differing)


@compiled
def _put(sums: Any, to: Any, of: Any, there: Any, counts: Any, factor: Any, offset: Any, over: Any) -> None:  # noqa: PLR0917
    """Write the counts of one column, where the block has it."""
    if there:
        if over:
            set_counts(sums, to, of, counts, factor, offset)
        else:
            add_counts(sums, to, of, counts, factor, offset)
