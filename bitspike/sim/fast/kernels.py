"""The compiled loops of the fast engine: summed input by events or by packed bits, and the neuron.

Integers throughout. The range proof says that no partial sum of a neuron's input leaves 16 bits and no state 24: inputs
are int16 and states int32, which gives a processor four times and twice the lanes of the definition's 64 bits. Rows are
(sample, step) pairs.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

#: Target neurons whose weights stay in a core's cache while the rows of a tile pass.
BLOCK = 1024
_LOW = np.int32(4095)


def _count_ones(typingctx: Any, word: Any) -> Any:  # noqa: ARG001
    """Count the 1 bits of a 64-bit word."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), codegen


_ones: Any = intrinsic(_count_ones)


@njit(cache=True, nogil=True)
def list_events(spikes: Any, places: Any, values: Any, offsets: Any) -> None:
    """Write where and what each row of (rows, neurons) sends: `places` and `values`, row r from offsets[r] on."""
    at = 0
    for row in range(spikes.shape[0]):
        offsets[row] = at
        for neuron in range(spikes.shape[1]):
            if spikes[row, neuron] != 0:
                places[at] = neuron
                values[at] = spikes[row, neuron]
                at += 1
    offsets[spikes.shape[0]] = at


@njit(cache=True, nogil=True)
def pack_bits(spikes: Any, words: Any) -> None:
    """Pack rows of 0 and 1 into words, bit k of word j from neuron 64 * j + k."""
    for row in range(spikes.shape[0]):
        for word in range(words.shape[1]):
            found = np.uint64(0)
            first = 64 * word
            for bit in range(min(64, spikes.shape[1] - first)):
                found |= np.uint64(spikes[row, first + bit]) << np.uint64(bit)
            words[row, word] = found


@njit(cache=True, nogil=True)
def _add_row(total: Any, row: Any) -> None:
    for n in range(len(total)):
        total[n] += row[n]


@njit(cache=True, nogil=True)
def _add_times(total: Any, row: Any, value: Any) -> None:
    for n in range(len(total)):
        total[n] += value * row[n]


@njit(cache=True, nogil=True)
def dense_events(events: Any, weights: Any, graded: Any, pairs: Any, inputs: Any) -> None:
    """Add the weights of each event's synapses.

    Args:
        events: places, values, offsets of the source's rows.
        weights: effective, shape (sources, targets), int16.
        graded: whether values other than 1 occur.
        pairs: shape (rows, 2): which row of `inputs` takes which row of the source.
        inputs: result, added to, shape (rows, targets), int16.
    """
    places, values, offsets = events
    targets = weights.shape[1]
    for first in range(0, targets, BLOCK):
        last = min(targets, first + BLOCK)
        for pair in range(len(pairs)):
            total = inputs[pairs[pair, 0], first:last]
            at, stop = offsets[pairs[pair, 1]], offsets[pairs[pair, 1] + 1]
            if graded:
                while at < stop:
                    _add_times(total, weights[places[at], first:last], np.int16(values[at]))
                    at += 1
            while at < stop:
                _add_row(total, weights[places[at], first:last])
                at += 1


@njit(cache=True, nogil=True)
def dense_words(words: Any, weights: Any, low: Any, exponent: Any, pairs: Any, inputs: Any) -> None:  # noqa: PLR0917
    """Add ``(1 - low) * popcount(w & s) + low * popcount(s) << exponent`` of one-bit weights.

    Args:
        words: the source's packed rows, shape (rows, words).
        weights: packed, shape (targets, words).
        low: the smaller weight, -1 or 0.
        exponent: of the connection.
        pairs, inputs: as in :func:`dense_events`.
    """
    for pair in range(len(pairs)):
        row, total = words[pairs[pair, 1]], inputs[pairs[pair, 0]]
        active = np.int64(0)
        for word in range(len(row)):
            active += np.int64(_ones(row[word]))
        if active == 0:
            continue
        for target in range(len(weights)):
            both = np.int64(0)
            for word in range(len(row)):
                both += np.int64(_ones(weights[target, word] & row[word]))
            total[target] += np.int16(((1 - low) * both + low * active) << exponent)


