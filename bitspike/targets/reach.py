"""Which cores a neuron's spikes go to, and how many synapses wait for them there.

A synapse lies in the core of its target. A synapse of weight 0 is one too: dense matrices and kernels store it.
"""

from typing import Protocol

import numpy as np

from bitspike.convert.connections import Connection, Dense, Identity, Windowed
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UnsupportedError
from bitspike.targets.mesh import Integers


class Assigned(Protocol):
    """A network whose neurons have cores: a partition, as far as traffic is concerned."""

    @property
    def network(self) -> IntegerNetwork:
        """The network, in chip time."""

    @property
    def core_count(self) -> int:
        """Cores that hold its neurons."""

    def core_of(self, population: str) -> Integers:
        """The core of each neuron of a population."""


def synapses_by_core(connection: Connection, core_of: Integers, cores: int) -> Integers:
    """Synapses that each source has in each core, (sources, cores), where target `n` lies in core ``core_of[n]``."""
    held = (core_of[:, None] == np.arange(cores)).astype(np.int64)
    if isinstance(connection, Dense):
        return np.repeat(held.sum(axis=0, keepdims=True), connection.shape[1], axis=0)
    if isinstance(connection, Identity):
        return held
    if isinstance(connection, Windowed):
        # Synapses of a source channel at each place of the target; every place of the window then adds them.
        connected = connection.connected().T.astype(np.int64)
        there = np.tensordot(connected, held.reshape(*connection.target_shape, cores), 1)
        found = np.zeros((*connection.source_shape, cores), np.int64)
        for _, (rows, columns), (from_rows, from_columns) in connection.places():
            found[:, from_rows, from_columns] += there[:, rows, columns]
        return found.reshape(-1, cores)
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; its synapses have no known cores")


def fan_out_by_core(assigned: Assigned) -> dict[str, Integers]:
    """Synapses that each neuron of each input and population has in each core, over all connections."""
    network, cores = assigned.network, assigned.core_count
    found = {node.name: np.zeros((node.size, cores), np.int64) for node in network.nodes()}
    for connection in network.connections:
        found[connection.source] += synapses_by_core(connection, assigned.core_of(connection.target), cores)
    return found
