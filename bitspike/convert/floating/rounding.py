"""Rounding: cells and a scale for each become an integer network, with a record of how far everything moved.

Rules:

1. A scale says how many weight units the threshold of a cell is: weights, biases and threshold are multiplied by it and
   rounded to the nearest. It is a whole number, so that the threshold itself does not move.
2. The exponent of a connection is the smallest with which its largest weight, divided by the choice's `shrink`, fits;
   a weight that does not fit then is clipped.
3. A convolution gives its shape to both its ends; where two disagree they become matrices.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity
from bitspike.convert.floating.lattice import Cell, Lattice, Link
from bitspike.convert.floating.maps import Diagonal, Map, Matrix, Window, matrix_of
from bitspike.convert.floating.nodes import Reals
from bitspike.convert.network import STATE_SHIFT, VTH_MAX, Population
from bitspike.convert.rules import BIAS_MANTISSA, EXPONENTS
from bitspike.convert.weights import weights_of
from bitspike.errors import RangeError

Integers = npt.NDArray[np.int64]
#: Different weights, and scales, among which whole ones are looked for.
MAX_VALUES = 256
MAX_WHOLE = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How a cell is rounded.

    Attributes:
        scale: its threshold in weight units, 1 or more.
        shrink: by how much the largest weight of a connection may exceed what its exponent can hold; 1 clips nothing.
    """

    scale: int
    shrink: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightMove:
    """How far the weights of one connection moved; in thresholds of its target.

    Attributes:
        connection: its name and its delay.
        bits: of a weight's magnitude.
        exponent: of the connection.
        largest: the largest weight, without its sign.
        most, rms: the largest move, and the root of the mean square.
        clipped: weights that did not fit.
    """

    connection: str
    bits: int
    exponent: int
    largest: float
    most: float
    rms: float
    clipped: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rounded:
    """A cell in integers."""

    population: Population
    connections: tuple[Connection, ...]
    moves: tuple[WeightMove, ...]
    bias_most: float
    bias_rms: float


def round_cell(cell: Cell, choice: Choice, *, bits: int = 8) -> Rounded:
    """The population of a cell and the connections that enter it.

    Raises:
        RangeError: the threshold or a bias does not fit its register.
    """
    if not 1 <= choice.scale < VTH_MAX:
        raise RangeError([f"{cell.name}: a threshold of {choice.scale}; expected 1..{VTH_MAX - 1}"])
    mantissa, exponent = _bias(cell, choice.scale)
    population = Population(
        name=cell.name,
        shape=cell.shape,
        du=cell.du,
        dv=cell.dv,
        vth=choice.scale if cell.spiking else VTH_MAX,
        reset=cell.reset,
        bias_mantissa=mantissa.astype(np.int32),
        bias_exponent=exponent,
    )
    pairs = [_connection(cell, link, choice, bits) for link in cell.links]
    moved = population.bias / (choice.scale << STATE_SHIFT) - cell.bias
    return Rounded(
        population=population,
        connections=tuple(connection for connection, _ in pairs),
        moves=tuple(move for _, move in pairs),
        bias_most=float(np.abs(moved).max(initial=0)),
        bias_rms=float(np.sqrt(np.mean(moved**2))),
    )


def largest_weight(cell: Cell) -> float:
    """The largest weight of a cell, without its sign; 0 where it has none."""
    return max((float(np.abs(_numbers(link.map)).max(initial=0)) for link in cell.links), default=0.0)


def whole_scales(cell: Cell) -> tuple[int, ...]:
    """The smallest scales, two at most, with which all weights are whole numbers; none where that needs a large one.

    So a model that was trained with weights of few values keeps them.
    """
    numbers = [np.unique(np.abs(_numbers(link.map))) for link in cell.links]
    weights = np.unique(np.concatenate(numbers)) if numbers else np.zeros(0)
    if not 0 < weights.size <= MAX_VALUES:
        return ()
    scales = np.arange(1, MAX_WHOLE + 1)
    products = scales[:, None] * weights
    whole = np.abs(products - np.rint(products)).max(axis=1) < 1e-6
    return tuple(int(scale) for scale in scales[whole][:2])


