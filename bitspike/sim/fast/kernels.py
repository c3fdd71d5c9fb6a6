"""The compiled loops that add the weights of events: dense matrices of integers, sliding windows, one weight.

Integers throughout. The range proof says that the sum of a neuron's input is in 16 bits; on the way partial sums may
wrap, which a sum modulo 2^16 does not mind. Rows are (sample, step) pairs.
"""

from typing import Any

import numpy as np

from bitspike.compiled import compiled
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.sums import UNITS, accumulate, add_events, add_sums, add_unit, set_sums
from bitspike.sim.fast.vectors import LANES, load_bytes, store_bytes, zero_bits

#: Target neurons whose weights stay in a core's cache while the rows of a tile pass.
BLOCK = 1024


@compiled
def _add_row(total: Any, row: Any) -> None:
    for n in range(len(total)):
        total[n] += row[n]


@compiled
def _add_times(total: Any, row: Any, value: Any) -> None:
    for n in range(len(total)):
        total[n] += value * row[n]


@compiled
def dense_events(events: Any, graded: Any, weights: Any, pairs: Any, inputs: Any) -> None:
    """Add the weights of each event's synapses.

    Args:
        events: places, values, offsets, active of the source's rows.
        graded: whether events have values.
        weights: effective, shape (sources, targets in whole columns), int16.
        pairs: shape (rows, 2): which row of `inputs` takes which row of the source.
        inputs: result, added to, shape (rows, targets in whole columns), int16.
    """
    places, values, offsets, active = events
    targets = weights.shape[1]
    for first in range(0, targets, BLOCK):
        last = min(targets, first + BLOCK)
        for pair in range(len(pairs)):
            total = inputs[pairs[pair, 0], first:last]
            begin = offsets[pairs[pair, 1]]
            for at in range(begin, begin + active[pairs[pair, 1]]):
                if graded:
                    _add_times(total, weights[places[at], first:last], np.int16(values[at]))
                else:
                    _add_row(total, weights[places[at], first:last])


@compiled
def window_sums(events: Any, windows: Any, pairs: Any, fresh: Any, inputs: Any) -> None:
    """Add what binary spikes send through a sliding window: sums of a byte, poured out before one could overflow.

    Args:
        events, pairs: as in :func:`dense_events`.
        windows: of :func:`window_row`.
        fresh: whether what was left in the inputs is forgotten; the pairs then have every row.
        inputs: result, added to, shape (rows, targets in whole columns), int16, and room for a vector.
    """
    flat, width = inputs.ravel(), inputs.shape[1]
    for pair in range(len(pairs)):
        window_row(events, windows, pairs[pair, 1], fresh, flat, pairs[pair, 0] * width, width)


@compiled(forceinline=True)
def window_row(events: Any, windows: Any, source: Any, fresh: Any, inputs: Any, target: Any, width: Any) -> None:  # noqa: PLR0917
    """Add what one row of the source sends.

    Args:
        events, fresh: as in :func:`window_sums`.
        windows: weights, int8, and sources of a :class:`~bitspike.sim.fast.windows.Windows`; its reach and inner; its
            unit, and whether that is all of it; how many events no sum of a byte can overflow with; the factor of the
            weights, a power of two; and zeros where the targets are, which they are again when it returns, int8.
        source: the row.
        inputs: as in :func:`window_sums`, flat; `width` of them from place `target` on.
    """
    _, _, offsets, active = events
    _, shape, _, most, factor, frame = windows
    (_, _, _, down, aside), inner = shape
    at, over = offsets[source], fresh
    end = at + active[source]
    while over or at < end:
        stop = min(end, at + most)
        sum_bytes(events, windows, at, stop)
        _pour(frame, inner, down, aside, inputs, target, np.int16(factor), over)
        if over:
            for rest in range(target + inner[1] * inner[2] * inner[3], target + width):
                inputs[rest] = 0
        over, at = False, stop


@compiled(forceinline=True)
def sum_bytes(events: Any, windows: Any, at: Any, stop: Any) -> None:
    """Add what events `at` to `stop` - 1 send to the sums of bytes: the arguments are those of :func:`window_row`."""
    places, _, _, _ = events
    (weights, sources), shape, (unit, whole), _, _, frame = windows
    (rows, columns, lanes, down, aside), _ = shape
    _, count, width = UNITS[unit]
    size = count * width
    if whole:
        add_events(frame, places, (np.int64(at), np.int64(stop)), sources, weights, np.int64(down), np.int64(unit))
        return
    for event in range(at, stop):
        start, total = np.int64(sources[places[event], 0]), np.int64(sources[places[event], 1])
        for _ in range(rows):
            for column in range(columns):
                for lane in range(0, lanes, size):
                    add_unit(frame, total + column * aside + lane, weights, start, down, unit)
                    start += size
            total += down


@compiled(forceinline=True)
def _pour(  # noqa: PLR0917
    frame: Any, inner: Any, down: Any, aside: Any, inputs: Any, at: Any, factor: Any, over: Any
) -> None:
    """Add scaled sums of a byte to the inputs, or write them over those, place by place, and clear them."""
    first, rows, columns, channels = inner
    if aside == channels:
        columns, channels = 1, columns * channels
    for row in range(rows):
        for column in range(columns):
            begin = first + row * down + column * aside
            for lane in range(0, channels, COLUMN):
                sums = load_bytes(frame, begin + lane)
                store_bytes(frame, begin + lane, zero_bits())
                if over:
                    set_sums(inputs, at + lane, at + lane, sums, factor, np.int16(0))
                else:
                    add_sums(inputs, at + lane, at + lane, sums, factor, np.int16(0))
            at += channels


@compiled
def windowed_events(  # noqa: PLR0917
    events: Any, graded: Any, tables: Any, shape: Any, frame: Any, pairs: Any, inputs: Any
) -> None:
    """Add what each event sends through a sliding window, with weights or payloads of several bits.

    Args:
        events, graded, pairs, inputs: as in :func:`dense_events`.
        tables, shape: as in :func:`window_sums`, the weights int16.
        frame: room for the sums, int16.
    """
    places, values, offsets, active = events
    weights, sources = tables
    (rows, columns, lanes, down, aside), (first, high, wide, channels) = shape
    for pair in range(len(pairs)):
        row = pairs[pair, 1]
        if active[row] == 0:
            continue
        frame[:] = 0
        for at in range(offsets[row], offsets[row] + active[row]):
            value = np.int16(values[at]) if graded else np.int16(1)
            start, total = np.int64(sources[places[at], 0]), np.int64(sources[places[at], 1])
            for _ in range(rows):
                for column in range(columns):
                    for lane in range(0, lanes, LANES):
                        accumulate(frame, total + column * aside + lane, weights, start + lane, value)
                    start += lanes
                total += down
        for y in range(high):
            for x in range(wide):
                begin, to = first + y * down + x * aside, (y * wide + x) * channels
                _add_row(inputs[pairs[pair, 0], to : to + channels], frame[begin : begin + channels])


@compiled
def identity_events(events: Any, graded: Any, weight: Any, targets: Any, pairs: Any, inputs: Any) -> None:  # noqa: PLR0917
    """Add one weight to the counterpart of each event: `targets` has that of each source."""
    places, values, offsets, active = events
    for pair in range(len(pairs)):
        total = inputs[pairs[pair, 0]]
        begin = offsets[pairs[pair, 1]]
        for at in range(begin, begin + active[pairs[pair, 1]]):
            total[targets[places[at]]] += np.int16(weight * values[at]) if graded else np.int16(weight)
