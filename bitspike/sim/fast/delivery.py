"""How the events of a source become summed input: one class a kind of connection, prepared once for all tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError
from bitspike.sim.fast import flow, kernels, loop
from bitspike.sim.fast.choice import Choice
from bitspike.sim.fast.counting import by_source, count
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.planes import Lists, by_planes, count_rows, make_lists, make_planes
from bitspike.sim.fast.popcounts import by_words, make_words, popcounted
from bitspike.sim.fast.processor import counts_bits
from bitspike.sim.fast.sources import BEYOND, Array, BitEvents, Events, Room, empty, placed, whole, zeros
from bitspike.sim.fast.vectors import BITS, LANES
from bitspike.sim.fast.windows import make_windows

#: As the kernels of :mod:`bitspike.sim.fast.neurons` take them.
Cells = tuple[Any, ...]
#: Steps, rows of a sample before its first step, and the delay of a connection.
Span = tuple[int, int, int]
Add = Callable[[Events, Array, Array, bool], None]
Flow = Callable[[BitEvents, Span, Room, Cells], int | None]
Loop = Callable[[Span, Array, Room, Cells], int]
#: The work for so many rows, and the run.
Form = tuple[Callable[[int], float], Flow]


@dataclass(frozen=True, kw_only=True)
class Deliver:
    """What a connection brings to its targets.

    Attributes:
        add: adds what a source's events send, by pairs (input row, source row), to the inputs, (rows, neurons in whole
            columns). Where the last argument is true, what was left there is forgotten first; the pairs then have every
            row.
        flow: runs the targets as well, where no other connection leads to them (:mod:`bitspike.sim.fast.flow`), and
            returns how many samples needed 32 bits; None where this kind of connection has no such form.
        loop: of a connection from a population to itself, runs the population, step by step, behind inputs of shape
            (samples, steps, neurons) that the others brought (:mod:`bitspike.sim.fast.loop`); as `flow`.
    """

    add: Add
    flow: Flow | None = None
    loop: Loop | None = None


#: Weights of windows are added in bytes where a byte holds the sums of so many events at least.
FEWEST = 8
_BYTE = 127
#: Most samples whose inputs are counted in planes together.
_GROUP = 8
#: Instructions, about, of a spike among windows, and of each vector that it adds.
_EVENT, _ADDED = 30, 3
#: Instructions, about, of 256 rows of a target, and of each source that it counts.
_TARGET, _COUNTED = 450, 9
#: Instructions, about, of a word of spikes that meets a vector of weights.
_MET = 6
#: Instructions, about, of a neuron and its input, in every form.
_NEURON = 1


def prepare(connection: Connection, graded: bool, source: Layout, target: Layout) -> Deliver:
    """Return the delivery of a connection, whose source sends payloads or binary spikes, in the engine's orders."""
    if isinstance(connection, Dense):
        return _dense(connection, graded, source, target)
    if isinstance(connection, Identity):
        return _identity(connection, graded, target.rank[source.order])
    if isinstance(connection, Conv2d | SumPool2d):
        if target.channels != connection.target_shape[0]:  # the targets lie as another window's channels and places
            effective = connection.deliver(np.eye(connection.shape[1], dtype=np.int64)).T
            return _added(effective[target.order][:, source.order], graded)
        events = _windowed(connection, graded, source)
        if isinstance(connection, Conv2d) and isinstance(connection.weights, BinaryWeights) and not graded:
            return _by_activity(connection, events, source, target)
        return events
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the fast engine has no such kind")


def _dense(connection: Dense, graded: bool, source: Layout, target: Layout) -> Deliver:
    """One-bit weights and binary spikes: carry-save counters; otherwise rows of weights are added."""
    matrix = connection.weights.matrix()[target.order][:, source.order]
    if isinstance(connection.weights, BinaryWeights) and not graded:
        return _counted(matrix, connection.weights.low, connection.exponent)
    return _added(matrix << connection.exponent, graded)


def _added(matrix: Array, graded: bool) -> Deliver:
    """Rows of effective weights, (targets, sources) in the engine's orders, are added."""
    weights = zeros((matrix.shape[1], whole(matrix.shape[0])), np.int16)
    weights[:, : matrix.shape[0]] = matrix.T

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if fresh:
            inputs[:] = 0
        kernels.dense_events(events.parts, graded, weights, pairs, inputs)

    return Deliver(add=add, loop=None if graded else _loop(weights))


def _counted(matrix: Array, lowest: int, exponent: int) -> Deliver:
    bits = placed(by_source(matrix))
    factor, low = (1 - lowest) << exponent, lowest << exponent

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        places, _, offsets, active = events.parts
        count(places, offsets, active, bits, factor, low, pairs, fresh, inputs)

    def run(events: BitEvents, span: Span, room: Room, cells: Cells) -> int:
        return int(flow.counted(_rows(events), span, (bits, factor, low), _sample(events, span, room, cells), cells))

    return Deliver(add=add, flow=run, loop=_loop((bits, factor, low)))


