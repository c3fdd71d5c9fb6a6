"""A connection and the neurons behind it, sample by sample, so that what a sample needs never leaves the cache.

Only where a population has one connection, and both send binary spikes; otherwise the events and the inputs of a whole
tile are collected first.
"""

from typing import Any

import numpy as np

from bitspike.compiled import compiled
from bitspike.sim.fast import narrow
from bitspike.sim.fast.counting import count
from bitspike.sim.fast.kernels import sum_bytes, window_row, window_sums
from bitspike.sim.fast.neurons import run_sample, run_wide
from bitspike.sim.fast.planes import count_rows, turn
from bitspike.sim.fast.sources import list_bits
from bitspike.sim.fast.sums import add_words
from bitspike.sim.fast.vectors import BITS


@compiled
def _listed(rows: Any, span: Any, sample: Any, places: Any, offsets: Any) -> Any:
    """List the events of one sample; return them as the kernels take them.

    Args:
        rows: words, offsets and active of all rows of the source, and its neurons.
        span: steps, rows of a sample before its first step, and the delay of the connection.
        sample: its number.
        places: room for all events of a sample.
        offsets: room for where its rows begin.
    """
    words, begins, active, size = rows
    steps, lead, delay = span
    first = sample * (lead + steps) + lead - delay
    last = first + steps
    for row in range(steps + 1):
        offsets[row] = begins[first + row] - begins[first]
    list_bits(words[first:last], offsets, places, size)
    return places, places, offsets, active[first:last]


