"""Pruning: neurons, populations and connections that no answer depends on are left out.

Rules:

1. A neuron is needed where it is read, or where it can fire and has a synapse, of a weight other than 0, to a needed
   neuron. A neuron that the range proof shows to be silent (:mod:`bitspike.convert.silence`: whatever
   the input, in runs of any length) is needed by nobody, and stays only where it is read.
2. A population without a needed neuron vanishes, with its connections.
3. Other populations lose their neurons that are not needed; where a window reads or fills them, whole channels, of a
   convolution in groups whole groups. Neurons at both ends of an identity, and channels at both ends of a pool, go
   together or stay together. A population that loses neurons is flat afterwards, unless windows are about.
4. A connection without a synapse of a weight other than 0 from a neuron that can fire vanishes.
5. Inputs keep their neurons, for what is fed does not change.

The claim: the traces of every population that is read are those of before.
"""

from dataclasses import replace

import numpy as np

from bitspike.convert.connections import Connection, Dense, Identity, Windowed
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.passes.blocks import Mask, channel_mask
from bitspike.convert.passes.keep import Masks, closed, keep, without
from bitspike.convert.silence import silent_neurons


def prune(network: IntegerNetwork) -> IntegerNetwork:
    """`network` without what no answer depends on; the same object where there is nothing to leave out."""
    while True:
        smaller = _once(network)
        if smaller is network:
            return network
        network = smaller


def _once(network: IntegerNetwork) -> IntegerNetwork:
    firing = {name: ~silent for name, silent in silent_neurons(network).items()}
    firing |= {entry.name: np.ones(entry.size, bool) for entry in network.inputs}
    needed = _needed(network, firing)
    left = without(network, {p.name for p in network.populations if not needed[p.name].any()})
    connections = tuple(c for c in left.connections if _counts(c, firing[c.source]))
    if len(connections) < len(left.connections):
        left = replace(left, connections=connections)
    return keep(left, closed(left, needed))


def _needed(network: IntegerNetwork, firing: Masks) -> Masks:
    """Rule 1, from the read-outs back until nothing is added."""
    needed = {name: np.zeros(mask.size, bool) for name, mask in firing.items()}
    for readout in network.readouts:
        needed[readout.population][:] = True
    waiting = {readout.population for readout in network.readouts}
    while waiting:
        target = waiting.pop()
        for c in network.incoming(target):
            found = needed[c.source] | (_sources(c, needed[target]) & firing[c.source])
            if found.sum() > needed[c.source].sum():
                needed[c.source] = found
                waiting.add(c.source)
    return needed


def _sources(c: Connection, targets: Mask) -> Mask:
    """The sources that have a synapse to one of `targets`; of a window, the whole channels."""
    if isinstance(c, Dense):
        found: Mask = (c.weights.matrix()[targets] != 0).any(axis=0)
        return found
    if isinstance(c, Identity):
        return targets & (c.weight != 0)
    if not isinstance(c, Windowed):
        return np.ones(c.shape[1], bool)
    outer = channel_mask(targets, c.target_channels)
    inner = np.zeros(c.source_shape[0], bool)
    for y, x in np.ndindex(*c.window):
        inner |= (c.tap(y, x)[outer] != 0).any(axis=0)
    return np.repeat(inner, c.shape[1] // c.source_shape[0])


def _counts(c: Connection, firing: Mask) -> bool:
    """Whether a synapse of `c` can add something."""
    low, high = c.bounds(firing.astype(np.int64))
    return bool(low.any() or high.any())
