"""What is told of coverage: tables, what equality is claimed for, and what it is not claimed for."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.ranges import Bounds, range_proof
from bitspike.convert.silence import silent_neurons
from bitspike.sim.coverage.paths import PATHS, possible
from bitspike.sim.coverage.seen import Seen, SeenConnection, SeenPopulation, fired, lag, took

_WIDTH = "the range proof says that no state can leave 24 bits, so that wrapping and saturation are no paths"


@dataclass(frozen=True, kw_only=True, slots=True)
class PathCoverage:
    """One path of one population.

    Attributes:
        path: its name, one of :data:`bitspike.sim.coverage.paths.PATHS`.
        neurons: how many took it.
        times: how often, over all samples, steps and neurons.
    """

    path: str
    neurons: int
    times: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationCoverage:
    """One population.

    Attributes:
        neurons: that it has.
        silent: numbers of those that could fire and never did; none of a read-out that cannot spike.
        never_fire: how many can fire for no input whatever.
        unreached: numbers of those that have synapses and never received a spike over one whose weight is not 0.
        paths: those that the population has; the first is the spike and its reset.
        u, v: lowest and highest current, and membrane before a reset, in 1/64 weight unit; 0 is among them.
        u_bounds, v_bounds: what the range proof allows them.
    """

    population: str
    neurons: int
    silent: tuple[int, ...]
    never_fire: int
    unreached: tuple[int, ...]
    paths: tuple[PathCoverage, ...]
    u: tuple[int, int]
    v: tuple[int, int]
    u_bounds: tuple[int, int]
    v_bounds: tuple[int, int]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the paths that no neuron took."""
        return tuple(path.path for path in self.paths if not path.times)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionCoverage:
    """One connection.

    Attributes:
        sources: neurons at its beginning.
        sent: those of them of which a spike arrived within the window.
        arrived: such spikes.
        synapses: whose weight is not 0; `fed`: those of them that a spike reached.
    """

    connection: str
    delay: int
    sources: int
    sent: int
    arrived: int
    synapses: int
    fed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What a run reached; prints as two tables and a sentence."""

    engine: str
    samples: int
    steps: int
    populations: tuple[PopulationCoverage, ...]
    connections: tuple[ConnectionCoverage, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left out: every neuron that can fire did, every path was taken, every synapse fed."""
        return not self.unclaimed()

    def totals(self) -> dict[str, tuple[int, int]]:
        """How many were reached of how many there are, by what they are: neurons that can fire, synapses, paths."""
        could = sum(p.neurons - p.never_fire for p in self.populations if _spikes(p))
        paths = [path for p in self.populations for path in p.paths]
        return {
            "neurons": (could - sum(len(p.silent) for p in self.populations), could),
            "synapses": (sum(c.fed for c in self.connections), sum(c.synapses for c in self.connections)),
            "paths": (sum(path.times > 0 for path in paths), len(paths)),
        }

    def claimed(self) -> str:
        """What equality is claimed for, in a sentence."""
        told = {key: f"{part:,} of {whole:,} {key}" for key, (part, whole) in self.totals().items()}
        return (
            f"equality is claimed for {told['neurons']} that can fire, {told['synapses']} and {told['paths']}, "
            f"on these {self.samples:,} samples"
        )

    def unclaimed(self) -> tuple[str, ...]:
        """What it is not claimed for, a line each."""
        return (*self._left_out(), *self._not_taken())

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "claimed": self.claimed(), "not_claimed": list(self.unclaimed())}

    def summary(self) -> dict[str, int]:
        """Numbers alone, by what they are of, as a certificate has them."""
        found: dict[str, int] = {}
        for p in self.populations:
            facts = {"neurons": p.neurons, "neurons that never fired": len(p.silent)}
            facts |= {"neurons that no spike reached": len(p.unreached)} | {path.path: path.times for path in p.paths}
            found |= {f"{p.population}: {name}": value for name, value in facts.items()}
        for c in self.connections:
            found |= {f"{c.connection}: synapses": c.synapses, f"{c.connection}: synapses fed": c.fed}
        return found

    def __str__(self) -> str:
        left_out = self.unclaimed()
        lines = [f"coverage, counted in the run of {self.engine} on {self.samples:,} samples of {self.steps} steps:"]
        lines += self._table()
        lines += [f"{'connection':<28} {'sources':>8} {'sent':>8} {'synapses':>12} {'fed':>8}"]
        lines += [
            f"{c.connection:<28} {c.sources:>8} {c.sent:>8} {c.synapses:>12,} {_share(c.fed, c.synapses):>8}"
            for c in self.connections
        ]
        lines += [self.claimed() + ("; not for:" if left_out else "; no neuron, synapse or path is left out")]
        return "\n".join([*lines, *(f"  {line}" for line in left_out), _WIDTH])

    def _table(self) -> list[str]:
        columns = [path for path in PATHS if any(path.name == own.path for p in self.populations for own in p.paths)]
        heads = " ".join(f"{path.head:>8}" for path in columns)
        rows = [f"{'population':<16} {'neurons':>8} {'reached':>8} {heads} {'membrane, of what is proved':>32}"]
        for p in self.populations:
            own = {path.path: path.neurons for path in p.paths}
            cells = " ".join(f"{own.get(path.name, '-'):>8}" for path in columns)
            low, high = (f"{_share(x, bound):>4}" for x, bound in zip(p.v, p.v_bounds, strict=True))
            rows.append(
                f"{p.population:<16} {p.neurons:>8} {p.neurons - len(p.unreached):>8} {cells} "
                f"{f'{p.v[0]:,} ({low.strip()}) .. {p.v[1]:,} ({high.strip()})':>32}"
            )
        return rows

    def _left_out(self) -> list[str]:
        found = []
        for p in self.populations:
            found += [f"{p.population}: {len(p.unreached)} neurons that no spike reached"] if p.unreached else []
            found += [f"{p.population}: {len(p.silent)} neurons that never fired"] if p.silent else []
        for c in self.connections:
            if c.fed < c.synapses:
                found.append(f"{c.connection}: {c.synapses - c.fed:,} synapses that no spike fed")
        return found

    def _not_taken(self) -> list[str]:
        unseen = {path.name: path.unseen for path in PATHS}
        return [f"{p.population}: {name} ({unseen[name]})" for p in self.populations for name in p.missing]


