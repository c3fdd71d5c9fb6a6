"""All-to-all connections."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.layers.base import Layer
from bitspike.train.posteriors import BERNOULLI, Bits, Family, Posterior, summed_moments
from bitspike.train.products import dense_moments
from bitspike.train.registers import Neuron

_EXACT = 1 << 24
"""Sums of whole numbers up to this are exact in float32."""


class DenseLayer(Layer):
    """A population and the connection that feeds it, from each neuron to each.

    Attributes:
        posterior: of the weights, shape (neurons, inputs).
        bias: one a neuron, shape (neurons,).
    """

    kind: ClassVar[str] = "dense"
    bias: nn.Parameter

    def __init__(
        self,
        *,
        name: str,
        inputs: int,
        neurons: int,
        neuron: Neuron,
        source_shape: tuple[int, ...] | None = None,
        family: Family = BERNOULLI,
    ) -> None:
        super().__init__(name=name, source_shape=source_shape or (inputs,), shape=(neurons,), neuron=neuron)
        self.posterior = family.make(neurons, inputs)
        self.bias = nn.Parameter(torch.zeros(neurons))

    @property
    def natural(self) -> nn.Parameter:
        """The posterior's locations: natural parameters, means or latent weights, shape (neurons, inputs)."""
        return self.posterior.location

    def posteriors(self) -> dict[str, Posterior]:
        """Return that of one matrix, shape (neurons, inputs)."""
        return {self.name: self.posterior}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input for spikes of shape (..., inputs)."""
        return summed_moments(functional.linear, spikes, *self.posterior.means_and_variances(sharpness))

    def joint_moments(self, spikes: Tensor, sharpness: float, *, spread: bool = True) -> Tensor:
        """Return means, then variances, by one product where the spikes are bits."""
        if not self.binary_input:
            return super().joint_moments(spikes, sharpness, spread=spread)
        weights = self.posterior.joint(sharpness, spikes.dtype, spread=spread)
        return dense_moments(spikes, weights, self.neurons)

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the summed input of given weights."""
        return functional.linear(spikes, weights[self.name])

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input; float32 holds whole numbers up to 2**24 exactly, float64 up to 2**53."""
        matrix = bits[self.name]
        payload = float(spikes.max()) if spikes.numel() else 0.0
        largest = int(np.abs(matrix.astype(np.int64)).max(initial=0)) * self.inputs * max(payload, 1.0)
        weights = torch.from_numpy(matrix.astype(np.float32 if largest <= _EXACT else np.float64)).to(spikes.device)
        return (spikes.to(weights.dtype) @ weights.T).long()
