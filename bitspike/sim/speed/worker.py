"""A framework in a process of its own, timed: ``python -m bitspike.sim.speed.worker FRAMEWORK FOLDER``.

FOLDER holds ``network.safetensors``, a chain of dense and convolutional layers, and ``spikes.npy``. The worker builds
the same layers in float32, says ``ready``, and for each line that it reads runs the whole batch once and answers with
the seconds. Norse and snnTorch loop over the steps as their tutorials do; SpikingJelly has a mode that takes all steps
of a layer at once, which is quicker and used. No gradients are recorded.
"""

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.convert.connections import Conv2d, Dense
from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Population
from bitspike.convert.store import load
from bitspike.errors import UnsupportedError


def main(arguments: list[str]) -> int:
    """Serve one framework."""
    framework, folder = arguments[0], Path(arguments[1])
    warnings.simplefilter("ignore")
    import torch

    network = load(folder / "network.safetensors")
    spikes = torch.from_numpy(np.load(folder / "spikes.npy", allow_pickle=False)).float()
    by_step = spikes.transpose(0, 1).reshape(spikes.shape[1], spikes.shape[0], *network.input.shape).contiguous()
    run = {"snntorch": _snntorch, "norse": _norse, "spikingjelly": _spikingjelly}[framework](network)
    with torch.no_grad():
        run(by_step[:2])
        print("ready", flush=True)  # noqa: T201
        for _ in sys.stdin:
            start = time.perf_counter()
            run(by_step)
            print(time.perf_counter() - start, flush=True)  # noqa: T201
    return 0


def _synapses(network: IntegerNetwork, population: Population) -> list[Any]:
    """The modules of the one connection that ends in a population."""
    import torch

    (connection,) = network.incoming(population.name)
    if isinstance(connection, Conv2d):
        weight = torch.tensor(connection.kernels()).float()
        module: Any = torch.nn.Conv2d(
            weight.shape[1], weight.shape[0], connection.kernel, connection.stride, connection.padding, bias=False
        )
        module.weight.data = weight
        return [module]
    if not isinstance(connection, Dense):
        raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; expected dense or conv")
    weight = torch.tensor(connection.effective()).float()
    module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight.data = weight
    spatial = len(network.shapes()[connection.source]) > 1
    return [torch.nn.Flatten(), module] if spatial else [module]


def _keep(population: Population) -> float:
    return 1 - population.dv / DECAY_ONE


def _snntorch(network: IntegerNetwork) -> Any:
    import snntorch
    import torch

    layers = [
        (
            torch.nn.Sequential(*_synapses(network, p)),
            snntorch.Leaky(beta=_keep(p), threshold=float(p.vth), reset_mechanism="zero"),
        )
        for p in network.populations
    ]

    def run(by_step: Any) -> Any:
        states: list[Any] = [neuron.reset_mem() for _, neuron in layers]
        total: Any = 0
        for x in by_step:
            for i, (synapses, neuron) in enumerate(layers):
                x, states[i] = neuron(synapses(x), states[i])  # noqa: PLW2901
            total = total + states[-1]
        return total

    return run


def _norse(network: IntegerNetwork) -> Any:
    import norse.torch as norse
    import torch

    modules: list[Any] = []
    for p in network.populations:
        parameters = norse.LIFBoxParameters(
            tau_mem_inv=torch.tensor(1000 * (1 - _keep(p))), v_th=torch.tensor(float(p.vth))
        )
        modules += [*_synapses(network, p), norse.LIFBoxCell(parameters)]
    model = norse.SequentialState(*modules)

    def run(by_step: Any) -> Any:
        state, total = None, 0
        for x in by_step:
            y, state = model(x, state)
            total = total + y
        return total

    return run


def _spikingjelly(network: IntegerNetwork) -> Any:
    import torch
    from spikingjelly.activation_based import functional, layer, neuron

    modules: list[Any] = []
    for p in network.populations:
        modules += [layer.SeqToANNContainer(*_synapses(network, p))]
        tau = DECAY_ONE / p.dv
        modules += [neuron.LIFNode(tau=tau, decay_input=False, v_threshold=float(p.vth), v_reset=0.0, step_mode="m")]
    model = torch.nn.Sequential(*modules)

    def run(by_step: Any) -> Any:
        functional.reset_net(model)
        return model(by_step).sum(0)

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
