"""Relays: neurons that pass a spike on, where a connection's delay is beyond what the chip has.

Rules:

1. A connection of delay `d`, beyond `max_delay`, is fed from a relay of its source that is ``k * max_delay`` steps
   late, `k` such that 1..max_delay steps are left; with relays at every ``max_delay`` before it. Connections of the
   same source share relays, and all arrive when they did.
2. A relay has a neuron for each of its source's, fed by an identity: a threshold of 0 and nothing carried over, so that
   it fires in the step in which a spike arrives. Of graded spikes it sends the payload that it got: a bias of 1/64
   lifts a payload of 1 over the threshold of 1 that a graded population must have, and is shifted out with the rest.
3. A relay starts when the first spike that answers the input can arrive: its source's start and the delay up to it; but
   no later than the last population, lest the run be longer. It holds no state that this could clear.
4. Relays stand in the network's order right behind their source, or in front where that is an input.

Where a target has connections that can have no delay at all, those read relays too (:func:`waiting`).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bitspike.convert.connections import Connection, Identity
from bitspike.convert.network import DECAY_ONE, Input, IntegerNetwork, Population
from bitspike.convert.rules import check


def relayed(network: IntegerNetwork, max_delay: int) -> IntegerNetwork:
    """`network` with no delay beyond `max_delay`, 1 or more; the same object where there is none."""
    far = [c for c in network.connections if c.delay > max_delay]
    if not far:
        return network
    latest = max(network.latencies().values())
    names: dict[tuple[str, int], str] = {}
    taken = set(network.shapes())
    populations: list[Population] = []
    hops: list[Connection] = []
    for node in network.nodes():
        if isinstance(node, Population):
            populations.append(node)
        needed = max(((c.delay - 1) // max_delay for c in far if c.source == node.name), default=0)
        for number in range(1, needed + 1):
            name = free_name(node.name, f"_relay{number}", taken)
            before = names.get((node.name, number - 1), node.name)
            names[node.name, number] = name
            start = network.latencies()[node.name] + number * max_delay
            populations.append(_relay(node, name, min(start, latest)))
            hops.append(Identity(source=before, target=name, size=node.size, delay=max_delay))
    moved = tuple(_moved(c, names, max_delay) for c in network.connections)
    return replace(network, populations=tuple(populations), connections=(*moved, *hops))


def waiting(network: IntegerNetwork, immediate: Callable[[Connection], bool]) -> IntegerNetwork:
    """`network` in chip time with a delay of 1 on connections that are `immediate`; the same object where all have it.

    One of delay d > 1 reads a relay of its source that is d - 1 steps late. Connections of the same source and delay
    share it.
    """
    late = [c for c in network.connections if c.delay > 1 and immediate(c)]
    if not late:
        return network
    latest = max(network.latencies().values())
    taken = set(network.shapes())
    names: dict[tuple[str, int], str] = {}
    populations: list[Population] = []
    for node in network.nodes():
        if isinstance(node, Population):
            populations.append(node)
        for steps in sorted({c.delay - 1 for c in late if c.source == node.name}):
            name = names[node.name, steps] = free_name(node.name, f"_wait{steps}", taken)
            start = network.latencies()[node.name] + steps
            populations.append(_relay(node, name, min(start, latest)))
    hops = tuple(
        Identity(source=source, target=name, size=math.prod(network.shapes()[source]), delay=steps)
        for (source, steps), name in names.items()
    )
    moved = tuple(
        replace(c, source=names[c.source, c.delay - 1], delay=1) if c.delay > 1 and immediate(c) else c
        for c in network.connections
    )
    return check(replace(network, populations=tuple(populations), connections=(*moved, *hops)))


def _moved(c: Connection, names: dict[tuple[str, int], str], max_delay: int) -> Connection:
    """Rule 1."""
    number = (c.delay - 1) // max_delay
    if number < 1:
        return c
    return replace(c, source=names[c.source, number], delay=c.delay - number * max_delay)


def _relay(node: Input | Population, name: str, start: int) -> Population:
    """Rule 2."""
    graded = isinstance(node, Population) and node.graded
    return Population(
        name=name,
        shape=node.shape,
        dv=DECAY_ONE,
        vth=1 if graded else 0,
        bias_mantissa=np.full(node.size, int(graded), np.int32),
        start=start,
        spike="graded" if graded else "binary",
    )


def free_name(source: str, ending: str, taken: set[str]) -> str:
    """`source` and `ending` in a name that is not `taken`, which it is from then on."""
    while (found := source[: 64 - len(ending)] + ending) in taken:
        ending = f"_{ending}"
    taken.add(found)
    return found
