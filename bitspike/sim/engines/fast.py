"""The fast engine under the engines' common signature."""

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.fast.run import run_fast
from bitspike.sim.record import Record


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, threads: int | None = None) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, neurons)."""
    return run_fast(network, spikes, threads=threads)
