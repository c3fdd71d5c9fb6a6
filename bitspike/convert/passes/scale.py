"""A population's weights, biases and threshold times a ratio, where that changes no spike.

Currents and membranes are integers and their decays are truncated, so a ratio goes through a step exactly only where
nothing is truncated: `du` and `dv` are 0 (all is kept) or 4096 (nothing is). With the ratio `r`:

1. Weights and biases times `r` must be integers that fit their mantissas; then ``u`` and ``v`` are `r` times what they
   were.
2. ``v > 64 * vth`` becomes ``r * v > r * 64 * vth``. All membranes are multiples of `m`, the largest common divisor of
   ``64 * weight`` and of the biases, so any threshold from the last multiple at or below ``r * 64 * vth`` to just below
   the next one tells the same membranes apart. With reset by subtraction the threshold is part of the membrane and must
   be exactly ``r * 64 * vth``.
3. A payload ``v >> (6 + shift)`` is the same where `r` is a power of two and the shift takes it up.
4. A population that is read by its membrane keeps it, and so does one that cannot spike.
"""

from dataclasses import replace
from fractions import Fraction
from math import gcd

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, VTH_MAX, IntegerNetwork, Population
from bitspike.convert.rules import BIAS_MANTISSA, EXPONENTS, MAX_SHIFT
from bitspike.convert.weights import weights_of

Integers = npt.NDArray[np.int64]
_EXACT = (0, DECAY_ONE)
_WEIGHT = (-256, 255)


def scalable(network: IntegerNetwork, p: Population) -> bool:
    """Whether decays and read-outs of `p` let any ratio through."""
    membrane = any(r.population == p.name and r.kind.startswith("membrane") for r in network.readouts)
    return p.du in _EXACT and p.dv in _EXACT and p.spiking and not membrane


def common_divisor(network: IntegerNetwork, p: Population) -> int:
    """The largest integer that divides every weight (exponents included) and every bias of `p`; 0 if all are 0."""
    return gcd(_divisor_of_weights(network, p), int(np.gcd.reduce(p.bias)))


def rescaled(network: IntegerNetwork, p: Population, ratio: Fraction, vth: int | None = None) -> IntegerNetwork | None:
    """`network` with `p` times `ratio`; None where that would change a spike, or where a number does not fit.

    Args:
        network: a legal network.
        p: one of its populations, :func:`scalable`.
        ratio: above 0.
        vth: the threshold that `p` shall have; by default the one that is closest to `ratio` times its own.
    """
    bias = _times(p.bias, ratio)
    written = None if bias is None else _as_bias(bias)
    if written is None or bias is None:
        return None
    threshold = _threshold(network, p, ratio, vth)
    shift = p.shift + _power_of_two(ratio) if p.graded else 0
    if threshold is None or (p.graded and not (0 <= shift <= MAX_SHIFT and 1 << shift <= threshold)):
        return None
    connections: list[Connection] = []
    for c in network.connections:
        scaled = times(c, ratio) if c.target == p.name and ratio != 1 else c
        if scaled is None:
            return None
        connections.append(scaled)
    mantissa, exponent = (p.bias_mantissa, p.bias_exponent) if ratio == 1 else written
    new = replace(p, vth=threshold, shift=shift, bias_mantissa=mantissa, bias_exponent=exponent)
    populations = tuple(new if each is p else each for each in network.populations)
    return replace(network, populations=populations, connections=tuple(connections))


def times(c: Connection, ratio: Fraction) -> Connection | None:
    """`c` with every effective weight times `ratio`, in the smallest mantissas; None where they do not fit."""
    wanted = _times(_mantissas(c) << c.exponent, ratio)
    found = None if wanted is None else _smallest(wanted)
    if found is None or found[0].min(initial=0) < _WEIGHT[0] or found[0].max(initial=0) > _WEIGHT[1]:
        return None
    mantissas, exponent = found
    if isinstance(c, Dense | Conv2d):
        weights = weights_of(mantissas)
        same = ratio == 1 and exponent <= c.exponent and weights.bits >= c.weights.bits
        return c if same else replace(c, weights=weights, exponent=exponent)
    weight = int(mantissas[0])
    if weight == 0 or (ratio == 1 and exponent == c.exponent):
        return c
    if isinstance(c, Identity):
        return replace(c, weight=weight, exponent=exponent)
    return replace(c, exponent=exponent) if weight == 1 else None


def _mantissas(c: Connection) -> Integers:
    """The mantissas of all weights; of an identity or a pool, the one that they share."""
    if isinstance(c, Dense | Conv2d):
        return c.weights.matrix()
    return np.array([c.weight if isinstance(c, Identity) else 1])


def _times(values: Integers, ratio: Fraction) -> Integers | None:
    product = values * ratio.numerator
    return None if np.any(product % ratio.denominator) else product // ratio.denominator


def _smallest(values: Integers) -> tuple[Integers, int]:
    """Mantissas as small as can be and the exponent, at most 7."""
    divisor = int(np.gcd.reduce(values, axis=None)) if values.size else 0
    exponent = min((divisor & -divisor).bit_length() - 1, EXPONENTS[-1]) if divisor else 0
    return values >> exponent, exponent


def _as_bias(bias: Integers) -> tuple[npt.NDArray[np.int32], int] | None:
    """The mantissas with the smallest exponent that they fit."""
    for exponent in EXPONENTS:
        mantissa = bias >> exponent
        if np.any(mantissa << exponent != bias):
            return None
        if BIAS_MANTISSA[0] <= mantissa.min(initial=0) and mantissa.max(initial=0) <= BIAS_MANTISSA[1]:
            return mantissa.astype(np.int32), exponent
    return None


def _divisor_of_weights(network: IntegerNetwork, p: Population) -> int:
    divisor = 0
    for c in network.incoming(p.name):
        divisor = gcd(divisor, int(np.gcd.reduce(_mantissas(c), axis=None)) << c.exponent)
    return divisor


def _threshold(network: IntegerNetwork, p: Population, ratio: Fraction, wanted: int | None) -> int | None:
    """Rule 2, in weight units."""
    exact = ratio * p.vth
    if p.reset == "subtract":
        return int(exact) if exact.denominator == 1 and exact < VTH_MAX and wanted in (None, exact) else None
    divisor = gcd(_divisor_of_weights(network, p) << STATE_SHIFT, int(np.gcd.reduce(p.bias)))
    # An integer, for it is a sum of multiples of the scaled weights and biases; without any, all membranes are 0.
    lattice = int(divisor * ratio) or 1 << 40
    lowest = int(exact * (1 << STATE_SHIFT) / lattice) * lattice
    highest = lowest + lattice - 1
    if wanted is None:
        wanted = min(max(int(exact), -(-lowest >> STATE_SHIFT)), highest >> STATE_SHIFT)
    fits = lowest <= wanted << STATE_SHIFT <= highest and 0 <= wanted < VTH_MAX
    return wanted if fits else None


def _power_of_two(ratio: Fraction) -> int:
    """The exponent of a power of two; out of any range for another ratio."""
    number = ratio.numerator * ratio.denominator
    if number & (number - 1):
        return -(1 << 30)
    return (ratio.numerator.bit_length() - 1) - (ratio.denominator.bit_length() - 1)
