"""Sum pooling over (channels, height, width)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.estimators import Estimator
from bitspike.train.layers.base import Layer
from bitspike.train.posterior import Bits
from bitspike.train.registers import Neuron
from bitspike.train.windows import Space, Window


class PoolLayer(Layer):
    """A population whose input is the number of spikes in a window, channel by channel: synapses of weight 1.

    Nothing in it is trained. Its synapses have no variance; in training its noise is the membranes' own.

    Attributes:
        window: kernel and stride; pooling has no padding.
        bias: none.
        exact: whether it fires in training as it is evaluated, without noise, and has the gradient of a threshold half
            a spike higher; its counts are whole numbers, so that this threshold tells the same ones apart. It must
            have no memory.
    """

    kind: ClassVar[str] = "pool"
    bias: None

    def __init__(self, *, name: str, source_shape: Space, window: Window, neuron: Neuron, exact: bool = False) -> None:
        shape = (source_shape[0], *window.fit(source_shape))
        super().__init__(name=name, source_shape=source_shape, shape=shape, neuron=neuron)
        self.window = window
        self.bias = None
        self.exact = exact

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.window.kernel, self.window.kernel

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal stride."""
        return self.window.stride, self.window.stride

    @property
    def padding(self) -> tuple[int, int]:
        """None: 0 and 0."""
        return 0, 0

    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return nothing: the weights are 1."""
        return {}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the sums, and a variance of 0."""
        sums = self._pooled(spikes)
        return sums, torch.zeros_like(sums)

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:  # noqa: ARG002
        """Return the sums; float32 holds them exactly."""
        return self._pooled(spikes).long()

    def fire(
        self, mean: Tensor, variance: Tensor, noise: Tensor, *, estimator: Estimator, floor: float, sharpness: float
    ) -> tuple[Tensor, Tensor]:
        """Run with the membranes' own noise; or, where `exact` is set, without."""
        if self.exact:
            mean, noise = mean - 0.5, torch.zeros_like(noise)
        return super().fire(mean, variance, noise, estimator=estimator, floor=floor, sharpness=sharpness)

    def _pooled(self, spikes: Tensor) -> Tensor:
        images = spikes.reshape(-1, *self.source_shape)
        sums = functional.avg_pool2d(images, self.kernel, stride=self.stride, divisor_override=1)
        return sums.reshape(*spikes.shape[:-1], self.neurons)
