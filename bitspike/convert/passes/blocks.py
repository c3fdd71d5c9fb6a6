"""Parts of connections: the synapses from some sources to some targets, as a connection of its own."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.weights import BinaryWeights, IntegerWeights, Weights
from bitspike.errors import UnsupportedError

Mask = npt.NDArray[np.bool_]


def like(weights: Weights, matrix: npt.NDArray[np.int64]) -> Weights:
    """`matrix`, some of the values of `weights`, in the same form."""
    if isinstance(weights, BinaryWeights):
        return BinaryWeights.pack(matrix, low=weights.low, high=weights.high)
    return IntegerWeights(values=matrix.astype(np.int16))


def spatial(network: IntegerNetwork) -> set[str]:
    """The inputs and populations that a window reads or fills: they are cut by whole channels only."""
    windows = [c for c in network.connections if isinstance(c, Windowed)]
    return {end for c in windows for end in (c.source, c.target)}


def channel_mask(mask: Mask, channels: int) -> Mask:
    """Which channels of a flattened (channels, ...) have a True."""
    return np.asarray(mask.reshape(channels, -1).any(axis=1))


def cut(c: Connection, rows: Mask, columns: Mask) -> Connection:
    """`c` between those targets that `rows` keeps and those sources that `columns` keeps.

    The masks, over neurons, are such as :func:`bitspike.convert.passes.keep.closed` gives: equal at both ends of an
    identity or a pool, whole channels at a window, whole groups at a convolution in groups.
    """
    if rows.all() and columns.all():
        return c
    if isinstance(c, Dense):
        return replace(c, weights=like(c.weights, c.weights.matrix()[rows][:, columns]))
    if isinstance(c, Identity):
        return replace(c, size=int(rows.sum()))
    if not isinstance(c, Conv2d | SumPool2d):
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}, which has no parts")
    outer, inner = channel_mask(rows, c.target_channels), channel_mask(columns, c.source_shape[0])
    source_shape = (int(inner.sum()), *c.source_shape[1:])
    if isinstance(c, SumPool2d):
        return replace(c, source_shape=source_shape)
    kernels = c.weights.matrix().reshape(c.target_channels, -1, *c.kernel)[outer]
    if c.groups == 1:
        kernels = kernels[:, inner]
    groups = int(inner.reshape(c.groups, -1).any(axis=1).sum()) if c.groups > 1 else 1
    return replace(
        c, source_shape=source_shape, groups=groups, weights=like(c.weights, kernels.reshape(len(kernels), -1))
    )
