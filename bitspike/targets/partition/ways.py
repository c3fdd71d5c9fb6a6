"""Ways to put the boxes of a population onto cores; :mod:`~bitspike.targets.partition.packing` chooses among them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bitspike.targets.partition.boxes import Box, Integers, Space, grid, largest, most
from bitspike.targets.partition.loads import EMPTY, Load, Needs

#: Shares of a full core below which a gap is left open.
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
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
            if name not in core and self.needs.room.holds(self.loads[number], load):
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

    def fits(self, box: Box, beside: Load = EMPTY) -> bool:
        """Whether `box` fits into a core, an empty one or one that holds something."""
        return self.needs.room.holds(beside, self.load(box))

    def largest(self, box: Box, beside: Load = EMPTY) -> tuple[Box, tuple[Box, ...]] | None:
        """The largest part of `box` that fits; see :func:`bitspike.targets.partition.boxes.largest`."""
        return largest(box, lambda part: self.fits(part, beside))

    def unfit(self, box: Box) -> Unfit:
        """The first neuron of `box`, which no core holds."""
        return Unfit(self.name, box.first(), self.load(box.first()))


Way = Callable[[Open, Piecewise], None]


def share(load: Load, needs: Needs) -> float:
    """The largest share that `load` takes of any resource of a core."""
    limits = ((used, needs.chip.limit(name)) for name, used in load.used().items())
    return max(used / limit for used, limit in limits if limit)


def fills() -> Iterator[Way]:
    """What still fits into an open core goes there; one way for each of :data:`SHARES`."""
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
        with_room = opened.room(p.name, p.load(box.first()))
        cuts = ((n, p.largest(box, opened.loads[n])) for n in with_room)
        number, (piece, left) = max(
            ((n, cut) for n, cut in cuts if cut is not None and cut[0].size >= least * alone[0].size),
            key=lambda found: found[1][0].size,
            default=(len(opened.cores), alone),
        )
        opened.put(number, p.name, piece, p.load(piece))
        rest.extend(reversed(left))


def full_tiles(opened: Open, p: Piecewise) -> None:
    """The fewest boxes that each fit an empty core, as many full ones as possible."""
    _put_all(opened, p, grid(p.needs.shapes[p.name], _tile(p), even=False))


def even_tiles(opened: Open, p: Piecewise) -> None:
    """The fewest boxes that each fit an empty core, of equal extents as far as that goes."""
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


def levels(cores: int, counts: dict[str, int], *, brim: bool) -> Way:
    """Each population fills `counts` of so many `cores`, those with the most room: to the `brim`, or all alike."""

    def way(opened: Open, p: Piecewise) -> None:
        while len(opened.cores) < cores:
            opened.cores.append({})
            opened.loads.append(Load())
        order = sorted(range(cores), key=lambda n: (share(opened.loads[n], p.needs), n))[: counts[p.name]]
        low, high = 0.0, 1.0
        best = _levelled(opened, p, order, high)
        if best is None:
            raise p.unfit(p.needs.whole(p.name))
        for _ in range(0 if brim else _HALVINGS):
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
            load = p.load(box)
            return p.needs.room.holds(before, load) and share(before.plus(load), p.needs) <= level

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


def first_fit(opened: Open, p: Piecewise) -> None:
    """The baseline: the fewest equal parts that each fit an empty core, each into the first core with room."""
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
