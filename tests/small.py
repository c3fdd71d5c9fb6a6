"""The smallest networks that show one thing each, put together by hand."""

import numpy as np

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of

__all__ = ["SPIKES", "dense", "network_of", "population", "shortened"]


def population(name, *shape, bias=0, **neuron):
    mantissa = np.broadcast_to(np.asarray(bias), int(np.prod(shape)))
    return Population(name=name, shape=shape, bias_mantissa=mantissa, **({"dv": 4096, "vth": 1} | neuron))


def network_of(populations, connections, readouts, shape=(3,)):
    return check(
        IntegerNetwork(
            name="small",
            steps=6,
            inputs=(Input(name="input", shape=shape),),
            populations=tuple(populations),
            connections=tuple(connections),
            readouts=tuple(readouts),
        )
    )


def dense(source, target, matrix, **more):
    return Dense(source=source, target=target, weights=weights_of(np.array(matrix)), **more)


SPIKES = (Readout(population="out", kind="spike_count"),)


def shortened(network):
    """The text without digests."""
    return [line.partition(" #")[0] for line in str(network).splitlines()]
