"""Which inputs drive one neuron up: its weights, carried back through the layers."""

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Dense, Windowed
from bitspike.convert.network import IntegerNetwork

Integers = npt.NDArray[np.int64]


def drive_of(network: IntegerNetwork, population: str, neuron: int) -> Integers:
    """For each neuron of all inputs a number: positive where its spikes help to drive `neuron` up, negative where down.

    A neuron on the way counts with its sign alone: it should fire, or be silent. What leads back is left out,
    since its source was passed already. This is exact for a population that inputs reach directly, and a guess behind
    others, which a search may use and no proof.
    """
    drives = {node.name: np.zeros(node.size, np.int64) for node in network.nodes()}
    drives[population][neuron] = 1
    for p in reversed(network.populations):
        wanted = np.sign(drives[p.name])
        if wanted.any():
            for c in network.incoming(p.name):
                drives[c.source] += carried_back(c, wanted)
    return np.concatenate([drives[entry.name] for entry in network.inputs])


def carried_back(connection: Connection, targets: Integers) -> Integers:
    """Of each source the sum of its effective weights times `targets`, (targets,): the transpose of a delivery."""
    if isinstance(connection, Dense):
        return targets @ connection.effective()
    if isinstance(connection, Windowed):
        found = np.zeros(connection.source_shape, np.int64)
        shaped = targets.reshape(connection.target_shape)
        for (y, x), (rows, columns), (from_rows, from_columns) in connection.places():
            added = np.einsum("oc,oyx->cyx", connection.tap(y, x), shaped[:, rows, columns])
            found[:, from_rows, from_columns] += added
        return found.ravel()
    return connection.deliver(targets[None])[0]
