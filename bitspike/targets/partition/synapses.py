"""What a connection takes on a core that holds a box of its target's neurons, and which sources it needs there.

A connection has three ways to be stored, of which the one that takes the smallest share of the core is chosen:

1. *dense* or *indexed*: each source with a synapse into the box has an input axon and a list of its own;
2. *shared*, for windows: all places of the source that see the same part of the window share lists, one for each
   source channel; a place is one input axon, the channel comes with the spike, and the list is read from where the
   place's targets begin (population axons, nengo-loihi 1.1, ``conv2d_loihi_weights``). Indexed always. A source
   neuron's output axon then takes ``shared_axon_slots``. That a box beside others on a core can be addressed so is
   assumed.

Synapses of weight 0 count where their connection is a window; in matrices a source without any other needs no axon.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Dense, Identity, Windowed
from bitspike.errors import UnsupportedError
from bitspike.targets.chips import Chip
from bitspike.targets.partition.boxes import Box, Integers, Space, Span
from bitspike.targets.partition.storage import delay_bits, lists_of, weight_form

Mask = npt.NDArray[np.bool_]
#: How synapses are stored: bits of weight, exponent, both signs, bits of the target's number, of the delay.
Format = tuple[int, int, bool, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A connection's synapses on a core.

    Attributes:
        way: ``dense``, ``indexed`` or ``shared``.
        bits: of synaptic memory; 0 where the chip's storage is not published.
        axons: input axons.
        slots: output slots of each source neuron that has a synapse here.
        form: what the lists look like.
    """

    way: str
    bits: int
    axons: int
    slots: int
    form: Format


class Synapses(ABC):
    """One connection, ready to be asked what boxes of its target take."""

    def __init__(self, connection: Connection, chip: Chip) -> None:
        """Take a connection in chip time."""
        self.connection = connection
        self.chip = chip
        self.lists = lists_of(chip)
        self.form = weight_form(connection, chip)

    def stored(self, box: Box) -> Stored:
        """The way that takes the smallest share of a core."""
        return min(self._ways(box), key=lambda way: (self._share(way), way.slots, way.bits))

    @abstractmethod
    def sources(self, box: Box) -> Mask:
        """Which sources have a synapse into `box`, (sources,)."""

    @abstractmethod
    def _ways(self, box: Box) -> Iterator[Stored]:
        """Every way in which the synapses into `box` can be stored."""

    def _own_lists(self, box: Box, counts: Counter[int]) -> Iterator[Stored]:
        """A list for each source, in `counts` by its number of synapses."""
        axons = counts.total()
        yield self._made("dense", box, Counter({box.size: axons}), axons=axons)
        if self._indexed(box):
            yield self._made("indexed", box, counts, axons=axons)

    def _indexed(self, box: Box) -> bool:
        """Whether the chip has numbers for all neurons of `box`."""
        return self.lists is None or self.lists.index_width(box.size) is not None

    def _made(self, way: str, box: Box, counts: Counter[int], *, axons: int) -> Stored:
        form = self.form
        width, exponent, mixed = (0, 0, False) if form is None else (form.width, form.exponent, form.mixed)
        delay, index, bits, slots = delay_bits(self.connection), 0, 0, 1
        if self.lists is not None:
            index = 0 if way == "dense" else self.lists.index_width(box.size) or 0
            lengths, numbers = (np.array(list(part), np.int64) for part in (counts.keys(), counts.values()))
            bits = int((self.lists.bits(lengths, width + index + delay) * numbers).sum())
        if way == "shared":
            slots = self.chip.limit("shared_axon_slots") or 1
        return Stored(way=way, bits=bits, axons=axons, slots=slots, form=(width, exponent, mixed, index, delay))

    def _share(self, way: Stored) -> float:
        """The larger of the shares that a way takes of a core's memory and of its input axons."""
        memory, axons = self.chip.limit("synapse_bits"), self.chip.limit("input_axons")
        return max(way.bits / memory if memory else 0.0, way.axons / axons if axons else 0.0)