@compiled
def counted(rows: Any, span: Any, table: Any, room: Any, cells: Any) -> Any:
    """Run neurons behind a dense connection with one-bit weights.

    Args:
        rows, span: as in :func:`_listed`.
        table: weights, factor and low of :func:`~bitspike.sim.fast.counting.count`.
        room: for the inputs of one sample, shape (steps, neurons in whole columns), int16, for its events, int32, and
            for the numbers of its rows, twice each, (steps, 2).
        cells: of :func:`~bitspike.sim.fast.neurons.binary`.

    Returns:
        How many samples were run in 32 bits.
    """
    weights, factor, low = table
    inputs, room_for, pairs = room
    begins, wide = np.empty(len(inputs) + 1, np.int64), 0
    for sample in range(len(rows[0]) // (span[0] + span[1])):
        places, _, offsets, active = _listed(rows, span, sample, room_for, begins)
        count(places, offsets, active, weights, factor, low, pairs, True, inputs)
        wide += run_sample(inputs, sample, cells)
    return wide


@compiled
def windowed(rows: Any, span: Any, windows: Any, words: Any, room: Any, cells: Any) -> Any:  # noqa: PLR0917
    """Run neurons behind a sliding window, as :func:`counted` runs those behind a dense connection.

    Args:
        rows, span, room, cells: as there.
        windows: of :func:`~bitspike.sim.fast.kernels.window_row`.
        words: places and pace of a :class:`~bitspike.sim.fast.windows.Windows`: events that share a place are added
            together, and need no list.
    """
    wide = 0
    for sample in range(len(rows[0]) // (span[0] + span[1])):
        if len(words[0]) == 0 or not _windowed_words(rows, span, windows, words, cells, sample):
            wide += _windowed_events(rows, span, windows, room, cells, sample)
    return wide


@compiled
def _inside(windows: Any, width: Any) -> Any:
    """Return where the sums of bytes are as neurons read them, and whether they can.

    That is where places have no gap between them and fill all vectors.
    """
    _, ((_, _, _, down, aside), (corner, high, across, channels)), _, _, _, _ = windows
    return (corner, high, down, across * channels), aside == channels and high * across * channels == width


@compiled
def _windowed_words(rows: Any, span: Any, windows: Any, words: Any, cells: Any, sample: Any) -> Any:  # noqa: PLR0917
    """Run one sample, adding the events of a word together; return whether bytes and 16 bits were enough."""
    state, _, small, settings, _, fired, _, _ = cells
    (weights, _), ((_, _, _, down, _), _), (unit, _), most, factor, frame = windows
    spikes, _, active, _ = rows
    steps, lead, delay = span
    inside, filled = _inside(windows, len(cells[1]))
    flat, bits, count, (places, pace) = spikes.ravel(), fired.ravel(), spikes.shape[1], words
    first, to = sample * (lead + steps) + lead - delay, sample * fired.shape[1] + settings[5]
    u, v, few, none = state[0, sample], state[1, sample], filled, np.empty(0, np.int16)
    for step in range(steps):
        few &= active[first + step] <= most
    if not few or not narrow.begin(u, v, small):
        return False
    for step in range(steps):
        part = np.int64((first + step) * count), np.int64(count)
        add_words(frame, flat, part, places, weights, np.int64(pace), np.int64(down), np.int64(unit))
        place, clear = (to + step) * fired.shape[2], step == settings[4]
        narrow.step(none, (frame, factor, True), inside, bits, place, clear, small, settings)
    return narrow.end(u, v, small, settings)


@compiled
def _windowed_events(rows: Any, span: Any, windows: Any, room: Any, cells: Any, sample: Any) -> Any:  # noqa: PLR0917
    """Run one sample; return whether it was run in 32 bits."""
    inputs, places, pairs = room
    begins = np.empty(len(inputs) + 1, np.int64)
    state, _, small, settings, _, fired, _, _ = cells
    flat, bits, words, width = inputs.ravel(), fired.ravel(), fired.shape[2], inputs.shape[1]
    _, _, _, most, factor, frame = windows
    inside, filled = _inside(windows, width)
    events = _listed(rows, span, sample, places, begins)
    active = events[3]
    u, v = state[0, sample], state[1, sample]
    if narrow.begin(u, v, small):
        first = sample * fired.shape[1] + settings[5]
        for step in range(len(inputs)):
            straight = filled and active[step] <= most
            if straight:
                sum_bytes(events, windows, begins[step], begins[step] + active[step])
            else:
                window_row(events, windows, step, True, flat, 0, width)
            to, clear = (first + step) * words, step == settings[4]
            where = inside if straight else (0, 1, 0, width)
            narrow.step(flat, (frame, factor, straight), where, bits, to, clear, small, settings)
        if narrow.end(u, v, small, settings):
            return False
    window_sums(events, windows, pairs, True, inputs)
    run_wide(inputs, sample, cells, (0, span[0]))
    return True


@compiled
def planes(words: Any, span: Any, lists: Any, room: Any, cells: Any) -> Any:
    """Run neurons behind a one-bit convolution that many events reach, some samples at a time.

    Args:
        words: spikes, shape (source rows, words), uint32.
        span: as in :func:`_listed`.
        lists: arrays of :class:`~bitspike.sim.fast.planes.Lists`, factor and low.
        room: for planes, for the sums of seventeen targets, and for the inputs of so many samples, shape (samples,
            steps, neurons in whole columns).
        cells: of :func:`~bitspike.sim.fast.neurons.binary`.
    """
    arrays, factor, low = lists
    found, sums, inputs = room
    steps, lead, delay = span
    wide, group = 0, len(inputs)
    samples = len(words) // (lead + steps)
    pairs = np.empty((group * steps, 2), np.int64)
    for first in range(0, samples, group):
        last = min(samples, first + group)
        rows = (last - first) * steps
        for row in range(rows):
            pairs[row, 1] = (first + row // steps) * (lead + steps) + lead + row % steps - delay
        part = found[: -(-rows // BITS)]
        turn(words, pairs[:rows], part)
        count_rows(
            part.view(np.uint64), arrays, factor, low, rows, True, sums, inputs.ravel()[: rows * inputs.shape[2]]
        )
        for sample in range(first, last):
            wide += run_sample(inputs[sample - first], sample, cells)
    return wide
