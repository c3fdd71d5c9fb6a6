"""What all layers share: neurons, biases, and the two ways to run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.train.dynamics import noisy_population, straight_through
from bitspike.train.estimators import Estimator
from bitspike.train.neurons import evaluate
from bitspike.train.posterior import Bits
from bitspike.train.registers import MANTISSA_RANGE, Neuron, Reset


class Layer(nn.Module, ABC):
    """A population and the connection that feeds it.

    Attributes:
        kind: of the connection, as recipes and files call it.
        name: of the population.
        source_shape: of the population before, such as (2, 34, 34).
        shape: of this population; both are flattened in C order.
        neuron: what its neurons share.
        bias: in weights, shape (neurons,) or one for all neurons of a channel; rounded to its mantissa wherever it is
            used. None where the kind has none.
    """

    kind: ClassVar[str]
    bias: nn.Parameter | None

    def __init__(self, *, name: str, source_shape: tuple[int, ...], shape: tuple[int, ...], neuron: Neuron) -> None:
        super().__init__()
        self.name = name
        self.source_shape = source_shape
        self.shape = shape
        self.neuron = neuron

    @property
    def inputs(self) -> int:
        """Neurons of the population before."""
        return math.prod(self.source_shape)

    @property
    def neurons(self) -> int:
        """Neurons of this population."""
        return math.prod(self.shape)

    @property
    def du(self) -> int:
        """Current decay, 0 to 4096."""
        return self.neuron.du

    @property
    def dv(self) -> int:
        """Voltage decay, 0 to 4096."""
        return self.neuron.dv

    @property
    def vth(self) -> int:
        """Threshold in whole weights."""
        return self.neuron.vth

    @property
    def reset(self) -> Reset:
        """What a spike leaves of the membrane: ``zero`` or ``subtract``."""
        return self.neuron.reset

    @property
    def bias_exponent(self) -> int:
        """Left shift of the bias mantissa in register units."""
        return self.neuron.bias_exponent

    @abstractmethod
    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return the natural parameters of the trained weights, each of shape (rows, columns), by name of the bits."""

    @abstractmethod
    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input from the population before.

        Args:
            spikes: float, shape (steps, samples, inputs).
            sharpness: factor on the natural parameters.

        Returns:
            Two tensors of shape (steps, samples, neurons), in weights and weights squared.
        """

    @abstractmethod
    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input from the population before, int64, shapes as in :meth:`moments`."""

    def feedback(self, bits: Mapping[str, Bits]) -> Tensor | None:  # noqa: ARG002
        """Return weights, float32 of shape (neurons, neurons), from each neuron's last spike to the others; or None."""
        return None

    def noisy(
        self, spikes: Tensor, noise: Tensor, *, estimator: Estimator, floor: float, sharpness: float
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise; see :func:`bitspike.train.dynamics.noisy_population`.

        Args:
            spikes: of the population before, float, shape (steps, samples, inputs).
            noise: as the estimator's noise draws it, shape (steps, samples, neurons).
            estimator: how gradients pass a bit.
            floor: standard deviation of the membranes' own noise, in weights, above 0.
            sharpness: factor on the natural parameters.

        Returns:
            Bits and ratios v / s before reset, shape (steps, samples, neurons).
        """
        return self.fire(*self.moments(spikes, sharpness), noise, estimator=estimator, floor=floor, sharpness=sharpness)

    def fire(
        self,
        mean: Tensor,
        variance: Tensor,
        noise: Tensor,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise on a summed input of the given moments; else as :meth:`noisy`."""
        return noisy_population(
            mean, variance, self.rounded_bias(), noise, neuron=self.neuron, estimator=estimator, floor=floor
        )

    def evaluate(self, spikes: Tensor, bits: Mapping[str, Bits]) -> tuple[Tensor, Tensor, Tensor]:
        """Run collapsed weights exactly; see :func:`bitspike.train.neurons.evaluate`."""
        return self.settle(self.summed(spikes, bits), bits)

    def settle(self, inputs: Tensor, bits: Mapping[str, Bits]) -> tuple[Tensor, Tensor, Tensor]:
        """Run exactly on a summed input, int64, shape (steps, samples, neurons); else as :meth:`evaluate`."""
        bias = torch.from_numpy(self.bias_mantissa().astype(np.int64) << self.bias_exponent)
        return evaluate(inputs, bias, self.neuron, name=self.name, feedback=self.feedback(bits))

    def bias_mantissa(self) -> npt.NDArray[np.int32]:
        """Return the integer biases, shape (neurons,); register units are ``mantissa << bias_exponent``."""
        if self.bias is None:
            return np.zeros(self.neurons, dtype=np.int32)
        return self._for_each_neuron(self._mantissa(self.bias)).detach().numpy().astype(np.int32)

    def trained_mantissa(self) -> npt.NDArray[np.int32]:
        """Return the integers that the trained biases round to, in the shape of `bias`."""
        bias = torch.zeros(0) if self.bias is None else self._mantissa(self.bias)
        return bias.detach().numpy().astype(np.int32)

    def set_mantissa(self, mantissa: npt.NDArray[np.int32]) -> None:
        """Set the trained biases to integers in the shape of `bias`."""
        if self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(torch.from_numpy(mantissa) * self.neuron.bias_unit)

    def rounded_bias(self) -> Tensor:
        """Return the bias as the chip holds it, in weights, shape (neurons,), with a straight-through gradient."""
        if self.bias is None:
            return torch.zeros(self.neurons)
        return self._for_each_neuron(straight_through(self.bias, self._mantissa(self.bias) * self.neuron.bias_unit))

    def _mantissa(self, bias: Tensor) -> Tensor:
        return torch.round(bias / self.neuron.bias_unit).clamp(*MANTISSA_RANGE)

    def _for_each_neuron(self, values: Tensor) -> Tensor:
        """Repeat each channel's value for all of its neurons."""
        times = self.neurons // len(values)
        return values if times == 1 else values.repeat_interleave(times)

    def extra_repr(self) -> str:
        """Describe the population in one line."""
        neuron = f"du={self.du}, dv={self.dv}, vth={self.vth}, reset={self.reset}"
        return f"{self.name}: {dimensions(self.source_shape)} -> {dimensions(self.shape)}, {neuron}"


def dimensions(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it, such as ``2x34x34``."""
    return "x".join(map(str, shape))
