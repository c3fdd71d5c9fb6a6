"""Packing: boxes of neurons onto as few cores as can be found, under all limits at once.

How many cores a network needs is a problem of bin packing in several dimensions, in which the items may be cut, and in
which a cut costs: every core that holds a part of a population needs the axons of its inputs again, and every core a
population is spread over takes output axons of its sources. Rules:

1. Populations are taken from the last to the first, so that a neuron's output axons are known when its population is
   cut. Over a connection that leads back they are not: as many targets are assumed as were found the time before, until
   what was assumed is enough.
2. Several ways are tried, and the one with the fewest cores is kept; of equal ones that with the fewest axons:

   - *fill*: what still fits into a core that is open goes there, cut where it must be; a cut is taken only where the
     piece is no smaller than a share of what an empty core would hold (:data:`bitspike.targets.partition.ways.SHARES`);
   - *tiles*: a population is cut into the fewest boxes that each fit an empty core, equal ones or as many full ones as
     possible; each goes into the fullest core that has room;
   - *levels*, where that is more cores than the lower bound: of a given number of cores each population takes those
     with the most room, so and so many, and fills them one by one, or all to the lowest level that holds it; at most
     :data:`ATTEMPTS` ways to say how many cores each population takes are tried, and fewer of more than
     :data:`MANY` cores, since each takes longer;
   - *first fit*, the baseline.

3. No core holds two pieces of one population.

The baseline is what nengo-loihi does, with several blocks on a core: each population is cut into the fewest equal parts
of neighbours in C order that each fit an empty core, and each goes into the first core that has room.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from bitspike.targets.partition.bounds import spread
from bitspike.targets.partition.boxes import Box
from bitspike.targets.partition.loads import Load, Needs
from bitspike.targets.partition.synapses import Synapses, WindowSynapses
from bitspike.targets.partition.ways import (
    Cores,
    Open,
    Piecewise,
    Unfit,
    Way,
    even_tiles,
    fills,
    first_fit,
    full_tiles,
    levels,
)

#: Times that output axons over connections that lead back are assumed anew.
_ROUNDS = 12
#: Numbers of cores for all populations that are tried for each number of cores.
ATTEMPTS = 200
#: Cores beyond which fewer are tried: as many as keep the product with the square of the cores.
MANY = 32
#: Numbers of cores above the lower bound that are tried so.
DEPTH = 3


def pack(needs: Needs, least: int) -> tuple[Cores, Cores | None]:
    """The best packing and the baseline, None where that finds none; `least` cores are known to be needed.

    Raises:
        Unfit: where no packing is found.
    """
    baseline, fault = _tried(needs, first_fit)
    found = [cores for way in (*fills(), full_tiles, even_tiles) if (cores := _tried(needs, way)[0]) is not None]
    found += [] if baseline is None else [baseline]
    best = min(found, key=lambda cores: _cost(needs, cores), default=None)
    fewer = needs.chip.cores.value if best is None else len(best) - 1
    for number in range(least, min(fewer, least + DEPTH - 1) + 1):
        for counts in _spreads(needs, number):
            for brim in (True, False):
                level = _tried(needs, levels(number, counts, brim=brim))[0]
                if level is not None:
                    return level, baseline
    if best is None:
        raise fault or Unfit("", Box((0, 0), (0, 0), (0, 0)), Load())
    return best, baseline


def _tried(needs: Needs, way: Way) -> tuple[Cores | None, Unfit | None]:
    try:
        return _packed(needs, way), None
    except Unfit as fault:
        return None, fault


def tiles_of(cores: Cores, names: Iterable[str]) -> dict[str, list[Box]]:
    """The boxes of each population."""
    return {name: [core[name] for core in cores if name in core] for name in names}


def loads_of(needs: Needs, cores: Cores) -> list[Load]:
    """What each core carries."""
    slots = needs.slots(tiles_of(cores, needs.shapes))
    loads = []
    for core in cores:
        load = Load()
        for name, box in core.items():
            load = load.plus(needs.load(name, box, slots[name]))
        loads.append(load)
    return loads


def _cost(needs: Needs, cores: Cores) -> tuple[int, int]:
    loads = loads_of(needs, cores)
    return len(cores), sum(load.input_axons + load.output_axons for load in loads)


def _packed(needs: Needs, way: Way) -> Cores:
    """Rule 1."""
    assumed = dict.fromkeys(needs.shapes, 1)
    order = list(needs.network.shapes())
    loops = any(order.index(c.source) >= order.index(c.target) for c in needs.network.connections)
    for _ in range(_ROUNDS if loops else 1):
        cores = _attempt(needs, way, assumed)
        if all(load.fits(needs.chip) for load in loads_of(needs, cores)):
            return cores
        found = {name: len(boxes) for name, boxes in tiles_of(cores, needs.shapes).items()}
        assumed = {name: max(count, found[name] + (count == found[name])) for name, count in assumed.items()}
    crowded = next(n for n, load in enumerate(loads_of(needs, cores)) if not load.fits(needs.chip))
    name, box = next(iter(cores[crowded].items()))
    raise Unfit(name, box, loads_of(needs, cores)[crowded])


def _attempt(needs: Needs, way: Way, assumed: dict[str, int]) -> Cores:
    done: set[str] = set()
    opened = Open(needs=needs)
    slots = {name: np.zeros(shape, np.int64) for name, shape in needs.shapes.items()}
    for name in reversed(needs.shapes):
        for target in needs.shapes.keys() - done:
            leads_back = (s for s in needs.synapses[target] if s.connection.source == name)
            slots[name] += sum(assumed[target] * _most_slots(s) for s in leads_back)
        way(opened, Piecewise(needs=needs, name=name, slots=slots[name]))
        done.add(name)
        for synapses in needs.synapses[name]:
            source = synapses.connection.source
            if source in slots and source not in done:
                for core in opened.cores:
                    if name in core:
                        taken = synapses.stored(core[name]).slots
                        slots[source] += synapses.sources(core[name]).reshape(slots[source].shape) * taken
    return [core for core in opened.cores if core]


def _most_slots(synapses: Synapses) -> int:
    return (synapses.chip.limit("shared_axon_slots") or 1) if isinstance(synapses, WindowSynapses) else 1


def _spreads(needs: Needs, cores: int) -> Iterator[dict[str, int]]:
    """Numbers of cores for each population, the fewest in all first."""
    names = list(needs.shapes)
    least = [spread(needs, name) for name in names]
    if any(count > cores for count in least):
        return
    made, most = 0, max(1, ATTEMPTS * MANY**2 // max(cores, MANY) ** 2)
    for more in range((cores - 1) * len(names) + 1):
        for added in _sums(more, [cores - count for count in least]):
            yield {name: count + extra for name, count, extra in zip(names, least, added, strict=True)}
            made += 1
            if made >= most:
                return


def _sums(total: int, most: list[int]) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as a sum of numbers of 0 to each of `most`."""
    if not most:
        if total == 0:
            yield ()
        return
    for first in range(min(total, most[0]) + 1):
        for rest in _sums(total - first, most[1:]):
            yield first, *rest
