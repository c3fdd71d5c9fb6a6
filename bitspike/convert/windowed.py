"""Connections that slide a window over (channels, height, width): convolution and sum pooling.

A population of that shape is flattened in C order.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection, Integers
from bitspike.convert.value import make_integers, make_pair
from bitspike.convert.weights import Weights
from bitspike.errors import UsageError

Pair = tuple[int, int]
Space = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Windowed(Connection):
    """A connection that slides a window over (channels, height, width).

    Attributes:
        source_shape: (channels, height, width) of the source.
        stride, padding, dilation: (vertical, horizontal); a padded place has no neuron and no synapse.
    """

    source_shape: Space
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        Connection.__post_init__(self)
        where = f"connection {self.name}"
        make_pair(self, where, "source_shape", 3)
        for name in ("stride", "padding", "dilation"):
            make_pair(self, where, name, 2)

    @property
    @abstractmethod
    def window(self) -> Pair:
        """Height and width of the kernel."""

    @property
    @abstractmethod
    def target_channels(self) -> int:
        """Channels of the target."""

    @property
    def target_shape(self) -> Space:
        """(channels, height, width) of the target; extents below 1 where the window does not fit."""
        extents = (
            (size + 2 * pad - dilation * (window - 1) - 1) // stride + 1
            for size, pad, dilation, window, stride in zip(
                self.source_shape[1:], self.padding, self.dilation, self.window, self.stride, strict=True
            )
        )
        height, width = extents
        return self.target_channels, height, width

    @property
    def shape(self) -> tuple[int, int]:
        """(target neurons, source neurons)."""
        channels, height, width = self.target_shape
        return channels * height * width, int(np.prod(self.source_shape))

    @abstractmethod
    def tap(self, y: int, x: int) -> Integers:
        """Effective weights of one place of the window, (target channels, source channels)."""

    @abstractmethod
    def connected(self) -> npt.NDArray[np.bool_]:
        """Which source channel has a synapse to which target channel, (target channels, source channels)."""

    def places(self) -> Iterator[tuple[Pair, tuple[slice, slice], tuple[slice, slice]]]:
        """For each place (y, x) of the window: the rows and columns of the target that it serves, and of the source."""
        _, height, width = self.target_shape
        for y in range(self.window[0]):
            for x in range(self.window[1]):
                rows, from_rows = self._span(0, y, (height, self.source_shape[1]))
                columns, from_columns = self._span(1, x, (width, self.source_shape[2]))
                yield (y, x), (rows, columns), (from_rows, from_columns)

    def deliver(self, spikes: Integers) -> Integers:
        """Cross-correlation, as in torch: the sum over the places of the window, none of them flipped."""
        return self._sum(spikes.reshape(-1, *self.source_shape), lambda weights: weights)

    def bounds(self, most: Integers | None = None) -> tuple[Integers, Integers]:
        """Sums of the negative and of the positive weights that each target has, times `most`, padding left out."""
        shape = (1, *self.source_shape)
        highest = np.ones(shape, dtype=np.int64) if most is None else most.reshape(shape)
        low = self._sum(highest, lambda weights: np.minimum(weights, 0))
        return low[0], self._sum(highest, lambda weights: np.maximum(weights, 0))[0]

    def fan_out(self) -> Integers:
        """Targets whose window covers a source, times the channels it is connected to."""
        channels = self.connected().sum(axis=0, dtype=np.int64)
        count = np.zeros(self.source_shape, dtype=np.int64)
        for _, _, (rows, columns) in self.places():
            count[:, rows, columns] += channels[:, None, None]
        return count.ravel()

    def nonzero_fan_out(self) -> Integers:
        """As :meth:`fan_out`, without synapses of weight 0."""
        count = np.zeros(self.source_shape, dtype=np.int64)
        for (y, x), _, (rows, columns) in self.places():
            count[:, rows, columns] += np.count_nonzero(self.tap(y, x), axis=0)[:, None, None]
        return count.ravel()

    def inputs_of(self, neuron: int) -> tuple[Integers, Integers]:
        """Sources under the window of one target, and the weights there."""
        one = np.zeros(self.target_shape, dtype=bool)
        one.flat[neuron] = True
        channel, row, column = (int(place[0]) for place in np.nonzero(one))
        index = np.arange(np.prod(self.source_shape)).reshape(self.source_shape)
        sources, weights = [], []
        for (y, x), (rows, columns), (from_rows, from_columns) in self.places():
            if rows.start <= row < rows.stop and columns.start <= column < columns.stop:
                at_row = from_rows.start + (row - rows.start) * self.stride[0]
                at_column = from_columns.start + (column - columns.start) * self.stride[1]
                there = np.flatnonzero(self.connected()[channel])
                sources.append(index[there, at_row, at_column])
                weights.append(self.tap(y, x)[channel, there])
        if not sources:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        found, values = np.concatenate(sources), np.concatenate(weights)
        order = np.argsort(found)
        return found[order], values[order]

    def _span(self, axis: int, place: int, extents: Pair) -> tuple[slice, slice]:
        """Along one axis of (targets, sources): the targets with `place` on a source, and those sources."""
        targets, sources = extents
        stride = self.stride[axis]
        offset = place * self.dilation[axis] - self.padding[axis]
        first = -(offset // stride) if offset < 0 else 0
        last = min(targets - 1, (sources - 1 - offset) // stride)
        if last < first:
            return slice(0, 0), slice(0, 0)
        begin = first * stride + offset
        return slice(first, last + 1), slice(begin, begin + (last - first) * stride + 1, stride)

    def _sum(self, spikes: Integers, part: Any) -> Integers:
        total = np.zeros((len(spikes), *self.target_shape), dtype=np.int64)
        for (y, x), (rows, columns), (from_rows, from_columns) in self.places():
            taken = spikes[:, :, from_rows, from_columns]
            total[:, :, rows, columns] += np.einsum("oc,ncyx->noyx", part(self.tap(y, x)), taken)
        return total.reshape(len(spikes), self.shape[0])

    def _geometry(self) -> str:
        source, target = ("x".join(map(str, s)) for s in (self.source_shape, self.target_shape))
        parts = [f"{source}->{target} window={self.window[0]}x{self.window[1]}"]
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            pair = getattr(self, name)
            if pair != default:
                parts.append(f"{name}={pair[0]}x{pair[1]}")
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Conv2d(Windowed):
    """Convolution (cross-correlation, as in torch).

    Attributes:
        weights: shape (target channels, source channels / groups * height * width of the kernel), C order.
        kernel: (height, width).
        groups: the channels are cut into so many groups, each connected within itself.
    """

    kind: ClassVar[str] = "conv"
    weights: Weights
    kernel: Pair
    groups: int = 1

    def __post_init__(self) -> None:
        Windowed.__post_init__(self)
        where = f"connection {self.name}"
        make_pair(self, where, "kernel", 2)
        make_integers(self, where, "groups")
        channels = self.source_shape[0]
        if self.groups < 1 or channels % self.groups or self.weights.shape[0] % self.groups:
            raise UsageError(f"{where}: {self.groups} groups; expected a divisor of both numbers of channels")
        expected = channels // self.groups * self.kernel[0] * self.kernel[1]
        if self.weights.shape[1] != expected:
            raise UsageError(f"{where}: weights of {self.weights.shape[1]} columns; expected {expected}")

    @property
    def window(self) -> Pair:
        """The kernel's size."""
        return self.kernel

    @property
    def target_channels(self) -> int:
        """One for each row of weights."""
        return self.weights.shape[0]

    @property
    def parameters(self) -> int:
        """Those of the kernels."""
        return self.weights.shape[0] * self.weights.shape[1]

    @property
    def weight_bits(self) -> int:
        """Those of the kernels."""
        return self.weights.stored_bits

    def kernels(self) -> Integers:
        """Effective weights, (target channels, source channels / groups, height, width)."""
        return (self.weights.matrix() << self.exponent).reshape(self.target_channels, -1, *self.kernel)

    def tap(self, y: int, x: int) -> Integers:
        """One place of the kernel, spread over the groups."""
        spread = np.zeros((self.target_channels, self.source_shape[0]), dtype=np.int64)
        spread[self.connected()] = self.kernels()[:, :, y, x].ravel()
        return spread

    def connected(self) -> npt.NDArray[np.bool_]:
        """Within each group."""
        outer, inner = self.target_channels // self.groups, self.source_shape[0] // self.groups
        return np.kron(np.eye(self.groups, dtype=bool), np.ones((outer, inner), dtype=bool))

    def describe(self) -> str:
        """Geometry, bits and values."""
        groups = f" groups={self.groups}" if self.groups > 1 else ""
        return f"{self._geometry()}{groups} {self.weights.describe()} #{self.weights.digest()[:8]}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SumPool2d(Windowed):
    """Sum over a window, channel by channel: synapses of weight 1."""

    kind: ClassVar[str] = "pool"
    kernel: Pair

    def __post_init__(self) -> None:
        Windowed.__post_init__(self)
        make_pair(self, f"connection {self.name}", "kernel", 2)

    @property
    def window(self) -> Pair:
        """The pool's size."""
        return self.kernel

    @property
    def target_channels(self) -> int:
        """As many as the source has."""
        return self.source_shape[0]

    @property
    def parameters(self) -> int:
        """None: every weight is 1."""
        return 0

    @property
    def weight_bits(self) -> int:
        """One: every weight is 1."""
        return 1

    def tap(self, y: int, x: int) -> Integers:  # noqa: ARG002
        """Weight 1 from each channel to itself."""
        return np.eye(self.source_shape[0], dtype=np.int64) << self.exponent

    def connected(self) -> npt.NDArray[np.bool_]:
        """Each channel with itself."""
        return np.eye(self.source_shape[0], dtype=bool)

    def describe(self) -> str:
        """Geometry."""
        return self._geometry()
