"""Cells: populations of a float network before they are rounded, and what a lattice of them is made of."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.maps import Diagonal, Map, plus
from bitspike.convert.floating.nodes import FloatInput, Reals
from bitspike.convert.network import DECAY_ONE, Reset

Own = Literal["chip", "late", "none", "swallow"]
#: Name of the population that fires in every step.
CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Link:
    """Spikes of `source`, `delay` steps old, through a linear map."""

    source: str
    delay: int
    map: Map


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cell:
    """A population before it is rounded; its threshold is 1.

    Attributes:
        name: of the population in the float network, or of a part of it.
        origin, neurons: the population of the float network and which of its neurons these are; empty for a population
            that stands for none.
        shape: as in the float network.
        alpha, beta: what a step keeps of current and membrane, each neuron's own, before rounding.
        du, dv: the chip's decays.
        reset: the chip's.
        links: what enters.
        bias: what enters the membrane in every step.
        spiking: False for a read-out by its membrane.
        own: what a connection of each neuron with itself makes of the chip's reset: ``late``, a step after the spike,
            or ``none``; ``chip`` where there is none; ``swallow`` where it may stand for an input that is swallowed.
            See :func:`closed`.
        swallowed: of ``swallow``, what is taken back in the step after a spike, in thresholds.
    """

    name: str
    origin: str
    neurons: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    alpha: Reals
    beta: Reals
    du: int
    dv: int
    reset: Reset
    links: tuple[Link, ...]
    bias: Reals
    spiking: bool = True
    own: Own = "chip"
    swallowed: float = 0.0

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.bias)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lattice:
    """A float network as cells.

    Attributes:
        inputs: names and shapes.
        cells: in the order in which a step computes them.
        outputs: names of the cells that are read out.
        notes: what is not exact, one sentence each.
    """

    name: str
    inputs: tuple[FloatInput, ...]
    cells: tuple[Cell, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def summed(links: list[Link]) -> tuple[Link, ...]:
    """One link for each source and delay."""
    found: dict[tuple[str, int], Link] = {}
    for link in links:
        key = link.source, link.delay
        found[key] = link if key not in found else replace(link, map=plus(found[key].map, link.map))
    return tuple(found.values())


def closed(cell: Cell) -> Cell:
    """The cell with the connections of its neurons with themselves that its reset needs; rule 4.

    They depend on what the cell's own decays, as they are rounded, keep of a step.
    """
    keeps, current = 1 - cell.dv / DECAY_ONE, 1 - cell.du / DECAY_ONE
    if cell.own == "chip":
        return cell
    weight = {"none": keeps, "late": keeps - 1, "swallow": -cell.swallowed}[cell.own]
    added = [
        Link(source=cell.name, delay=delay, map=Diagonal(factor=np.full(cell.size, factor)))
        for delay, factor in ((1, weight), (2, -current * weight))
        if factor
    ]
    return replace(cell, links=summed([*cell.links, *added]), own="chip")


def decay_of(kept: Reals) -> npt.NDArray[np.int64]:
    """The chip's decay of a share that a step keeps."""
    return np.clip(np.rint(DECAY_ONE * (1 - kept)), 0, DECAY_ONE).astype(np.int64)


def decays(cell: Cell) -> npt.NDArray[np.int64]:
    """Decays of current and membrane of each neuron, (neurons, 2)."""
    return np.stack([decay_of(cell.alpha), decay_of(cell.beta)], axis=1)
