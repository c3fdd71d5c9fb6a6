"""A quiet gap between samples: for recurrent networks whose samples follow one another in one run.

A staggered reset clears each population when a sample's first input arrives, but not the spikes on their way. One that
left over a connection with a delay of its own in the last steps of a sample would arrive in the next. So samples are
followed by as many steps as the longest such delay has, in which what sends over such connections is kept from firing.
Silence alone does not do that: what circulates can circulate for ever.

Rules:

1. An input called ``quiet`` of one neuron has an inhibitory synapse to every neuron of each population from which a
   connection with a delay of its own leads.
2. Its weight is such that no neuron fires in a step in which the input does: the threshold is not below the largest
   membrane of the range proof, for a run of a sample and its gap, less the weight. The same for all neurons of a
   population, rounded up to what 9 bits and an exponent can say.
3. A population that nothing feeds cannot be kept from firing without being late; it is refused where a connection with
   a delay of its own leads from it. So is a network in chip time: first a quiet gap, then retiming.
4. :func:`gap_of` says how many steps the gap has, :func:`in_a_row` puts samples and gaps in a row.

The claims: as long as ``quiet`` is silent, every spike and membrane is what it was. In one run of samples in a row,
where each population clears its state at its start and once a sample and gap from then on, each sample has the spikes
and membranes that it has alone. Biases have to be held back (:mod:`bitspike.convert.passes.hold`) for what comes before
the first sample.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import STATE_SHIFT, Dense, Input, IntegerNetwork, Population
from bitspike.convert.ranges import Bounds, check_range, range_proof
from bitspike.convert.weights import IntegerWeights
from bitspike.errors import UnsupportedError

_WEIGHT_MAX = 256


def quiet(network: IntegerNetwork) -> IntegerNetwork:
    """`network` with an input that keeps it quiet; the same object where no connection has a delay of its own.

    Raises:
        UnsupportedError: by rule 3.
        RangeError: where a register does not hold what the inhibition adds.
    """
    if any(p.start for p in network.populations):
        raise UnsupportedError(f"network {network.name}: in chip time; expected no start: first a gap, then retime")
    senders = {c.source for c in network.connections if c.delay} - {entry.name for entry in network.inputs}
    if not senders:
        return network
    name = "quiet"
    while name in network.shapes():
        name += "_"
    proof = {bounds.population: bounds for bounds in range_proof(network, network.steps + gap_of(network))}
    inhibition = [_inhibition(network, p, name, proof[p.name]) for p in network.populations if p.name in senders]
    changed = replace(
        network,
        inputs=(*network.inputs, Input(name=name, shape=(1,))),
        connections=(*network.connections, *(c for c in inhibition if c is not None)),
    )
    check_range(changed, network.steps + gap_of(network))
    return changed


def gap_of(network: IntegerNetwork) -> int:
    """Steps between two samples: the longest delay that a connection has of its own, in chip time or not."""
    late = network.latencies()
    return max((c.delay - (late[c.target] - late[c.source]) for c in network.connections), default=0)


def in_a_row(network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One run of all samples for a network that :func:`quiet` has made, each followed by its gap.

    Args:
        network: with the input for the gap as its last.
        spikes: (samples, steps, neurons of all inputs but the last).

    Returns:
        (samples * (steps + gap), neurons of all inputs).
    """
    gap = gap_of(network)
    padded = np.pad(spikes, ((0, 0), (0, gap), (0, 1)))
    padded[:, spikes.shape[1] :, -1] = 1
    return padded.reshape(-1, padded.shape[2])


def _inhibition(network: IntegerNetwork, p: Population, name: str, bounds: Bounds) -> Dense | None:
    """Rule 2; None where the population never fires."""
    needed = -(-(bounds.v[1] - (p.vth << STATE_SHIFT)) >> STATE_SHIFT)
    if needed <= 0:
        return None
    if not network.incoming(p.name):
        raise UnsupportedError(
            f"population {p.name}: fires by its bias alone, and a connection with a delay leads from it; "
            "expected a connection into it, or no delay"
        )
    exponent = max((-(-needed // _WEIGHT_MAX) - 1).bit_length(), 0)
    if exponent > 7:
        raise UnsupportedError(
            f"population {p.name}: its membrane can exceed the threshold by {needed} weight units; one synapse takes "
            f"back {_WEIGHT_MAX << 7}"
        )
    mantissa = -(-needed >> exponent)
    weights = IntegerWeights(values=np.full((p.size, 1), -mantissa, np.int16))
    return Dense(source=name, target=p.name, weights=weights, exponent=exponent)
