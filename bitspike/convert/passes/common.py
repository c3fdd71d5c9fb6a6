"""Common parameters: populations of the same decays get the same threshold where that changes no spike.

Neurons that share decays and threshold can share a core's profile. Rules:

1. Populations are grouped by decays, reset and kind of spike. Decays are never changed: no other decay gives the same
   truncated membrane for every input.
2. In each group one threshold is chosen of those that are there: the one that most populations have or can have, and of
   equals the smallest.
3. A population gets it as it is where its membranes have no value between the two thresholds, else by a factor on its
   weights, biases and threshold (:mod:`bitspike.convert.passes.scale`: decays of 0 or 4096 only). Where neither is
   exact, or a weight would not fit, or the range proof would fail, it keeps its own.

What is left differs for a reason: most populations with a decay between 0 and 4096 stay as they are.

The claim: every spike is what it was.
"""

from collections import Counter
from fractions import Fraction

from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.scale import rescaled, scalable
from bitspike.convert.ranges import check_range
from bitspike.errors import RangeError


def common(network: IntegerNetwork) -> IntegerNetwork:
    """`network` with as many equal thresholds as can be; the same object where no more can be."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for p in network.populations:
        groups.setdefault((p.du, p.dv, p.reset, p.spike), []).append(p.name)
    for names in groups.values():
        network = _equalised(network, names)
    return network


def _equalised(network: IntegerNetwork, names: list[str]) -> IntegerNetwork:
    """Rules 2 and 3 for one group."""
    group = [network.population(name) for name in names if network.population(name).spiking]
    there = Counter(_profile(p) for p in group)
    if len(there) < 2:
        return network
    best, most = network, max(there.values())
    for vth in sorted({vth for vth, _ in there}):
        changed = network
        for p in group:
            changed = _with_threshold(changed, changed.population(p.name), vth)
        count = max(Counter(_profile(changed.population(p.name)) for p in group).values())
        if count > most:
            best, most = changed, count
    return best


def _profile(p: Population) -> tuple[int, int]:
    return p.vth, p.shift


def _with_threshold(network: IntegerNetwork, p: Population, vth: int) -> IntegerNetwork:
    """Rule 3."""
    if p.vth == vth or not scalable(network, p):
        return network
    ratios = [Fraction(1), *([Fraction(vth, p.vth)] if p.vth and vth else [])]
    for ratio in ratios:
        changed = rescaled(network, p, ratio, vth)
        if changed is None:
            continue
        try:
            check_range(changed)
        except RangeError:
            continue
        return changed
    return network
