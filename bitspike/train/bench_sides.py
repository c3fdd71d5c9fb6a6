"""The sides of the bench of training: one update of our network, and one of the same layer sizes in snnTorch."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.errors import MissingDependencyError
from bitspike.train.denormals import flushed_denormals
from bitspike.train.estimators import IWST, Estimator
from bitspike.train.layers import DenseLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.noise import Silent
from bitspike.train.optimiser import adam, set_rates
from bitspike.train.processes import Share, whole
from bitspike.train.products import Precision, dense_moments
from bitspike.train.registers import NEVER, Neuron
from bitspike.train.replay import updates_on
from bitspike.train.surrogates import INSTALL, Surrogate

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

CPU = torch.device("cpu")

Step = Callable[[Tensor, Tensor], None]
Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of those that are compared.

    Attributes:
        step: makes an update with spikes and labels.
        rates: returns the mean of the bits of each spiking layer in a forward pass.
    """

    step: Step
    rates: Callable[[Tensor], list[float]]


def synthetic(batches: int, device: torch.device = CPU) -> Batches:
    """Return batches of independent spikes of MNIST's mean rate, (steps, samples, neurons), and random labels."""
    generator = torch.Generator().manual_seed(0)
    return [
        (
            (torch.rand(STEPS, BATCH, SIZES[0], generator=generator) < MNIST_RATE).float().to(device),
            torch.randint(SIZES[-1], (BATCH,), generator=generator).to(device),
        )
        for _ in range(batches)
    ]


class _Dense(DenseLayer):
    """A layer that can tell how many of its neurons fired."""

    told: list[float] | None = None

    def fire(self, inputs: Tensor, generator: torch.Generator, **options: Any) -> tuple[Tensor, Tensor]:
        """Run; note the rate where somebody wants it."""
        bits, squares = super().fire(inputs, generator, **options)
        if self.told is not None:
            self.told.append(float(bits.detach().float().mean()))
        return bits, squares


def bitspike(precision: Precision, device: torch.device = CPU) -> Side:
    """Return our network with the arctangent's surrogate gradient, the width of which is the floor, and no noise."""
    estimator = Surrogate(function="atan", slope=2.0, noise=Silent(), width="floor")
    return _bitspike(precision, device, estimator, floor=3.0)


def bitspike_posterior(precision: Precision, device: torch.device = CPU) -> Side:
    """Return our network with posterior noise: two moments, and plain straight-through."""
    return _bitspike(precision, device, IWST(), floor=0.5)


def _bitspike(precision: Precision, device: torch.device, estimator: Estimator, *, floor: float) -> Side:
    """Return our network as the training loop updates it with the recipe's key `precision`."""
    dv = round((1 - KEEP) * 4096)
    layers = [
        _Dense(
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
    network.to(device)
    optimiser = adam(network, device)
    set_rates(optimiser, (0.02, 0.02, 0.02))
    made = updates_on(device)
    made.generator.manual_seed(1)

    def update(spikes: Tensor, labels: Tensor, _share: Share) -> tuple[Tensor, Tensor]:
        with flushed_denormals():
            logits, _ = network.noisy(spikes, made.generator, estimator=estimator, floor=floor)
            loss = functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return logits.detach(), loss.detach()

    def step(spikes: Tensor, labels: Tensor) -> None:
        made(update, spikes, labels, whole(len(labels)))

    def rates(spikes: Tensor) -> list[float]:
        found: list[float] = []
        for layer in layers:
            layer.told = found
        with torch.no_grad():
            network.noisy(spikes, made.generator, estimator=estimator, floor=floor)
        for layer in layers:
            layer.told = None
        return found

    return Side(step=step, rates=rates)


def snntorch(precision: Precision, device: torch.device = CPU) -> Side:
    """Return snnTorch's network, updated as its tutorials do it.

    With bfloat16 torch rounds the factors of its matrix products, which is what torch offers to a network of float32.
    """
    package, surrogate = check_snntorch()
    linear = nn.ModuleList(nn.Linear(inputs, neurons) for inputs, neurons in pairwise(SIZES)).to(device)
    resets = ("zero",) * (len(SIZES) - 2) + ("none",)
    leaky = [
        package.Leaky(beta=KEEP, spike_grad=surrogate.atan(), reset_mechanism=reset).to(device) for reset in resets
    ]
    optimiser = torch.optim.Adam(linear.parameters(), lr=1e-3)

    def run(spikes: Tensor, told: list[Tensor] | None = None) -> Tensor:
        membranes = [one.reset_mem() for one in leaky]
        total = torch.zeros((), device=device)
        for now in spikes:
            signal = now
            for number, (weights, neuron) in enumerate(zip(linear, leaky, strict=True)):
                signal, membranes[number] = neuron(weights(signal), membranes[number])
                if told is not None:
                    told.append(signal.mean())
            total = total + membranes[-1]
        return total

    def step(spikes: Tensor, labels: Tensor) -> None:
        # Denormals are flushed as in ours, so that neither side pays for them.
        with flushed_denormals(), matrix_products(precision):
            loss = functional.cross_entropy(run(spikes), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def rates(spikes: Tensor) -> list[float]:
        told: list[Tensor] = []
        with torch.no_grad(), matrix_products(precision):
            run(spikes, told)
        return [float(one) for one in torch.stack(told).reshape(len(spikes), -1).mean(0)[:-1]]

    return Side(step=step, rates=rates)


@contextmanager
def matrix_products(precision: Precision) -> Iterator[None]:
    """Let torch round the factors of float32 products to bfloat16 in this block, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bfloat16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


SIDES: dict[str, Callable[[Precision, torch.device], Side]] = {
    "bitspike": bitspike,
    "bitspike_posterior": bitspike_posterior,
    "snntorch": lambda _, device: snntorch("float32", device),
    "snntorch_bfloat16": lambda _, device: snntorch("bfloat16", device),
}
"""Each takes the precision of our sides, and where it trains."""


def products_alone(spikes: Tensor, precision: Precision, rates: Sequence[float]) -> float:
    """Return the seconds of the spiking layers' matrix products of one update: means and their gradients.

    Args:
        spikes: input.
        precision: of the products.
        rates: of the bits of each spiking layer.
    """
    dtype, device = getattr(torch, precision), spikes.device
    spent, before = 0.0, spikes.to(dtype)
    for number, ((inputs, neurons), rate) in enumerate(zip(pairwise(SIZES[:-1]), rates, strict=True)):
        weights = torch.rand(neurons, inputs, device=device).to(dtype).requires_grad_()
        above = torch.rand(STEPS, BATCH, neurons, device=device).to(dtype)
        leaf = before.detach().requires_grad_(number > 0)
        begun = settled(device)
        dense_moments(leaf, weights, neurons).backward(above)  # type: ignore[no-untyped-call]
        spent += settled(device) - begun
        before = (torch.rand(STEPS, BATCH, neurons, device=device) < rate).to(dtype)
    return spent


def settled(device: torch.device) -> float:
    """Return the time in seconds at which all that a device was asked to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def check_snntorch() -> tuple[Any, Any]:
    """Return snnTorch and its surrogates; raise MissingDependencyError where it is not installed."""
    try:
        return import_module("snntorch"), import_module("snntorch.surrogate")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None
