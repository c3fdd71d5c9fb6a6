"""Merging: neurons that always do the same become one, and their outgoing weights are added.

Rules:

1. Neurons of a population are duplicates where they have the same bias and, over every incoming connection, the same
   sum of weights from each set of duplicates; found by refining a partition that begins with all neurons of a
   population together. By induction over the steps duplicates have the same current and membrane always, for they
   share decays, threshold, reset and start. Neurons of different populations are not compared.
2. One of each set stays, the first; the weights of what leads from the others are added to its own.
3. A sum has to fit a weight's 9 bits; a set for which one does not is halved, until it does.
4. Where convolutions are about, whole channels are compared and merged. A population that is read, or that has an
   identity, a pool or a convolution in groups, is left as it is.

The claim: every neuron that stays has the trace that it had.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.blocks import spatial
from bitspike.convert.passes.keep import keep
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError

Integers = npt.NDArray[np.int64]
#: For each input and population the set that each of its units (neurons, or channels) is in; sets are numbered in the
#: order of their first members.
Sets = dict[str, Integers]
_LOW, _HIGH = -256, 255


def merge(network: IntegerNetwork) -> IntegerNetwork:
    """`network` without duplicates of neurons; the same object where there is none."""
    units = _units(network)
    mergeable = {p.name for p in network.populations if _mergeable(network, p)}
    sets: Sets = {n: np.zeros(u, np.int64) if n in mergeable else np.arange(u) for n, u in units.items()}
    while True:
        sets = _refined(network, mergeable, sets)
        too_large = _too_large(network, sets)
        if too_large is None:
            break
        sets = _halved(sets, *too_large)
    if all(len(np.unique(members)) == len(members) for members in sets.values()):
        return network
    return _merged(network, sets)


def _units(network: IntegerNetwork) -> dict[str, int]:
    """How many units are compared: neurons, or channels."""
    by_channel = spatial(network)
    return {node.name: node.shape[0] if node.name in by_channel else node.size for node in network.nodes()}


def _mergeable(network: IntegerNetwork, p: Population) -> bool:
    around = (*network.incoming(p.name), *network.outgoing(p.name))
    plain = all(isinstance(c, Dense) or (isinstance(c, Conv2d) and c.groups == 1) for c in around)
    return plain and p.name not in {readout.population for readout in network.readouts}


def _refined(network: IntegerNetwork, mergeable: set[str], sets: Sets) -> Sets:
    """Rule 1: the coarsest partition that is finer than `sets`."""
    while True:
        finer = dict(sets)
        for name in mergeable:
            p = network.population(name)
            signs = [sets[name][:, None], p.bias.reshape(len(sets[name]), -1)]
            signs += [_sums(c, sets, p).reshape(len(sets[name]), -1) for c in network.incoming(name)]
            finer[name] = _numbered(np.concatenate(signs, axis=1))
        if all(np.array_equal(finer[name], sets[name]) for name in sets):
            return sets
        sets = finer


def _numbered(rows: Integers) -> Integers:
    """The number of each row's set; equal rows share one, in the order of their first."""
    _, first, members = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[members.ravel()]


def _sums(c: Connection, sets: Sets, target: Population) -> Integers:
    """For each target (neuron, or channel of a convolution) the weights of each set of sources, summed."""
    if isinstance(c, Conv2d):
        return _added(c.kernels().reshape(c.target_channels, c.source_shape[0], -1), sets[c.source])
    if isinstance(c, Dense):
        matrix = c.effective()
        return _added(matrix.reshape(target.size, len(sets[c.source]), -1), sets[c.source])
    raise UnsupportedError(f"connection {c.name}: of kind {c.kind}, whose targets are not merged")


def _added(weights: Integers, members: Integers) -> Integers:
    """`weights`, (targets, units, ...), summed over the units of each set."""
    total = np.zeros((len(weights), int(members.max()) + 1, weights.shape[2]), np.int64)
    for unit, number in enumerate(members.tolist()):
        total[:, number] += weights[:, unit]
    return total


def _mantissas(c: Connection, members: Integers) -> Integers:
    """The weights of a dense connection or a convolution, (targets, units of the source, ...)."""
    matrix = c.weights.matrix() if isinstance(c, Dense | Conv2d) else np.zeros((1, len(members)), np.int64)
    return matrix.reshape(len(matrix), len(members), -1)


def _too_large(network: IntegerNetwork, sets: Sets) -> tuple[str, int] | None:
    """A set whose summed weights do not fit, by the name of its population and its number."""
    for c in network.connections:
        members = sets[c.source]
        if len(np.unique(members)) == len(members):
            continue
        total = _added(_mantissas(c, members), members)
        beyond = np.flatnonzero(((total < _LOW) | (total > _HIGH)).any(axis=(0, 2)))
        if beyond.size:
            return c.source, int(beyond[0])
    return None


def _halved(sets: Sets, name: str, number: int) -> Sets:
    """Rule 3."""
    places = np.flatnonzero(sets[name] == number)
    members = sets[name].copy()
    members[places[len(places) // 2 :]] = members.max() + 1
    return sets | {name: _numbered(members[:, None])}


def _merged(network: IntegerNetwork, sets: Mapping[str, Integers]) -> IntegerNetwork:
    """Rule 2."""
    connections, masks = [], {}
    for name, members in sets.items():
        first = np.zeros(len(members), bool)
        first[np.unique(members, return_index=True)[1]] = True
        size = int(np.prod(network.shapes()[name]))
        masks[name] = np.repeat(first, size // len(members))
    for c in network.connections:
        members = sets[c.source]
        if len(np.unique(members)) == len(members) or not isinstance(c, Dense | Conv2d):
            connections.append(c)
            continue
        summed = _added(_mantissas(c, members), members)[:, members]
        connections.append(replace(c, weights=weights_of(summed.reshape(len(summed), -1))))
    return keep(replace(network, connections=tuple(connections)), masks)
