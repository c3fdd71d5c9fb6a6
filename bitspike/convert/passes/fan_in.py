"""Fan-in: neurons of more sources than a core takes get their sum in parts, which relays send on.

Rules:

1. The fan-in of a neuron is the number of its synapses: of a matrix those of a weight other than 0, of a window all
   that lie on a source. Where a neuron of a population has more than `sources`, the dense connections and convolutions
   into the population are divided, in the network's order, into as few parts of at most `sources` as that takes, of
   nearly equal size: relays of a core share its axons, and a part that left none would have a core for each relay. A
   dense connection is cut by columns: each piece has weights of 0 in the others. A convolution is not cut;
   :mod:`bitspike.convert.passes.split` cuts its source by channels.
2. Each part gets relays (:mod:`bitspike.convert.passes.sums`), two for each neuron of the population: one sends the
   part's sum where that is positive, one its negative where it is not, as a graded spike. A sign that no weight has
   needs no relay. The population adds what they send. Relays carry nothing over, and stand right before the population.
3. What stays as it is: identities, pools and convolutions in groups, whose fan-in is small; and connections within a
   loop, for a relay takes a step on a chip, which the loop has not.
4. Relays count as sources, so that the rules are applied again until no neuron has too many. Where that leads nowhere
   the population is refused by name, and so is a network in chip time: fan-in first, retime then.

The claim: every neuron that was there has the trace that it had.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Integers, Windowed
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.sums import Stages, graded_stages, largest_sum, relays
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError, UsageError


def fan_in(network: IntegerNetwork, sources: int = 4096) -> IntegerNetwork:
    """`network` with no neuron of more than `sources` sources; the same object where none has more.

    Raises:
        UnsupportedError: by rule 4, and where a weight of -256 has no opposite.
    """
    return in_parts(network, sources, graded_stages)


def in_parts(network: IntegerNetwork, sources: int, stages: Stages) -> IntegerNetwork:
    """The rules, with relays in the `stages` that a sum of at most so much needs."""
    wide = too_wide(network, sources)
    if wide and any(p.start for p in network.populations):
        raise UnsupportedError(f"network {network.name}: in chip time; expected no start: fan-in first, retime then")
    for name, most in wide.items():
        left = most
        while left > sources:
            before = left
            network = _divided(network, network.population(name), sources, stages)
            left = int(fan_in_of(network, network.population(name)).max())
            if left >= before:
                raise UnsupportedError(
                    f"population {name}: a neuron of {most} sources; parts of at most {sources} leave {left} "
                    "(what is in a loop, a pool, or a convolution in groups has no parts)"
                )
    return network


def too_wide(network: IntegerNetwork, sources: int) -> dict[str, int]:
    """The populations with a neuron of more than so many `sources`, and the most that one has."""
    if sources < 2:
        raise UsageError(f"sources {sources}; expected 2 or more")
    most = {p.name: int(fan_in_of(network, p).max()) for p in network.populations}
    return {name: number for name, number in most.items() if number > sources}


def fan_in_of(network: IntegerNetwork, p: Population) -> Integers:
    """The number of synapses of each neuron of a population."""
    return sum((_synapses(c) for c in network.incoming(p.name)), np.zeros(p.size, np.int64))


def _synapses(c: Connection) -> Integers:
    if isinstance(c, Dense):
        return np.count_nonzero(c.weights.matrix(), axis=1).astype(np.int64)
    if not isinstance(c, Windowed):
        return np.ones(c.shape[0], np.int64)
    places = np.zeros(c.target_shape[1:], np.int64)
    for _, (rows, columns), _ in c.places():
        places[rows, columns] += 1
    return (c.connected().sum(axis=1, dtype=np.int64)[:, None, None] * places).ravel()


def _divided(network: IntegerNetwork, p: Population, sources: int, stages: Stages) -> IntegerNetwork:
    """`network` with the connections into `p` in parts, once; the same object where none has parts."""
    leads_to = _reached(network, p.name)
    moved = [
        c
        for c in network.incoming(p.name)
        if c.source not in leads_to and (isinstance(c, Dense) or (isinstance(c, Conv2d) and c.groups == 1))
    ]
    if not moved:
        return network
    unit = min(c.exponent for c in moved)
    beside = sum(stage.units for stage in stages(largest_sum(moved) >> unit)[:-1])
    if beside >= sources:
        raise UnsupportedError(
            f"population {p.name}: a relay reads {beside} others beside its part; expected more than {sources} sources"
        )
    taken, populations, connections = set(network.shapes()), list[Population](), list[Connection]()
    parts = _even_parts(p, moved, sources - beside)
    plan = stages(max(map(largest_sum, parts)) >> unit)
    for number, part in enumerate(parts):
        more, synapses = relays(p, part, plan, unit=unit, ending=f"_sum{number}", taken=taken)
        populations += more
        connections += synapses
    where = network.populations.index(p)
    gone = {id(c) for c in moved}
    return replace(
        network,
        populations=(*network.populations[:where], *populations, *network.populations[where:]),
        connections=(*(c for c in network.connections if id(c) not in gone), *connections),
    )


def _reached(network: IntegerNetwork, name: str) -> set[str]:
    """The populations that spikes of this one can lead to, over any number of connections, itself among them."""
    found, waiting = {name}, [name]
    while waiting:
        for c in network.outgoing(waiting.pop()):
            if c.target not in found:
                found.add(c.target)
                waiting.append(c.target)
    return found


def _even_parts(p: Population, connections: Sequence[Connection], most: int) -> list[list[Connection]]:
    """Rule 1: as few parts as :func:`_parts` makes, of nearly equal size where that makes no more."""
    parts = _parts(p, connections, most)
    synapses = [_synapses(c) for c in connections]
    widest = max((int(s.max()) for c, s in zip(connections, synapses, strict=True) if isinstance(c, Conv2d)), default=0)
    even = _parts(p, connections, max(-(-int(np.sum(synapses, axis=0).max()) // len(parts)), widest))
    return even if len(even) == len(parts) else parts


def _parts(p: Population, connections: Iterable[Connection], most: int) -> list[list[Connection]]:
    """The connections into `p` in parts of at most `most` synapses a neuron, each full before the next begins."""
    parts: list[list[Connection]] = [[]]
    used = np.zeros(p.size, np.int64)
    for c in connections:
        rest = c
        while True:
            piece, rest_of = _fitting(rest, most - used)
            if piece is not None:
                parts[-1].append(piece)
                used = used + _synapses(piece)
            if rest_of is None:
                break
            if piece is None and not parts[-1]:
                raise UnsupportedError(
                    f"connection {c.name}: a window of {int(_synapses(c).max())} sources, limit {most}; "
                    "a source of fewer channels would help: `bitspike optimise --pass split`"
                )
            rest = rest_of
            parts.append([])
            used = np.zeros(p.size, np.int64)
    return parts


def _fitting(c: Connection, room: Integers) -> tuple[Connection | None, Connection | None]:
    """As much of `c` as has room, and what is left."""
    if np.all(_synapses(c) <= room):
        return c, None
    if not isinstance(c, Dense):
        return None, c
    matrix = c.weights.matrix()
    beyond = (np.cumsum(matrix != 0, axis=1, dtype=np.int32) > room[:, None]).any(axis=0)
    first = int(np.argmax(beyond))
    here = np.arange(matrix.shape[1]) < first
    piece, rest = (replace(c, weights=weights_of(np.where(mask, matrix, 0))) for mask in (here, ~here))
    return (piece if np.any(matrix[:, :first]) else None), rest
