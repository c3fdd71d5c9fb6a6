"""Summed input of one-bit convolutions where many neurons spike: the counters of the dense layers, the other way round.

In :mod:`bitspike.sim.fast.counting` a vector holds the weights of one source, and the spikes say which vectors are
counted. Here a vector holds the spikes of one source in 256 rows, and the weights say which: those that are 1. The work
is the same however many spikes there are, so that this form is for the active layers. The sums come out target by
target, and are turned over, sixteen targets and sixteen rows at a time, on their way to the inputs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.compiled import compiled
from bitspike.convert.connections import Conv2d
from bitspike.sim.fast.counting import GROUP, MOST, count_some, exchange
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.sources import Array, empty, whole
from bitspike.sim.fast.sums import add_turned, set_turned
from bitspike.sim.fast.vectors import BITS, LANES, load_bytes, store_bytes

_HALVES = np.array(
    [0x0000FFFF0000FFFF, 0x00FF00FF00FF00FF, 0x0F0F0F0F0F0F0F0F, 0x3333333333333333, 0x5555555555555555], np.uint64
)
_WORDS = BITS // 32
#: Synapses of a convolution whose lists are kept, 4 bytes each.
MOST_LISTED = 1 << 22


@dataclass(frozen=True, kw_only=True, eq=False)
class Lists:
    """Sources of each target, each list in whole groups, filled up with a source that never spikes.

    Attributes:
        places, offsets: of each target the sources with weight 1.
        every, ends: of each place of the targets all sources, and where each list begins.
        channels: targets in a place.
    """

    places: Array
    offsets: Array
    every: Array
    ends: Array
    channels: int

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array, int]:
        """As the kernel takes them."""
        return self.places, self.offsets, self.every, self.ends, self.channels


def by_planes(connection: Conv2d) -> bool:
    """Whether a one-bit convolution of binary spikes can be counted so: one group, and lists not too long."""
    return (
        connection.groups == 1
        and connection.weights.matrix().size * math.prod(connection.target_shape[1:]) <= MOST_LISTED
    )


def make_lists(connection: Conv2d, source: Layout, target: Layout) -> Lists:
    """Return the lists of a one-bit convolution of one group, in the engine's orders."""
    shape = connection.target_shape
    positive, every = [], []
    at = np.arange(connection.shape[0]).reshape(shape)
    of = np.arange(connection.shape[1]).reshape(connection.source_shape)
    for (y, x), (rows, columns), (from_rows, from_columns) in connection.places():
        ones = connection.tap(y, x) > 0
        targets, sources = at[:, rows, columns], of[:, from_rows, from_columns]
        to, by = np.nonzero(ones)
        positive.append(np.stack([targets[to].ravel(), sources[by].ravel()]))
        first = np.broadcast_to(targets[:1], sources.shape)
        every.append(np.stack([first.ravel(), sources.ravel()]))
    nobody = whole(connection.shape[1])
    places, offsets = _listed(np.concatenate(positive, axis=1), source, target.rank, nobody)
    # Channel 0 of a place is the first of the engine's targets there.
    all_places, ends = _listed(np.concatenate(every, axis=1), source, target.rank // shape[0], nobody)
    return Lists(places=places, offsets=offsets, every=all_places, ends=ends, channels=shape[0])


def _listed(pairs: Array, source: Layout, ranks: Array, nobody: int) -> tuple[Array, Array]:
    """Return the sources of each target, or place of targets, one list after the other; and where they begin."""
    targets, sources = ranks[pairs[0]], source.rank[pairs[1]]
    order = np.lexsort((sources, targets))
    targets, sources = targets[order], sources[order]
    number = np.bincount(targets, minlength=int(ranks.max()) + 1)
    offsets = np.concatenate([[0], np.cumsum(-(-number // GROUP) * GROUP)])
    places = np.full(offsets[-1], nobody, np.int32)
    begins = np.cumsum(number) - number
    places[offsets[targets] + np.arange(len(targets)) - begins[targets]] = sources
    return places, offsets


@compiled
def turn(words: Any, pairs: Any, planes: Any) -> None:
    """Turn rows of bits, a bit a source, into vectors of bits, a bit a row.

    Args:
        words: spikes, shape (source rows, words), uint32.
        pairs: which row of the inputs takes which row of the source.
        planes: result, shape (blocks of 256 input rows, sources in whole columns + 1, 8), uint32. Row ``32 * s + b`` is
            bit s of byte b. The last source never spikes.
    """
    for block in range(len(planes)):
        flat = planes[block].ravel()
        flat[len(flat) - _WORDS :] = 0
        for word in range(words.shape[1]):
            begin = 32 * _WORDS * word
            for k in range(32):
                for g in range(_WORDS):
                    row = BITS * block + COLUMN * (k % 8) + 4 * g + k // 8
                    flat[begin + _WORDS * k + g] = words[pairs[row, 1], word] if row < len(pairs) else np.uint32(0)
            shift = 16
            for turned in range(len(_HALVES)):
                for k in range(32):
                    if not k & shift:
                        low, high = begin + _WORDS * k, begin + _WORDS * (k + shift)
                        one, other = exchange(load_bytes(flat, low), load_bytes(flat, high), shift, _HALVES[turned])
                        store_bytes(flat, low, one)
                        store_bytes(flat, high, other)
                shift //= 2


@compiled
def _count_list(places: Any, span: Any, table: Any, begin: Any, sums: Any, to: Any, of: Any, factor: Any) -> None:  # noqa: PLR0917
    """Write the sums at `of` and what the sources of a list add to them."""
    at, end = span
    while at < end:
        stop, scale = min(end, at + MOST), (np.int16(factor), np.int16(0))
        count_some(places, (at, stop), table, begin, sums, to, of, BITS // COLUMN, scale, False)
        at, of = stop, to


@compiled
def _copy(sums: Any, of: Any, to: Any) -> None:
    for n in range(BITS):
        sums[to + n] = sums[of + n]


@compiled
def count_rows(  # noqa: PLR0917
    planes: Any, lists: Any, factor: Any, low: Any, rows: Any, fresh: Any, sums: Any, inputs: Any
) -> None:
    """Add the summed input of a one-bit convolution, or write it over what was left where `fresh` is true.

    Args:
        planes: of :func:`turn`, as uint64: the last axis has 4 words.
        lists: the arrays of :class:`Lists`.
        factor, low: as in :func:`~bitspike.sim.fast.counting.count`.
        rows: of the inputs; row n takes bit n of the planes.
        fresh: whether what was left in the inputs is forgotten.
        sums: room for the sums of seventeen targets, shape (17, 256), int16.
        inputs: result, added to, flat, each row in whole columns, int16.
    """
    places, offsets, every, ends, channels = lists
    targets, width = len(offsets) - 1, len(inputs) // rows
    flat, table, shared = sums.ravel(), planes.ravel(), BITS * LANES
    for block in range(len(planes)):
        begin, known = block * planes.shape[1] * planes.shape[2], -1
        for first in range(0, width, LANES):
            for lane in range(LANES):
                target, to = first + lane, BITS * lane
                if target >= targets:
                    flat[to : to + BITS] = 0
                    continue
                if target // channels != known:
                    known = target // channels
                    flat[shared : shared + BITS] = 0
                    if low:
                        span = ends[known], ends[known + 1]
                        _count_list(every, span, table, begin, flat, shared, shared, low)
                span = offsets[target], offsets[target + 1]
                if span[0] == span[1]:
                    _copy(flat, shared, to)
                _count_list(places, span, table, begin, flat, to, shared, factor)
            _turn_sums(flat, min(BITS, rows - BITS * block), inputs, BITS * block * width + first, width, fresh)


@compiled
def _turn_sums(sums: Any, rows: Any, inputs: Any, at: Any, width: Any, fresh: Any) -> None:  # noqa: PLR0917
    """Write the sums of sixteen targets into sixteen columns of the inputs, or add them."""
    whole_rows = rows - rows % LANES
    for row in range(0, whole_rows, LANES):
        if fresh:
            set_turned(sums, row, inputs, at + row * width, width)
        else:
            add_turned(sums, row, inputs, at + row * width, width)
    for row in range(whole_rows, rows):
        for lane in range(LANES):
            place = at + row * width + lane
            inputs[place] = sums[BITS * lane + row] + (np.int16(0) if fresh else inputs[place])


def make_planes(words: Array, pairs: Array) -> npt.NDArray[np.uint64]:
    """Return the spikes of the rows that the pairs name, as :func:`turn` leaves them, uint64."""
    planes = empty((-(-len(pairs) // BITS), 32 * words.shape[1] + 1, _WORDS), np.uint32)
    turn(words, pairs, planes)
    return planes.view(np.uint64)
