"""Convolutions over (channels, height, width)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.layers.base import Layer
from bitspike.train.posteriors import BERNOULLI, Bits, Family, Posterior, summed_moments
from bitspike.train.products import conv_moments, whole_mantissas
from bitspike.train.registers import Neuron
from bitspike.train.windows import Space, Window

_SMALL = 1 << 15
"""Weights that add up to less are summed over bits in single precision."""


class ConvLayer(Layer):
    """A population and the convolution (cross-correlation, as in torch) that feeds it.

    Mean and variance of the summed input are the convolutions of x and of x**2 with the mean and the variance of the
    kernel (arXiv 2505.17962).

    Attributes:
        window: kernel, stride and padding.
        posterior: of the kernels, shape (channels, source channels * height * width of the kernel).
        bias: one a channel, shape (channels,), shared by its neurons.
    """

    kind: ClassVar[str] = "conv"
    bias: nn.Parameter

    def __init__(
        self,
        *,
        name: str,
        source_shape: Space,
        channels: int,
        window: Window,
        neuron: Neuron,
        family: Family = BERNOULLI,
    ) -> None:
        super().__init__(
            name=name, source_shape=source_shape, shape=(channels, *window.fit(source_shape)), neuron=neuron
        )
        self.window = window
        self.posterior = family.make(channels, source_shape[0] * window.kernel**2)
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

    @property
    def natural(self) -> nn.Parameter:
        """The posterior's locations: natural parameters, means or latent weights, a kernel a row."""
        return self.posterior.location

    def posteriors(self) -> dict[str, Posterior]:
        """Return that of one matrix, a kernel a row, each flattened in C order."""
        return {self.name: self.posterior}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input; no gradient from the variance to the spikes."""
        return summed_moments(self._convolved, spikes, *self.posterior.means_and_variances(sharpness))

    def joint_moments(self, spikes: Tensor, sharpness: float, *, spread: bool = True) -> Tensor:
        """Return means, then variances, by one convolution where the spikes are bits."""
        if not self.binary_input:
            return super().joint_moments(spikes, sharpness, spread=spread)
        weights = self.posterior.joint(sharpness, spikes.dtype, spread=spread)
        kernels = weights.reshape(-1, self.source_shape[0], *self.kernel)
        images = spikes.reshape(-1, *self.source_shape)
        window = self.window
        found = conv_moments(images, kernels, self.shape[0], stride=window.stride, padding=window.padding)
        return found.reshape(*spikes.shape[:-1], math.prod(found.shape[1:]))

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the summed input of given kernels."""
        return self._convolved(spikes, weights[self.name])

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input.

        The sums are whole numbers. They are rounded, since some algorithms of convolution pass through fractions: of
        sums of bits that stay far below the 24 bits of single precision, these are far below a half.
        """
        kernels = bits[self.name]
        small = self.binary_input and int(np.abs(kernels.astype(np.int64)).sum(axis=1).max()) < _SMALL
        number = torch.float32 if small else torch.float64
        weights = torch.from_numpy(kernels).to(spikes.device, number)
        with whole_mantissas():
            return torch.stack([self._convolved(step[None].to(number), weights)[0].round().long() for step in spikes])

    def _convolved(self, spikes: Tensor, weights: Tensor) -> Tensor:
        """Convolve (steps, samples, inputs) to (steps, samples, rows of the weights * places)."""
        images = spikes.reshape(-1, *self.source_shape)
        kernels = weights.reshape(-1, self.source_shape[0], *self.kernel)
        found = functional.conv2d(images, kernels, stride=self.stride, padding=self.padding)
        return found.reshape(*spikes.shape[:-1], math.prod(found.shape[1:]))
