"""All-to-all connections."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.layers.base import Layer
from bitspike.train.posterior import Bits, local_moments
from bitspike.train.registers import Neuron


class DenseLayer(Layer):
    """A population and the one-bit connection that feeds it, from each neuron to each.

    Attributes:
        natural: natural parameters of the weights, shape (neurons, inputs).
        bias: one a neuron, shape (neurons,).
    """

    kind: ClassVar[str] = "dense"
    bias: nn.Parameter

    def __init__(
        self, *, name: str, inputs: int, neurons: int, neuron: Neuron, source_shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(name=name, source_shape=source_shape or (inputs,), shape=(neurons,), neuron=neuron)
        self.natural = nn.Parameter(torch.zeros(neurons, inputs))
        self.bias = nn.Parameter(torch.zeros(neurons))

    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return one matrix, shape (neurons, inputs)."""
        return {self.name: self.natural}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input for spikes of shape (..., inputs)."""
        return local_moments(spikes, self.natural, sharpness)

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the summed input of given weights."""
        return functional.linear(spikes, weights[self.name])

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input; float32 holds sums of at most 2**24 terms of -1, 0 and 1 exactly."""
        weights = torch.from_numpy(bits[self.name].astype(np.float32))
        return (spikes @ weights.T).long()
