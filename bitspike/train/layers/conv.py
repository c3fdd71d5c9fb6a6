"""Convolutions over (channels, height, width)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.layers.base import Layer
from bitspike.train.posterior import Bits, means_and_variances
from bitspike.train.registers import Neuron
from bitspike.train.windows import Space, Window


class ConvLayer(Layer):
    """A population and the one-bit convolution (cross-correlation, as in torch) that feeds it.

    Mean and variance of the summed input are the convolutions of x and of x**2 with the mean and the variance of the
    kernel (arXiv 2505.17962, with Bernoulli weights).

    Attributes:
        window: kernel, stride and padding.
        natural: natural parameters of the kernels, shape (channels, source channels * height * width of the kernel).
        bias: one a channel, shape (channels,), shared by its neurons.
    """

    kind: ClassVar[str] = "conv"
    bias: nn.Parameter

    def __init__(self, *, name: str, source_shape: Space, channels: int, window: Window, neuron: Neuron) -> None:
        super().__init__(
            name=name, source_shape=source_shape, shape=(channels, *window.fit(source_shape)), neuron=neuron
        )
        self.window = window
        self.natural = nn.Parameter(torch.zeros(channels, source_shape[0] * window.kernel**2))
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return self.window.kernel, self.window.kernel

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal stride."""
        return self.window.stride, self.window.stride

    @property
    def padding(self) -> tuple[int, int]:
        """Vertical and horizontal padding."""
        return self.window.padding, self.window.padding

    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return one matrix, a kernel a row, each flattened in C order."""
        return {self.name: self.natural}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input; no gradient from the variance to the spikes."""
        mean, variance = means_and_variances(self.natural, sharpness)
        return self._convolved(spikes, mean), self._convolved(spikes.detach().square(), variance)

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the summed input of given kernels."""
        return self._convolved(spikes, weights[self.name])

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input.

        The sums are whole numbers. They are rounded, since some algorithms of convolution pass through fractions.
        """
        weights = torch.from_numpy(bits[self.name].astype(np.float64))
        return torch.stack([self._convolved(step[None].double(), weights)[0].round().long() for step in spikes])

    def _convolved(self, spikes: Tensor, weights: Tensor) -> Tensor:
        """Convolve (steps, samples, inputs) to (steps, samples, neurons)."""
        images = spikes.reshape(-1, *self.source_shape)
        kernels = weights.reshape(-1, self.source_shape[0], *self.kernel)
        found = functional.conv2d(images, kernels, stride=self.stride, padding=self.padding)
        return found.reshape(*spikes.shape[:-1], self.neurons)
