"""What one inference does, counted in the integer run: by population and by connection, sample by sample.

A synaptic operation is counted with the spike that causes it, also where its delay is longer than the rest of the
window, so that a network in chip time has the same counts as the one it was made from.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection
from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Population
from bitspike.sim.record import Record, run_length

PerSample = npt.NDArray[np.int64]

#: Width of a current and of a membrane, and of the summed input of a step (see :mod:`bitspike.sim.reference`).
REGISTER_BITS, ACCUMULATOR_BITS = 24, 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConnectionCounts:
    """Counts of one connection; arrays have one entry a sample.

    Attributes:
        source, target, kind, delay, sources: of the connection; `sources` is the number of source neurons.
        synapses, nonzero_synapses: that it has, and those of them whose weight is not 0. A kernel's weight has a
            synapse wherever it lies on a source.
        parameters: weights that say all synapses: a kernel's count once, a shortcut has one, a pool none.
        weight_bits: storage of one synapse's weight, its sign included where signs differ.
        graded: whether its spikes carry a payload.
        spikes: spikes that its source sent; each is at least one message, since the connection ends on a core.
        synaptic_operations: synapses that a spike fed, those of weight 0 too: a dense matrix stores and reads them.
        effective_operations: those of them whose weight is not 0.
    """

    source: str
    target: str
    kind: str
    delay: int
    sources: int
    synapses: int
    nonzero_synapses: int
    parameters: int
    weight_bits: int
    graded: bool
    spikes: PerSample
    synaptic_operations: PerSample
    effective_operations: PerSample

    @property
    def name(self) -> str:
        """``source -> target``, and the delay where there is one."""
        return f"{self.source} -> {self.target}" + (f" delay {self.delay}" if self.delay else "")

    @property
    def weight_bits_read(self) -> PerSample:
        """Bits of weights that the operations read."""
        return self.synaptic_operations * self.weight_bits


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PopulationCounts:
    """Counts of one population; arrays have one entry a sample.

    Attributes:
        neurons: in the population.
        spikes_in: spikes that arrive over its connections; one that comes over two connections is two.
        spikes: spikes sent; a graded spike is one spike, whatever its payload.
        updates: neuron updates: neurons times steps.
        active_updates: updates of a neuron that spiked, or whose current or membrane is not zero after the update.
        resets: membranes that a spike reset.
        synaptic_operations: synapses of this population that a spike fed (SOP: one synapse fed by one spike).
        effective_operations: those of them whose weight is not 0.
        weight_bits_read: by these operations.
        state_bits_read, state_bits_written: an operation reads and writes the accumulator of 16 bits; an update reads
            and clears it, and reads and writes current and membrane, 24 bits each, unless their decay forgets them.
    """

    population: str
    neurons: int
    spikes_in: PerSample
    spikes: PerSample
    updates: PerSample
    active_updates: PerSample
    resets: PerSample
    synaptic_operations: PerSample
    effective_operations: PerSample
    weight_bits_read: PerSample
    state_bits_read: PerSample
    state_bits_written: PerSample

    @property
    def inactive_updates(self) -> PerSample:
        """The updates that are not active."""
        return self.updates - self.active_updates

    @property
    def accumulator_bits(self) -> PerSample:
        """The bits of accumulators among the bits of states, as many read as written."""
        return ACCUMULATOR_BITS * (self.synaptic_operations + self.updates)


#: What every population has an array of, in the order of the exported files.
QUANTITIES = (
    "spikes_in", "spikes", "synaptic_operations", "effective_operations", "updates", "active_updates",
    "inactive_updates", "resets", "weight_bits_read", "state_bits_read", "state_bits_written",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Counts:
    """Counts of a whole run, by population and by connection, and the spikes that entered.

    Attributes:
        network: the name of the network that ran.
        samples, steps: of the run; each sample is one inference with a window of `steps` steps.
        barrier_steps: steps of the run, each ended by a barrier: the window and the largest latency.
        input_spikes: spikes that entered, one entry a sample.
        populations, connections: in the network's order.
    """

    network: str
    samples: int
    steps: int
    barrier_steps: int
    input_spikes: PerSample
    populations: tuple[PopulationCounts, ...]
    connections: tuple[ConnectionCounts, ...]

    @property
    def messages(self) -> PerSample:
        """Spikes times the connections that carry them: a lower bound, since a connection ends on a core or more."""
        return np.sum([c.spikes for c in self.connections], axis=0, dtype=np.int64) + self.none

    @property
    def graded_messages(self) -> PerSample:
        """Those of :attr:`messages` that carry a payload."""
        return np.sum([c.spikes for c in self.connections if c.graded], axis=0, dtype=np.int64) + self.none

    @property
    def none(self) -> PerSample:
        """A zero for each sample."""
        return np.zeros(self.samples, np.int64)

    def total(self, quantity: str) -> PerSample:
        """`quantity` summed over the populations, one entry a sample."""
        return np.sum([getattr(p, quantity) for p in self.populations], axis=0, dtype=np.int64)

    def operations(self, kind: str) -> PerSample:
        """Synaptic operations of all connections of one kind, one entry a sample."""
        found = [c.synaptic_operations for c in self.connections if c.kind == kind]
        return np.sum(found, axis=0, dtype=np.int64) + self.none

    def as_json(self) -> dict[str, Any]:
        """Means, spreads and exact sums over the samples, in all, by population and by connection."""
        return {
            "network": self.network,
            "samples": self.samples,
            "steps": self.steps,
            "barrier_steps": self.barrier_steps,
            "input_spikes": spread(self.input_spikes),
            "messages": spread(self.messages),
            "graded_messages": spread(self.graded_messages),
            **{quantity: spread(self.total(quantity)) for quantity in QUANTITIES},
            "populations": [
                {"population": p.population, "neurons": p.neurons} | {q: spread(getattr(p, q)) for q in QUANTITIES}
                for p in self.populations
            ],
            "connections": [_connection_json(c) for c in self.connections],
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
    """Count what `network` did in `record`, sample by sample; exact integers."""
    fired = {name: np.count_nonzero(record.spikes_of(network, name), axis=1) for name in network.shapes()}
    graded = {p.name for p in network.populations if p.graded}
    connections = tuple(_connection(c, fired[c.source], c.source in graded) for c in network.connections)
    populations = tuple(
        _population(p, record, tuple(c for c in connections if c.target == p.name)) for p in network.populations
    )
    return Counts(
        network=network.name,
        samples=record.samples,
        steps=record.steps,
        barrier_steps=run_length(network, record.steps),
        input_spikes=np.count_nonzero(record.inputs, axis=(1, 2)),
        populations=populations,
        connections=connections,
    )


def spread(values: PerSample) -> dict[str, Any]:
    """Mean, standard deviation and extremes over the samples, and their sum."""
    numbers = values.astype(np.float64)
    return {
        "mean": float(numbers.mean()),
        "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "min": int(values.min()),
        "max": int(values.max()),
        "total": int(values.sum()),
    }


def _connection(connection: Connection, fired: PerSample, graded: bool) -> ConnectionCounts:
    """`fired`: spikes of each source neuron over the window, (samples, neurons)."""
    stored, nonzero = connection.fan_out(), connection.nonzero_fan_out()
    return ConnectionCounts(
        source=connection.source,
        target=connection.target,
        kind=connection.kind,
        delay=connection.delay,
        sources=connection.shape[1],
        synapses=int(stored.sum()),
        nonzero_synapses=int(nonzero.sum()),
        parameters=connection.parameters,
        weight_bits=connection.weight_bits,
        graded=graded,
        spikes=fired.sum(axis=1, dtype=np.int64),
        synaptic_operations=fired @ stored,
        effective_operations=fired @ nonzero,
    )


def _population(p: Population, record: Record, incoming: tuple[ConnectionCounts, ...]) -> PopulationCounts:
    trace = record.traces[p.name]
    none = np.zeros(record.samples, np.int64)
    spikes = np.count_nonzero(trace.spikes, axis=(1, 2))
    active = np.count_nonzero((trace.u != 0) | (trace.v != 0) | (trace.spikes != 0), axis=(1, 2))
    operations = sum((c.synaptic_operations for c in incoming), none)
    updates = none + p.size * record.steps
    kept = REGISTER_BITS * ((p.du < DECAY_ONE) + (p.dv < DECAY_ONE))
    state_bits = operations * ACCUMULATOR_BITS + updates * (ACCUMULATOR_BITS + kept)
    return PopulationCounts(
        population=p.name,
        neurons=p.size,
        spikes_in=sum((c.spikes for c in incoming), none),
        spikes=spikes,
        updates=updates,
        active_updates=active,
        resets=spikes,
        synaptic_operations=operations,
        effective_operations=sum((c.effective_operations for c in incoming), none),
        weight_bits_read=sum((c.weight_bits_read for c in incoming), none),
        state_bits_read=state_bits,
        state_bits_written=state_bits,
    )


def _connection_json(counts: ConnectionCounts) -> dict[str, Any]:
    arrays = ("spikes", "synaptic_operations", "effective_operations", "weight_bits_read")
    facts = ("source", "target", "kind", "delay", "synapses", "nonzero_synapses", "parameters", "weight_bits", "graded")
    return {f: getattr(counts, f) for f in facts} | {a: spread(getattr(counts, a)) for a in arrays}
