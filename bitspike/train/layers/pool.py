"""Sum pooling over (channels, height, width)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from bitspike.train.estimators import Estimator
from bitspike.train.layers.base import Layer
from bitspike.train.posteriors import Bits, Posterior
from bitspike.train.processes import Share
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

    def posteriors(self) -> dict[str, Posterior]:
        """Return nothing: the weights are 1."""
        return {}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the sums, and a variance of 0."""
        sums = self._pooled(spikes)
        return sums, torch.zeros_like(sums)

    def joint_moments(self, spikes: Tensor, sharpness: float, *, spread: bool = True) -> Tensor:  # noqa: ARG002
        """Return the sums alone."""
        return self._pooled(spikes)

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the sums: there are no weights to give."""
        return self._pooled(spikes)

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:  # noqa: ARG002
        """Return the sums; float32 holds those below 2**24 exactly, and a sum of 2**15 is refused."""
        return self._pooled(spikes).long()

    def fire(
        self,
        inputs: Tensor,
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float,
        summed: bool = False,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run with the membranes' own noise; or, where `exact` is set, without."""
        if not self.exact:
            return super().fire(
                inputs, generator, estimator=estimator, floor=floor, sharpness=sharpness, summed=summed, share=share
            )
        mean, variance = self.parted(inputs.float())
        none = torch.zeros_like(mean)
        bits, ratio = self.defined(mean - 0.5, variance, none, estimator=estimator, floor=floor, sharpness=sharpness)
        return bits.to(inputs.dtype), ratio.square().sum() if summed else torch.zeros((), device=ratio.device)

    def _pooled(self, spikes: Tensor) -> Tensor:
        images = spikes.reshape(-1, *self.source_shape)
        sums = functional.avg_pool2d(images, self.kernel, stride=self.stride, divisor_override=1)
        return sums.reshape(*spikes.shape[:-1], self.neurons)
