"""Folding: common factors of weights leave them, for the exponent or for the threshold.

Rules:

1. A factor that all weights (with their exponents) and biases of a population have in common is divided out of them and
   of its threshold, and of a graded population's shift: the largest factor for which that changes no spike. It can be
   any integer. Where that is so is told in :mod:`bitspike.convert.passes.scale`: decays of 0 or 4096 only, and no
   population that is read by its membrane; behind any other decay a truncation would fall differently.
2. Powers of two that the weights of a connection have in common go into its exponent, as far as 7: mantissas are as
   small as they can be, and weights of -2 and +2 become one bit each. The effective weights are what they were.

The claim: every spike is what it was; so are current and membrane, but for the factor that rule 1 took out.
"""

from dataclasses import replace
from fractions import Fraction

from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.scale import common_divisor, rescaled, scalable, times


def fold(network: IntegerNetwork) -> IntegerNetwork:
    """`network` with common factors folded; the same object where there is none."""
    for p in network.populations:
        if scalable(network, p):
            network = _divided(network, p)
    connections = tuple(times(c, Fraction(1)) or c for c in network.connections)
    if all(new is old for new, old in zip(connections, network.connections, strict=True)):
        return network
    return replace(network, connections=connections)


def _divided(network: IntegerNetwork, p: Population) -> IntegerNetwork:
    """Rule 1."""
    divisor = common_divisor(network, p)
    for factor in range(divisor, 1, -1):
        if divisor % factor == 0:
            smaller = rescaled(network, p, Fraction(1, factor))
            if smaller is not None:
                return smaller
    return network