@njit(cache=True, nogil=True)
def windowed_events(  # noqa: PLR0917
    events: Any, weights: Any, geometry: Any, pairs: Any, scratch: Any, inputs: Any
) -> None:
    """Add what each event sends through a sliding window.

    Args:
        events: as in :func:`dense_events`.
        weights: effective, shape (source channels, window height, window width, target channels of a group), int16.
        geometry: source height and width, strides, paddings, dilations, target height and width, and the number of
            target channels that a source channel's group begins with, an array (source channels,).
        pairs: as in :func:`dense_events`.
        scratch: shape (target height, target width, target channels), int16: lanes are channels.
        inputs: result, added to, shape (rows, target channels * height * width), int16.
    """
    places, values, offsets = events
    (height, width), (stride_y, stride_x), (pad_y, pad_x), (dil_y, dil_x), (rows, columns), begins = geometry
    _, window_y, window_x, channels = weights.shape
    area = height * width
    for pair in range(len(pairs)):
        at, stop = offsets[pairs[pair, 1]], offsets[pairs[pair, 1] + 1]
        if at == stop:
            continue
        scratch[:] = 0
        for event in range(at, stop):
            channel, place = places[event] // area, places[event] % area
            y, x = place // width + pad_y, place % width + pad_x
            begin = begins[channel]
            for ky in range(window_y):
                down = y - ky * dil_y
                if down < 0 or down % stride_y != 0 or down // stride_y >= rows:
                    continue
                for kx in range(window_x):
                    along = x - kx * dil_x
                    if along < 0 or along % stride_x != 0 or along // stride_x >= columns:
                        continue
                    total = scratch[down // stride_y, along // stride_x, begin : begin + channels]
                    _add_times(total, weights[channel, ky, kx], np.int16(values[event]))
        _gather(scratch, inputs[pairs[pair, 0]])


@njit(cache=True, nogil=True)
def _gather(scratch: Any, total: Any) -> None:
    """Add (height, width, channels) to a row in the order (channels, height, width)."""
    rows, columns, channels = scratch.shape
    for row in range(rows):
        for column in range(columns):
            for channel in range(channels):
                total[(channel * rows + row) * columns + column] += scratch[row, column, channel]


@njit(cache=True, nogil=True)
def identity_events(events: Any, weight: Any, pairs: Any, inputs: Any) -> None:
    """Add one weight to the counterpart of each event."""
    places, values, offsets = events
    for pair in range(len(pairs)):
        total = inputs[pairs[pair, 0]]
        for event in range(offsets[pairs[pair, 1]], offsets[pairs[pair, 1] + 1]):
            total[places[event]] += np.int16(weight * values[event])


@njit(cache=True, nogil=True)
def _decay(state: Any, keep: Any) -> None:
    """Replace x by ``sign(x) * (|x| * keep >> 12)``, in 32 bits.

    That is ``(|x| >> 12) * keep + ((|x| & 4095) * keep >> 12)``, which no factor of 24 bits leaves.
    """
    for n in range(len(state)):
        size = abs(state[n])
        part = (size >> np.int32(12)) * keep + (((size & _LOW) * keep) >> np.int32(12))
        state[n] = part if state[n] >= 0 else -part


@njit(cache=True, nogil=True)
def _charge(current: Any, inputs: Any) -> None:
    for n in range(len(current)):
        current[n] += np.int32(inputs[n]) << np.int32(6)


@njit(cache=True, nogil=True)
def _integrate(membrane: Any, current: Any, bias: Any) -> None:
    for n in range(len(membrane)):
        membrane[n] += current[n] + bias[n]


@njit(cache=True, nogil=True)
def _fire_bits(membrane: Any, threshold: Any, left: Any, zero: Any, fired: Any) -> None:
    for n in range(len(membrane)):
        spike = membrane[n] > threshold
        fired[n] = spike
        after = np.int32(0) if zero else membrane[n] - left
        membrane[n] = after if spike else membrane[n]


@njit(cache=True, nogil=True)
def _fire_payloads(membrane: Any, threshold: Any, left: Any, zero: Any, shift: Any, fired: Any) -> None:  # noqa: PLR0917
    for n in range(len(membrane)):
        spike = membrane[n] > threshold
        fired[n] = membrane[n] >> shift if spike else np.int32(0)
        after = np.int32(0) if zero else membrane[n] - left
        membrane[n] = after if spike else membrane[n]


@njit(cache=True, nogil=True)
def neurons(  # noqa: PLR0917
    inputs: Any, state: Any, bias: Any, settings: Any, steps: Any, fired: Any, currents: Any, membranes: Any
) -> None:
    """Run the neurons of all samples through some steps; the equations are those of :mod:`bitspike.sim.reference`.

    Args:
        inputs: shape (samples, run steps, neurons), int16.
        state: u and v, shape (2, samples, neurons), int32; carried on.
        bias: shape (neurons,), int32.
        settings: what a step keeps of u and of v in 1/4096, threshold in 1/64, reset to zero, start, graded, the
            payload's shift.
        steps: first, and the one after the last.
        fired: result, shape (samples, run steps, neurons), uint8, or int32 for graded spikes.
        currents, membranes: results, the same shape, int32; of no samples where they are not recorded.
    """
    keep_u, keep_v, threshold, zero, start, graded, shift = settings
    for sample in range(inputs.shape[0]):
        u, v = state[0, sample], state[1, sample]
        for step in range(steps[0], steps[1]):
            if step == start:
                u[:] = 0
                v[:] = 0
            _decay(u, keep_u)
            _charge(u, inputs[sample, step])
            _decay(v, keep_v)
            _integrate(v, u, bias)
            if graded:
                _fire_payloads(v, threshold, threshold, zero, shift, fired[sample, step])
            else:
                _fire_bits(v, threshold, threshold, zero, fired[sample, step])
            if len(currents):
                currents[sample, step] = u
                membranes[sample, step] = v
