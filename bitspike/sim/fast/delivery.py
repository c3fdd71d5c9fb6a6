"""How the rows of a source become summed input: one class a kind of connection, prepared once and used for every tile.

Where a dense matrix has one-bit weights there are two forms: events add the weights of each spike, packed bits count
whole words. Which is quicker depends on the spikes alone and is chosen for each tile by counting them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError
from bitspike.sim.fast import kernels

Array = npt.NDArray[Any]
#: Spikes a word of 64 sources from which on counting bits is quicker than adding events; see `bitspike bench sim`.
CROSSOVER = 5.0


class Rows:
    """Spikes of one source, shape (rows, neurons), with their events and packed words, made when first asked for."""

    def __init__(self, spikes: Array) -> None:
        self.spikes = np.ascontiguousarray(spikes)
        self.count = int(np.count_nonzero(self.spikes))
        self._events: tuple[Array, Array, Array] | None = None
        self._words: Array | None = None

    @property
    def events(self) -> tuple[Array, Array, Array]:
        """Places, values, and where each row begins."""
        if self._events is None:
            places, values = np.empty(self.count, np.int32), np.empty(self.count, np.int32)
            offsets = np.empty(len(self.spikes) + 1, np.int64)
            kernels.list_events(self.spikes, places, values, offsets)
            self._events = places, values, offsets
        return self._events

    @property
    def words(self) -> Array:
        """Bits, 64 to a word."""
        if self._words is None:
            rows, neurons = self.spikes.shape
            self._words = np.empty((rows, -(-neurons // 64)), np.uint64)
            kernels.pack_bits(self.spikes, self._words)
        return self._words


Deliver = Callable[[Rows, Array, Array], None]


def prepare(connection: Connection) -> Deliver:
    """Return a function of a source's rows, of pairs (input row, source row), and of the inputs that it adds to."""
    if isinstance(connection, Dense):
        return _dense(connection)
    if isinstance(connection, Identity):
        weight = np.int16(connection.weight << connection.exponent)
        return lambda rows, pairs, inputs: kernels.identity_events(rows.events, weight, pairs, inputs)
    if isinstance(connection, Conv2d | SumPool2d):
        return _windowed(connection)
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the fast engine has no such kind")


def _dense(connection: Dense) -> Deliver:
    by_source = np.ascontiguousarray(connection.effective().T.astype(np.int16))
    packed = connection.weights if isinstance(connection.weights, BinaryWeights) else None
    low = 0 if packed is None else packed.low

    def deliver(rows: Rows, pairs: Array, inputs: Array) -> None:
        graded = rows.spikes.dtype != np.uint8
        crowded = rows.count > CROSSOVER * len(rows.spikes) * -(-rows.spikes.shape[1] // 64)
        if packed is not None and crowded and not graded:
            kernels.dense_words(rows.words, packed.words, low, connection.exponent, pairs, inputs)
        else:
            kernels.dense_events(rows.events, by_source, graded, pairs, inputs)

    return deliver


def _windowed(connection: Conv2d | SumPool2d) -> Deliver:
    weights, begins = _by_source_channel(connection)
    channels, height, width = connection.target_shape
    geometry = (
        connection.source_shape[1:],
        connection.stride,
        connection.padding,
        connection.dilation,
        (height, width),
        begins,
    )

    def deliver(rows: Rows, pairs: Array, inputs: Array) -> None:
        scratch = np.empty((height, width, channels), np.int16)
        kernels.windowed_events(rows.events, weights, geometry, pairs, scratch, inputs)

    return deliver


def _by_source_channel(connection: Windowed) -> tuple[Array, Array]:
    """Return weights, (source channels, window height and width, targets of a group), and each group's first target."""
    height, width = connection.window
    taps = np.stack([[connection.tap(y, x) for x in range(width)] for y in range(height)])
    connected = connection.connected()
    begins = connected.argmax(axis=0)
    size = int(connected[:, 0].sum())
    weights = np.stack([taps[:, :, begin : begin + size, c] for c, begin in enumerate(begins.tolist())])
    return np.ascontiguousarray(weights.astype(np.int16)), begins.astype(np.int64)
