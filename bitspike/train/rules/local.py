r"""A loss for each layer in each step, without gradients between layers or through time.

As in the paper of :mod:`bitspike.train.rules`, after DECOLLE (Kaiser, Mostafa, Neftci): each trained population l of n
neurons has a fixed random read-out B of -1 and +1, and in each step t from the burn-in on

    r[t] = B s[t] / sqrt(n),   L[t] = sum_l CE(r[t], y)
    dL[t]/dw[i, j] = e[i, t] * S'(v[i, t]) * P[j, t],   e = B' (softmax(r) - y) / sqrt(n)

where S' is the boxcar and P[j, t] the trace of the presynaptic neuron j, its spikes through the memories of current and
membrane; the trace of a bias is that of 1 through the membrane's. The spikes are those of the chip's neuron with its
truncation and reset. What the reset took away stays in the trace: a trace for each pair of neurons would be needed.

The network's own read-out has no random one. Its loss in step t is that of the read-out so far, scaled to the whole
window, with the exact gradient of a membrane (it cannot spike) and the boxcar of step t for a spike count.

The paper updates in every step. An update a window takes the mean of the steps' losses instead, runs all steps of a
layer at once, and is many times faster; the spikes of a window are then those of one network.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitspike.train.dynamics import lattice, straight_through
from bitspike.train.encode import Stream, words
from bitspike.train.estimators import noisy_bit
from bitspike.train.layers import Layer
from bitspike.train.model import SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.registers import Neuron
from bitspike.train.rules.boxcar import Boxcar, boxcar_width
from bitspike.train.rules.passes import spiking_layers
from bitspike.train.rules.posterior_step import PosteriorStep, Weights
from bitspike.train.rules.updater import Updater

_READOUTS = 1 << 40
"""Added to a layer's number for the random words of its read-out."""


