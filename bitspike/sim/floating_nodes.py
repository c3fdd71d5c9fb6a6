"""What each node of a float network does with a step of a batch: arrays of shape (samples, numbers)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nodes import (
    Affine,
    Convolution,
    Delay,
    FloatInput,
    Neurons,
    Node,
    Pool,
    Reshape,
    Scale,
)
from bitspike.errors import EngineError, UnsupportedError

#: float64 or float32, as the run was asked for.
Floats = npt.NDArray[np.floating]
Operator = Callable[[Floats], Floats]
FloatType = type[np.float64] | type[np.float32]


def operator(node: Node, samples: int, dtype: FloatType) -> Operator:
    """The function of a node without neurons, its parameters in `dtype`; a delay remembers what it was given."""
    if isinstance(node, Affine):
        return _affine(node, dtype)
    if isinstance(node, Convolution):
        return _convolution(node, dtype)
    if isinstance(node, Pool):
        return _pool(node, dtype)
    if isinstance(node, Scale):
        factor = node.factor.reshape(-1).astype(dtype)
        return lambda x: factor * x
    if isinstance(node, Delay):
        return Line(node.steps, samples, node.size, dtype).pass_on
    if isinstance(node, Reshape):
        return lambda x: x
    raise UnsupportedError(f"node {node.name}: the float engine has no {type(node).__name__}")


class Line:
    """The last signals of one node, newest first: a delay line that begins in silence."""

    def __init__(self, steps: int, samples: int, size: int, dtype: FloatType) -> None:
        self._past = np.zeros((steps + 1, samples, size), dtype)
        self._newest = 0

    def push(self, x: Floats) -> None:
        """Make `x` the newest signal."""
        self._newest = (self._newest + 1) % len(self._past)
        self._past[self._newest] = x

    def ago(self, steps: int) -> Floats:
        """A copy of the signal of so many pushes before the newest."""
        return self._past[(self._newest - steps) % len(self._past)].copy()

    def pass_on(self, x: Floats) -> Floats:
        """Push `x` and return the oldest signal that is remembered."""
        self.push(x)
        return self.ago(len(self._past) - 1)


class PopulationState:
    """The state of one population in a batch, and its step: see :class:`bitspike.convert.floating.nodes.Neurons`.

    Parameters that are 0 or 1 for all neurons are left out of the sums, which changes no number: a product with 1 and a
    sum with 0 are exact.
    """

    def __init__(self, node: Neurons, samples: int, dtype: FloatType) -> None:
        self.node = node
        self._dtype = dtype
        self._alpha = _unless(node.alpha, 0, dtype)
        self._beta = _unless(node.beta, 1, dtype)
        self._input_gain = _unless(node.input_gain, 1, dtype)
        self._gain = _unless(node.gain, 1, dtype)
        self._drift = _unless(node.drift, 0, dtype)
        self._threshold = node.threshold.astype(dtype)
        self._reset_value = node.reset_value.astype(dtype)
        shape = (samples, node.size)
        self.i: Floats = np.zeros(shape, dtype)
        self.v: Floats = np.zeros(shape, dtype)
        self.spikes = np.zeros(shape, bool)
        self._held: Floats | None = None
        self.peak_i = 0.0
        self.low_v = self.high_v = 0.0
        if node.at_rest:
            leak = 1 - node.beta
            rest = np.divide(node.drift, leak, out=np.zeros_like(leak), where=leak != 0)
            self.v[:] = rest.astype(dtype)

    def step(self, x: Floats) -> Floats:
        """Take the summed signal of a step; return what the population sends: spikes 0 or 1, or its membranes."""
        node = self.node
        before = self.i
        driven = x if self._input_gain is None else self._input_gain * x
        self.i = driven if self._alpha is None else self._alpha * before + driven
        v = self._integrate(before if node.late_current else self.i)
        self._note(v)
        if not node.spiking:
            self.v = v
            return v
        self.spikes = v > self._threshold if node.strict else v >= self._threshold
        self.v = v if node.reset_late else self._reset(v)
        return self.spikes.astype(self._dtype)

    def _integrate(self, current: Floats) -> Floats:
        node, v = self.node, self.v
        late = node.spiking and node.reset_late
        held = self._held = self._threshold * (v > self._threshold) if node.residual_held else None
        if late and node.reset == "value":
            v = np.where(self.spikes, self._reset_value, v)
        if self._beta is not None:
            v = self._beta * v
        v = v + (current if self._gain is None else self._gain * current)
        if self._drift is not None:
            v = v + self._drift
        if late and node.reset == "subtract":
            v = v - self._threshold * self.spikes
        if held is not None:
            v = v - held
        if late and node.reset == "value" and node.reset_swallows:
            v = np.where(self.spikes, self._reset_value, v)
        return v

    def _reset(self, v: Floats) -> Floats:
        if self.node.reset == "value":
            return np.where(self.spikes, self._reset_value, v)
        if self.node.reset == "none":
            return v
        taken = self._threshold * self.spikes
        return v - (taken if self._held is None else taken - self._held)

    def _note(self, v: Floats) -> None:
        low, high, current = float(v.min()), float(v.max()), float(np.abs(self.i).max())
        if not np.isfinite([low, high, current]).all():
            raise EngineError(f"population {self.node.name}: a current or a membrane is no longer a finite number")
        self.low_v, self.high_v = min(self.low_v, low), max(self.high_v, high)
        self.peak_i = max(self.peak_i, current)


def working_bytes(node: Node, itemsize: int) -> int:
    """Bytes of the arrays that one sample needs in `node` for a step, about."""
    if isinstance(node, Convolution):
        _, height, width = node.shape
        window = node.window[0] * node.window[1]
        return itemsize * (2 * node.size + node.source_shape[0] * window * height * width)
    if isinstance(node, Delay):
        return itemsize * node.size * (node.steps + 2)
    return itemsize * node.size * (8 if isinstance(node, Neurons) else 1 if isinstance(node, FloatInput) else 3)


def _unless(values: npt.NDArray[np.float64], trivial: float, dtype: FloatType) -> Floats | None:
    return None if bool((values == trivial).all()) else values.astype(dtype)


def _affine(node: Affine, dtype: FloatType) -> Operator:
    matrix: Any = node.weight.astype(dtype).T
    bias = _unless(node.bias, 0, dtype)

    def multiply(x: Floats) -> Floats:
        out: Any = np.matmul(x, matrix)
        return out if bias is None else out + bias

    return multiply


def _padded(node: Convolution | Pool, x: Floats) -> Floats:
    image = x.reshape(len(x), *node.source_shape)
    vertical, horizontal = node.padding
    if not (vertical or horizontal):
        return image
    return np.pad(image, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)))


def _tap(node: Convolution | Pool, image: Floats, row: int, column: int) -> Floats:
    """What the place (row, column) of the window sees, for all places of the window: (samples, channels, h, w)."""
    _, height, width = node.shape
    top, left = row * node.dilation[0], column * node.dilation[1]
    rows = slice(top, top + (height - 1) * node.stride[0] + 1, node.stride[0])
    columns = slice(left, left + (width - 1) * node.stride[1] + 1, node.stride[1])
    return image[:, :, rows, columns]


def _convolution(node: Convolution, dtype: FloatType) -> Operator:
    """Windows laid out side by side, then one matrix product a sample and group."""
    targets, height, width = node.shape
    groups, channels, places = node.groups, node.source_shape[0], node.window[0] * node.window[1]
    matrix = node.weight.reshape(groups, targets // groups, -1).astype(dtype)
    bias = _unless(node.bias, 0, dtype)

    def convolve(x: Floats) -> Floats:
        image = _padded(node, x)
        windows = np.empty((len(x), channels, *node.window, height, width), dtype)
        for row, column in np.ndindex(*node.window):
            windows[:, :, row, column] = _tap(node, image, row, column)
        columns = windows.reshape(len(x), groups, channels // groups * places, height * width)
        out = np.matmul(matrix, columns).reshape(len(x), targets, height * width)
        return (out if bias is None else out + bias[:, None]).reshape(len(x), -1)

    return convolve


def _pool(node: Pool, dtype: FloatType) -> Operator:
    places: Any = dtype(node.window[0] * node.window[1])

    def pool(x: Floats) -> Floats:
        image = _padded(node, x)
        total = np.zeros((len(x), *node.shape), dtype)
        for row, column in np.ndindex(*node.window):
            total += _tap(node, image, row, column)
        return (total / places if node.mean else total).reshape(len(x), -1)

    return pool
