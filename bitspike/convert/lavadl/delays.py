"""Delays of a dense layer in a NetX file, as lava-dl's loader puts them onto the synapses."""

import numpy as np
import numpy.typing as npt

from bitspike.convert.lavadl.layer import Layer
from bitspike.convert.rules import MAX_DELAY
from bitspike.errors import BitspikeError

#: Each delay gets a connection of its own; so many synapses in all are held.
MAX_SYNAPSES = 1 << 28
Masks = list[tuple[int, npt.NDArray[np.bool_]]]


def delays_of(layer: Layer, shape: tuple[int, ...], *, recurrent: bool, biased: bool) -> Masks:
    """Each delay of the layer, in steps, and which synapses of a matrix (targets, sources) of `shape` have it.

    One number is the delay of the layer; as many as there are targets, that of each target's input; as many as there
    are sources, that of each source's spikes.

    Raises:
        BitspikeError: for other delays than 0..62, and where lava-dl's training and its loader mean different things:
            in a recurrent layer, and in one with biases whose neurons have delays of their own.
    """
    everything = np.ones((1, 1), bool)
    if "delay" not in layer:
        return [(0, everything)]
    delays = layer.integers("delay")
    targets, sources = shape
    if delays.min(initial=0) < 0 or delays.max(initial=0) > MAX_DELAY:
        low, high = int(delays.min()), int(delays.max())
        raise BitspikeError(f"{layer.where}: delays {low}..{high}; expected 0..{MAX_DELAY}")
    if not np.any(delays):
        return [(0, everything)]
    if recurrent:
        raise BitspikeError(f"{layer.where}: delays of a recurrent layer, which lava-dl's loader gives to both of its "
                            "matrices and its training to the spikes; expected none")  # fmt: skip
    if biased and (delays.size == targets or delays.size != sources):
        raise BitspikeError(f"{layer.where}: delays and biases; lava-dl's training delays the spikes, its loader the "
                            "input, and with a bias the two differ")  # fmt: skip
    if delays.size == 1:
        return [(int(delays.reshape(-1)[0]), everything)]
    if delays.ndim != 1 or delays.size not in shape:
        raise BitspikeError(
            f"{layer.where}: delay of shape {delays.shape}; expected one number, {targets} or {sources}"
        )
    each = delays[:, None] if delays.size == targets else delays[None, :]
    distinct = np.unique(delays).tolist()
    if len(distinct) * targets * sources > MAX_SYNAPSES:
        raise BitspikeError(
            f"{layer.where}: {len(distinct)} different delays of {targets}x{sources} synapses; too many"
        )
    return [(delay, each == delay) for delay in distinct]
