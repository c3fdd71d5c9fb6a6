"""Tables for sliding windows: which weights an event adds, and where.

The targets lie place by place (:mod:`bitspike.sim.fast.layout`), within a frame wide enough that no event reaches
beyond it: every event then adds as many weights as every other, from one stretch of a table, and no branch depends on
where it is. Along an axis with stride S, dilation D and padding P, source x is seen by the targets
``c = (x + P) // S - j`` through the place ``((x + P) % S + j * S) / D`` of the window, where that is one: the weights
depend on x only by ``(x + P) % S``, its phase.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Windowed
from bitspike.sim.fast.lanes import COLUMN, WORD
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.sources import Array, placed
from bitspike.sim.fast.sums import UNITS


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """What an event of a source adds.

    Attributes:
        weights: flat; of each source channel and phase as many rows, places and weights as `reach` has.
        sources: of each source neuron where its weights begin, and where in the frame their targets do; int32.
        reach: rows, places in each, weights in each; and from one row, and one place, of the frame to the next.
        inner: where in the frame the targets begin; their rows, places in each, and channels in each place.
        frame: places in the frame, times the channels of a place in whole vectors, and a vector more.
        places: of each word of sources where their weights are added, and where those of the first begin, (words, 2),
            int32; of no words where they do not share one place.
        pace: from the weights of a source to those of the next one in its place.
    """

    weights: Array
    sources: Array
    reach: tuple[int, int, int, int, int]
    inner: tuple[int, int, int, int]
    frame: int
    places: Array
    pace: int

    @property
    def tables(self) -> tuple[Array, Array]:
        """Weights and sources, as the kernels take them."""
        return self.weights, self.sources

    @property
    def unit(self) -> tuple[int, bool]:
        """The largest of :data:`~bitspike.sim.fast.sums.UNITS` that a window is made of, and whether it is all of it.

        Vectors of 64 only where all places begin with a whole one.
        """
        rows, columns, lanes, _, aside = self.reach
        wide = 2 * COLUMN if aside % (2 * COLUMN) == 0 and lanes % (2 * COLUMN) == 0 else COLUMN
        if columns == 1 and (rows, lanes // wide, wide) in UNITS:
            return UNITS.index((rows, lanes // wide, wide)), True
        count = max(n for n in (1, 2, 3) if lanes // wide % n == 0)
        return UNITS.index((1, count, wide)), False

    @property
    def shape(self) -> tuple[tuple[int, int, int, int, int], tuple[int, int, int, int]]:
        """Reach and inner, as the kernels take them."""
        return self.reach, self.inner


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Rows or columns.

    Attributes:
        reach: targets that a source may reach.
        before: targets that the frame has before the first.
        extent: targets in the frame.
        first: in the frame the first target that each source reaches.
        phase: of each source.
        taps: the place of the window by phase and target, shape (stride, reach); -1 for none.
    """

    reach: int
    before: int
    extent: int
    first: Array
    phase: Array
    taps: Array


def make_windows(connection: Windowed, source: Layout, lanes: int, weights: Array, dtype: npt.DTypeLike) -> Windows:
    """Return the tables for vectors of `lanes` weights.

    Args:
        connection: whose windows slide.
        source: the order of its source.
        lanes: weights in a vector.
        weights: of each place of the window, shape (places, target channels, source channels).
        dtype: of the weights in the tables.
    """
    rows, columns = _axis(connection, 0), _axis(connection, 1)
    channels, high, wide = connection.target_shape
    pitch = -(-channels // lanes) * lanes
    connected = connection.connected()
    begins, size = connected.argmax(axis=0), int(connected[:, 0].sum())
    stride = -(-size // lanes) * lanes
    taps = rows.taps[:, None, :, None] * connection.window[1] + columns.taps[None, :, None, :]
    taps = np.where((rows.taps[:, None, :, None] < 0) | (columns.taps[None, :, None, :] < 0), -1, taps)
    table = np.zeros((len(begins), *taps.shape, stride), dtype)
    for channel, begin in enumerate(begins.tolist()):
        table[channel, ..., :size] = np.where(taps[..., None] < 0, 0, weights[taps, begin : begin + size, channel])
    channels_of, y, x = np.unravel_index(source.order, connection.source_shape)
    phase = (channels_of * taps.shape[0] + rows.phase[y]) * taps.shape[1] + columns.phase[x]
    first = (rows.first[y] * columns.extent + columns.first[x]) * pitch + begins[channels_of]
    reach = (rows.reach, columns.reach, stride, columns.extent * pitch, pitch)
    if stride == pitch:  # the weights of a row lie as its targets do
        reach = (rows.reach, 1, columns.reach * stride, columns.extent * pitch, pitch)
    sources = np.stack([phase * table[0, 0, 0].size, first], axis=1).astype(np.int32)
    together = source.channels == len(begins) and source.channels % WORD == 0 and bool((begins == begins[0]).all())
    return Windows(
        weights=placed(table.ravel()),
        sources=sources,
        places=np.ascontiguousarray(sources[::WORD, ::-1] if together else sources[:0]),
        pace=table[0].size,
        reach=reach,
        inner=((rows.before * columns.extent + columns.before) * pitch, high, wide, channels),
        frame=rows.extent * columns.extent * pitch + lanes,
    )


def _axis(connection: Windowed, axis: int) -> _Axis:
    stride, padding, dilation = (getattr(connection, name)[axis] for name in ("stride", "padding", "dilation"))
    window, targets = connection.window[axis], connection.target_shape[1 + axis]
    reach = (window - 1) * dilation // stride + 1
    place = np.arange(connection.source_shape[1 + axis]) + padding
    last = place // stride
    before = max(0, reach - 1 - int(last.min()))
    # Targets that a source reaches come in ascending order: the one farthest from it first.
    seen = np.arange(stride)[:, None] + np.arange(reach)[::-1] * stride
    taps = np.where((seen % dilation == 0) & (seen < window * dilation), seen // dilation, -1)
    return _Axis(
        reach=reach,
        before=before,
        extent=before + max(targets, int(last.max()) + 1),
        first=last - (reach - 1) + before,
        phase=place % stride,
        taps=taps,
    )
