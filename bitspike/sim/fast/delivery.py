"""How the events of a source become summed input: one class a kind of connection, prepared once for all tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError
from bitspike.sim.fast import flow, kernels
from bitspike.sim.fast.counting import by_source, count
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.planes import Lists, by_planes, count_rows, make_lists, make_planes
from bitspike.sim.fast.sources import Array, BitEvents, Events, empty, placed, whole, zeros
from bitspike.sim.fast.vectors import BITS, LANES
from bitspike.sim.fast.windows import make_windows

#: As the kernels of :mod:`bitspike.sim.fast.neurons` take them.
Cells = tuple[Any, ...]
Add = Callable[[Events, Array, Array, bool], None]
Flow = Callable[[Events, Array, Array, Cells], int | None]


@dataclass(frozen=True, kw_only=True)
class Deliver:
    """What a connection brings to its targets.

    Attributes:
        add: adds what a source's events send, by pairs (input row, source row), to the inputs, (rows, neurons in whole
            columns). Where the last argument is true, what was left there is forgotten first; the pairs then have every
            row.
        flow: runs the targets as well, where no other connection leads to them: see :mod:`bitspike.sim.fast.flow`. None
            where that is not to be had, from the start or for these events.
    """

    add: Add
    flow: Flow = lambda events, pairs, inputs, cells: None  # noqa: ARG005


#: Weights of windows are added in bytes where a byte holds the sums of so many events at least.
FEWEST = 8
_BYTE = 127
#: Instructions, about, of a spike among windows, and of each vector that it adds.
_EVENT, _ADDED = 15, 2
#: Instructions, about, of 256 rows of a target, and of each source that it counts.
_TARGET, _COUNTED = 450, 9


def prepare(connection: Connection, graded: bool, source: Layout, target: Layout) -> Deliver:
    """Return the delivery of a connection, whose source sends payloads or binary spikes, in the engine's orders."""
    if isinstance(connection, Dense):
        return _dense(connection, graded, source, target)
    if isinstance(connection, Identity):
        return _identity(connection, graded, target.rank[source.order])
    if isinstance(connection, Conv2d | SumPool2d):
        events = _windowed(connection, graded, source)
        if isinstance(connection, Conv2d) and by_planes(connection, graded):
            return _by_activity(connection, events, source, target)
        return events
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the fast engine has no such kind")


def _dense(connection: Dense, graded: bool, source: Layout, target: Layout) -> Deliver:
    """One-bit weights and binary spikes: carry-save counters; otherwise rows of weights are added."""
    matrix = connection.weights.matrix()[target.order][:, source.order]
    if isinstance(connection.weights, BinaryWeights) and not graded:
        return _counted(matrix, connection.weights.low, connection.exponent)
    weights = zeros((matrix.shape[1], whole(matrix.shape[0])), np.int16)
    weights[:, : matrix.shape[0]] = matrix.T << connection.exponent

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.dense_events(events.parts, graded, weights, pairs, inputs)

    return Deliver(add=add)


def _counted(matrix: Array, lowest: int, exponent: int) -> Deliver:
    bits = placed(by_source(matrix))
    factor, low = (1 - lowest) << exponent, lowest << exponent

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        places, _, offsets, active = events.parts
        count(places, offsets, active, bits, factor, low, pairs, fresh, inputs)

    def run(events: Events, pairs: Array, inputs: Array, cells: Cells) -> int:
        return int(flow.counted(events.parts, (bits, factor, low), pairs, inputs, cells))

    return Deliver(add=add, flow=run)


def _identity(connection: Identity, graded: bool, targets: Array) -> Deliver:
    weight = connection.weight << connection.exponent

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.identity_events(events.parts, graded, weight, targets, pairs, inputs)

    return Deliver(add=add)


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
            kernels.windowed_events(events.parts, graded, wide.tables, wide.shape, frame, pairs, inputs)

        return Deliver(add=add)
    narrow, factor = make_windows(connection, source, COLUMN, small, np.int8), 1 << connection.exponent
    unit = narrow.unit

    def pour(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        frame = zeros((narrow.frame,), np.int8)
        kernels.window_sums(events.parts, narrow.tables, narrow.shape, unit, most, factor, frame, pairs, fresh, inputs)

    def run(events: Events, pairs: Array, inputs: Array, cells: Cells) -> int:
        windows = narrow.tables, narrow.shape, unit, most, factor, zeros((narrow.frame,), np.int8)
        return int(flow.windowed(events.parts, windows, pairs, inputs, cells))

    return Deliver(add=pour, flow=run)


def _by_activity(connection: Conv2d, few: Deliver, source: Layout, target: Layout) -> Deliver:
    """Events where few neurons spike, and vectors of rows, whose work is always the same, where many do."""
    vectors = math.prod(connection.window) * -(-connection.target_channels // COLUMN)
    each = _EVENT + vectors * _ADDED // math.prod(connection.stride)
    block = (
        connection.shape[0] * _TARGET
        + connection.weights.matrix().size // 2 * math.prod(connection.target_shape[1:]) * _COUNTED
    )
    lists: list[Lists] = []

    def many(events: Events, rows: int) -> bool:
        return isinstance(events, BitEvents) and int(events.active.sum()) * each > -(-rows // BITS) * block

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        every_row = len(pairs) == len(inputs)
        if not (isinstance(events, BitEvents) and every_row and many(events, len(pairs))):
            few.add(events, pairs, inputs, fresh)
            return
        if not lists:
            lists.append(make_lists(connection, source, target))
        low = connection.weights.low if isinstance(connection.weights, BinaryWeights) else 0
        sums, flat = empty((LANES + 1, BITS), np.int16), inputs.reshape(-1)
        scaled = (1 - low) << connection.exponent, low << connection.exponent
        planes = make_planes(events.words, pairs)
        count_rows(planes, lists[0].arrays, *scaled, len(pairs), fresh, sums, flat)

    def run(events: Events, pairs: Array, inputs: Array, cells: Cells) -> int | None:
        return None if many(events, len(pairs)) else few.flow(events, pairs, inputs, cells)

    return Deliver(add=add, flow=run)
