"""A number of cores below which no partition can be, proved from totals.

Whatever way the neurons are put onto cores, what they take in all is at most as much as those cores have:

1. neurons: their number;
2. groups: each core has at most so many different ones, and each must be somewhere;
3. synaptic memory of a matrix: each source's synapses lie in at most as many lists as there are cores, of at least the
   weight's and the delay's bits each (:meth:`bitspike.targets.partition.storage.Lists.least`);
4. synaptic memory of a window: as many bits a neuron as in the box, of whatever extents, that takes the fewest
   (:mod:`bitspike.targets.partition.window_bounds`);
5. input axons: every source (every place, where a window's weights are shared) at least once; of a matrix on every core
   that holds a neuron of the population as many as the neuron with the fewest sources needs;
6. output axons: a source needs one at least, for each connection; of a matrix without zeros one for every core over
   which its targets must be spread.

A population alone must be spread over as many cores as its neurons and its matrices without zeros need.
"""

import math
from dataclasses import dataclass

import numpy as np

from bitspike.convert.connections import Dense, Identity, Windowed
from bitspike.targets.partition.boxes import most, whole
from bitspike.targets.partition.loads import Needs
from bitspike.targets.partition.storage import delay_bits
from bitspike.targets.partition.synapses import Synapses, WindowSynapses
from bitspike.targets.partition.window_bounds import least_window_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """At least so many cores, and the resource that proves it."""

    cores: int
    resource: str

    def __str__(self) -> str:
        return f"{self.cores} ({self.resource.replace('_', ' ')})"


def lower_bound(needs: Needs) -> Bound:
    """The largest of the bounds by each resource."""
    populations, chip = needs.network.populations, needs.chip
    alone = {name: spread(needs, name) for name in needs.shapes}
    totals = {
        "neurons": sum(p.size for p in populations),
        "decay_groups": len({(p.du, p.dv) for p in populations}),
        "threshold_groups": len({p.vth for p in populations}),
        "input_axons": sum(_input_axons(s, alone[name]) for name, c in needs.synapses.items() for s in c),
        "output_axons": sum(
            _output_axons(s, alone[name])
            for name, incoming in needs.synapses.items()
            for s in incoming
            if s.connection.source in needs.shapes
        ),
    }
    limits = {name: chip.limit(name) for name in totals}
    bounds = {name: -(-total // limit) for name, total in totals.items() if (limit := limits[name])}
    bounds["spread"] = max(alone.values())
    best = max(bounds, key=lambda name: bounds[name])
    memory = _by_memory(needs, bounds[best])
    return (
        Bound(cores=memory, resource="synapse_bits")
        if memory > bounds[best]
        else Bound(cores=bounds[best], resource=best)
    )


def _by_memory(needs: Needs, cores: int) -> int:
    """The least number, `cores` or more, of which the memory can be enough."""
    limit = needs.chip.limit("synapse_bits")
    if limit is None:
        return cores
    all_synapses = [s for part in needs.synapses.values() for s in part]
    windows = math.ceil(sum(least_window_bits(s) for s in all_synapses if isinstance(s, WindowSynapses)))
    counts = [(s, *found) for s in all_synapses if not isinstance(s, WindowSynapses) for found in _counts(s)]
    cores = max(cores, -(-(windows + sum(times * count * _each(s) for s, count, times in counts)) // limit))
    while windows + sum(times * _least(s, count, cores) for s, count, times in counts) > cores * limit:
        cores += 1
    return cores


def _counts(s: Synapses) -> list[tuple[int, int]]:
    """Synapses that must be stored for one source, and how many sources have as many."""
    c = s.connection
    found = np.count_nonzero(c.weights.matrix(), axis=0) if isinstance(c, Dense) else c.fan_out()
    values, times = np.unique(found[found > 0], return_counts=True)
    return list(zip(values.tolist(), times.tolist(), strict=True))


def _each(s: Synapses) -> int:
    return (0 if s.form is None else s.form.width) + delay_bits(s.connection)


def _least(s: Synapses, count: int, cores: int) -> int:
    return 0 if s.lists is None else s.lists.least(count, _each(s), cores)


def spread(needs: Needs, name: str) -> int:
    """Cores over which a population alone must be spread."""
    size, limit = needs.network.population(name).size, needs.chip.limit("neurons") or 1
    least = -(-size // limit)
    memory = needs.chip.limit("synapse_bits")
    full = [s for s in needs.synapses[name] if _full(s)]
    if memory is None or not full:
        return least
    held = most(size, lambda n: sum(s.connection.shape[1] * _list_bits(s, n) for s in full) <= memory)
    return max(least, -(-size // max(held, 1)))


def _full(s: Synapses) -> bool:
    c = s.connection
    return isinstance(c, Dense) and bool(np.all(c.weights.matrix()))


def _list_bits(s: Synapses, count: int) -> int:
    return 0 if s.lists is None else int(s.lists.bits(np.array(count), _each(s)))


def _input_axons(s: Synapses, cores: int) -> int:
    """Rule 5."""
    c = s.connection
    if isinstance(c, Identity):
        return c.size
    if isinstance(c, Dense):
        nonzero = c.weights.matrix() != 0
        return max(int(nonzero.any(axis=0).sum()), cores * int(nonzero.sum(axis=1).min()))
    sources = s.sources(whole(c.target_shape)).reshape(c.source_shape) if isinstance(c, Windowed) else np.zeros(0)
    return int(sources.any(axis=0).sum() if s.chip.shared_places is not None else sources.sum())


def _output_axons(s: Synapses, cores: int) -> int:
    """Rule 6."""
    c = s.connection
    if _full(s):
        return c.shape[1] * cores
    if isinstance(c, Dense):
        return int(np.any(c.weights.matrix(), axis=0).sum())
    return int((c.fan_out() > 0).sum())