class MatrixSynapses(Synapses):
    """Synapses of a matrix."""

    def __init__(self, connection: Dense, chip: Chip, shape: Space) -> None:
        """Take a connection whose target has the `shape` that boxes are cut from."""
        super().__init__(connection, chip)
        self._shape = shape
        self._nonzero: Mask = connection.weights.matrix() != 0
        self._full = bool(np.all(self._nonzero))

    def sources(self, box: Box) -> Mask:
        """Those with a weight that is not 0."""
        return self._counts(box) > 0

    def _ways(self, box: Box) -> Iterator[Stored]:
        if self._full:
            yield from self._own_lists(box, Counter({box.size: self._nonzero.shape[1]}))
            return
        counts = self._counts(box)
        yield from self._own_lists(box, Counter(counts[counts > 0].tolist()))

    def _counts(self, box: Box) -> Integers:
        if self._full:
            return np.full(self._nonzero.shape[1], box.size, np.int64)
        return self._nonzero[box.neurons(self._shape)].sum(axis=0, dtype=np.int64)


class IdentitySynapses(Synapses):
    """One synapse from each neuron to its counterpart."""

    def __init__(self, connection: Identity, chip: Chip, shape: Space) -> None:
        """Take a connection whose target has the `shape` that boxes are cut from."""
        super().__init__(connection, chip)
        self._shape = shape

    def sources(self, box: Box) -> Mask:
        """The counterparts."""
        found = np.zeros(self._shape, bool)
        found[box.slices] = True
        return found.ravel()

    def _ways(self, box: Box) -> Iterator[Stored]:
        yield from self._own_lists(box, Counter({1: box.size}))


class WindowSynapses(Synapses):
    """Synapses of a convolution or a pool."""

    def __init__(self, connection: Windowed, chip: Chip) -> None:
        """Take a connection; boxes are cut from its ``target_shape``."""
        super().__init__(connection, chip)
        self.window = connection
        self._connected = connection.connected()
        self._spans: dict[tuple[int, Span], dict[int, int]] = {}

    def sources(self, box: Box) -> Mask:
        """Those under the window of a neuron in the box."""
        channels, rows, columns = (np.zeros(extent, bool) for extent in self.window.source_shape)
        channels[self._connected[slice(*box.channels)].any(axis=0)] = True
        rows[list(self.taps(0, box.rows))] = True
        columns[list(self.taps(1, box.columns))] = True
        return (channels[:, None, None] & rows[:, None] & columns).ravel()

    def _ways(self, box: Box) -> Iterator[Stored]:
        rows, columns = self.taps(0, box.rows), self.taps(1, box.columns)
        targets = self._connected[slice(*box.channels)].sum(axis=0, dtype=np.int64)
        channels = Counter(targets[targets > 0].tolist())
        each = [Counter(places.bit_count() for places in taps.values()) for taps in (rows, columns)]
        yield from self._own_lists(box, _product(channels, *each))
        limit = self.chip.limit("shared_places")
        if limit is not None and box.extents[1] * box.extents[2] <= limit and self._indexed(box):
            seen = [Counter(places.bit_count() for places in set(taps.values())) for taps in (rows, columns)]
            axons = len(rows) * len(columns) if channels else 0
            yield self._made("shared", box, _product(channels, *seen), axons=axons)

    def taps(self, axis: int, span: Span) -> dict[int, int]:
        """By source row (or column), the places of the window that lead from it into `span`: a bit for each."""
        if (axis, span) not in self._spans:
            c = self.window
            found: dict[int, int] = {}
            for target in range(*span):
                for place in range(c.window[axis]):
                    source = target * c.stride[axis] - c.padding[axis] + place * c.dilation[axis]
                    if 0 <= source < c.source_shape[1 + axis]:
                        found[source] = found.get(source, 0) | 1 << place
            self._spans[axis, span] = found
        return self._spans[axis, span]


def synapses_of(connection: Connection, chip: Chip, shape: Space) -> Synapses:
    """The connection's synapses, on boxes of a target of `shape`."""
    if isinstance(connection, Dense):
        return MatrixSynapses(connection, chip, shape)
    if isinstance(connection, Identity):
        return IdentitySynapses(connection, chip, shape)
    if isinstance(connection, Windowed):
        return WindowSynapses(connection, chip)
    raise UnsupportedError(
        f"connection {connection.name}: of kind {connection.kind}, of whose storage nothing is known"
    )


def _product(*factors: Counter[int]) -> Counter[int]:
    """Lists by their length, where a length is a product and so is the number of lists."""
    found = Counter({1: 1})
    for factor in factors:
        following: Counter[int] = Counter()
        for length, number in found.items():
            for times, count in factor.items():
                following[length * times] += number * count
        found = following
    return found
