"""A population that reads its own spikes, step by step in compiled code.

Only where one dense connection leads back; loops over several populations or connections go through Python.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from bitspike.compiled import compiled
from bitspike.sim.fast import narrow
from bitspike.sim.fast.counting import GROUP, count_row
from bitspike.sim.fast.neurons import run_wide
from bitspike.sim.fast.sources import list_row
from bitspike.sim.fast.sums import accumulate
from bitspike.sim.fast.vectors import LANES


@compiled
def looped(span: Any, table: Any, inputs: Any, room: Any, cells: Any) -> Any:
    """Run neurons that have their other input already.

    Args:
        span: steps, rows of a sample before its first step, and the delay of the connection.
        table: weights, factor and low of :func:`~bitspike.sim.fast.counting.count`, or weights alone, int16, (sources,
            targets in whole columns).
        inputs: shape (samples, steps, neurons in whole columns), int16.
        room: for the inputs of one sample, and for the events of a row, int32.
        cells: of :func:`~bitspike.sim.fast.neurons.binary`.

    Returns:
        How many samples were run in 32 bits.
    """
    steps, lead, delay = span
    state, _, small, settings, _, fired, _, _ = cells
    own, places = room
    width, words = inputs.shape[2], fired.shape[2]
    given, row, bits = inputs.ravel(), own.ravel(), fired.ravel()
    wide, none = 0, (np.empty(0, np.int8), 1, False)
    for sample in range(len(inputs)):
        u, v = state[0, sample], state[1, sample]
        first = sample * (lead + steps) + lead
        if narrow.begin(u, v, small):
            for step in range(steps):
                at = step * width
                _feed(given, (sample * steps + step) * width, row, at, width)
                _close(bits, (first + step - delay) * words, words, table, places, row, at, width)
                to, clear = (first + step) * words, step == settings[4]
                narrow.step(row, none, (at, 1, 0, width), bits, to, clear, small, settings)
            if narrow.end(u, v, small, settings):
                continue
        for step in range(steps):
            at = step * width
            _feed(given, (sample * steps + step) * width, row, at, width)
            _close(bits, (first + step - delay) * words, words, table, places, row, at, width)
            run_wide(own, sample, cells, (step, step + 1))
        wide += 1
    return wide


@compiled
def _feed(given: Any, begin: Any, row: Any, at: Any, width: Any) -> None:
    """Copy the other input of a step."""
    for n in range(width):
        row[at + n] = given[begin + n]


@compiled
def _close(bits: Any, begin: Any, words: Any, table: Any, places: Any, row: Any, at: Any, width: Any) -> None:  # noqa: PLR0917
    """Add what the spikes of an earlier step bring."""
    found = list_row(bits, begin, words, places, 0)
    if found:
        _add(table, places, found, row, at, width)


def _add(table: Any, places: Any, found: Any, row: Any, at: Any, width: Any) -> None:  # noqa: PLR0917
    """Add the weights of the events of a row: by the type of the table, which Numba chooses from below."""


@overload(_add)
def _choose(table, places, found, row, at, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def counted(table, places, found, row, at, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        weights, factor, low = table
        nobody = weights.shape[1] - 1
        for rest in range(found, -(-found // GROUP) * GROUP):
            places[rest] = nobody
        count_row(places, 0, -(-found // GROUP) * GROUP, weights, factor, low * found, row, at, width)

    def added(table, places, found, row, at, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        weights, one = table.ravel(), np.int16(1)
        for event in range(found):
            begin = np.int64(places[event]) * width
            for n in range(0, width, LANES):
                accumulate(row, at + n, weights, begin + n, one)

    return counted if hasattr(table, "types") else added
