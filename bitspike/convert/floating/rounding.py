"""Rounding: cells and a scale for each become an integer network, with a record of how far everything moved.

Rules:

1. A scale says how many weight units the threshold of a cell is: weights, biases and threshold are multiplied by it
   and rounded, to the nearest, or so that the errors of one neuron make up for each other. It is a whole number, so
   that the threshold itself does not move.
2. The exponent of a connection is the smallest with which its largest weight, divided by the choice's `shrink`, fits;
   a weight that does not fit then is clipped.
3. A convolution gives its shape to both its ends; where two disagree they become matrices.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity
from bitspike.convert.floating.cells import Cell, Lattice, Link, closed
from bitspike.convert.floating.compensate import compensated
from bitspike.convert.floating.maps import Diagonal, Map, Matrix, Window, matrix_of
from bitspike.convert.floating.nodes import Reals
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, VTH_MAX, Population
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
        du, dv: moves of its decays from the nearest multiples of 1/4096.
    """

    scale: int
    shrink: float = 1.0
    du: int = 0
    dv: int = 0


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


def round_cell(cell: Cell, choice: Choice, *, bits: int = 8, gram: Reals | None = None) -> Rounded:
    """The population of a cell and the connections that enter it.

    Args:
        cell: with one pair of decays, and not yet :func:`~bitspike.convert.floating.cells.closed`.
        choice: its scale.
        bits: of a weight's magnitude.
        gram: of the columns of :func:`joined`, for rounding in which errors make up for each other; without it every
            number is rounded to the nearest.

    Raises:
        RangeError: the threshold or a bias does not fit its register.
    """
    if not 1 <= choice.scale < VTH_MAX:
        raise RangeError([f"{cell.name}: a threshold of {choice.scale}; expected 1..{VTH_MAX - 1}"])
    cell = moved_decays(cell, choice)
    mantissa, bias_exponent = _bias(cell, choice.scale)
    links = [_exponent(_numbers(link.map) * choice.scale, choice.shrink, bits) for link in cell.links]
    whole = [
        np.clip(np.rint(_numbers(link.map) * choice.scale / (1 << exponent)), -_top(bits), _top(bits)).astype(np.int64)
        for link, exponent in zip(cell.links, links, strict=True)
    ]
    if gram is not None:
        plain = _Plain(whole=whole, exponents=links, mantissa=mantissa, bias_exponent=bias_exponent)
        whole, mantissa = _made_up(cell, choice.scale, plain, gram, _top(bits))
    population = Population(
        name=cell.name,
        shape=cell.shape,
        du=cell.du,
        dv=cell.dv,
        vth=choice.scale if cell.spiking else VTH_MAX,
        reset=cell.reset,
        bias_mantissa=mantissa.astype(np.int32),
        bias_exponent=bias_exponent,
    )
    rows = list(zip(cell.links, whole, links, strict=True))
    moved = population.bias / (choice.scale << STATE_SHIFT) - cell.bias
    return Rounded(
        population=population,
        connections=tuple(_of_kind(cell, *row) for row in rows),
        moves=tuple(_move(cell, choice, bits, *row) for row in rows),
        bias_most=float(np.abs(moved).max(initial=0)),
        bias_rms=float(np.sqrt(np.mean(moved**2))),
    )


def moved_decays(cell: Cell, choice: Choice) -> Cell:
    """The closed cell with the decays of a choice."""
    du, dv = (min(max(0, d), DECAY_ONE) for d in (cell.du + choice.du, cell.dv + choice.dv))
    return closed(replace(cell, du=du, dv=dv))


def joined(cell: Cell) -> tuple[int, ...]:
    """The links whose weights are rounded together, one target after the other: matrices, or one convolution alone.

    Their columns lie one after the other, and after them one column for the bias.
    """
    matrices = tuple(place for place, link in enumerate(cell.links) if isinstance(link.map, Matrix))
    windows = [(place, link.map) for place, link in enumerate(cell.links) if isinstance(link.map, Window)]
    if len(windows) == 1 and not matrices and windows[0][1].groups == 1:
        return (windows[0][0],)
    return () if windows else matrices


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


def _top(bits: int) -> int:
    return (1 << bits) - 1


def _exponent(weights: Reals, shrink: float, bits: int) -> int:
    """Rule 2."""
    largest = np.abs(weights).max(initial=0) / shrink
    return next((e for e in EXPONENTS if np.rint(largest / (1 << e)) <= _top(bits)), EXPONENTS[-1])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Plain:
    """Numbers of a cell, each rounded to the nearest."""

    whole: list[Integers]
    exponents: list[int]
    mantissa: Integers
    bias_exponent: int


def _made_up(cell: Cell, scale: int, plain: _Plain, gram: Reals, top: int) -> tuple[list[Integers], Integers]:
    """Weights and biases of :func:`joined` links, rounded so that errors make up for each other."""
    places = joined(cell)
    wanted = [_numbers(cell.links[place].map) * scale for place in places]
    flat = [matrix.reshape(len(matrix), -1) for matrix in wanted]
    neurons = cell.bias.reshape(len(flat[0]), -1) * scale
    counts = [matrix.shape[1] for matrix in flat]
    steps = np.repeat([float(1 << plain.exponents[place]) for place in places], counts)
    limit = np.full(len(steps), float(top))
    found = compensated(
        np.concatenate([*flat, neurons[:, :1]], axis=1),
        np.append(steps, (1 << plain.bias_exponent) / (1 << STATE_SHIFT)),
        np.append(-limit, BIAS_MANTISSA[0]),
        np.append(limit, BIAS_MANTISSA[1]),
        gram,
    )
    whole = list(plain.whole)
    for place, part in zip(places, np.split(found[:, :-1], np.cumsum(counts)[:-1], axis=1), strict=True):
        whole[place] = part.reshape(whole[place].shape)
    return whole, np.where(_alike(neurons), np.repeat(found[:, -1], neurons.shape[1]), plain.mantissa)


def _alike(neurons: Reals) -> npt.NDArray[np.bool_]:
    """Neurons whose row of weights has one bias."""
    return np.repeat((neurons == neurons[:, :1]).all(axis=1), neurons.shape[1])


def _move(  # noqa: PLR0917
    cell: Cell, choice: Choice, bits: int, link: Link, whole: Integers, exponent: int
) -> WeightMove:
    weights = _numbers(link.map)
    moved = (whole << exponent) / choice.scale - weights
    suffix = f" [t-{link.delay}]" if link.delay else ""
    return WeightMove(
        connection=f"{link.source} -> {cell.name}{suffix}",
        bits=max(1, int(np.abs(whole).max(initial=0)).bit_length()),
        exponent=exponent,
        largest=float(np.abs(weights).max(initial=0)),
        most=float(np.abs(moved).max(initial=0)),
        rms=float(np.sqrt(np.mean(moved**2))),
        clipped=int(np.sum(np.rint(np.abs(weights) * choice.scale / (1 << exponent)) > _top(bits))),
    )


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
