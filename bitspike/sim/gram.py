"""What pairs of sources leave in a membrane, on calibration data: the Gram matrix for rounding.

A spike adds its weight to the current, and the membrane keeps a share of that from step to step; so what stays of the
spikes of a source is its spikes, decayed twice. Resets are left out, which would make it a matrix for each neuron.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.cells import Cell, Link
from bitspike.convert.floating.maps import Window
from bitspike.convert.floating.nodes import Reals
from bitspike.convert.floating.rounding import joined
from bitspike.convert.network import DECAY_ONE

#: Rows of the matrix whose products are summed: steps of samples, and of a convolution places.
ROWS = 1 << 15
#: More columns are rounded to the nearest.
MAX_COLUMNS = 4096


def gram_of(cell: Cell, sent: Mapping[str, npt.NDArray[np.uint8]]) -> Reals | None:
    """The Gram matrix of the columns that a cell rounds together, and of its bias; None where there are none."""
    places = joined(cell)
    links = [cell.links[place] for place in places]
    columns = sum(int(np.prod(_numbers(link).shape[1:])) for link in links)
    if not cell.origin or not links or columns > MAX_COLUMNS:
        return None
    traces = [_left(cell, link, sent[link.source]) for link in links]
    steps = traces[0].shape[1]
    ones = _decayed(np.ones((1, steps, 1), np.float32), 0.0, 1 - cell.dv / DECAY_ONE)
    rows = [trace.reshape(-1, trace.shape[2]) for trace in _columns(links, traces)]
    repeats = len(rows[0]) // steps
    constant = np.broadcast_to(ones, (repeats, steps, 1)).reshape(-1, 1)
    every = max(1, -(-len(rows[0]) // ROWS))
    kept = np.concatenate([row[::every] for row in (*rows, constant)], axis=1)
    return np.asarray(kept.T @ kept, dtype=np.float64)


def _numbers(link: Link) -> npt.NDArray[Any]:
    return np.asarray(getattr(link.map, "weight", np.zeros(0)))


def _left(cell: Cell, link: Link, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    late = np.zeros(spikes.shape, np.float32)
    late[:, link.delay :] = spikes[:, : spikes.shape[1] - link.delay]
    return _decayed(late, 1 - cell.du / DECAY_ONE, 1 - cell.dv / DECAY_ONE)


def _decayed(spikes: npt.NDArray[np.float32], current: float, membrane: float) -> npt.NDArray[np.float32]:
    """What is left of spikes, (samples, steps, columns), in the membrane."""
    left = np.empty_like(spikes)
    i = v = np.zeros((len(spikes), spikes.shape[2]), np.float32)
    for t in range(spikes.shape[1]):
        i = np.float32(current) * i + spikes[:, t]
        v = np.float32(membrane) * v + i
        left[:, t] = v
    return left


def _columns(links: list[Link], traces: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """The traces by the columns of weights: of a convolution those under its window, place by place."""
    window = links[0].map
    if not isinstance(window, Window):
        return traces
    trace = traces[0]
    samples, steps = trace.shape[:2]
    vertical, horizontal = window.padding
    image = np.pad(
        trace.reshape(samples * steps, *window.source_shape),
        ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)),
    )
    _, height, width = window.target_shape
    channels = window.source_shape[0]
    seen = np.empty((samples * steps, height * width, channels, *window.kernel), np.float32)
    for row, column in np.ndindex(*window.kernel):
        top, left = row * window.dilation[0], column * window.dilation[1]
        part = image[
            :,
            :,
            top : top + (height - 1) * window.stride[0] + 1 : window.stride[0],
            left : left + (width - 1) * window.stride[1] + 1 : window.stride[1],
        ]
        seen[:, :, :, row, column] = part.reshape(samples * steps, channels, -1).transpose(0, 2, 1)
    # Steps stay last but one, so that the constant column repeats with them.
    size = channels * window.kernel[0] * window.kernel[1]
    by_place = seen.reshape(samples, steps, height * width, size).transpose(0, 2, 1, 3)
    return [by_place.reshape(samples * height * width, steps, size)]
