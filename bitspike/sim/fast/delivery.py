"""How the events of a source become summed input: one class a kind of connection, prepared once for all tiles."""

from collections.abc import Callable

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError
from bitspike.sim.fast import kernels
from bitspike.sim.fast.counting import by_source, count
from bitspike.sim.fast.sources import Array, Events, whole
from bitspike.sim.fast.vectors import LANES

Deliver = Callable[[Events, Array, Array, bool], None]
"""Adds what a source's events send, by pairs (input row, source row), to the inputs, (rows, neurons in whole columns).
Where the last argument is true, what was left in the inputs is forgotten first; the pairs then have every row."""


def prepare(connection: Connection, graded: bool) -> Deliver:
    """Return the delivery of a connection whose source sends payloads, or binary spikes."""
    if isinstance(connection, Dense):
        if isinstance(connection.weights, BinaryWeights) and not graded:
            return _counted(connection, connection.weights)
        return _added(connection, graded)
    if isinstance(connection, Identity):
        return _identity(connection, graded)
    if isinstance(connection, Conv2d | SumPool2d):
        return _windowed(connection, graded)
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the fast engine has no such kind")


def _parts(events: Events) -> tuple[Array, Array, Array, Array]:
    return events.places, events.values, events.offsets, events.active


def _counted(connection: Dense, weights: BinaryWeights) -> Deliver:
    """One-bit weights and binary spikes: carry-save counters."""
    bits = by_source(weights)
    factor, low = (1 - weights.low) << connection.exponent, weights.low << connection.exponent

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        count(events.places, events.offsets, events.active, bits, factor, low, pairs, fresh, inputs)

    return deliver


def _added(connection: Dense, graded: bool) -> Deliver:
    """Weights of several bits, or payloads: rows of weights are added."""
    effective = connection.effective().T
    weights = np.zeros((effective.shape[0], whole(effective.shape[1])), np.int16)
    weights[:, : effective.shape[1]] = effective

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.dense_events(_parts(events), graded, weights, pairs, inputs)

    return deliver


def _identity(connection: Identity, graded: bool) -> Deliver:
    weight = connection.weight << connection.exponent

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.identity_events(_parts(events), graded, weight, pairs, inputs)

    return deliver


def _windowed(connection: Conv2d | SumPool2d, graded: bool) -> Deliver:
    """Convolutions and pooling: each event adds to the targets of the windows that see it."""
    weights, begins = _by_source_channel(connection)
    window = _windows(connection)
    channels, height, width = connection.target_shape
    room = channels * height * width + weights.shape[2]

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        scratch = np.empty(room, np.int16)
        shape = (channels, height * width)
        kernels.windowed_events(_parts(events), graded, weights, window, shape, begins, scratch, pairs, inputs)

    return deliver


def _windows(connection: Windowed) -> tuple[Array, Array, Array]:
    """Return of each place of the source the windows that see it: where its list begins, and the lists' two columns."""
    (height, width), (rows, columns) = connection.source_shape[1:], connection.target_shape[1:]
    high, wide = connection.window
    row, column, y, x = np.indices((rows, columns, high, wide)).reshape(4, -1)
    from_y = row * connection.stride[0] + y * connection.dilation[0] - connection.padding[0]
    from_x = column * connection.stride[1] + x * connection.dilation[1] - connection.padding[1]
    inside = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    place = (from_y * width + from_x)[inside]
    order = np.argsort(place, kind="stable")
    lists = np.searchsorted(place[order], np.arange(height * width + 1))
    return lists, (y * wide + x)[inside][order], (row * columns + column)[inside][order]


def _by_source_channel(connection: Windowed) -> tuple[Array, Array]:
    """Return weights, (source channels, window places, targets of a group in whole lanes), and each group's begin."""
    height, width = connection.window
    taps = np.stack([connection.tap(y, x) for y in range(height) for x in range(width)])
    connected = connection.connected()
    begins = connected.argmax(axis=0)
    size = int(connected[:, 0].sum())
    weights = np.zeros((len(begins), len(taps), -(-size // LANES) * LANES), np.int16)
    for channel, begin in enumerate(begins.tolist()):
        weights[channel, :, :size] = taps[:, begin : begin + size, channel]
    return weights, begins.astype(np.int64)
