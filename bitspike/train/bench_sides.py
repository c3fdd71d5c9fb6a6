"""The two sides of the bench of training: one update of our network, and one of the same layer sizes in snnTorch."""

import math
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.errors import MissingDependencyError
from bitspike.train.estimators import IWST
from bitspike.train.layers import DenseLayer
from bitspike.train.loop import flushed_denormals
from bitspike.train.model import SpikingNetwork
from bitspike.train.registers import NEVER, Neuron
from bitspike.train.surrogates import INSTALL

SIZES = (784, 512, 512, 10)
STEPS = 25
BATCH = 128
EPOCH = 60_000
UPDATES = math.ceil(EPOCH / BATCH)
MNIST_RATE = 0.1307
"""Mean level of MNIST's training images, and so the rate of their spikes."""
KEEP = 7 / 8
"""What a membrane keeps from step to step: dv = 512."""
_THRESHOLDS = (8, 16, NEVER)

Step = Callable[[Tensor, Tensor], None]
Batches = list[tuple[Tensor, Tensor]]


def synthetic(batches: int) -> Batches:
    """Return batches of independent spikes of MNIST's mean rate, (steps, samples, neurons), and random labels."""
    generator = torch.Generator().manual_seed(0)
    return [
        (
            (torch.rand(STEPS, BATCH, SIZES[0], generator=generator) < MNIST_RATE).float(),
            torch.randint(SIZES[-1], (BATCH,), generator=generator),
        )
        for _ in range(batches)
    ]


def bitspike_step() -> Step:
    """Return one update of our network, as the training loop does it."""
    dv = round((1 - KEEP) * 4096)
    layers = [
        DenseLayer(
            name=f"layer{number}",
            inputs=inputs,
            neurons=neurons,
            neuron=Neuron(vth=vth, dv=0 if vth == NEVER else dv),
        )
        for number, ((inputs, neurons), vth) in enumerate(zip(pairwise(SIZES), _THRESHOLDS, strict=True))
    ]
    network = SpikingNetwork(layers, steps=STEPS, readout="membrane_sum", temperature=200.0)
    network.initialise(0, spread=0.5)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02, fused=True)
    generator, estimator = torch.Generator().manual_seed(1), IWST()

    def step(spikes: Tensor, labels: Tensor) -> None:
        with flushed_denormals():
            logits, _ = network.noisy(spikes, generator, estimator=estimator, floor=0.5)
            loss = functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return step


def snntorch_step() -> Step:
    """Return one update of snnTorch's network, as its tutorials do it."""
    snntorch, surrogate = check_snntorch()
    linear = nn.ModuleList(nn.Linear(inputs, neurons) for inputs, neurons in pairwise(SIZES))
    resets = ("zero",) * (len(SIZES) - 2) + ("none",)
    leaky = [snntorch.Leaky(beta=KEEP, spike_grad=surrogate.atan(), reset_mechanism=reset) for reset in resets]
    optimiser = torch.optim.Adam(linear.parameters(), lr=1e-3)

    def step(spikes: Tensor, labels: Tensor) -> None:
        # Denormals are flushed as in ours, so that neither side pays for them.
        with flushed_denormals():
            membranes = [one.reset_mem() for one in leaky]
            total = torch.zeros(())
            for now in spikes:
                signal = now
                for number, (weights, neuron) in enumerate(zip(linear, leaky, strict=True)):
                    signal, membranes[number] = neuron(weights(signal), membranes[number])
                total = total + membranes[-1]
            loss = functional.cross_entropy(total, labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return step


SIDES: dict[str, Callable[[], Step]] = {"bitspike": bitspike_step, "snntorch": snntorch_step}


def products_alone(spikes: Tensor) -> float:
    """Return the seconds of the spiking layers' matrix products of one update: moments and their gradients."""
    spent, before = 0.0, spikes
    for number, (inputs, neurons) in enumerate(list(pairwise(SIZES))[:-1]):
        weights, above = torch.rand(neurons, inputs), torch.rand(STEPS * BATCH, neurons)
        rows = before.reshape(-1, inputs)
        begun = time.perf_counter()
        for _ in ("mean", "variance"):
            before = rows @ weights.T
            _ = above.T @ rows
        if number > 0:
            _ = above @ weights
        spent += time.perf_counter() - begun
    return spent


def check_snntorch() -> tuple[Any, Any]:
    """Return snnTorch and its surrogates; raise MissingDependencyError where it is not installed."""
    try:
        return import_module("snntorch"), import_module("snntorch.surrogate")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None
