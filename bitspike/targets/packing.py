"""Packing: boxes of neurons onto as few cores as can be found, under all limits at once.

How many cores a network needs is a problem of bin packing in several dimensions, in which the items may be cut, and in
which a cut costs: every core that holds a part of a population needs the axons of its inputs again, and every core a
population is spread over takes output axons of its sources. Rules:

1. Populations are taken from the last to the first, so that a neuron's output axons are known when its population is
   cut. Over a connection that leads back they are not: as many targets are assumed as were found the time before, until
   what was assumed is enough.
2. Several ways are tried, and the one with the fewest cores is kept; of equal ones that with the fewest axons:

   - *fill*: what still fits into a core that is open goes there, cut where it must be; a cut is taken only where the
     piece is no smaller than a share of what an empty core would hold (:data:`SHARES`);
   - *tiles*: a population is cut into the fewest boxes that each fit an empty core, equal ones or as many full ones as
     possible; each goes into the fullest core that has room;
   - *levels*, where that is more cores than the lower bound: of a given number of cores each population takes those
     with the most room, so and so many, and fills them to the same level, the lowest that holds it; at most
     :data:`ATTEMPTS` ways to say how many cores each population takes are tried;
   - *first fit*, the baseline.

3. No core holds two pieces of one population.

The baseline is what nengo-loihi does, with several blocks on a core: each population is cut into the fewest equal parts
of neighbours in C order that each fit an empty core, and each goes into the first core that has room.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bitspike.targets.bounds import spread
from bitspike.targets.boxes import Box, Integers, Space, grid, largest, most
from bitspike.targets.loads import Load, Needs

#: Shares of a full core below which a gap is left open.
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
#: Times that output axons over connections that lead back are assumed anew.
_ROUNDS = 12
#: Numbers of cores for all populations that are tried for each number of cores.
ATTEMPTS = 200
#: Numbers of cores above the lower bound that are tried so.
DEPTH = 4
#: Bisections of a level.
_HALVINGS = 8

Cores = list[dict[str, Box]]


class Unfit(Exception):  # noqa: N818
    """A box of neurons for which no core is found; caught inside the mapper."""

    def __init__(self, population: str, box: Box, load: Load) -> None:
        super().__init__(population)
        self.population = population
        self.box = box
        self.load = load


@dataclass(kw_only=True, slots=True)
class Open:
    """Cores that are being filled."""

    needs: Needs
    cores: Cores = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def room(self, name: str, load: Load) -> Iterator[int]:
        """The cores without neurons of population `name` that have room for `load`, in order."""
        for number, core in enumerate(self.cores):
            if name not in core and self.loads[number].plus(load).fits(self.needs.chip):
                yield number

    def put(self, number: int, name: str, box: Box, load: Load) -> None:
        """Put `box` into a core, or into a new one where `number` is that of none."""
        if number == len(self.cores):
            self.cores.append({})
            self.loads.append(Load())
        self.cores[number][name] = box
        self.loads[number] = self.loads[number].plus(load)

    def fullest(self, numbers: Iterable[int]) -> int:
        """The core of which the largest share is taken; a new one where `numbers` is empty."""
        return max(numbers, key=lambda n: share(self.loads[n], self.needs), default=len(self.cores))


@dataclass(frozen=True, kw_only=True, slots=True)
class Piecewise:
    """How one population is asked for its boxes: what a box of it takes."""

    needs: Needs
    name: str
    slots: Integers

    def load(self, box: Box) -> Load:
        """What `box` takes."""
        return self.needs.load(self.name, box, self.slots)

    def fits(self, box: Box, beside: Load | None = None) -> bool:
        """Whether `box` fits into a core, an empty one or one that holds something."""
        load = self.load(box)
        return (load if beside is None else beside.plus(load)).fits(self.needs.chip)

    def largest(self, box: Box, beside: Load | None = None) -> tuple[Box, tuple[Box, ...]] | None:
        """The largest part of `box` that fits; see :func:`bitspike.targets.boxes.largest`."""
        return largest(box, lambda part: self.fits(part, beside))

    def unfit(self, box: Box) -> Unfit:
        """The first neuron of `box`, which no core holds."""
        for axis in range(3):
            box = box.cut(axis, 1)[0]
        return Unfit(self.name, box, self.load(box))


Way = Callable[[Open, Piecewise], None]


def pack(needs: Needs, least: int) -> tuple[Cores, Cores | None]:
    """The best packing and the baseline, None where that finds none; `least` cores are known to be needed.

    Raises:
        Unfit: where no packing is found.
    """
    baseline, fault = _tried(needs, _first_fit)
    found = [cores for way in (*_fills(), _full_tiles, _even_tiles) if (cores := _tried(needs, way)[0]) is not None]
    found += [] if baseline is None else [baseline]
    best = min(found, key=lambda cores: _cost(needs, cores), default=None)
    fewer = needs.chip.cores.value if best is None else len(best) - 1
    for number in range(least, min(fewer, least + DEPTH - 1) + 1):
        for counts in _spreads(needs, number):
            level = _tried(needs, _levels(number, counts))[0]
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


def share(load: Load, needs: Needs) -> float:
    """The largest share that `load` takes of any resource of a core."""
    limits = ((used, needs.chip.limit(name)) for name, used in load.used().items())
    return max(used / limit for used, limit in limits if limit)


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
    for _ in range(_ROUNDS):
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
        back = [s for target in needs.shapes if target not in done for s in needs.synapses[target]]
        for synapses in back:
            if synapses.connection.source == name:
                target = synapses.connection.target
                slots[name] += assumed[target] * synapses.stored(needs.whole(target)).slots
        way(opened, Piecewise(needs=needs, name=name, slots=slots[name]))
        done.add(name)
        for synapses in needs.synapses[name]:
            source = synapses.connection.source
            if source in slots and source not in done:
                for core in opened.cores:
                    if name in core:
                        taken = synapses.stored(core[name]).slots
                        slots[source] += synapses.sources(core[name]).reshape(slots[source].shape) * taken
    return opened.cores


def _fills() -> Iterator[Way]:
    for least in SHARES:
        yield lambda opened, p, least=least: _fill(opened, p, least)  # type: ignore[misc]


def _fill(opened: Open, p: Piecewise, least: float) -> None:
    rest = [p.needs.whole(p.name)]
    while rest:
        box = rest.pop()
        number = opened.fullest(opened.room(p.name, p.load(box)))
        if number < len(opened.cores):
            opened.put(number, p.name, box, p.load(box))
            continue
        alone = p.largest(box)
        if alone is None:
            raise p.unfit(box)
        cuts = ((n, p.largest(box, opened.loads[n])) for n, core in enumerate(opened.cores) if p.name not in core)
        number, (piece, left) = max(
            ((n, cut) for n, cut in cuts if cut is not None and cut[0].size >= least * alone[0].size),
            key=lambda found: found[1][0].size,
            default=(len(opened.cores), alone),
        )
        opened.put(number, p.name, piece, p.load(piece))
        rest.extend(reversed(left))


def _full_tiles(opened: Open, p: Piecewise) -> None:
    _put_all(opened, p, grid(p.needs.shapes[p.name], _tile(p), even=False))


def _even_tiles(opened: Open, p: Piecewise) -> None:
    boxes = grid(p.needs.shapes[p.name], _tile(p), even=True)
    _put_all(
        opened, p, boxes if all(p.fits(box) for box in boxes) else grid(p.needs.shapes[p.name], _tile(p), even=False)
    )


def _put_all(opened: Open, p: Piecewise, boxes: list[Box]) -> None:
    for box in sorted(boxes, key=lambda box: -box.size):
        load = p.load(box)
        opened.put(opened.fullest(opened.room(p.name, load)), p.name, box, load)


def _tile(p: Piecewise) -> Space:
    """The extents of the boxes that cut a population into the fewest that each fit an empty core."""
    channels, height, width = p.needs.shapes[p.name]
    best: tuple[tuple[int, int], Space] | None = None
    for rows in _divisions(height):
        for columns in _divisions(width):
            places = -(-height // rows) * -(-width // columns)
            if best is not None and places > best[0][0]:
                continue
            count = most(channels, lambda n, r=rows, x=columns: p.fits(Box((0, n), (0, r), (0, x))))  # type: ignore[misc]
            while count and not all(
                p.fits(b) for b in grid(p.needs.shapes[p.name], (count, rows, columns), even=False)
            ):
                count -= 1
            if count:
                boxes = grid(p.needs.shapes[p.name], (count, rows, columns), even=False)
                cost = len(boxes), sum(p.load(box).input_axons for box in boxes)
                best = min(best or (cost, (count, rows, columns)), (cost, (count, rows, columns)))
    if best is None:
        raise p.unfit(p.needs.whole(p.name))
    return best[1]


def _divisions(extent: int) -> list[int]:
    """Extents of the parts that so and so many equal cuts make, descending."""
    return sorted({-(-extent // count) for count in range(1, extent + 1)}, reverse=True)


def _spreads(needs: Needs, cores: int) -> Iterator[dict[str, int]]:
    """Numbers of cores for each population, the fewest in all first."""
    names = list(needs.shapes)
    least = [spread(needs, name) for name in names]
    if any(count > cores for count in least):
        return
    made = 0
    for more in range((cores - 1) * len(names) + 1):
        for added in _sums(more, [cores - count for count in least]):
            yield {name: count + extra for name, count, extra in zip(names, least, added, strict=True)}
            made += 1
            if made == ATTEMPTS:
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


def _levels(cores: int, counts: dict[str, int]) -> Way:
    def way(opened: Open, p: Piecewise) -> None:
        while len(opened.cores) < cores:
            opened.cores.append({})
            opened.loads.append(Load())
        order = sorted(range(cores), key=lambda n: (share(opened.loads[n], p.needs), n))[: counts[p.name]]
        low, high = 0.0, 1.0
        best = _levelled(opened, p, order, high)
        if best is None:
            raise p.unfit(p.needs.whole(p.name))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = _levelled(opened, p, order, middle)
            best, low, high = (best, middle, high) if found is None else (found, low, middle)
        for number, box in best:
            opened.put(number, p.name, box, p.load(box))

    return way


def _levelled(opened: Open, p: Piecewise, order: list[int], level: float) -> list[tuple[int, Box]] | None:
    """The population over the cores in `order`, none filled above `level`; None where that is too low."""
    rest: Box | None = p.needs.whole(p.name)
    found = []
    for number in order:
        before = opened.loads[number]

        def fits(box: Box, before: Load = before) -> bool:
            both = before.plus(p.load(box))
            return both.fits(p.needs.chip) and share(both, p.needs) <= level

        cut = None if rest is None else _slice(rest, fits)
        if cut is not None:
            found.append((number, cut[0]))
            rest = cut[1]
    return found if rest is None else None


def _slice(box: Box, fits: Callable[[Box], bool]) -> tuple[Box, Box | None] | None:
    """The most channels that fit, and what is left; rows where there is but one channel, and columns."""
    if fits(box):
        return box, None
    axis = next((axis for axis in range(3) if box.extents[axis] > 1), 0)
    count = most(box.extents[axis] - 1, lambda n: fits(box.cut(axis, n)[0]))
    return box.cut(axis, count) if count else None


def _first_fit(opened: Open, p: Piecewise) -> None:
    """The baseline."""
    for box in _equal_parts(p):
        load = p.load(box)
        opened.put(next(opened.room(p.name, load), len(opened.cores)), p.name, box, load)


def _equal_parts(p: Piecewise) -> list[Box]:
    shape = p.needs.shapes[p.name]
    for axis in range(3):
        for count in range(1, shape[axis] + 1):
            extents = [1 if at < axis else shape[at] for at in range(3)]
            extents[axis] = -(-shape[axis] // count)
            first, second, third = extents
            boxes = grid(shape, (first, second, third), even=True)
            if all(p.fits(box) for box in boxes):
                return boxes
    raise p.unfit(p.needs.whole(p.name))
