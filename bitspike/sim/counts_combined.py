"""Counts made of counts: runs one behind the other, members of a committee, and a run without weights of 0."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bitspike.sim.counts import ACCUMULATOR_BITS, ConnectionCounts, Counts, PopulationCounts


def joined(parts: Sequence[Counts]) -> Counts:
    """The counts of several runs of the same network, one behind the other."""
    first = parts[0]
    return replace(
        first,
        samples=sum(part.samples for part in parts),
        input_spikes=np.concatenate([part.input_spikes for part in parts]),
        populations=tuple(_stacked(group) for group in zip(*(part.populations for part in parts), strict=True)),
        connections=tuple(_stacked(group) for group in zip(*(part.connections for part in parts), strict=True)),
    )


def together(members: Sequence[Counts], *, name: str) -> Counts:
    """The counts of networks that answer the same samples, as those of one network.

    What is in them is called ``number/name``, and every member has its own barriers.
    """
    first = members[0]
    return replace(
        first,
        network=name,
        barrier_steps=sum(m.barrier_steps for m in members),
        populations=tuple(
            replace(p, population=f"{k}/{p.population}") for k, m in enumerate(members) for p in m.populations
        ),
        connections=tuple(
            replace(c, source=f"{k}/{c.source}", target=f"{k}/{c.target}")
            for k, m in enumerate(members)
            for c in m.connections
        ),
    )


def without_zeros(counts: Counts) -> Counts:
    """The same run on a chip that does not store synapses of weight 0, and so neither reads nor feeds them.

    What such a chip stores instead, a number for each synapse that says where it leads, is not counted.
    """
    connections = tuple(replace(c, synaptic_operations=c.effective_operations) for c in counts.connections)
    populations = tuple(_without_zeros(p, connections) for p in counts.populations)
    return replace(counts, connections=connections, populations=populations)


def _without_zeros(counts: PopulationCounts, connections: Sequence[ConnectionCounts]) -> PopulationCounts:
    saved = ACCUMULATOR_BITS * (counts.synaptic_operations - counts.effective_operations)
    weights = [c.weight_bits_read for c in connections if c.target == counts.population]
    return replace(
        counts,
        synaptic_operations=counts.effective_operations,
        weight_bits_read=np.sum(weights, axis=0, dtype=np.int64) + 0 * saved,
        state_bits_read=counts.state_bits_read - saved,
        state_bits_written=counts.state_bits_written - saved,
    )


def _stacked(group: Sequence[Any]) -> Any:
    """The first of a group of counts of the same thing, with everybody's arrays one behind the other."""
    arrays = {f.name for f in fields(group[0]) if isinstance(getattr(group[0], f.name), np.ndarray)}
    return replace(group[0], **{name: np.concatenate([getattr(one, name) for one in group]) for name in arrays})
