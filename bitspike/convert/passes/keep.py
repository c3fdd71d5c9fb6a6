"""Leaving neurons out of a network: what pruning and merging share."""

from dataclasses import replace

import numpy as np

from bitspike.convert.connections import Conv2d, Identity, SumPool2d
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.blocks import Mask, channel_mask, cut, spatial

Masks = dict[str, Mask]


def without(network: IntegerNetwork, names: set[str]) -> IntegerNetwork:
    """`network` without the populations `names` and their connections."""
    if not names:
        return network
    connections = tuple(c for c in network.connections if not names & {c.source, c.target})
    populations = tuple(p for p in network.populations if p.name not in names)
    return replace(network, populations=populations, connections=connections)


def closed(network: IntegerNetwork, kept: Masks) -> Masks:
    """`kept`, by population, with what has to stay beside it, and all neurons of the inputs.

    1. A population that a window reads or fills loses whole channels only.
    2. Both ends of an identity lose the same neurons, both ends of a pool the same channels.
    3. A convolution in groups loses whole groups, at both ends.
    """
    masks = {entry.name: np.ones(entry.size, bool) for entry in network.inputs}
    masks |= {p.name: kept[p.name].copy() for p in network.populations}
    shapes, by_channel = network.shapes(), spatial(network)
    before = -1
    while before != (now := sum(int(mask.sum()) for mask in masks.values())):
        before = now
        for name in by_channel:
            channels = shapes[name][0]
            masks[name] = np.repeat(channel_mask(masks[name], channels), masks[name].size // channels)
        for c in network.connections:
            if isinstance(c, Identity):
                groups = c.size
            elif isinstance(c, SumPool2d):
                groups = c.target_channels
            elif isinstance(c, Conv2d) and c.groups > 1:
                groups = c.groups
            else:
                continue
            together = channel_mask(masks[c.source], groups) | channel_mask(masks[c.target], groups)
            for end in (c.source, c.target):
                masks[end] = np.repeat(together, masks[end].size // groups)
    return masks


def keep(network: IntegerNetwork, masks: Masks) -> IntegerNetwork:
    """`network` with those neurons that `masks`, closed, keeps: at least one of each population.

    A population that loses neurons is flat afterwards, or loses channels where windows are about.
    """
    if all(masks[p.name].all() for p in network.populations):
        return network
    by_channel = spatial(network)
    return replace(
        network,
        populations=tuple(_kept(p, masks[p.name], p.name in by_channel) for p in network.populations),
        connections=tuple(cut(c, masks[c.target], masks[c.source]) for c in network.connections),
    )


def _kept(p: Population, mask: Mask, by_channel: bool) -> Population:
    if mask.all():
        return p
    count = int(mask.sum())
    shape = (count // (p.size // p.shape[0]), *p.shape[1:]) if by_channel else (count,)
    return replace(p, shape=shape, bias_mantissa=p.bias_mantissa[mask])
