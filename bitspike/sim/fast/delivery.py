"""How the events of a source become summed input: one class a kind of connection, prepared once for all tiles."""

from collections.abc import Callable

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError
from bitspike.sim.fast import kernels
from bitspike.sim.fast.counting import by_source, count
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.sources import Array, Events, empty, placed, whole, zeros
from bitspike.sim.fast.vectors import COLUMN, LANES
from bitspike.sim.fast.windows import make_windows

Deliver = Callable[[Events, Array, Array, bool], None]
"""Adds what a source's events send, by pairs (input row, source row), to the inputs, (rows, neurons in whole columns).
Where the last argument is true, what was left in the inputs is forgotten first; the pairs then have every row."""
#: Weights of windows are added in bytes where a byte holds the sums of so many events at least.
FEWEST = 8
_BYTE = 127


def prepare(connection: Connection, graded: bool, source: Layout, target: Layout) -> Deliver:
    """Return the delivery of a connection, whose source sends payloads or binary spikes, in the engine's orders."""
    if isinstance(connection, Dense):
        return _dense(connection, graded, source, target)
    if isinstance(connection, Identity):
        return _identity(connection, graded, target.rank[source.order])
    if isinstance(connection, Conv2d | SumPool2d):
        return _windowed(connection, graded, source)
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the fast engine has no such kind")


def _parts(events: Events) -> tuple[Array, Array, Array, Array]:
    return events.places, events.values, events.offsets, events.active


def _dense(connection: Dense, graded: bool, source: Layout, target: Layout) -> Deliver:
    """One-bit weights and binary spikes: carry-save counters; otherwise rows of weights are added."""
    matrix = connection.weights.matrix()[target.order][:, source.order]
    if isinstance(connection.weights, BinaryWeights) and not graded:
        return _counted(matrix, connection.weights.low, connection.exponent)
    weights = zeros((matrix.shape[1], whole(matrix.shape[0])), np.int16)
    weights[:, : matrix.shape[0]] = matrix.T << connection.exponent

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.dense_events(_parts(events), graded, weights, pairs, inputs)

    return deliver


def _counted(matrix: Array, lowest: int, exponent: int) -> Deliver:
    bits = placed(by_source(matrix))
    factor, low = (1 - lowest) << exponent, lowest << exponent

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        count(events.places, events.offsets, events.active, bits, factor, low, pairs, fresh, inputs)

    return deliver


def _identity(connection: Identity, graded: bool, targets: Array) -> Deliver:
    weight = connection.weight << connection.exponent

    def deliver(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.identity_events(_parts(events), graded, weight, targets, pairs, inputs)

    return deliver


def _windowed(connection: Conv2d | SumPool2d, graded: bool, source: Layout) -> Deliver:
    """Convolutions and pooling: each event adds to the targets of the windows that see it, in bytes where it can."""
    height, width = connection.window
    taps = np.stack([connection.tap(y, x) for y in range(height) for x in range(width)])
    small = taps >> connection.exponent
    most = _BYTE // max(1, int(np.abs(small).max()))
    if graded or most < FEWEST:
        wide = make_windows(connection, source, LANES, taps, np.int16)

        def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
            if fresh:
                inputs[:] = 0
            frame = empty((wide.frame,), np.int16)
            kernels.windowed_events(_parts(events), graded, wide.tables, wide.shape, frame, pairs, inputs)

        return add
    narrow, factor = make_windows(connection, source, COLUMN, small, np.int8), 1 << connection.exponent

    def pour(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        frame = zeros((narrow.frame,), np.int8)
        kernels.window_sums(_parts(events), narrow.tables, narrow.shape, most, factor, frame, pairs, fresh, inputs)

    return pour