@dataclass(kw_only=True)
class _Memory:
    """What a population carries from step to step; all without gradients, 0 at the start.

    Attributes:
        u: current on the lattice.
        v: membrane on the lattice, after reset.
        trace_u: input spikes through the current's memory.
        trace_v: these through the membrane's.
        trace_bias: 1 in each step through the membrane's.
        summed: what a read-out summed up: the input trace, the bias trace, and the value, in this order.
    """

    u: Tensor | float = 0.0
    v: Tensor | float = 0.0
    trace_u: Tensor | float = 0.0
    trace_v: Tensor | float = 0.0
    trace_bias: float = 0.0
    summed: list[Tensor | float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def advance(self, currents: Tensor, bias: Tensor, neuron: Neuron) -> Tensor:
        """Run the chip's neuron; return the membranes before the reset, shape (steps, samples, neurons)."""
        membranes = torch.empty_like(currents)
        for step, current in enumerate(currents):
            self.u = current + _kept(self.u, neuron.keep_u)
            membranes[step] = self.u + _kept(self.v, neuron.keep_v) + bias
            bits = membranes[step] > neuron.vth
            kept = membranes[step] - neuron.vth if neuron.reset == "subtract" else torch.zeros(())
            self.v = torch.where(bits, kept, membranes[step])
        return membranes

    def follow(self, spikes: Tensor, neuron: Neuron) -> tuple[Tensor, Tensor]:
        """Return the traces of input spikes, shape (steps, samples, inputs), and of the bias, shape (steps, 1, 1)."""
        inputs, biases = torch.empty_like(spikes), torch.empty(len(spikes), 1, 1)
        for step, fed in enumerate(spikes):
            self.trace_u = fed + neuron.keep_u * self.trace_u
            self.trace_v = self.trace_u + neuron.keep_v * self.trace_v
            self.trace_bias = 1.0 + neuron.keep_v * self.trace_bias
            inputs[step], biases[step] = self.trace_v, self.trace_bias
        return inputs, biases

    def total(self, *parts: Tensor) -> list[Tensor]:
        """Return the sums over all steps so far of the parts, each of shape (steps, ...), after each step."""
        sums = [before + part.cumsum(0) for before, part in zip(self.summed, parts, strict=True)]
        self.summed = [one[-1] for one in sums]
        return sums


class LocalRule(Updater):
    """Local losses, with any draw of the weights."""

    def __init__(self, recipe: Recipe, model: SpikingNetwork) -> None:
        self._rule, self._model = recipe.rule, model
        self._step = PosteriorStep(recipe.rule, model)
        self.optimiser = self._step.optimiser
        hidden = [layer for layer in model.populations[:-1] if layer.posteriors()]
        self._readouts = {
            layer.name: random_readout(recipe.seed, number, classes=model.classes, neurons=layer.neurons)
            for number, layer in enumerate(hidden)
        }

    def update(
        self,
        spikes: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        sharpness: float,  # noqa: ARG002
    ) -> tuple[Tensor, float]:
        """Train on one batch."""
        rule, steps = self._rule, len(spikes)
        every = rule.update == "step"
        memories = {layer.name: _Memory() for layer in self._model.populations}
        size = 1 if every or rule.draw == "step" else steps
        for start in range(0, steps, size):
            weights = self._step.draw(generator)
            losses, logits = self._losses(spikes[start : start + size], labels, weights, memories, start=start)
            losses = losses[max(0, rule.burn_in - start) :]
            if len(losses):
                total = losses.sum() if every else losses.sum() / (steps - rule.burn_in)
                total.backward()  # type: ignore[no-untyped-call]
                self._step.collect(weights)
                if every:
                    self._step.apply()
        if not every:
            self._step.apply()
        return logits.detach(), float(functional.cross_entropy(logits.detach(), labels))

    def _losses(
        self, spikes: Tensor, labels: Tensor, weights: Weights, memories: dict[str, _Memory], *, start: int
    ) -> tuple[Tensor, Tensor]:
        """Run some steps on; return each step's loss, shape (steps,), and the read-out's logits after the last."""
        losses = torch.zeros(len(spikes))
        spiking = spiking_layers(self._model)
        for layer in spiking:
            value = self._membranes(layer, spikes, weights, memories[layer.name])
            width = torch.full_like(value, boxcar_width(layer, self._rule.boxcar))
            spikes = noisy_bit(value - layer.vth, width, torch.zeros_like(value), Boxcar())
            if layer.name in self._readouts:
                losses = losses + _cross_entropies(spikes @ self._readouts[layer.name], labels)
            if layer is not self._model.populations[-1]:
                spikes = spikes.detach()
        last = self._model.populations[-1]
        if last in spiking:
            logits = self._counted(spikes, memories[last.name], start=start)
        else:
            logits = self._read(last, spikes, weights, memories[last.name], start=start)
        return losses + _cross_entropies(logits, labels), logits[-1]

    def _membranes(self, layer: Layer, spikes: Tensor, weights: Weights, memory: _Memory) -> Tensor:
        """Return the chip's membranes before the reset, with the gradients of the traces."""
        bias = layer.rounded_bias()
        with torch.no_grad():
            found = memory.advance(layer.weighted(spikes, weights), bias, layer.neuron)
        inputs, biases = memory.follow(spikes, layer.neuron)
        return straight_through(layer.weighted(inputs, weights) + biases * bias, found)

    def _read(self, layer: Layer, spikes: Tensor, weights: Weights, memory: _Memory, *, start: int) -> Tensor:
        """Return a membrane read-out's logits after each step, with the exact gradient."""
        model, bias = self._model, layer.rounded_bias()
        with torch.no_grad():
            value = memory.advance(layer.weighted(spikes, weights), bias, layer.neuron)
        inputs, biases = memory.follow(spikes, layer.neuron)
        if model.readout == "membrane_sum":
            inputs, biases, value = memory.total(inputs, biases, value)
        found = straight_through(layer.weighted(inputs, weights) + biases * bias, value) / model.temperature
        return found * self._share(len(spikes), start) if model.readout == "membrane_sum" else found

    def _counted(self, spikes: Tensor, memory: _Memory, *, start: int) -> Tensor:
        """Return a spike count's logits after each step, with gradients to that step's spikes."""
        *_, counts = memory.total(*(torch.zeros(len(spikes), 1, 1) for _ in range(2)), spikes.detach())
        found = straight_through(spikes * self._model.steps, counts * self._share(len(spikes), start))
        return found / self._model.temperature

    def _share(self, count: int, start: int) -> Tensor:
        """Return what takes a sum over the steps so far to one over the window, shape (steps, 1, 1)."""
        return self._model.steps / torch.arange(start + 1, start + count + 1)[:, None, None]


def _kept(state: Tensor | float, fraction: float) -> Tensor:
    """Return what a step keeps of a state, on the lattice; without decay nothing is truncated."""
    found = torch.as_tensor(state)
    return found if fraction == 1 else lattice(fraction * found)


def random_readout(seed: int, number: int, *, classes: int, neurons: int) -> Tensor:
    """Return B' / sqrt(neurons), shape (neurons, classes), a function of the seed and the layer's number alone."""
    raw = words(seed, Stream.INITIAL, _READOUTS + number, neurons * classes)
    signs = 1.0 - 2.0 * (raw >> np.uint64(63)).astype(np.float32)
    return torch.from_numpy(signs.reshape(neurons, classes) / np.float32(math.sqrt(neurons)))


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of each step, shape (steps,), from logits of shape (steps, samples, classes)."""
    found = functional.cross_entropy(logits.movedim(-1, 1), labels.expand(len(logits), -1), reduction="none")
    return found.mean(1)
