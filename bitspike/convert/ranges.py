"""The range proof: bounds that no input can exceed, for every neuron's input, current and membrane.

Spikes are 0 or 1, so a neuron's input in one step lies between the sum of its negative and the sum of its positive
effective weights; of graded sources, times the largest payload of each, and of sources that can never fire, times 0.
Truncation toward zero is monotone, hence the extreme current (and membrane) after a step follows from the extreme one
before it: the recursion of :mod:`bitspike.sim.reference` is run on the bounds themselves until nothing moves, or for as
many steps as the run lasts where a population never forgets. A spike bounds what is carried over: a membrane that did
not spike is at most the threshold.

The largest value of a neuron's spike follows from the bound of its own membrane: 0 where that never exceeds the
threshold, else 1, or the payload of a graded spike. Where spikes arrive at their own population or lead back, that
bound is needed before it is known: it is assumed, first 0, and raised until what follows is no more than what was
assumed, which is then a proof by induction over the steps. Where that does not come about soon, 1 or the register's own
limit is assumed.

How sharp the bounds are, by exhaustive search over small populations (``tests/convert/test_range_search.py``): input,
current and lowest membrane are reached exactly where the inputs are independent; so is the highest membrane of a
population that cannot spike. Where it can, the bound lets a membrane at the threshold meet the largest current, and is
at most the threshold above what a search reaches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_MAX, STATE_SHIFT, IntegerNetwork, Population
from bitspike.errors import RangeError

Integers = npt.NDArray[np.int64]
INPUT_MAX = (1 << 15) - 1
#: Beyond any register, and small enough for the recursion in int64; the proof has failed there.
_FAR = 1 << 40
#: Rounds after which what loops send is taken to grow without end.
_ROUNDS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a population can reach: the lowest and the highest value over its neurons.

    Attributes:
        input: summed synaptic input of one step, in weight units.
        u, v: current and membrane (before a reset), in 1/64 weight unit.
        steps: the steps after which nothing moves any more; None where the bound still grew at the end of the run.
        payload: the largest value of a spike: 1, or that of a graded one.
    """

    population: str
    input: tuple[int, int]
    u: tuple[int, int]
    v: tuple[int, int]
    steps: int | None
    payload: int = 1

    @property
    def bits(self) -> int:
        """The width of a signed register that holds `u` and `v`."""
        worst = max(abs(bound) for pair in (self.u, self.v) for bound in pair)
        return worst.bit_length() + 1


def range_proof(network: IntegerNetwork, steps: int | None = None) -> tuple[Bounds, ...]:
    """Bounds of every population of a legal network, for runs of `steps` (default: the network's own window).

    The latency is added to `steps`: it is the whole run that counts.
    """
    return _proof(network, network.steps if steps is None else steps)


@lru_cache(maxsize=4)  # networks do not change, and each part of a data set asks again
def _proof(network: IntegerNetwork, steps: int) -> tuple[Bounds, ...]:
    return _settled(network, steps + max(network.latencies().values()))


def check_range(network: IntegerNetwork, steps: int | None = None) -> tuple[Bounds, ...]:
    """The bounds, where all fit the chip's registers and no read-out can spike.

    Raises:
        RangeError: naming each population, its bound, the register, and what would help.
    """
    proof = range_proof(network, steps)
    faults = []
    for p, bounds in zip(network.populations, proof, strict=True):
        rows = (("synaptic input", bounds.input, INPUT_MAX), ("current u", bounds.u, STATE_MAX),
                ("membrane v", bounds.v, STATE_MAX))  # fmt: skip
        for quantity, (low, high), limit in rows:
            worst = low if -low > high else high
            if abs(worst) > limit:
                faults.append(
                    f"population {p.name}: {quantity} can reach {worst}; the register holds {limit} "
                    f"({_advice(quantity)})"
                )
        if not p.spiking and p.vth << STATE_SHIFT < bounds.v[1] <= STATE_MAX:
            faults.append(f"population {p.name}: a read-out must not spike, and its membrane can reach {bounds.v[1]}")
    if faults:
        raise RangeError(faults)
    return proof


def _advice(quantity: str) -> str:
    if quantity == "synaptic input":
        return "fewer or smaller weights, or a smaller exponent, would help"
    return "a shorter window, smaller weights or a stronger decay would help"


