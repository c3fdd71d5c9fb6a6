"""The fast engine under the engines' common signature."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.record import Record


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, threads: int | None = None) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, neurons)."""
    return _engine(network).run(spikes, threads=threads)


@lru_cache(maxsize=2)  # each part of a data set asks again
def _engine(network: IntegerNetwork) -> FastEngine:
    return FastEngine(network)
