"""The proof: engines side by side, compared for equality on every neuron at every step."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import TrainedModel
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.causes import Reason, find_reason
from bitspike.sim.engines import engine
from bitspike.sim.record import Record
from bitspike.sim.run import simulate

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The outcome of :func:`verify`; prints as a table and, where engines part, the first place."""

    network: str
    digest: str
    data: str
    data_digest: str
    baseline: str
    engines: tuple[EngineResult, ...]

    @property
    def passed(self) -> bool:
        """True where every engine is equal to the baseline."""
        return all(result.equal for result in self.engines)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        head = f"{'engine':<12} {'samples':>7} {'compared':>12} {'spikes':>8} {'currents':>8} {'membranes':>9} {'s':>7}"
        rows = [
            f"{r.engine:<12} {r.samples:>7} {r.compared:>12,} {r.differing_spikes:>8} {r.differing_currents:>8} "
            f"{r.differing_membranes:>9} {r.seconds:>7.2f}"
            for r in self.engines
        ]
        verdict = (
            f"equal: every compared value of every engine is that of {self.baseline}"
            if self.passed
            else "\n".join(_told(r) for r in self.engines[1:] if r.first)
        )
        title = f"network {self.network} on {self.data}, differences from {self.baseline}:"
        return "\n".join([title, head, *rows, verdict])


def verify(
    network: IntegerNetwork,
    model: TrainedModel | None = None,
    *,
    data: SpikeData,
    engines: Sequence[str] = ("reference", "onnx"),
    against: Mapping[str, IntegerNetwork] | None = None,
    samples: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    notify: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Run `network` on several engines and compare each with the first on every spike, current and membrane.

    Args:
        network: the network, trained or in chip time; latencies are taken out.
        model: the trained model, for engine ``torch``; where it is given, ``torch`` is added to `engines`.
        data: encoded samples.
        engines: names of engines; the first is the baseline.
        against: other networks by a label, each run on the reference engine and compared too.
        samples: how many samples each engine gets; default: all, and the engine's own default for slow ones.
        options: extra arguments of an engine, by its name.
        notify: called before each run with what runs, its number from 0, and how many there are.

    Returns:
        Counts of compared and differing values; never raises because of a difference.
    """
    chosen = list(dict.fromkeys([*engines, *(["torch"] if model is not None else [])]))
    if not chosen:
        raise UsageError("engines: none given; expected one or more")
    extra = {name: dict((options or {}).get(name, {})) for name in chosen}
    if model is not None:
        extra["torch"]["model"] = model
    limits = {name: samples if samples is not None else engine(name).samples for name in chosen}
    jobs = [(name, network, name, extra[name], limits[name]) for name in chosen]
    jobs += [(label, other, "reference", {}, samples) for label, other in (against or {}).items()]
    if len(jobs) < 2:
        raise UsageError(f"engines: only {chosen[0]}; expected two or more, or a network to compare with")

    tell = notify or _silent
    baseline = jobs[0][0]
    tell(baseline, 0, len(jobs))
    record, seconds = _timed(jobs[0], data)
    results: list[EngineResult] = []
    for number, job in enumerate(jobs[1:], start=1):
        tell(job[0], number, len(jobs))
        other, other_seconds = _timed(job, data)
        result = _compare(network, record, other, (baseline, job[0]))
        if not results:
            results.append(replace(result, engine=baseline, against=job[0], latency=_late(record), seconds=seconds))
        results.append(replace(result, latency=_late(other), seconds=other_seconds))
    return Verification(
        network=network.name,
        digest=network.digest(),
        data=data.name,
        data_digest=data.digest(),
        baseline=baseline,
        engines=tuple(results),
    )


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


def _timed(job: tuple[str, IntegerNetwork, str, dict[str, Any], int | None], data: SpikeData) -> tuple[Record, float]:
    _, network, engine_name, options, limit = job
    begin = time.perf_counter()
    record = simulate(network, data if limit is None else data.first(limit), engine_name=engine_name, **options)
    return record, round(time.perf_counter() - begin, 3)


def _told(result: EngineResult) -> str:
    """The first place, and the reason where one is known."""
    known = f"{result.reason}" if result.reason else "none of the known causes explains all of it"
    return f"{result.first}\n  reason: {known}"


def _silent(label: str, number: int, total: int) -> None:
    """What `notify` is where nobody wants to know."""


def _late(record: Record) -> int:
    return max(record.latency.values())


def _compare(network: IntegerNetwork, left: Record, right: Record, names: tuple[str, str]) -> EngineResult:
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
        first=first,
        reason=find_reason(network, left, right, first.sample) if first else None,
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
