"""What one inference does, counted in the integer run: spikes, synaptic operations, neuron updates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.record import Record

PerSample = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PopulationCounts:
    """Counts of one population; arrays have one entry a sample.

    Attributes:
        neurons: in the population.
        spikes: spikes sent; a graded spike is one spike, whatever its payload.
        updates: neuron updates: neurons times steps.
        active_updates: updates of a neuron that spiked, or whose current or membrane is not zero after the update.
        synaptic_operations: synapses of this population that a spike fed (SOP: one synapse fed by one spike).
    """

    population: str
    neurons: int
    spikes: PerSample
    updates: PerSample
    active_updates: PerSample
    synaptic_operations: PerSample


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Counts:
    """Counts of a whole run, by population, and the spikes that entered.

    Attributes:
        samples, steps: of the run; each sample is one inference of `steps` steps.
        input_spikes: spikes that entered, one entry a sample.
        messages: spikes times the connections that carry them, one entry a sample: a lower bound of spike messages,
            since each connection ends on at least one core.
        graded_messages: those of `messages` that carry a payload.
    """

    samples: int
    steps: int
    input_spikes: PerSample
    messages: PerSample
    graded_messages: PerSample
    populations: tuple[PopulationCounts, ...]

    def total(self, quantity: str) -> PerSample:
        """`quantity` summed over the populations, one entry a sample."""
        return np.sum([getattr(p, quantity) for p in self.populations], axis=0, dtype=np.int64)

    def as_json(self) -> dict[str, Any]:
        """Means per inference, in all and by population; integers in all as exact sums."""
        quantities = ("synaptic_operations", "spikes", "updates", "active_updates")
        return {
            "samples": self.samples,
            "steps": self.steps,
            "input_spikes": _spread(self.input_spikes),
            "messages": _spread(self.messages),
            "graded_messages": _spread(self.graded_messages),
            **{quantity: _spread(self.total(quantity)) for quantity in quantities},
            "populations": [
                {
                    "population": p.population,
                    "neurons": p.neurons,
                    **{quantity: _spread(getattr(p, quantity)) for quantity in quantities},
                }
                for p in self.populations
            ],
        }

    def __str__(self) -> str:
        head = f"{'population':<16} {'neurons':>7} {'SOP':>12} {'spikes':>10} {'updates':>10} {'active':>10}"
        rows = [
            f"{p.population:<16} {p.neurons:>7} {p.synaptic_operations.mean():>12,.1f} {p.spikes.mean():>10,.1f} "
            f"{p.updates.mean():>10,.1f} {p.active_updates.mean():>10,.1f}"
            for p in self.populations
        ]
        return "\n".join([f"mean of {self.samples} inferences of {self.steps} steps:", head, *rows])


def count(network: IntegerNetwork, record: Record) -> Counts:
    """Count what `network` did in `record`, sample by sample; exact integers.

    A synapse of weight 0 that a spike feeds is counted: a dense connection stores and reads it.
    """
    sent = {name: _spikes(record.spikes_of(network, name)) for name in network.shapes()}
    populations = []
    for p in network.populations:
        trace = record.traces[p.name]
        active = (trace.u != 0) | (trace.v != 0) | (trace.spikes != 0)
        operations = [_per_neuron(network, record, c.source) @ c.fan_out() for c in network.incoming(p.name)]
        populations.append(
            PopulationCounts(
                population=p.name,
                neurons=p.size,
                spikes=sent[p.name],
                updates=np.full(record.samples, p.size * record.steps, dtype=np.int64),
                active_updates=active.sum(axis=(1, 2), dtype=np.int64),
                synaptic_operations=np.sum(operations, axis=0, dtype=np.int64) + np.zeros(record.samples, np.int64),
            )
        )
    messages = graded_messages = np.zeros(record.samples, np.int64)
    graded = {p.name for p in network.populations if p.graded}
    for connection in network.connections:
        messages = messages + sent[connection.source]
        if connection.source in graded:
            graded_messages = graded_messages + sent[connection.source]
    return Counts(
        samples=record.samples,
        steps=record.steps,
        input_spikes=_spikes(record.inputs),
        messages=messages,
        graded_messages=graded_messages,
        populations=tuple(populations),
    )


def _per_neuron(network: IntegerNetwork, record: Record, source: str) -> npt.NDArray[np.int64]:
    """Spikes of each neuron of `source` over the window, (samples, neurons)."""
    return np.count_nonzero(record.spikes_of(network, source), axis=1)


def _spikes(spikes: npt.NDArray[np.uint8] | npt.NDArray[np.int32]) -> PerSample:
    return np.count_nonzero(spikes, axis=(1, 2))


def _spread(values: PerSample) -> dict[str, Any]:
    numbers = values.astype(np.float64)
    return {
        "mean": float(numbers.mean()),
        "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "min": int(values.min()),
        "max": int(values.max()),
        "total": int(values.sum()),
    }
