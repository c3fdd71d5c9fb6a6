"""What SpikingJelly's energy models and NeuroBench's metrics say of a recorded run; means per inference."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import MissingDependencyError
from bitspike.sim.record import Record

SPIKINGJELLY = "bitspike doctor --install spikingjelly"
NEUROBENCH = "python -m pip install --no-deps neurobench==2.3.0 snntorch tqdm"
"""Of its requirements those that its metrics import; the others would bring another torch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpikingJellyEnergy:
    """Two models of SpikingJelly, in nanojoules; `synaptic_operations` as its simple model counts them."""

    simple_nj: float
    simple_memory_nj: float
    lemaire_nj: float
    lemaire_memory_nj: float
    synaptic_operations: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuroBenchCounts:
    """Metrics of NeuroBench 2.3: operations per inference, and shares of zeros."""

    effective_acs: float
    effective_macs: float
    dense: float
    activation_sparsity: float
    connection_sparsity: float


def spikingjelly_energy(network: IntegerNetwork, record: Record) -> SpikingJellyEnergy:
    """Run SpikingJelly's simple and Lemaire's model on the recorded spikes, one sample at a time, as a chip would.

    Raises:
        MissingDependencyError: SpikingJelly is not installed.
        UnsupportedError: a connection that is neither dense nor a convolution.
    """
    if find_spec("spikingjelly") is None:
        raise MissingDependencyError(f"SpikingJelly is not installed; run: {SPIKINGJELLY}")
    import torch
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.op_counter import estimate_lemaire_energy, estimate_simple_energy
    from spikingjelly.logger import logger

    from bitspike.sim.peers.replay import Replay

    logger.disable("spikingjelly")
    found = []
    for sample in range(record.samples):
        # Half of an input of 4 reaches the membrane, which is above the threshold of 1; the reset is to 0.
        model = Replay(network, record, lambda: neuron.LIFNode(tau=2.0, v_threshold=1.0), gain=4.0).only([sample])
        inputs = torch.tensor(record.inputs[sample : sample + 1], dtype=torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            simple = estimate_simple_energy(model, inputs)
            functional.reset_net(model)
            lemaire = estimate_lemaire_energy(model, inputs)
        found.append(
            (
                simple.energy_total_pj,
                simple.energy_memory_pj,
                lemaire.total_pj,
                lemaire.breakdown_pj["memory_pj"],
                1000.0 * simple.counts["synop"],
            )
        )
    means = np.mean(found, axis=0) / 1000
    return SpikingJellyEnergy(
        simple_nj=float(means[0]),
        simple_memory_nj=float(means[1]),
        lemaire_nj=float(means[2]),
        lemaire_memory_nj=float(means[3]),
        synaptic_operations=float(means[4]),
    )


def neurobench_counts(network: IntegerNetwork, record: Record) -> NeuroBenchCounts:
    """Run NeuroBench's metrics on the recorded spikes.

    Raises:
        MissingDependencyError: NeuroBench is not installed, or something that it imports.
        UnsupportedError: a connection that is neither dense nor a convolution.
    """
    if find_spec("neurobench") is None:
        raise MissingDependencyError(f"NeuroBench is not installed; run: {NEUROBENCH}")
    lacking = [name for name in ("snntorch", "tqdm") if find_spec(name) is None]
    if lacking:
        raise MissingDependencyError(f"NeuroBench lacks {' and '.join(lacking)}; run: {NEUROBENCH}")
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    from bitspike.sim.peers.replay import Replay

    class Passed(torch.nn.Identity):
        """Passes recorded spikes on; a class of its own, which NeuroBench is told to watch."""

    model = TorchModel(Replay(network, record, Passed))
    model.add_activation_module(Passed)
    inputs = torch.tensor(record.inputs, dtype=torch.float32)
    data = DataLoader(TensorDataset(inputs, torch.zeros(len(inputs))), batch_size=len(inputs))
    metrics = [[ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        result = Benchmark(model, data, [], [], metrics).run(quiet=True)
    operations = result["SynapticOperations"]
    return NeuroBenchCounts(
        effective_acs=float(operations["Effective_ACs"]),
        effective_macs=float(operations["Effective_MACs"]),
        dense=float(operations["Dense"]),
        activation_sparsity=float(result["ActivationSparsity"]),
        connection_sparsity=float(result["ConnectionSparsity"]),
    )
