"""Bias hold-back: biases come over a synapse from a clock, so that on a chip none acts before the first input.

On a chip a population answers `latency` steps late (:mod:`bitspike.convert.retime`), and its bias register acts from
the first step on. Where the target clears each population's state at its own start, that is undone, but for a spike
that left over a connection with a delay of its own, as every recurrent one has; a target without such a reset has no
remedy at all. A clock's spike takes as long as any other: over a connection of `latency` steps its first one arrives
with the first input.

Rules:

1. A population called ``clock`` is a neuron that fires at every step (a bias over a threshold of 0, nothing carried
   over); where one weight's 9 bits do not hold a bias there is also ``clock_high``, whose weights count 128 times as
   much. Retimed, they have latency 0, and the connections from them the latency of their targets.
2. A bias of ``64 * q + r``, r in -63..0, becomes a synapse of weight `q` from the clock, and `r` stays in the register:
   the synapse adds ``64 * q`` to the current, which is exact where the current keeps nothing (`du` 4096).
3. With `r` alone a neuron cannot fire: without input its membrane is never above 0. So no spike comes early, recurrent
   networks with biases can be retimed, and a staggered reset clears the rest. Where `staggered` is False, for a target
   that has none, `r` must be 0.
4. A population with a bias that breaks rule 2 or 3 is refused by name. One that no connection leads to is left alone,
   since it has no latency, and so is one of which no neuron fires by its bias alone, but where `staggered` is False.
5. A network in chip time is refused: hold first, retime then.

The claim: every spike and every membrane is what it was, before and after retiming.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Connection, Dense, IntegerNetwork, Population
from bitspike.convert.silence import unfed_firing
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError

_HIGH_EXPONENT = 7
_HALF = 1 << (_HIGH_EXPONENT - 1)
_WEIGHT = (-256, 255)


def hold(network: IntegerNetwork, staggered: bool = True) -> IntegerNetwork:
    """`network` with its biases held back; the same object where none needs it.

    Raises:
        UnsupportedError: by rules 4 and 5.
    """
    held = [p for p in network.populations if _acts_early(network, p, staggered)]
    if not held:
        return network
    if any(p.start for p in network.populations):
        raise UnsupportedError(f"network {network.name}: in chip time; expected no start: hold first, retime then")
    names = _clock_names(network)
    populations, connections = {p.name: p for p in network.populations}, []
    for p in held:
        whole, rest = _parts(p, staggered)
        populations[p.name] = replace(p, bias_mantissa=rest, bias_exponent=0)
        connections += _synapses(p, whole, names)
    clocks = tuple(_clock(name) for name in names if any(c.source == name for c in connections))
    return replace(
        network,
        populations=(*clocks, *populations.values()),
        connections=(*network.connections, *connections),
    )


def _acts_early(network: IntegerNetwork, p: Population, staggered: bool) -> bool:
    early = unfed_firing(p) if staggered else p.bias_mantissa
    return bool(np.any(early)) and bool(network.incoming(p.name))


def _parts(p: Population, staggered: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Whole weight units, rounded up, and what is left, in 1/64 weight unit."""
    if p.du != DECAY_ONE:
        raise UnsupportedError(
            f"population {p.name}: a bias and du {p.du}; it can be held back where du is {DECAY_ONE}, for its current "
            "would keep what the clock adds"
        )
    whole = -(-p.bias >> STATE_SHIFT)
    rest = p.bias - (whole << STATE_SHIFT)
    if rest.any() and not staggered:
        neuron = int(np.flatnonzero(rest)[0])
        raise UnsupportedError(
            f"population {p.name}: neuron {neuron} has a bias of {int(p.bias[neuron])}; expected whole weight units "
            f"(multiples of {1 << STATE_SHIFT}) for a target without a staggered reset"
        )
    return whole, rest.astype(np.int32)


def _synapses(p: Population, whole: npt.NDArray[np.int64], names: tuple[str, str]) -> list[Connection]:
    """The connections from the clocks that add `whole` weight units to each neuron."""
    if _WEIGHT[0] <= whole.min(initial=0) and whole.max(initial=0) <= _WEIGHT[1]:
        return [Dense(source=names[0], target=p.name, weights=weights_of(whole[:, None]))]
    high = (whole + _HALF) >> _HIGH_EXPONENT
    low = whole - (high << _HIGH_EXPONENT)
    return [
        Dense(source=names[0], target=p.name, weights=weights_of(low[:, None])),
        Dense(source=names[1], target=p.name, weights=weights_of(high[:, None]), exponent=_HIGH_EXPONENT),
    ]


def _clock_names(network: IntegerNetwork) -> tuple[str, str]:
    name, taken = "clock", set(network.shapes())
    while name in taken or f"{name}_high" in taken:
        name += "_"
    return name, f"{name}_high"


def _clock(name: str) -> Population:
    return Population(name=name, shape=(1,), dv=DECAY_ONE, vth=0, bias_mantissa=np.ones(1, np.int32))
