"""Which cores a neuron's spikes go to, and how many axons and synapses wait for them there.

A spike is sent once to each input axon that it has: one for each connection and each core in which that connection has
a synapse for it. A synapse lies in the core of its target. Kernels keep synapses of weight 0. A matrix keeps them where
their source has another in that core, which stores the list of its synapses; without any, the source has no axon there.
"""

from dataclasses import dataclass
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
        full = np.array_equal(connection.nonzero_fan_out(), connection.fan_out())
        reached = True if full else (connection.effective() != 0).T.astype(np.float64) @ held > 0
        return np.where(reached, held.sum(axis=0), np.zeros((connection.shape[1], 1), np.int64))
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FanOut:
    """What waits for the spikes of the neurons of one input or population, by core.

    Attributes:
        axons: input axons, (neurons, cores).
        synapses: synapses behind them, (neurons, cores).
    """

    axons: Integers
    synapses: Integers


def fan_out_by_core(assigned: Assigned) -> dict[str, FanOut]:
    """What waits for the spikes of each input and population, over all connections."""
    network, cores = assigned.network, assigned.core_count
    found = {}
    for node in network.nodes():
        axons = np.zeros((node.size, cores), np.int64)
        synapses = np.zeros((node.size, cores), np.int64)
        for connection in network.outgoing(node.name):
            there = synapses_by_core(connection, assigned.core_of(connection.target), cores)
            axons += there > 0
            synapses += there
        found[node.name] = FanOut(axons=axons, synapses=synapses)
    return found
