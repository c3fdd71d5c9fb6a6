"""The trained network itself, in torch's evaluation mode, as an engine.

It computes on the same lattice by code of its own: that it agrees with the reference engine is the proof that what was
trained is what was collapsed. The model is handed in; this module does not import torch.
"""

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import TrainedModel, bits_of
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.single_only import refuse_several
from bitspike.errors import UsageError
from bitspike.sim.record import Record, Trace


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, model: TrainedModel | None = None) -> Record:
    """Evaluate `model` with the bits that the network's `collapse` label names, not with the network's own arrays."""
    if model is None:
        raise UsageError("engine torch: no trained model; expected the run that the network was collapsed from")
    if not network.collapse:
        raise UsageError(f"engine torch: network {network.name} does not say how its bits were chosen from a posterior")
    refuse_several(network, "engine torch")
    traces = {
        name: Trace(spikes=s, u=u, v=v)
        for name, (s, u, v) in model.record(spikes, bits=bits_of(model, network.collapse)).items()
    }
    latency = dict.fromkeys([model.input_name, *traces], 0)
    return Record(engine="torch", inputs=spikes, traces=traces, latency=latency)
