"""What a run reached, in a value that is small, that adds up over chunks, and that a ledger can hold as JSON."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection
from bitspike.convert.json_values import expect_keys, typed
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.value import Value, read_only
from bitspike.errors import BitspikeError
from bitspike.sim.coverage.paths import EXTREMES, FIRED, PATHS, taken
from bitspike.sim.record import Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeenPopulation(Value):
    """Of one population.

    Attributes:
        marks: the paths that each neuron took, a bit each, (neurons,), uint8.
        counts: how often each path was taken.
        extremes: lowest and highest current, lowest and highest membrane before a reset, in 1/64 weight unit, 0 among
            them.
    """

    marks: npt.NDArray[np.uint8]
    counts: tuple[int, ...]
    extremes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "marks", read_only(self.marks, np.uint8))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeenConnection(Value):
    """Of one connection.

    Attributes:
        marks: 1 for each source neuron of which a spike arrived within the window, (sources,), uint8.
        arrived: such spikes.
    """

    marks: npt.NDArray[np.uint8]
    arrived: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "marks", read_only(self.marks, np.uint8))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen(Value):
    """Of a network: its populations and its connections, in its order, over some samples."""

    samples: int
    populations: tuple[SeenPopulation, ...]
    connections: tuple[SeenConnection, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; marks as base64."""
        return {
            "samples": self.samples,
            "populations": [
                {"marks": _text(p.marks), "counts": list(p.counts), "extremes": list(p.extremes)}
                for p in self.populations
            ],
            "connections": [{"marks": _text(c.marks), "arrived": c.arrived} for c in self.connections],
        }


def see(network: IntegerNetwork, record: Record) -> Seen:
    """What the samples of `record`, aligned, reached of `network`."""
    populations = []
    for p in network.populations:
        marks, counts, extremes = taken(p, record.traces[p.name])
        ends = np.concatenate([extremes[:, 0::2].min(axis=0), extremes[:, 1::2].max(axis=0)])
        populations.append(
            SeenPopulation(
                marks=np.bitwise_or.reduce(marks, axis=0),
                counts=tuple(counts.tolist()),
                extremes=(int(ends[0]), int(ends[2]), int(ends[1]), int(ends[3])),
            )
        )
    connections = tuple(_connection(network, record, c) for c in network.connections)
    return Seen(samples=record.samples, populations=tuple(populations), connections=connections)


def lag(network: IntegerNetwork, c: Connection) -> int:
    """Aligned steps from a spike to its arrival: the delay, without what the latencies already take."""
    latency = network.latencies()
    return c.delay - (latency[c.target] - latency[c.source])


def merged(parts: Sequence[Seen]) -> Seen:
    """What was reached in any of `parts`, one at least, of the same network."""
    populations = [
        SeenPopulation(
            marks=np.bitwise_or.reduce([p.marks for p in each], axis=0),
            counts=tuple(map(sum, zip(*(p.counts for p in each), strict=True))),
            extremes=tuple((max if place % 2 else min)(p.extremes[place] for p in each) for place in range(EXTREMES)),
        )
        for each in zip(*(part.populations for part in parts), strict=True)
    ]
    connections = [
        SeenConnection(
            marks=np.bitwise_or.reduce([c.marks for c in each], axis=0), arrived=sum(c.arrived for c in each)
        )
        for each in zip(*(part.connections for part in parts), strict=True)
    ]
    samples = sum(part.samples for part in parts)
    return Seen(samples=samples, populations=tuple(populations), connections=tuple(connections))


def seen_from(item: Any) -> Seen:
    """What JSON tells of; BitspikeError, KeyError, TypeError or ValueError for anything else."""
    expect_keys("seen", item, {"samples", "populations", "connections"})
    populations, connections = (typed("seen", item, key, list) for key in ("populations", "connections"))
    for each in populations:
        expect_keys("seen population", each, {"marks", "counts", "extremes"})
    for each in connections:
        expect_keys("seen connection", each, {"marks", "arrived"})
    return Seen(
        samples=typed("seen", item, "samples", int),
        populations=tuple(
            SeenPopulation(
                marks=_marks(p["marks"]),
                counts=_numbers(p["counts"], len(PATHS)),
                extremes=_numbers(p["extremes"], EXTREMES),
            )
            for p in populations
        ),
        connections=tuple(
            SeenConnection(marks=_marks(c["marks"]), arrived=typed("seen connection", c, "arrived", int))
            for c in connections
        ),
    )


def expect_fit(seen: Seen | None, network: IntegerNetwork | None) -> None:
    """Refuse what was seen of another network than `network`; BitspikeError. None is seen of none."""
    found = [len(p.marks) for p in seen.populations] + [len(c.marks) for c in seen.connections] if seen else []
    expected = [p.size for p in network.populations] + [c.shape[1] for c in network.connections] if network else []
    if found != expected or (seen and network and len(seen.populations) != len(network.populations)):
        raise BitspikeError(f"seen: neurons {found}; expected {expected}")


def _connection(network: IntegerNetwork, record: Record, c: Connection) -> SeenConnection:
    spikes = record.spikes_of(network, c.source)
    in_time = spikes[:, : max(0, record.steps - lag(network, c))]
    return SeenConnection(marks=np.asarray(in_time.any(axis=(0, 1)), np.uint8), arrived=int(np.count_nonzero(in_time)))


def _text(marks: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(marks.tobytes()).decode("ascii")


def _marks(text: Any) -> npt.NDArray[np.uint8]:
    if type(text) is not str:
        raise BitspikeError(f"seen: marks are {type(text).__name__}; expected a text")
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except binascii.Error:
        raise BitspikeError("seen: marks are not base64") from None


def _numbers(values: Any, expected: int) -> tuple[int, ...]:
    if type(values) is not list or len(values) != expected or not all(type(value) is int for value in values):
        raise BitspikeError(f"seen: {values!r}; expected a list of {expected} whole numbers")
    return tuple(values)


def fired(seen: SeenPopulation) -> npt.NDArray[np.bool_]:
    """Which neurons spiked."""
    return took(seen, FIRED)


def took(seen: SeenPopulation, path: int) -> npt.NDArray[np.bool_]:
    """Which neurons took a path."""
    return (seen.marks >> path & 1).astype(bool)
