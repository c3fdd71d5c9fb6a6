"""Retiming: from a network that answers within the step to chip time, where every connection takes a step.

Rules:

1. The latency of a population is the largest of ``latency(source) + 1 - delay`` over its connections, and of 0; the
   input has latency 0. A loop needs at least as many steps of delay as it has connections; one that has fewer is
   refused.
2. A connection's delay becomes ``latency(target) - latency(source) + delay``, which is 1 or more, so that branches of
   different depth meet in the same step.
3. A population's `start` becomes its latency: its state is cleared when its first input arrives, so that a bias has
   not acted before. Spikes that it sent before its start reach the next population before that one's own start, and
   are erased with it.
4. Over a connection that had a delay of its own, such an early spike would arrive after the start and count. A network
   in which that can happen (upstream of such a connection, a bias that alone makes a neuron fire) is refused, unless
   the run is led by steps in which an input keeps it quiet (:mod:`bitspike.convert.passes.quiet`).
5. Where a delay is beyond what the chip has, relays pass the spikes on (:mod:`bitspike.convert.relays`).
6. A network that is in chip time already, with delays that the chip has, is returned as it is.

The claim: ``spikes_chip[n, t + latency(n)] == spikes_model[n, t]`` for every neuron and step, and likewise for
currents and membranes.
"""

from dataclasses import replace

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.relays import relayed
from bitspike.convert.rules import MAX_DELAY, check
from bitspike.convert.silence import unfed_firing
from bitspike.errors import UnsupportedError, UsageError


def retime(network: IntegerNetwork, max_delay: int = MAX_DELAY, *, led: bool = False) -> IntegerNetwork:
    """The legal network `network` in chip time; the same object where it is in chip time already.

    Args:
        network: a legal network.
        max_delay: the longest delay that the chip has.
        led: whether a gap comes before the first sample too, in which the network is kept quiet: then rule 4 does not
            apply.

    Raises:
        UnsupportedError: by rules 1 and 4.
    """
    if not 1 <= max_delay <= MAX_DELAY:
        raise UsageError(f"max_delay {max_delay}; expected 1..{MAX_DELAY}")
    if in_chip_time(network):
        return relayed(network, max_delay)
    if any(p.start for p in network.populations):
        raise UnsupportedError(
            f"network {network.name}: some populations have a start, yet a connection has delay 0; "
            "expected a trained network (no start) or one in chip time (no delay 0)"
        )
    latency = _latencies(network)
    if not led:
        refuse_early_spikes(network, latency)
    connections = tuple(replace(c, delay=latency[c.target] - latency[c.source] + c.delay) for c in network.connections)
    populations = tuple(replace(p, start=latency[p.name]) for p in network.populations)
    return check(relayed(replace(network, populations=populations, connections=connections), max_delay))


def _latencies(network: IntegerNetwork) -> dict[str, int]:
    """Rule 1, by relaxation: without a loop that is too fast, nothing moves after as many rounds as populations."""
    latency = dict.fromkeys(network.shapes(), 0)
    for _ in range(len(network.populations) + 1):
        late = [c for c in network.connections if latency[c.source] + 1 - c.delay > latency[c.target]]
        if not late:
            return latency
        for p in network.populations:
            arrivals = (latency[c.source] + 1 - c.delay for c in network.incoming(p.name))
            latency[p.name] = max(latency[p.name], *arrivals, 0) if network.incoming(p.name) else 0
    raise UnsupportedError(
        f"connection {late[0].name}: part of a loop with fewer steps of delay than connections; "
        "on a chip every connection takes a step"
    )


def in_chip_time(network: IntegerNetwork) -> bool:
    """True where every connection takes a step and every population starts when its first input arrives."""
    latency = network.latencies()
    return all(c.delay >= max(1, latency[c.target] - latency[c.source]) for c in network.connections)


def refuse_early_spikes(network: IntegerNetwork, latency: dict[str, int]) -> None:
    """UnsupportedError by rule 4, for any `latency`.

    A population is early where it, or one that feeds it, has a bias that makes it fire and a latency to act in.
    """
    early: set[str] = set()
    for p in network.populations:
        fed = any(c.source in early for c in network.incoming(p.name))
        if latency[p.name] > 0 and (fed or unfed_firing(p).any()):
            early.add(p.name)
    for c in network.connections:
        if c.delay > 0 and c.source in early:
            raise UnsupportedError(
                f"connection {c.name} has a delay of {c.delay} and {c.source} has, or is fed by, a bias that would act "
                "before the first input; expected no delay there, or no bias"
            )
