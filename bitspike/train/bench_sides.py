"""The two sides of the bench of training: one update of our network, and one of the same layer sizes in snnTorch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.errors import MissingDependencyError
from bitspike.train.estimators import IWST
from bitspike.train.layers import DenseLayer
from bitspike.train.loop import flushed_denormals
from bitspike.train.model import SpikingNetwork
from bitspike.train.products import dense_moments
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

Precision = Literal["float32", "bfloat16"]
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


def bitspike_step(precision: Precision) -> Step:
    """Return one update of our network, as the training loop does it with the recipe's key `precision`."""
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
    network.precision = precision
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


def snntorch_step(precision: Precision) -> Step:
    """Return one update of snnTorch's network, as its tutorials do it.

    With bfloat16 torch rounds the factors of its matrix products, which is what torch offers to a network of float32.
    """
    snntorch, surrogate = check_snntorch()
    linear = nn.ModuleList(nn.Linear(inputs, neurons) for inputs, neurons in pairwise(SIZES))
    resets = ("zero",) * (len(SIZES) - 2) + ("none",)
    leaky = [snntorch.Leaky(beta=KEEP, spike_grad=surrogate.atan(), reset_mechanism=reset) for reset in resets]
    optimiser = torch.optim.Adam(linear.parameters(), lr=1e-3)

    def step(spikes: Tensor, labels: Tensor) -> None:
        # Denormals are flushed as in ours, so that neither side pays for them.
        with flushed_denormals(), matrix_products(precision):
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


@contextmanager
def matrix_products(precision: Precision) -> Iterator[None]:
    """Let torch round the factors of float32 products to bfloat16 in this block, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bfloat16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


SIDES: dict[str, Callable[[Precision], Step]] = {
    "bitspike": bitspike_step,
    "snntorch": lambda _: snntorch_step("float32"),
    "snntorch_bfloat16": lambda _: snntorch_step("bfloat16"),
}
"""Each takes the precision of our side."""


def products_alone(spikes: Tensor, precision: Precision) -> float:
    """Return the seconds of the spiking layers' matrix products of one update: both moments and their gradients."""
    dtype = getattr(torch, precision)
    spent, before = 0.0, spikes.to(dtype)
    for number, (inputs, neurons) in enumerate(list(pairwise(SIZES))[:-1]):
        weights = torch.rand(2 * neurons, inputs).to(dtype)
        above = torch.rand(STEPS * BATCH, 2 * neurons).to(dtype)
        leaf = before.detach().requires_grad_(number > 0)
        begun = time.perf_counter()
        result = dense_moments(leaf, weights.requires_grad_(), neurons)
        result.backward(above.reshape(result.shape))  # type: ignore[no-untyped-call]
        spent += time.perf_counter() - begun
        before = (torch.rand(STEPS, BATCH, neurons) < 0.2).to(dtype)
    return spent


def check_snntorch() -> tuple[Any, Any]:
    """Return snnTorch and its surrogates; raise MissingDependencyError where it is not installed."""
    try:
        return import_module("snntorch"), import_module("snntorch.surrogate")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None
