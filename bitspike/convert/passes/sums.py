"""Relays of a sum: populations that make a part of a population's input and send it on in whole weight units.

For each neuron of the population, or each channel where it has channels, they have a row: for each sign that the part's
sum can have, so many `units`. Those of the negative sign have the opposite weights. Nothing is carried over from step
to step, and the sum, `a`, is exact in each:

- *graded*: one unit, which sends `a`. A bias of 1/64 lifts a sum of 1 over the threshold of 1 that graded spikes must
  have, and is shifted out of the payload with the rest.
- *binary*: the digits of `a` to the base 8, the highest first, each from a stage of its own. Of the seven units of the
  place ``8^k``, unit j fires where what the stages before have left of `a` is ``(j + 1) * 8^k`` or more, so that as
  many fire as the digit says. The sources reach every stage, and each stage takes off what the ones before have
  counted. Where `a` is negative none fires.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Integers
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Population
from bitspike.convert.relays import free_name
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError

#: Bits of a digit: fewer make more stages, each with a step and synapse formats of its own; more make more neurons.
_DIGIT = 3
#: From this sum on digits have 2 bits, for a bias has no more than 12 bits and an exponent of 7.
_FINER = 3 << 12
#: The largest power of two in a mantissa whose opposite fits too, and the largest exponent, of weights and of biases.
_SHIFT_MAX = 7
#: Bits of a bias mantissa, as far as the exponent allows: all chips have as many.
_BIAS_BITS = 10
#: Weights of the largest matrix that is made here.
_WEIGHTS_MAX = 1 << 26


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Relays that fire together.

    Attributes:
        place: a spike counts ``2^place``.
        units: neurons for each sign and sum.
        graded: whether spikes carry the sum.
    """

    place: int = 0
    units: int = 1
    graded: bool = False


Stages = Callable[[int], Sequence[Stage]]


def graded_stages(most: int) -> tuple[Stage, ...]:  # noqa: ARG001
    """One stage, whatever the largest sum `most` is."""
    return (Stage(graded=True),)


def binary_stages(most: int) -> tuple[Stage, ...]:
    """A stage for each digit of a sum of at most `most`; of the highest digit no more units than it needs."""
    digit = _DIGIT if most < _FINER else 2
    highest = max(most.bit_length() - 1, 0) // digit * digit
    return tuple(Stage(place=place, units=min(most >> place, (1 << digit) - 1)) for place in range(highest, -1, -digit))


def largest_sum(part: Sequence[Connection]) -> int:
    """The largest sum of either sign that connections into a population can make, in weight units."""
    low, high = _reach(part)
    return int(max(high.max(), -low.min()))


def _reach(part: Sequence[Connection]) -> tuple[Integers, Integers]:
    """The lowest and the highest sum of each neuron."""
    low, high = np.sum([c.bounds() for c in part], axis=0)
    return low, high


def relays(
    p: Population, part: Sequence[Connection], stages: Sequence[Stage], *, unit: int, ending: str, taken: set[str]
) -> tuple[list[Population], list[Connection]]:
    """The relays of a part of the connections into `p`, and all synapses to, between and from them.

    Args:
        p: the population whose sum it is.
        part: dense connections, and convolutions without groups.
        stages: for its largest sum, or more, in units of ``2^unit``.
        unit: of which every weight is a multiple; the relays leave it out, and the synapses from them put it back.
        ending: of their names.
        taken: names that are not free; those that are found are added.

    Raises:
        UnsupportedError: for a weight that has no opposite, or where a matrix would be too large.
    """
    low, high = _reach(part)
    signs = tuple(sign for sign, reach in ((1, high), (-1, -low)) if reach.any())
    made: list[tuple[Stage, Population]] = []
    synapses: list[Connection] = []
    for stage in stages if signs else ():
        name = free_name(p.name, ending if stage.graded else f"{ending}_{1 << stage.place}", taken)
        synapses += [replace(_stacked(p, c, stage, signs), target=name, exponent=c.exponent - unit) for c in part]
        for before, source in made:
            counted = np.full((stage.units, before.units), -1)
            synapses.append(_blockwise(p, counted, before.place, source.name, name, each=len(signs)))
        made.append((stage, _relay(p, name, stage, signs)))
        joined = np.repeat(np.array(signs), stage.units)[None, :]
        synapses.append(_blockwise(p, joined, stage.place + unit, name, p.name))
    return [relay for _, relay in made], synapses


def _channels(p: Population) -> int:
    """Rows of a relay population, which share their weights where a window fills it."""
    return p.shape[0] if len(p.shape) == 3 else p.size


def _relay(p: Population, name: str, stage: Stage, signs: tuple[int, ...]) -> Population:
    channels = _channels(p)
    row = np.tile(np.arange(stage.units), len(signs))
    bias = np.tile(row, channels).repeat(p.size // channels)
    bias = bias + 1 if stage.graded else -(bias << STATE_SHIFT + stage.place)
    exponent = min(max(int(np.abs(bias).max()).bit_length() - _BIAS_BITS, 0), _SHIFT_MAX)
    return Population(
        name=name,
        shape=(channels * len(row), *(p.shape[1:] if len(p.shape) == 3 else ())),
        du=DECAY_ONE,
        dv=DECAY_ONE,
        vth=1 if stage.graded else (1 << stage.place) - 1,
        bias_mantissa=bias >> exponent,
        bias_exponent=exponent,
        spike="graded" if stage.graded else "binary",
    )


def _stacked(p: Population, c: Connection, stage: Stage, signs: tuple[int, ...]) -> Dense | Conv2d:
    """`c`, into `p`, with its weights once for each neuron of the relays' rows."""
    if not isinstance(c, Dense | Conv2d):
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; expected a matrix or a convolution")
    matrix = c.weights.matrix()
    if -1 in signs and matrix.min(initial=0) < -255:
        raise UnsupportedError(
            f"connection {c.name}: a weight of -256, whose opposite is no weight; expected -255..255"
        )
    row = np.repeat(signs, stage.units)[:, None, None]
    blocks = matrix.reshape(_channels(p), 1, -1, matrix.shape[1])
    return replace(c, weights=weights_of((row * blocks).reshape(-1, matrix.shape[1])))


def _blockwise(
    p: Population, block: Integers, place: int, source: str, target: str, *, each: int = 1
) -> Dense | Conv2d:
    """Synapses of ``block * 2^place``, (targets, sources), within each of the `each` parts of every row."""
    exponent = min(place, _SHIFT_MAX)
    weights, count = block << place - exponent, _channels(p) * each
    if len(p.shape) == 3:
        return Conv2d(
            source=source, target=target, exponent=exponent, weights=weights_of(np.tile(weights, (count, 1))),
            source_shape=(count * block.shape[1], *p.shape[1:]), kernel=(1, 1), groups=count,
        )  # fmt: skip
    rows, columns = count * block.shape[0], count * block.shape[1]
    if rows * columns > _WEIGHTS_MAX:
        raise UnsupportedError(
            f"population {p.name}: relays of its {p.size} sums in a matrix of {rows}x{columns}; "
            f"expected at most {_WEIGHTS_MAX} weights: `bitspike optimise --pass split` first"
        )
    whole = np.kron(np.eye(count, dtype=np.int16), weights.astype(np.int16))
    return Dense(source=source, target=target, exponent=exponent, weights=weights_of(whole))
