"""Dense connections with a recurrent one, a step late, of the population to itself."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bitspike.train.estimators import Estimator
from bitspike.train.layers.dense import DenseLayer
from bitspike.train.posterior import Bits, means_and_variances
from bitspike.train.recurrence import noisy_recurrent_population
from bitspike.train.registers import Neuron


class RecurrentLayer(DenseLayer):
    """A dense layer whose neurons also hear each other's spikes of the step before; self-loops are as the others.

    Attributes:
        recurrent: natural parameters of the recurrent weights, shape (neurons, neurons): targets, sources.
    """

    kind: ClassVar[str] = "recurrent"

    def __init__(
        self, *, name: str, inputs: int, neurons: int, neuron: Neuron, source_shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(name=name, inputs=inputs, neurons=neurons, neuron=neuron, source_shape=source_shape)
        self.recurrent = nn.Parameter(torch.zeros(neurons, neurons))

    @property
    def recurrent_name(self) -> str:
        """Name of the recurrent weights' bits."""
        return f"{self.name}.recurrent"

    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return two matrices, shapes (neurons, inputs) and (neurons, neurons)."""
        return {self.name: self.natural, self.recurrent_name: self.recurrent}

    def feedback(self, bits: Mapping[str, Bits]) -> Tensor:
        """Return the recurrent weights."""
        return torch.from_numpy(bits[self.recurrent_name].astype(np.float32))

    def fire(
        self, mean: Tensor, variance: Tensor, noise: Tensor, *, estimator: Estimator, floor: float, sharpness: float
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise; the recurrent weights add theirs."""
        weights, _ = means_and_variances(self.recurrent, sharpness)
        return noisy_recurrent_population(
            mean, variance, self.rounded_bias(), noise, weights, neuron=self.neuron, estimator=estimator, floor=floor
        )
