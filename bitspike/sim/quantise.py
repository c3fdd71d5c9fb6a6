"""Putting a float network onto the chip's lattice, and the report of what that moved.

1. The float network becomes cells with thresholds of 1 (:mod:`bitspike.convert.floating.lattice`).
2. Scales are searched on calibration data (:mod:`bitspike.sim.quantise_search`), and weights, biases and thresholds
   rounded.
3. The result is legal, its ranges are proved, and it is run beside the float network on the calibration data and on
   data that the search has not seen.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.cells import Cell, Lattice
from bitspike.convert.floating.lattice import lattice
from bitspike.convert.floating.names import named
from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.rounding import Rounded, fitted
from bitspike.convert.floating.split import split
from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.floating import simulate_float
from bitspike.sim.quantisation import PartMoved, PopulationMove, Quantisation, SpikesMoved
from bitspike.sim.quantise_data import Samples, Spikes, by_input, read_samples
from bitspike.sim.quantise_search import SEARCH_BYTES, MembraneReadout, Search
from bitspike.sim.whole_window import run_window

Notify = Callable[[str, int, int], None]


def quantise(
    network: FloatNetwork,
    calibration: SpikeData | npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    held_out: SpikeData | npt.ArrayLike | None = None,
    held_out_labels: npt.ArrayLike | None = None,
    bits: int = 8,
    strict: bool = False,
    readout: MembraneReadout = "membrane_sum",
    notify: Notify | None = None,
) -> Quantisation:
    """Quantise a float network.

    Args:
        network: as read from a model or a file.
        calibration: spikes, 0 or 1 of shape (samples, steps, neurons), or encoded samples: what the scales are chosen
            on. Their window becomes that of the network.
        labels: classes of the samples, for accuracies; encoded samples bring their own.
        held_out: more samples that only the report sees; where none are given, the last quarter of `calibration`.
        held_out_labels: their classes.
        bits: of a weight's magnitude, 1..8; the sign is one more.
        strict: refuse what the chip could only do nearly, instead of saying so in the notes.
        readout: how a population is read that has no threshold; others are read by their spikes.
        notify: called with the population that is searched, its number from 0, and how many there are.

    Raises:
        UsageError: data that do not fit.
        UnsupportedError: what the chip cannot do, by name.
        RangeError: no scale keeps the registers from overflowing.
    """
    if not 1 <= bits <= 8:
        raise UsageError(f"bits {bits}; expected 1..8")
    data = read_samples(network, "calibration", calibration, labels)
    if held_out is None:
        kept = len(data) - len(data) // 4
        data, held = data.rows(0, kept), data.rows(kept, len(data))
    else:
        held = read_samples(network, "held_out", held_out, held_out_labels)
    plan = named(fitted(split(lattice(network, strict=strict), strict=strict)))
    search = Search(network, plan, data.spikes, bits=bits, readout=readout, notify=notify)
    choices = search.run()
    plan = search.plan
    built = {cell.name: search.rounded(cell, choices[cell.name]) for cell in plan.cells}
    result = search.network(built)
    check_range(check(result))
    parts = (("calibration", data), ("held out", held))
    return Quantisation(
        network=result,
        source=network,
        populations=tuple(_population(cell, built[cell.name]) for cell in plan.cells),
        connections=tuple(move for cell in plan.cells for move in built[cell.name].moves),
        parts=tuple(_moved(part, network, plan, result, samples) for part, samples in parts if len(samples)),
        notes=plan.notes,
        tried=search.tried,
    )


def _moved(part: str, network: FloatNetwork, plan: Lattice, result: IntegerNetwork, data: Samples) -> PartMoved:
    """Both networks on one part of the data, a few samples at a time."""
    origins = [p.name for p in network.populations if p.spiking]
    counts = {name: [0, 0, 0, 0] for name in origins}
    before, after = [], []
    size = max(1, SEARCH_BYTES // (16 * data.steps * sum(cell.size for cell in plan.cells)))
    readout = result.readouts[0]
    for start in range(0, len(data), size):
        spikes = data.spikes[start : start + size]
        record = simulate_float(network, by_input(network.inputs, spikes), record=origins, dtype="float32")
        fired, membranes = run_window(result, spikes)
        for cell in plan.cells:
            if cell.origin in counts:
                true = record.traces[cell.origin].spikes[:, :, cell.neurons]
                found = (true.sum(), fired[cell.name].sum(), np.count_nonzero(true != fired[cell.name]), true.size)
                counts[cell.origin] = [a + int(b) for a, b in zip(counts[cell.origin], found, strict=True)]
        after.append(_classes(fired, membranes, readout))
        before.append(record.predictions("last" if readout.kind == "membrane_last" else "auto"))
    old, new = np.concatenate(before), np.concatenate(after)
    return PartMoved(
        part=part,
        samples=len(data),
        steps=data.steps,
        spikes=tuple(
            SpikesMoved(population=name, before=row[0], after=row[1], differing=row[2], places=row[3])
            for name, row in counts.items()
        ),
        agreeing=int(np.sum(old == new)),
        right_before=None if data.labels is None else int(np.sum(old == data.labels)),
        right_after=None if data.labels is None else int(np.sum(new == data.labels)),
    )


def _classes(
    fired: Mapping[str, Spikes], membranes: Mapping[str, npt.NDArray[np.int64]], readout: Readout
) -> npt.NDArray[np.int64]:
    scores: npt.NDArray[Any]
    if readout.kind == "spike_count":
        scores = fired[readout.population].sum(axis=1, dtype=np.int64)
    elif readout.kind == "membrane_sum":
        scores = membranes[readout.population].sum(axis=1)
    else:
        scores = membranes[readout.population][:, -1]
    return np.argmax(scores, axis=1)


def _population(cell: Cell, built: Rounded) -> PopulationMove:
    p = built.population
    return PopulationMove(
        population=cell.name,
        origin=cell.origin,
        neurons=cell.size,
        vth=p.vth,
        du=p.du,
        dv=p.dv,
        current_most=float(np.abs(1 - p.du / DECAY_ONE - cell.alpha).max()),
        membrane_most=float(np.abs(1 - p.dv / DECAY_ONE - cell.beta).max()),
        bias_most=built.bias_most,
        bias_rms=built.bias_rms,
    )
