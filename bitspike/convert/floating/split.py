"""Splitting populations whose neurons have different decays: the chip has one pair of decays for a population.

Rules:

1. Neurons with the same pair of decays, rounded to 1/4096, are a group; each group is a population of its own, in the
   place of the one that was split, under its name and a number.
2. A population that is read out and was split is followed by a relay of one neuron for each of its neurons, in their
   order, which spikes in the step in which that one does.
3. Where there are more groups than `most`, pairs that are next to each other are put together, and get the mean of
   their neurons' decays; that is said in a note, or refused where only what is exact is wanted.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.cells import Cell, Lattice, Link, decay_of, decays
from bitspike.convert.floating.maps import Diagonal, Map, Matrix, columns_of, rows_of
from bitspike.convert.network import DECAY_ONE
from bitspike.errors import UnsupportedError

#: Groups into which one population may be split.
MOST = 64


def split(lattice: Lattice, *, most: int = MOST, strict: bool = False) -> Lattice:
    """The lattice with one pair of decays in every cell; the same object where it has that already."""
    groups = {cell.name: _groups(cell) for cell in lattice.cells}
    parted = {name: parts for name, parts in groups.items() if len(parts) > 1}
    if not parted:
        return lattice
    cells: list[Cell] = []
    notes = list(lattice.notes)
    for name, parts in parted.items():
        if len(parts) > most:
            text = f"{name}: {len(parts)} different pairs of decays are put together in {most} populations"
            if strict:
                raise UnsupportedError(f"{text} (strict: only what is exact before rounding)")
            notes.append(text)
            cut = np.array_split(np.arange(len(parts)), most)
            parted[name] = [np.sort(np.concatenate([parts[at] for at in chunk])) for chunk in cut]
    for cell in lattice.cells:
        links = [part for link in cell.links for part in _sources(link, parted)]
        if cell.name not in parted:
            cells.append(replace(cell, links=tuple(links)))
            continue
        cells += [_part(cell, number, rows, links) for number, rows in enumerate(parted[cell.name])]
        if cell.name in lattice.outputs:
            if not cell.spiking:
                raise UnsupportedError(f"{cell.name}: a read-out whose neurons have different decays; expected one")
            cells.append(_relay(cell, parted[cell.name]))
    return replace(lattice, cells=tuple(cells), notes=tuple(notes))


def part_name(name: str, number: int) -> str:
    """Name of a group."""
    return f"{name}_{number}"


def _groups(cell: Cell) -> list[npt.NDArray[np.int64]]:
    """The neurons of each pair of decays, in the order of the pairs."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for neuron, (du, dv) in enumerate(decays(cell).tolist()):
        found[du, dv].append(neuron)
    return [np.array(rows) for _, rows in sorted(found.items())]


def _sources(link: Link, parted: dict[str, list[npt.NDArray[np.int64]]]) -> list[Link]:
    """A link from each group of a source."""
    if link.source not in parted:
        return [link]
    return [
        Link(source=part_name(link.source, number), delay=link.delay, map=columns_of(link.map, columns))
        for number, columns in enumerate(parted[link.source])
    ]


def _part(cell: Cell, number: int, rows: npt.NDArray[np.int64], links: list[Link]) -> Cell:
    own = [replace(link, map=_diagonal(rows_of(link.map, rows))) for link in links]
    kept = [link for link in own if not isinstance(link.map, Matrix) or bool(link.map.weight.any())]
    du, dv = decay_of(np.array([cell.alpha[rows].mean(), cell.beta[rows].mean()])).tolist()
    return replace(
        cell,
        name=part_name(cell.name, number),
        neurons=cell.neurons[rows],
        shape=(len(rows),),
        alpha=cell.alpha[rows],
        beta=cell.beta[rows],
        du=du,
        dv=dv,
        links=tuple(kept),
        bias=cell.bias[rows],
    )


def _diagonal(linear: Matrix) -> Map:
    """A square matrix with nothing beside its diagonal as what it is."""
    weight = linear.weight
    if weight.shape[0] != weight.shape[1] or np.count_nonzero(weight) != np.count_nonzero(np.diagonal(weight)):
        return linear
    return Diagonal(factor=np.diagonal(weight).copy())


def _relay(cell: Cell, groups: list[npt.NDArray[np.int64]]) -> Cell:
    links = []
    for number, columns in enumerate(groups):
        weight = np.zeros((cell.size, len(columns)))
        weight[columns, np.arange(len(columns))] = 2.0
        links.append(Link(source=part_name(cell.name, number), delay=0, map=Matrix(weight=weight)))
    zeros = np.zeros(cell.size)
    return Cell(
        name=cell.name,
        origin="",
        neurons=np.zeros(0, np.int64),
        shape=cell.shape,
        alpha=zeros,
        beta=zeros,
        du=DECAY_ONE,
        dv=DECAY_ONE,
        reset="zero",
        links=tuple(links),
        bias=zeros,
    )