def describe(network: IntegerNetwork, seen: Seen, *, engine: str, steps: int) -> Coverage:
    """What `seen` says of `network`: the paths that it has, and the neurons that were left out.

    Args:
        network: whose range proof holds for `steps`.
        seen: over all samples.
        engine: in whose run it was seen.
        steps: of a sample's window.
    """
    impossible = silent_neurons(network)
    unreached = _unreached(network, seen)
    rows = zip(network.populations, seen.populations, range_proof(network, steps), strict=True)
    return Coverage(
        engine=engine,
        samples=seen.samples,
        steps=steps,
        populations=tuple(
            _population(p, found, bounds, impossible[p.name], unreached[p.name]) for p, found, bounds in rows
        ),
        connections=tuple(
            _connection(network, c, found) for c, found in zip(network.connections, seen.connections, strict=True)
        ),
    )


def gained(before: Coverage, after: Coverage) -> str:
    """What the samples of `after` beyond those of `before`, the first ones, add, in a few lines."""
    one, other = before.totals(), after.totals()
    more = ", ".join(f"{other[key][0] - one[key][0]:,} {key}" for key in one)
    lines = [f"the {after.samples - before.samples:,} adversarial samples add to the data's {before.samples:,}: {more}"]
    for p, q in zip(before.populations, after.populations, strict=True):
        taken = sum(b.neurons - a.neurons for a, b in zip(p.paths, q.paths, strict=True))
        lines.append(
            f"  {p.population}: membrane {p.v[0]:,} .. {p.v[1]:,} -> {q.v[0]:,} .. {q.v[1]:,}; "
            f"paths of single neurons +{taken:,}"
        )
    return "\n".join(lines)


def _population(
    p: Population,
    seen: SeenPopulation,
    bounds: Bounds,
    impossible: npt.NDArray[np.bool_],
    unreached: npt.NDArray[np.bool_],
) -> PopulationCoverage:
    could = ~impossible if p.spiking else np.zeros(p.size, bool)
    paths = tuple(
        PathCoverage(path=path.name, neurons=int(np.count_nonzero(took(seen, place))), times=seen.counts[place])
        for place, (path, has) in enumerate(zip(PATHS, possible(p, bounds), strict=True))
        if has
    )
    low_u, high_u, low_v, high_v = seen.extremes
    return PopulationCoverage(
        population=p.name,
        neurons=p.size,
        silent=tuple(np.flatnonzero(could & ~fired(seen)).tolist()),
        never_fire=int(np.count_nonzero(impossible)) if p.spiking else p.size,
        unreached=tuple(np.flatnonzero(unreached).tolist()),
        paths=paths,
        u=(low_u, high_u),
        v=(low_v, high_v),
        u_bounds=bounds.u,
        v_bounds=bounds.v,
    )


def _unreached(network: IntegerNetwork, seen: Seen) -> dict[str, npt.NDArray[np.bool_]]:
    """By population the neurons that have synapses, none of which a spike reached."""
    could, reached = ({p.name: np.zeros(p.size, bool) for p in network.populations} for _ in range(2))
    for c, found in zip(network.connections, seen.connections, strict=True):
        for neurons, most in ((could, None), (reached, found.marks.astype(np.int64))):
            low, high = c.bounds(most)
            neurons[c.target] |= (low < 0) | (high > 0)
    return {name: could[name] & ~reached[name] for name in could}


def _connection(network: IntegerNetwork, c: Connection, seen: SeenConnection) -> ConnectionCoverage:
    synapses = c.nonzero_fan_out()
    return ConnectionCoverage(
        connection=c.name + (f" delay {c.delay}" if lag(network, c) else ""),
        delay=c.delay,
        sources=c.shape[1],
        sent=int(np.count_nonzero(seen.marks)),
        arrived=seen.arrived,
        synapses=int(synapses.sum()),
        fed=int(synapses @ seen.marks.astype(np.int64)),
    )


def _spikes(p: PopulationCoverage) -> bool:
    return p.never_fire < p.neurons


def _share(part: int, whole: int) -> str:
    """Per cent, cut, so that 100 is all of it."""
    return f"{100 * part // whole} %" if whole else "-"
