"""The reference engine under the engines' common signature."""

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.record import Record
from bitspike.sim.reference import Overflow, run_reference


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, overflow: Overflow = "exact") -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, neurons)."""
    return run_reference(network, spikes, overflow=overflow)