def fitted(lattice: Lattice) -> Lattice:
    """The lattice in which every convolution finds the shapes that it expects; rule 3."""
    wanted: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for cell in lattice.cells:
        for link in cell.links:
            if isinstance(link.map, Window):
                wanted[link.source].add(link.map.source_shape)
                wanted[cell.name].add(link.map.target_shape)
    shapes = {name: next(iter(found)) for name, found in wanted.items() if len(found) == 1}
    cells = [
        replace(
            cell,
            shape=shapes.get(cell.name, cell.shape),
            links=tuple(_fitting(link, cell.name, wanted) for link in cell.links),
        )
        for cell in lattice.cells
    ]
    inputs = tuple(replace(entry, extents=shapes.get(entry.name, entry.extents)) for entry in lattice.inputs)
    return replace(lattice, cells=tuple(cells), inputs=inputs)


def _fitting(link: Link, target: str, wanted: dict[str, set[tuple[int, ...]]]) -> Link:
    if not isinstance(link.map, Window) or len(wanted[link.source]) == len(wanted[target]) == 1:
        return link
    return replace(link, map=Matrix(weight=matrix_of(link.map)))


def _bias(cell: Cell, scale: int) -> tuple[Integers, int]:
    wanted = cell.bias * (scale << STATE_SHIFT)
    low, high = BIAS_MANTISSA
    for exponent in EXPONENTS:
        mantissa = np.rint(wanted / (1 << exponent)).astype(np.int64)
        if mantissa.min(initial=0) >= low and mantissa.max(initial=0) <= high:
            return mantissa, exponent
    raise RangeError([f"{cell.name}: a bias of {np.abs(wanted).max():.0f}/64; the register holds {high << 7}/64"])


def _numbers(linear: Map) -> Reals:
    return linear.factor if isinstance(linear, Diagonal) else linear.weight


def _connection(cell: Cell, link: Link, choice: Choice, bits: int) -> tuple[Connection, WeightMove]:
    weights = _numbers(link.map)
    whole, exponent, clipped = _rounded(weights * choice.scale, choice.shrink, bits)
    moved = (whole << exponent) / choice.scale - weights
    connection = _of_kind(cell, link, whole, exponent)
    suffix = f" [t-{link.delay}]" if link.delay else ""
    move = WeightMove(
        connection=f"{link.source} -> {cell.name}{suffix}",
        bits=max(1, int(np.abs(whole).max(initial=0)).bit_length()),
        exponent=exponent,
        largest=float(np.abs(weights).max(initial=0)),
        most=float(np.abs(moved).max(initial=0)),
        rms=float(np.sqrt(np.mean(moved**2))),
        clipped=clipped,
    )
    return connection, move


def _rounded(weights: Reals, shrink: float, bits: int) -> tuple[Integers, int, int]:
    """Mantissas, their exponent, and how many were clipped; rule 2."""
    low, high = 1 - (1 << bits), (1 << bits) - 1
    lowest, highest = weights.min(initial=0) / shrink, weights.max(initial=0) / shrink
    for exponent in EXPONENTS:
        if np.rint(lowest / (1 << exponent)) >= low and np.rint(highest / (1 << exponent)) <= high:
            break
    whole = np.rint(weights / (1 << exponent))
    return np.clip(whole, low, high).astype(np.int64), exponent, int(np.sum((whole < low) | (whole > high)))


def _of_kind(cell: Cell, link: Link, whole: Integers, exponent: int) -> Connection:
    ends = {"source": link.source, "target": cell.name, "exponent": exponent, "delay": link.delay}
    if isinstance(link.map, Window):
        window = link.map
        return Conv2d(
            **ends,  # type: ignore[arg-type]
            source_shape=window.source_shape,
            weights=weights_of(whole.reshape(len(whole), -1)),
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=window.groups,
        )
    if isinstance(link.map, Matrix):
        return Dense(**ends, weights=weights_of(whole))  # type: ignore[arg-type]
    if bool((whole == whole[0]).all()):
        return Identity(**ends, size=len(whole), weight=int(whole[0]))  # type: ignore[arg-type]
    return Dense(**ends, weights=weights_of(np.diag(whole)))  # type: ignore[arg-type]
