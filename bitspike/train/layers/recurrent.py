"""Dense connections with a recurrent one, a step late, of the population to itself."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.layers.dense import DenseLayer
from bitspike.train.posteriors import BERNOULLI, Bernoulli, Bits, Family, Posterior
from bitspike.train.recurrence import noisy_recurrent_population
from bitspike.train.recurrence_spread import noisy_spread_population
from bitspike.train.registers import Neuron


class RecurrentLayer(DenseLayer):
    """A dense layer whose neurons also hear each other's spikes of the step before; self-loops are as the others.

    Attributes:
        recurrent_posterior: of the recurrent weights, shape (neurons, neurons): targets, sources.
    """

    kind: ClassVar[str] = "recurrent"

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
        super().__init__(
            name=name, inputs=inputs, neurons=neurons, neuron=neuron, source_shape=source_shape, family=family
        )
        if neuron.graded:
            raise UsageError("spike: found 'graded' in a recurrent layer; expected 'binary'")
        self.recurrent_posterior = family.make(neurons, neurons)

    @property
    def recurrent(self) -> nn.Parameter:
        """The locations of the recurrent weights, shape (neurons, neurons)."""
        return self.recurrent_posterior.location

    @property
    def recurrent_name(self) -> str:
        """Name of the recurrent weights' bits."""
        return f"{self.name}.recurrent"

    def posteriors(self) -> dict[str, Posterior]:
        """Return those of two matrices, shapes (neurons, inputs) and (neurons, neurons)."""
        return {self.name: self.posterior, self.recurrent_name: self.recurrent_posterior}

    def feedback(self, bits: Mapping[str, Bits]) -> Tensor:
        """Return the recurrent weights."""
        return torch.from_numpy(bits[self.recurrent_name].astype(np.float32))

    def joint_feedback(self, sharpness: float, dtype: torch.dtype, *, spread: bool = True) -> Tensor:
        """Return means, then variances of the recurrent weights."""
        return self.recurrent_posterior.joint(sharpness, dtype, spread=spread)

    def defined(
        self, mean: Tensor, variance: Tensor, noise: Tensor, *, estimator: Estimator, floor: float, sharpness: float
    ) -> tuple[Tensor, Tensor]:
        """Run with given noise, by the definition; the recurrent weights add theirs."""
        weights, spread = self.recurrent_posterior.means_and_variances(sharpness)
        if not estimator.reads_variance:
            spread = None
        inputs = (mean, variance, self.rounded_bias(), noise, weights)
        if type(self.recurrent_posterior) is Bernoulli and spread is not None:
            # Weights of -1 and +1: their variances follow from their means.
            return noisy_recurrent_population(*inputs, neuron=self.neuron, estimator=estimator, floor=floor)
        return noisy_spread_population(*inputs, spread=spread, neuron=self.neuron, estimator=estimator, floor=floor)
