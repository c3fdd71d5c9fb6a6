"""Any connection as a list of its synapses, for Lava's ``Sparse`` and for kinds of which Lava has no process."""

import numpy as np

from bitspike.convert.connections import Connection, Dense, Identity, Integers, Windowed
from bitspike.errors import UnsupportedError

#: Source neuron and target neuron of each synapse, and its effective weight.
Coordinates = tuple[Integers, Integers, Integers]


def coordinates(c: Connection) -> Coordinates:
    """Sources, targets and effective weights of all synapses whose weight is not 0, in the order of the targets."""
    if isinstance(c, Dense):
        weights = c.effective()
        targets, sources = np.nonzero(weights)
        return sources, targets, weights[targets, sources]
    if isinstance(c, Identity):
        every = np.arange(c.size if c.weight else 0)
        return every, every, np.full(len(every), c.weight << c.exponent)
    if isinstance(c, Windowed):
        return _window(c)
    raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; expected dense, identity, conv or pool")


def _window(c: Windowed) -> Coordinates:
    """Place by place of the window: each target under it, with each source channel that it is connected to."""
    source = np.arange(np.prod(c.source_shape)).reshape(c.source_shape)
    target = np.arange(np.prod(c.target_shape)).reshape(c.target_shape)
    none = np.zeros(0, np.int64)
    parts = [(none, none, none)]
    for (y, x), (rows, columns), (from_rows, from_columns) in c.places():
        tap = c.tap(y, x)
        outer, inner = np.nonzero(tap)
        targets, sources = target[outer, rows, columns], source[inner, from_rows, from_columns]
        weights = np.broadcast_to(tap[outer, inner][:, None, None], targets.shape)
        parts.append((sources.ravel(), targets.ravel(), weights.ravel()))
    sources, targets, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((sources, targets))
    return sources[order], targets[order], weights[order]
