"""What a connection delivers, prepared for many calls: the same integers, through products of floating-point numbers.

A float holds every integer up to two to the power of its mantissa. Where the weights of no target add up to more, times
the largest spike, no sum on the way can leave that range, in whatever order it is made: the product is exact. Where
they could, the integers themselves are multiplied. Libraries multiply floats ten times faster than integers.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Integers

Deliver = Callable[[npt.NDArray[np.integer]], Integers]
#: Integers up to this are held exactly.
EXACT = {np.float32: 1 << 24, np.float64: 1 << 53}


def prepared(connection: Connection) -> Deliver:
    """Return a function that gives what ``connection.deliver`` gives, for whole numbers of shape (samples, sources)."""
    if isinstance(connection, Dense):
        return product(connection.effective().T)
    if isinstance(connection, Conv2d):
        return _convolution(connection)
    return lambda spikes: connection.deliver(spikes.astype(np.int64))


def product(weights: Integers) -> Deliver:
    """Return a function that multiplies spikes, (..., sources), with weights, (sources, targets), exactly."""
    most = int(np.abs(weights).sum(axis=0).max(initial=1))
    tables: dict[type, npt.NDArray[np.floating]] = {}

    def deliver(spikes: npt.NDArray[np.integer]) -> Integers:
        largest = most * max(int(spikes.max(initial=0)), -int(spikes.min(initial=0)))
        for kind, limit in EXACT.items():
            if largest <= limit:
                if kind not in tables:
                    tables[kind] = weights.astype(kind)
                found: Integers = (spikes.astype(kind) @ tables[kind]).astype(np.int64)
                return found
        return spikes.astype(np.int64) @ weights

    return deliver


def _convolution(connection: Conv2d) -> Deliver:
    """One product for all places: the sources under each window in a row."""
    channels, height, width = connection.target_shape
    places = list(connection.places())
    taps = np.stack([connection.tap(y, x) for (y, x), _, _ in places])
    under = product(taps.transpose(0, 2, 1).reshape(-1, channels))

    def deliver(spikes: npt.NDArray[np.integer]) -> Integers:
        shaped = spikes.reshape(-1, *connection.source_shape)
        windows = np.zeros((len(shaped), height, width, len(places), shaped.shape[1]), shaped.dtype)
        for n, (_, (rows, columns), (from_rows, from_columns)) in enumerate(places):
            windows[:, rows, columns, n] = shaped[:, :, from_rows, from_columns].transpose(0, 2, 3, 1)
        summed = under(windows.reshape(len(shaped) * height * width, taps.shape[0] * taps.shape[2]))
        found: Integers = summed.reshape(len(shaped), height * width, channels).transpose(0, 2, 1)
        return found.reshape(len(shaped), channels * height * width)

    return deliver