def _settled(network: IntegerNetwork, length: int) -> tuple[Bounds, ...]:
    """The bounds of every population, after as many rounds as loops of spikes need."""
    payloads = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    looped = looped_populations(network)
    for round_number in range(_ROUNDS + 1):
        if round_number == _ROUNDS:
            payloads |= {name: np.full_like(payloads[name], network.population(name).payload_max) for name in looped}
        assumed = {name: payloads[name] for name in looped}
        found = []
        for p in network.populations:
            bounds, highest = _population_bounds(network, p, length, payloads)
            found.append(bounds)
            payloads[p.name] = payloads_of(p, highest)
        if all(np.all(payloads[name] <= before) for name, before in assumed.items()):
            break
    return tuple(found)


def payloads_of(p: Population, highest: Integers) -> Integers:
    """The largest value of each neuron's spikes, given its highest membrane."""
    sent = np.minimum(highest, STATE_MAX) >> p.payload_shift if p.graded else np.ones_like(highest)
    return np.where(highest > p.vth << STATE_SHIFT, sent, 0)


def looped_populations(network: IntegerNetwork) -> set[str]:
    """The populations whose spikes arrive at themselves or at a population that a step computes earlier."""
    position = {p.name: index for index, p in enumerate(network.populations)}
    return {c.source for c in network.connections if position.get(c.source, -1) >= position[c.target]}


def _population_bounds(
    network: IntegerNetwork, p: Population, length: int, payloads: Mapping[str, Integers]
) -> tuple[Bounds, Integers]:
    """The bounds of a population, and the highest membrane of each neuron, given its sources' payloads."""
    low, high = np.zeros(p.size, np.int64), np.zeros(p.size, np.int64)
    for connection in network.incoming(p.name):
        least, most = connection.bounds(payloads.get(connection.source))
        low, high = low + least, high + most
    reported = int(low.min(initial=0)), int(high.max(initial=0))
    low, high = np.maximum(low, -_FAR), np.minimum(high, _FAR)
    u_low = v_low = u_high = v_high = np.zeros(p.size, np.int64)
    carried_low, carried_high = v_low, v_high
    settled = None
    for t in range(length):
        before = u_low, u_high, carried_low, carried_high
        # The state is zero at the start and once more at the population's `start`, so zero stays in the interval.
        u_low = np.minimum(_decay(u_low, p.du) + (low << STATE_SHIFT), 0)
        u_high = np.maximum(_decay(u_high, p.du) + (high << STATE_SHIFT), 0)
        new_low = _decay(carried_low, p.dv) + u_low + p.bias
        new_high = _decay(carried_high, p.dv) + u_high + p.bias
        v_low, v_high = np.minimum(v_low, new_low), np.maximum(v_high, new_high)
        carried_low, carried_high = _carried(p, new_low, new_high)
        if all(np.array_equal(a, b) for a, b in zip(before, (u_low, u_high, carried_low, carried_high), strict=True)):
            settled = t
            break
        if max(-int(v_low.min(initial=0)), int(v_high.max(initial=0))) > _FAR:
            break
    highest = int(v_high.max(initial=0))
    bounds = Bounds(
        population=p.name,
        input=reported,
        u=(int(u_low.min(initial=0)), int(u_high.max(initial=0))),
        v=(int(v_low.min(initial=0)), highest),
        steps=settled,
        payload=min(highest, STATE_MAX) >> p.payload_shift if p.graded else 1,
    )
    return bounds, v_high


def _decay(x: Integers, decay: int) -> Integers:
    product = x * (DECAY_ONE - decay)
    return np.sign(product) * (np.abs(product) >> 12)


def _carried(p: Population, low: Integers, high: Integers) -> tuple[Integers, Integers]:
    """The interval of the membrane that the next step starts from, given the one before the reset."""
    threshold = p.vth << STATE_SHIFT
    spikes = high > threshold
    after_spike = np.zeros_like(high) if p.reset == "zero" else high - threshold
    highest = np.where(spikes, np.maximum(np.minimum(high, threshold), after_spike), high)
    return np.minimum(low, 0), np.maximum(highest, 0)
