"""Fan-in for chips without graded spikes: the sum of each part is sent on as the digits of a number to the base 8.

The rules and the claim are those of :mod:`bitspike.convert.passes.fan_in`, but for two:

1. The relays of a part (:mod:`bitspike.convert.passes.sums`) are a stage for each digit of the largest sum that the
   range proof allows in any part, and a neuron for each value of a digit, sign and neuron of the population. The stages
   follow one another, which on a chip takes a step each: a part of 4,096 weights of +1 has 5 stages.
2. A relay reads the digits before its own beside the sources of its part, which are as many fewer.

Sources of graded spikes are refused: their sums have no bound that holds for runs of any length.
"""

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.passes.fan_in import in_parts, too_wide
from bitspike.convert.passes.sums import binary_stages
from bitspike.errors import UnsupportedError


def fan_in_binary(network: IntegerNetwork, sources: int = 4096) -> IntegerNetwork:
    """`network` with no neuron of more than `sources` sources; the same object where none has more.

    Raises:
        UnsupportedError: as :func:`bitspike.convert.passes.fan_in.fan_in`, and for a source of graded spikes.
    """
    wide = too_wide(network, sources)
    for c in network.connections:
        if c.target in wide and any(p.graded for p in network.populations if p.name == c.source):
            raise UnsupportedError(f"connection {c.name}: graded spikes; expected binary ones, or the pass fan-in")
    return in_parts(network, sources, binary_stages)
