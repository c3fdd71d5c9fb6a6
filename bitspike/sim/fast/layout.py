"""In which order the engine keeps a population's neurons: as the network counts them, or place by place.

A spike under a sliding window reaches all channels of some places. Where the channels of a place lie side by side, its
weights are added as vectors; the network itself has all places of a channel side by side.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Windowed
from bitspike.convert.network import IntegerNetwork
from bitspike.sim.fast.sources import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """An order of neurons: place by place, and in each the channels. One channel is the network's own order."""

    channels: int
    places: int

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """The network's number of each neuron of the engine."""
        return np.arange(self.channels * self.places).reshape(self.channels, self.places).T.ravel()

    @property
    def rank(self) -> npt.NDArray[np.int64]:
        """The engine's number of each neuron of the network."""
        return np.argsort(self.order)

    def outside(self, values: Array) -> Array:
        """Return values of the engine's neurons, the last axis, in the network's order."""
        if self.channels == 1:
            return values
        apart = values.reshape(*values.shape[:-1], self.places, self.channels)
        return apart.swapaxes(-1, -2).reshape(values.shape)


def layouts(network: IntegerNetwork) -> dict[str, Layout]:
    """Return the order of each input and population: place by place where a sliding window ends."""
    found = {node.name: Layout(channels=1, places=node.size) for node in network.nodes()}
    for connection in network.connections:
        if isinstance(connection, Windowed):
            channels, height, width = connection.target_shape
            found[connection.target] = Layout(channels=channels, places=height * width)
    return found
