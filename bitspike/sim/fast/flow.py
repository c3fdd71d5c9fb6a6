"""A connection and the neurons behind it, sample by sample, so that the inputs of a sample never leave the cache.

Only where a population has one connection and sends binary spikes; the others collect the inputs of a whole tile first.
"""

from typing import Any

from numba import njit

from bitspike.sim.fast.counting import count
from bitspike.sim.fast.kernels import window_sums
from bitspike.sim.fast.neurons import run_sample


@njit(cache=True, nogil=True)
def counted(events: Any, table: Any, pairs: Any, inputs: Any, cells: Any) -> Any:
    """Run neurons behind a dense connection with one-bit weights.

    Args:
        events: places, values, offsets, active of the source's rows.
        table: weights, factor and low of :func:`~bitspike.sim.fast.counting.count`.
        pairs: which row of a sample's inputs takes which row of the source, sample after sample, (rows, 2).
        inputs: room for those of one sample, shape (steps, neurons in whole columns), int16.
        cells: of :func:`~bitspike.sim.fast.neurons.binary`.

    Returns:
        How many samples were run in 32 bits.
    """
    places, _, offsets, active = events
    weights, factor, low = table
    steps, wide = len(inputs), 0
    for sample in range(len(pairs) // steps):
        rows = pairs[sample * steps : (sample + 1) * steps]
        count(places, offsets, active, weights, factor, low, rows, True, inputs)
        wide += run_sample(inputs, sample, cells)
    return wide


@njit(cache=True, nogil=True)
def windowed(events: Any, windows: Any, pairs: Any, inputs: Any, cells: Any) -> Any:
    """Run neurons behind a sliding window, as :func:`counted` runs those behind a dense connection.

    Args:
        events, pairs, inputs, cells: as there.
        windows: tables, shape, unit, most, factor and frame of :func:`~bitspike.sim.fast.kernels.window_sums`.
    """
    tables, shape, unit, most, factor, frame = windows
    steps, wide = len(inputs), 0
    for sample in range(len(pairs) // steps):
        rows = pairs[sample * steps : (sample + 1) * steps]
        window_sums(events, tables, shape, unit, most, factor, frame, rows, True, inputs)
        wide += run_sample(inputs, sample, cells)
    return wide
