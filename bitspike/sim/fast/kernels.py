"""The compiled loops that add the weights of events: dense matrices of integers, sliding windows, one weight.

Integers throughout. The range proof says that the sum of a neuron's input is in 16 bits; on the way partial sums may
wrap, which a sum modulo 2^16 does not mind. Rows are (sample, step) pairs.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.sim.fast.vectors import LANES, accumulate

#: Target neurons whose weights stay in a core's cache while the rows of a tile pass.
BLOCK = 1024


@njit(cache=True, nogil=True)
def _add_row(total: Any, row: Any) -> None:
    for n in range(len(total)):
        total[n] += row[n]


@njit(cache=True, nogil=True)
def _add_times(total: Any, row: Any, value: Any) -> None:
    for n in range(len(total)):
        total[n] += value * row[n]


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def windowed_events(  # noqa: PLR0917
    events: Any, graded: Any, weights: Any, window: Any, shape: Any, begins: Any, scratch: Any, pairs: Any, inputs: Any
) -> None:
    """Add what each event sends through a sliding window.

    Args:
        events, graded, pairs: as in :func:`dense_events`.
        weights: effective, shape (source channels, window places, target channels of a group in whole lanes), int16.
        window: of each place of the source, where its list begins; and the lists: window place and target place.
        shape: target channels and places.
        begins: the first target channel of each source channel's group.
        scratch: target places times target channels, and room for the lanes of one group more, int16.
        inputs: result, added to, shape (rows, target channels * places in whole columns), int16.
    """
    places, values, offsets, active = events
    lists, window_places, targets = window
    channels, area = shape
    source_area = len(lists) - 1
    _, taps, lanes = weights.shape
    flat = weights.ravel()
    for pair in range(len(pairs)):
        row = pairs[pair, 1]
        if active[row] == 0:
            continue
        scratch[:] = 0
        for at in range(offsets[row], offsets[row] + active[row]):
            channel, place = divmod(places[at], source_area)
            value = np.int16(values[at]) if graded else np.int16(1)
            for entry in range(lists[place], lists[place + 1]):
                start = (channel * taps + window_places[entry]) * lanes
                total = targets[entry] * channels + begins[channel]
                for lane in range(0, lanes, LANES):
                    accumulate(scratch, total + lane, flat, start + lane, value)
        total_row = inputs[pairs[pair, 0]]
        for channel in range(channels):
            for place in range(area):
                total_row[channel * area + place] += scratch[place * channels + channel]


@njit(cache=True, nogil=True)
def identity_events(events: Any, graded: Any, weight: Any, pairs: Any, inputs: Any) -> None:
    """Add one weight to the counterpart of each event."""
    places, values, offsets, active = events
    for pair in range(len(pairs)):
        total = inputs[pairs[pair, 0]]
        begin = offsets[pairs[pair, 1]]
        for at in range(begin, begin + active[pairs[pair, 1]]):
            total[places[at]] += np.int16(weight * values[at]) if graded else np.int16(weight)
