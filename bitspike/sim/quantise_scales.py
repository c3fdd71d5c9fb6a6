"""Which scales are tried for a population, and with which its registers can overflow."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bitspike.convert.floating.cells import Cell, closed
from bitspike.convert.floating.rounding import Choice, Rounded, largest_weight, round_cell, whole_scales
from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Readout
from bitspike.convert.ranges import check_range
from bitspike.errors import RangeError

#: Scales that are tried, as shares of the largest that clips no weight; then doubled, with larger exponents. Where the
#: registers hold less, as shares of the largest that they hold.
SHARES = (0.99, 0.93, 0.87, 0.81, 0.76, 0.71, 0.66, 0.62, 0.57, 0.53)
OCTAVES = (1, 2, 4)
#: To which share the largest scale that fits is found.
_NEAR = 1.01


def choices(cell: Cell, *, bits: int, steps: int) -> Iterator[Choice]:
    """Choices for a cell; first those that move no weight, where there are such.

    Raises:
        RangeError: none fits.
    """
    if not cell.origin:
        yield Choice(scale=1)
        return
    most = _most(cell, bits)
    limit = largest_fitting(cell, bits=bits, steps=steps, top=most * OCTAVES[-1] * _shrinks(bits)[-1])
    scales = [(float(scale), 1.0) for scale in whole_scales(closed(cell))]
    whole = len(scales)
    grid = [(most * octave * share, shrink) for octave in OCTAVES for share in SHARES for shrink in _shrinks(bits)]
    scales += [(scale * shrink, shrink) for scale, shrink in grid]
    if limit < most * OCTAVES[-1]:
        scales += [(limit * share, 1.0) for share in SHARES]
    seen: set[Choice] = set()
    scales[whole:] = [(_near_whole_resets(cell, scale), shrink) for scale, shrink in scales[whole:]]
    for scale, shrink in scales:
        choice = Choice(scale=max(1, round(scale)), shrink=shrink)
        if choice not in seen and choice.scale <= limit:
            seen.add(choice)
            yield choice


def smaller(cell: Cell, *, bits: int, steps: int) -> Choice:
    """A choice that surely fits, where the others did not."""
    limit = largest_fitting(cell, bits=bits, steps=steps, top=_most(cell, bits))
    return Choice(scale=max(1, round(limit / 2)))


def other_decays(cell: Cell, choice: Choice) -> Iterator[Choice]:
    """The choice with one decay moved to the next multiple, where the nearest is not the decay itself."""
    for name, kept, decay in (("du", cell.alpha, cell.du), ("dv", cell.beta, cell.dv)):
        wanted = DECAY_ONE * (1 - kept)
        if cell.origin and bool((np.abs(wanted - decay) > 1e-6).any()):
            yield replace(choice, **{name: 1 if wanted.mean() > decay else -1})


def largest_fitting(cell: Cell, *, bits: int, steps: int, top: float) -> float:
    """The largest scale up to `top` with which no register can overflow; RangeError where none is."""
    check_range(alone(round_cell(cell, Choice(scale=1), bits=bits), steps))
    low, high = 1.0, max(1.0, top)
    if _fits(cell, high, bits, steps):
        return high
    while high / low > _NEAR:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _fits(cell, middle, bits, steps) else (low, middle)
    return low


def alone(built: Rounded, steps: int) -> IntegerNetwork:
    """A network of one population, for its range proof: what enters it is 0 or 1 whoever sends it."""
    name = built.population.name
    return IntegerNetwork(
        name=name,
        steps=steps,
        inputs=(),
        populations=(built.population,),
        connections=built.connections,
        readouts=(Readout(population=name, kind="spike_count"),),
    )


def _fits(cell: Cell, scale: float, bits: int, steps: int) -> bool:
    try:
        check_range(alone(round_cell(cell, Choice(scale=max(1, int(scale))), bits=bits), steps))
    except RangeError:
        return False
    return True


def _near_whole_resets(cell: Cell, scale: float) -> float:
    """The scale nearest to `scale` with which what a reset needs of a neuron's own weight is a whole number."""
    keeps = 1 - cell.dv / DECAY_ONE
    share = {"late": 1 - keeps, "none": keeps}.get(cell.own, 0.0)
    return round(scale * share) / share if scale * share >= 1 else scale


def _shrinks(bits: int) -> tuple[float, ...]:
    return (1.0, 1.35) if bits > 5 else (1.0, 1.25, 1.6, 2.0)


def _most(cell: Cell, bits: int) -> float:
    """The scale with which the largest weight just fits without an exponent."""
    return float((1 << bits) - 1) / (largest_weight(closed(cell)) or 1.0)
