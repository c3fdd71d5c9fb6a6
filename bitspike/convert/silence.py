"""Neurons that can never fire, whatever the input and however long the run: the range proof without steps.

A neuron's largest input in a step, `a`, is the sum of its positive effective weights, each times the largest value of
its source's spikes. Until the first spike there is no reset, and the recursion ``x <- trunc(x * (4096 - d), 12) + c``,
from 0 on, rises to the smallest `x` that it does not raise further. Since ``x - trunc(x * (4096 - d), 12)`` is
``ceil(x * d / 4096)``, that is

    0                               where c is 0 or less
    floor((c - 1) * 4096 / d) + 1   where d is above 0
    without limit                   where d is 0

so that the current rises to this limit with ``d = du, c = 64 * a``, and the membrane with ``d = dv`` and the current's
limit plus the bias. The neuron is silent where that is at most the threshold. Silent sources count as 0: all neurons
are first taken for silent, and those that are found able to fire are added, until none is.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population

Integers = npt.NDArray[np.int64]
_FAR = 1 << 40


def silent_neurons(network: IntegerNetwork) -> dict[str, npt.NDArray[np.bool_]]:
    """For each population of a legal network, which neurons can never fire."""
    most = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    while True:
        risen = False
        for p in network.populations:
            found = np.maximum(most[p.name], _largest_spikes(network, p, most))
            risen = risen or bool(np.any(found > most[p.name]))
            most[p.name] = found
        if not risen:
            return {name: value == 0 for name, value in most.items()}


def unfed_firing(p: Population) -> npt.NDArray[np.bool_]:
    """Which neurons of a population can fire by their bias alone, without input."""
    found: npt.NDArray[np.bool_] = _limit(p.bias, p.dv) > p.vth << STATE_SHIFT
    return found


def _largest_spikes(network: IntegerNetwork, p: Population, most: Mapping[str, Integers]) -> Integers:
    """The largest value of each neuron's spikes; where a payload has no simple bound, what the register holds."""
    high = np.zeros(p.size, np.int64)
    for c in network.incoming(p.name):
        high = high + c.bounds(most.get(c.source))[1]
    drive = _limit(np.minimum(high, _FAR) << STATE_SHIFT, p.du) + p.bias
    fires = _limit(drive, p.dv) > p.vth << STATE_SHIFT
    return np.where(fires, p.payload_max, 0)


def _limit(c: Integers, decay: int) -> Integers:
    """What the recursion rises to."""
    if decay == 0:
        return np.where(c > 0, _FAR, 0)
    return np.where(c > 0, (np.minimum(c, _FAR) - 1) * DECAY_ONE // decay + 1, 0)