def _loop(table: Any) -> Loop:
    def run(span: Span, inputs: Array, room: Room, cells: Cells) -> int:
        own, places = room("rows", inputs.shape[1:], np.int16), room("events", (inputs.shape[2] + BEYOND,), np.int32)
        return int(loop.looped(span, table, inputs, (own, places), cells))

    return run


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
    words = narrow.places if unit[1] else narrow.places[:0], narrow.pace

    def windows() -> tuple[Any, ...]:
        return narrow.tables, narrow.shape, unit, most, factor, zeros((narrow.frame,), np.int8)

    def pour(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        kernels.window_sums(events.parts, windows(), pairs, fresh, inputs)

    def run(events: BitEvents, span: Span, room: Room, cells: Cells) -> int:
        return int(flow.windowed(_rows(events), span, windows(), words, _sample(events, span, room, cells), cells))

    return Deliver(add=pour, flow=run)


def _by_activity(connection: Conv2d, few: Deliver, source: Layout, target: Layout) -> Deliver:
    """Events where few neurons spike; where many do, forms whose work is always the same: planes of rows, or words."""
    vectors = math.prod(connection.window) * -(-connection.target_channels // COLUMN)
    each = _EVENT + vectors * _ADDED // math.prod(connection.stride)
    low = connection.weights.low if isinstance(connection.weights, BinaryWeights) else 0
    factors = (1 - low) << connection.exponent, low << connection.exponent
    always: dict[str, Form] = {}
    choice = Choice()
    if by_words(connection, source) and counts_bits():
        always["words"] = _word_form(connection, factors)
    lists = cache(lambda: make_lists(connection, source, target))
    if by_planes(connection):
        always["planes"] = _plane_form(connection, factors, lists)

    def works(events: Events, rows: int) -> dict[str, float]:
        neurons = rows * connection.shape[0] * _NEURON
        found = {"events": float(int(events.active.sum()) * each + neurons)}
        return found | {name: work(rows) + neurons for name, (work, _) in always.items()}

    def add(events: Events, pairs: Array, inputs: Array, fresh: bool) -> None:
        if isinstance(events, BitEvents) and len(pairs) == len(inputs) and "planes" in always:
            of = works(events, len(pairs))
            if of["planes"] < of["events"]:
                planes, memory = make_planes(events.words, pairs), empty((LANES + 1, BITS), np.int16)
                count_rows(planes, lists().arrays, *factors, len(pairs), fresh, memory, inputs.reshape(-1))
                return
        few.add(events, pairs, inputs, fresh)

    def run(events: BitEvents, span: Span, room: Room, cells: Cells) -> int | None:
        of = works(events, len(events.active))
        name = choice.pick(of)
        flow_of = always[name][1] if name in always else few.flow
        return choice.timed(name, of[name], lambda: flow_of(events, span, room, cells)) if flow_of else None

    return Deliver(add=add, flow=run)


def _plane_form(connection: Conv2d, factors: tuple[int, int], lists: Callable[[], Lists]) -> Form:
    """By :func:`~bitspike.sim.fast.flow.planes`."""
    block = (
        connection.shape[0] * _TARGET
        + connection.weights.matrix().size // 2 * math.prod(connection.target_shape[1:]) * _COUNTED
    )

    def run(events: BitEvents, span: Span, room: Room, cells: Cells) -> int:
        steps, samples = span[0], len(cells[0][0])
        group = min(samples, _together(steps))
        shape = -(-group * steps // BITS), 32 * events.words.shape[1] + 1, BITS // 32
        memory = (
            room("planes", shape, np.uint32),
            room("sums", (LANES + 1, BITS), np.int16),
            room("rows", (group, steps, len(cells[1])), np.int16),
        )
        return int(flow.planes(events.words, span, (lists().arrays, *factors), memory, cells))

    return lambda rows: float(-(-rows // BITS) * block), run


def _word_form(connection: Conv2d, factors: tuple[int, int]) -> Form:
    """By :func:`~bitspike.sim.fast.popcounts.popcounted`."""
    words = make_words(connection)

    def run(events: BitEvents, span: Span, room: Room, cells: Cells) -> int:
        memory = room("rows", (span[0], len(cells[1])), np.int16), zeros((words.frame[3],), np.uint32)
        return int(popcounted(events.words, span, (words.tables, *factors), memory, cells))

    return lambda rows: float(rows * words.met * _MET), run


def _together(steps: int) -> int:
    """Return of how many samples, a few, the rows fill their planes best."""
    return max(range(1, _GROUP + 1), key=lambda n: (n * steps) / -(-n * steps // BITS))


def _rows(events: BitEvents) -> tuple[Array, Array, Array, int]:
    """Return the rows of binary spikes as :mod:`~bitspike.sim.fast.flow` takes them."""
    return events.words, events.offsets, events.active, events.size


def _sample(events: BitEvents, span: Span, room: Room, cells: Cells) -> tuple[Array, Array, Array]:
    """Return room for the inputs, the events and the numbers of the rows of a sample."""
    steps, width = span[0], len(cells[1])
    pairs = np.broadcast_to(np.arange(steps)[:, None], (steps, 2))
    return (
        room("rows", (steps, width), np.int16),
        room("events", (steps * whole(events.size) + BEYOND,), np.int32),
        pairs,
    )
