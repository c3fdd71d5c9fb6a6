"""Two records of a network side by side: how many values differ, and the first place where one does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.sim.causes import Reason, find_reason
from bitspike.sim.record import Record

#: In the order in which a step computes them; the first that differs is the cause, the later ones its effects.
QUANTITIES = ("u", "v", "spikes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """The first place where two engines differ.

    Attributes:
        engines: the baseline and the other one.
        sample, step, population, neuron: the place; the first in the order sample, step, population, quantity, neuron.
        quantity: ``u``, ``v`` (in 1/64 weight unit) or ``spikes``.
        values: what each engine has there.
        inputs: the spikes that reached this neuron in this step, by the baseline: source, its neuron, its weight,
            times the payload of a graded spike.
    """

    engines: tuple[str, str]
    sample: int
    step: int
    population: str
    neuron: int
    quantity: str
    values: tuple[int, int]
    inputs: tuple[tuple[str, int, int], ...]

    def __str__(self) -> str:
        first, second = self.engines
        total = sum(weight for _, _, weight in self.inputs)
        shown = ", ".join(f"{source}[{index}] {weight:+d}" for source, index, weight in self.inputs[:8])
        more = f", and {len(self.inputs) - 8} more" if len(self.inputs) > 8 else ""
        return (
            f"{first} and {second} part at sample {self.sample}, step {self.step}, population {self.population}, "
            f"neuron {self.neuron}: {self.quantity} is {self.values[0]} ({first}), {self.values[1]} ({second})\n"
            f"  its inputs in this step: {len(self.inputs)} spikes, sum {total:+d}"
            + (f": {shown}{more}" if shown else "")
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineResult:
    """One engine against another: how much was compared and how much of it differs.

    Attributes:
        against: the engine that it was compared with: the baseline; for the baseline itself, the engine after it.
        compared: number of compared values: spikes, currents and membranes of every neuron, step and sample.
        seconds: wall time of the engine's run, start-up included.
        latency: the largest latency of a population, in steps, taken out before the comparison.
    """

    engine: str
    against: str
    samples: int
    steps: int
    compared: int
    differing_spikes: int
    differing_currents: int
    differing_membranes: int
    latency: int
    seconds: float
    first: Divergence | None
    reason: Reason | None = None

    @property
    def equal(self) -> bool:
        """True where not a single value differs."""
        return not (self.differing_spikes or self.differing_currents or self.differing_membranes)


def first_divergence(
    network: IntegerNetwork, left: Record, right: Record, names: tuple[str, str] | None = None
) -> Divergence | None:
    """The first place where two aligned records of `network` differ; None where they are equal.

    The order is sample, step, population (as a step computes them), quantity (u, v, spikes), neuron. `names` are shown
    in place of the engines' own.
    """
    samples = min(left.samples, right.samples)
    for sample in range(samples):
        step = _first_step(left, right, sample)
        if step is None:
            continue
        for population in network.populations:
            a, b = left.traces[population.name], right.traces[population.name]
            for quantity in QUANTITIES:
                x, y = getattr(a, quantity)[sample, step], getattr(b, quantity)[sample, step]
                different = np.flatnonzero(x != y)
                if different.size:
                    neuron = int(different[0])
                    return Divergence(
                        engines=names or (left.engine, right.engine),
                        sample=sample,
                        step=step,
                        population=population.name,
                        neuron=neuron,
                        quantity=quantity,
                        values=(int(x[neuron]), int(y[neuron])),
                        inputs=tuple(_inputs(network, left, (sample, step), population.name, neuron)),
                    )
    return None


def joined(parts: Sequence[EngineResult]) -> EngineResult:
    """One result of those of consecutive samples, one at least; place and reason are those of the first that parts."""
    parted = next((part for part in parts if part.first is not None), parts[0])
    return replace(
        parts[0],
        samples=sum(part.samples for part in parts),
        compared=sum(part.compared for part in parts),
        differing_spikes=sum(part.differing_spikes for part in parts),
        differing_currents=sum(part.differing_currents for part in parts),
        differing_membranes=sum(part.differing_membranes for part in parts),
        latency=max(part.latency for part in parts),
        seconds=round(sum(part.seconds for part in parts), 3),
        first=parted.first,
        reason=parted.reason,
    )


def compare(
    network: IntegerNetwork,
    left: Record,
    right: Record,
    names: tuple[str, str],
    *,
    offset: int = 0,
    explain: bool = True,
) -> EngineResult:
    """Count what differs between the records of the baseline and of another engine, and find the first place.

    Args:
        network: the network that both ran.
        left, right: aligned records; one may have fewer samples.
        names: of the two, the baseline first.
        offset: the number of the records' first sample in the data.
        explain: whether the known causes are tried on a difference, which takes many runs of the reference engine.
    """
    _same_shape(network, left, right, names[1])
    samples = min(left.samples, right.samples)
    differing = dict.fromkeys(QUANTITIES, 0)
    compared = 0
    for p in network.populations:
        for quantity in QUANTITIES:
            x: npt.NDArray[Any] = getattr(left.traces[p.name], quantity)[:samples]
            y: npt.NDArray[Any] = getattr(right.traces[p.name], quantity)[:samples]
            compared += x.size
            differing[quantity] += int(np.count_nonzero(x != y))
    first = first_divergence(network, left, right, names) if any(differing.values()) else None
    return EngineResult(
        engine=names[1],
        against=names[0],
        samples=samples,
        steps=left.steps,
        compared=compared,
        differing_spikes=differing["spikes"],
        differing_currents=differing["u"],
        differing_membranes=differing["v"],
        latency=0,
        seconds=0.0,
        first=replace(first, sample=first.sample + offset) if first else None,
        reason=find_reason(network, left, right, first.sample) if first and explain else None,
    )


def _same_shape(network: IntegerNetwork, left: Record, right: Record, name: str) -> None:
    for p in network.populations:
        found = right.traces.get(p.name)
        if found is None:
            raise UsageError(f"{name}: no population {p.name!r}; it has {', '.join(right.traces)}")
        if found.v.shape[1:] != left.traces[p.name].v.shape[1:]:
            raise UsageError(
                f"{name}: population {p.name} has (steps, neurons) {found.v.shape[1:]}; "
                f"expected {left.traces[p.name].v.shape[1:]}"
            )


def _first_step(left: Record, right: Record, sample: int) -> int | None:
    steps = []
    for name, trace in left.traces.items():
        for quantity in QUANTITIES:
            x, y = getattr(trace, quantity)[sample], getattr(right.traces[name], quantity)[sample]
            steps += np.flatnonzero(np.any(x != y, axis=1))[:1].tolist()
    return min(steps, default=None)


def _inputs(
    network: IntegerNetwork, record: Record, place: tuple[int, int], population: str, neuron: int
) -> list[tuple[str, int, int]]:
    """Every spike that reaches `neuron` at (sample, aligned step): source, source neuron, effective weight.

    The weight is multiplied by the payload, so that the weights of all inputs add up to the summed input.
    """
    sample, step = place
    latency = network.latencies()
    found = []
    for connection in network.incoming(population):
        sent = step - (connection.delay - (latency[population] - latency[connection.source]))
        if sent < 0:
            continue
        spikes = record.spikes_of(network, connection.source)
        sources, weights = connection.inputs_of(neuron)
        added = spikes[sample, sent][sources].astype(np.int64) * weights
        found += [(connection.source, int(sources[k]), int(added[k])) for k in np.flatnonzero(added)]
    return found
