"""Linear maps between flattened signals, and their composition: a chain of nodes becomes one map, exactly in the reals.

A map is a factor for each number (:class:`Diagonal`), a window that slides (:class:`Window`), or a matrix
(:class:`Matrix`). What is composed of windows stays a window where one window computes the same at every place, borders
included; else it becomes a matrix, and nothing is ever approximated.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nodes import Affine, Convolution, Node, Pair, Pool, Reals, Scale, Space
from bitspike.errors import UnsupportedError

#: A matrix with more numbers than this is refused.
MAX_NUMBERS = 1 << 27


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Diagonal:
    """``y = factor * x``, one factor for each number."""

    factor: Reals

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return len(self.factor), len(self.factor)

    @property
    def uniform(self) -> bool:
        """Whether all factors are one number."""
        return bool((self.factor == self.factor[0]).all())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Matrix:
    """``y = weight @ x``."""

    weight: Reals

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return self.weight.shape[0], self.weight.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Window:
    """Cross-correlation, with the fields of :class:`bitspike.convert.floating.nodes.Convolution`."""

    source_shape: Space
    weight: Reals
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> Pair:
        """Height and width."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def reach(self) -> Pair:
        """Height and width with dilation."""
        (height, width), (down, across) = self.kernel, self.dilation
        return down * (height - 1) + 1, across * (width - 1) + 1

    @property
    def target_shape(self) -> Space:
        """(channels, height, width)."""
        height, width = (
            (size + 2 * pad - reach) // stride + 1
            for size, pad, reach, stride in zip(
                self.source_shape[1:], self.padding, self.reach, self.stride, strict=True
            )
        )
        return len(self.weight), height, width

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return int(np.prod(self.target_shape)), int(np.prod(self.source_shape))

    @property
    def plain(self) -> bool:
        """Whether it only mixes channels, place by place."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    def spread(self) -> Reals:
        """The kernel over all channels, (targets, sources, height, width), zeros between the groups."""
        targets, channels = len(self.weight), self.source_shape[0]
        full = np.zeros((targets, channels, *self.kernel))
        outer, inner = targets // self.groups, channels // self.groups
        for group in range(self.groups):
            rows, columns = slice(group * outer, (group + 1) * outer), slice(group * inner, (group + 1) * inner)
            full[rows, columns] = self.weight[rows]
        return full


Map = Diagonal | Matrix | Window


def map_of(node: Node) -> tuple[Map, Reals]:
    """What a node without state does: its linear map, and what it adds in every step."""
    if isinstance(node, Affine):
        return Matrix(weight=node.weight), np.asarray(node.bias)
    if isinstance(node, Convolution):
        places = node.size // len(node.weight)
        window = Window(
            source_shape=node.source_shape,
            weight=node.weight,
            stride=node.stride,
            padding=node.padding,
            dilation=node.dilation,
            groups=node.groups,
        )
        return window, np.repeat(np.asarray(node.bias), places)
    if isinstance(node, Pool):
        channels = node.source_shape[0]
        each = 1 / (node.window[0] * node.window[1]) if node.mean else 1.0
        weight = np.full((channels, 1, *node.window), each)
        window = Window(
            source_shape=node.source_shape, weight=weight, stride=node.stride, padding=node.padding, groups=channels
        )
        return window, np.zeros(node.size)
    factor = np.asarray(node.factor).reshape(-1) if isinstance(node, Scale) else np.ones(node.size)
    return Diagonal(factor=factor), np.zeros(node.size)


def apply(linear: Map, x: npt.ArrayLike) -> Reals:
    """The map of `x`, (samples, sources)."""
    signal = np.asarray(x, dtype=np.float64)
    if isinstance(linear, Diagonal):
        return signal * linear.factor
    if isinstance(linear, Matrix):
        return signal @ linear.weight.T
    images = np.pad(signal.reshape(-1, *linear.source_shape), ((0, 0), (0, 0), *((pad, pad) for pad in linear.padding)))
    channels, height, width = linear.target_shape
    out = np.zeros((len(signal), channels, height, width))
    full = linear.spread()
    for row, column in np.ndindex(*linear.kernel):
        top, left = row * linear.dilation[0], column * linear.dilation[1]
        rows = slice(top, top + (height - 1) * linear.stride[0] + 1, linear.stride[0])
        columns = slice(left, left + (width - 1) * linear.stride[1] + 1, linear.stride[1])
        out += np.einsum("oc,ncyx->noyx", full[:, :, row, column], images[:, :, rows, columns], optimize=True)
    return out.reshape(len(signal), -1)


def matrix_of(linear: Map) -> Reals:
    """The map as a matrix, (targets, sources)."""
    if isinstance(linear, Matrix):
        return linear.weight
    targets, sources = linear.shape
    if targets * sources > MAX_NUMBERS:
        raise UnsupportedError(
            f"a map of {sources} numbers to {targets} that is no single convolution; expected at most "
            f"{MAX_NUMBERS} synapses"
        )
    return np.ascontiguousarray(apply(linear, np.eye(sources)).T)


def then(first: Map, second: Map) -> Map:
    """The map that applies `first` and then `second`."""
    if isinstance(first, Diagonal):
        return _of_scaled(first, second)
    if isinstance(second, Diagonal):
        return _scaled(first, second)
    window = _windows(first, second) if isinstance(first, Window) and isinstance(second, Window) else None
    return window or Matrix(weight=apply(second, matrix_of(first).T).T)


def plus(first: Map, second: Map) -> Map:
    """The map whose result is the sum of both."""
    if isinstance(first, Diagonal) and isinstance(second, Diagonal):
        return Diagonal(factor=first.factor + second.factor)
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Window) and isinstance(other, Diagonal):
            window = _centred(one, other)
            if window is not None:
                return window
    if isinstance(first, Window) and isinstance(second, Window) and _geometry(first) == _geometry(second):
        return replace(first, weight=first.weight + second.weight)
    return Matrix(weight=matrix_of(first) + matrix_of(second))


def rows_of(linear: Map, rows: npt.NDArray[np.int64]) -> Matrix:
    """The map to some of the targets."""
    return Matrix(weight=matrix_of(linear)[rows])


def columns_of(linear: Map, columns: npt.NDArray[np.int64]) -> Matrix:
    """The map from some of the sources."""
    return Matrix(weight=np.ascontiguousarray(matrix_of(linear)[:, columns]))


def _of_scaled(first: Diagonal, second: Map) -> Map:
    if bool((first.factor == 1).all()):
        return second
    if isinstance(second, Diagonal):
        return Diagonal(factor=first.factor * second.factor)
    each = _by_channel(first.factor, second.source_shape) if isinstance(second, Window) else None
    if isinstance(second, Window) and each is not None:
        return _times_sources(second, each)
    return Matrix(weight=matrix_of(second) * first.factor)


def _scaled(first: Matrix | Window, second: Diagonal) -> Map:
    if bool((second.factor == 1).all()):
        return first
    each = _by_channel(second.factor, first.target_shape) if isinstance(first, Window) else None
    if isinstance(first, Window) and each is not None:
        return replace(first, weight=first.weight * each[:, None, None, None])
    return Matrix(weight=matrix_of(first) * second.factor[:, None])


def _geometry(window: Window) -> tuple[object, ...]:
    return window.source_shape, window.kernel, window.stride, window.padding, window.dilation, window.groups


def _by_channel(factor: Reals, shape: Space) -> Reals | None:
    """One factor for each channel; None where they differ within one."""
    each = factor.reshape(shape[0], -1)
    return each[:, 0].copy() if bool((each == each[:, :1]).all()) else None


def _times_sources(window: Window, each: Reals) -> Window:
    inner = window.source_shape[0] // window.groups
    outer = len(window.weight) // window.groups
    factors = np.repeat(each.reshape(window.groups, inner), outer, axis=0)
    return replace(window, weight=window.weight * factors[:, :, None, None])


def _centred(window: Window, diagonal: Diagonal) -> Window | None:
    """A window plus a factor for each number, where the window has each number of its source at one place."""
    centre = [pad / dilation for pad, dilation in zip(window.padding, window.dilation, strict=True)]
    same = window.source_shape == window.target_shape and window.stride == (1, 1)
    within = all(at == int(at) and at < size for at, size in zip(centre, window.kernel, strict=True))
    each = _by_channel(diagonal.factor, window.target_shape) if same else None
    if each is None or not within:
        return None
    weight = window.weight.copy()
    inner = window.source_shape[0] // window.groups
    channels = np.arange(len(weight))
    weight[channels, channels % inner, int(centre[0]), int(centre[1])] += each
    return replace(window, weight=weight)


def _windows(first: Window, second: Window) -> Window | None:
    """One window for two; None where there is none, or none with the same borders."""
    groups = _groups(first, second)
    if second.plain:
        full = np.einsum("om,miyx->oiyx", second.spread()[:, :, 0, 0], first.spread())
        return _grouped(replace(first, weight=full, groups=1), groups)
    if first.plain:
        full = np.einsum("omyx,mi->oiyx", second.spread(), first.spread()[:, :, 0, 0])
        return _grouped(replace(second, source_shape=first.source_shape, weight=full, groups=1), groups)
    for axis in (0, 1):
        if second.padding[axis] and not _silent_outside(first, axis):
            return None
    stride = tuple(a * b for a, b in zip(first.stride, second.stride, strict=True))
    padding = tuple(a + s * b for a, s, b in zip(first.padding, first.stride, second.padding, strict=True))
    reach = tuple(a + s * (b - 1) for a, s, b in zip(first.reach, first.stride, second.reach, strict=True))
    full = np.zeros((len(second.weight), first.source_shape[0], *reach))
    outer, inner = second.spread(), first.spread()
    for row, column in np.ndindex(*second.kernel):
        top, left = row * second.dilation[0] * first.stride[0], column * second.dilation[1] * first.stride[1]
        rows = slice(top, top + first.reach[0], first.dilation[0])
        columns = slice(left, left + first.reach[1], first.dilation[1])
        full[:, :, rows, columns] += np.einsum("om,miyx->oiyx", outer[:, :, row, column], inner, optimize=True)
    found = Window(
        source_shape=first.source_shape, weight=full, stride=(stride[0], stride[1]), padding=(padding[0], padding[1])
    )
    return _grouped(found, groups) if found.target_shape == second.target_shape else None


def _silent_outside(window: Window, axis: int) -> bool:
    """Whether every place before the first and after the last target sees nothing but padding."""
    stride, pad, reach = window.stride[axis], window.padding[axis], window.reach[axis]
    targets, sources = window.target_shape[axis + 1], window.source_shape[axis + 1]
    return reach <= stride + pad and targets * stride - pad >= sources


def _groups(first: Window, second: Window) -> int:
    """Into how many groups the channels of the composed window fall."""
    if first.groups == first.source_shape[0] == len(first.weight):
        return second.groups
    if second.groups == second.source_shape[0] == len(second.weight):
        return first.groups
    return first.groups if first.groups == second.groups else 1


def _grouped(window: Window, groups: int) -> Window:
    """A window over all channels, its kernel cut down to the groups it has."""
    if groups == 1:
        return window
    inner, outer = window.source_shape[0] // groups, len(window.weight) // groups
    parts = [window.weight[g * outer : (g + 1) * outer, g * inner : (g + 1) * inner] for g in range(groups)]
    return replace(window, weight=np.concatenate(parts), groups=groups)
