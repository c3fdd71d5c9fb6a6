"""What flows into each layer of a network, one after the other: sums of spikes and currents, noisy or exact.

A flow is asked for the summed input of a layer, then told which spikes followed, and so on. It keeps what a later layer
still reads and nothing else. What is read is told in :mod:`bitspike.train.wiring`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bitspike.train.layers import Layer
from bitspike.train.posteriors import Bits
from bitspike.train.wiring import INPUT, Wires


class _Flow:
    """The spikes that are still needed, and the layer whose turn it is."""

    def __init__(self, layers: Sequence[Layer], wires: Sequence[Wires], spikes: Tensor) -> None:
        self._layers, self._wires = layers, wires
        self._at = 0
        self._spikes = {INPUT: spikes}
        self._last = {name: at for at, one in enumerate(wires) for name in one.sources}
        self._recalled = {name for one in wires for name in one.shortcuts}

    @property
    def device(self) -> torch.device:
        """Where the spikes are."""
        return next(iter(self._spikes.values())).device

    def fired(self, spikes: Tensor) -> None:
        """Take the spikes of the layer whose input was asked for last, float, shape (steps, samples, neurons)."""
        self._spikes = {name: one for name, one in self._spikes.items() if self._last[name] > self._at}
        name = self._layers[self._at].name
        if name in self._last:
            self._spikes[name] = spikes
        self._at += 1

    def _sum(self) -> Tensor:
        """Return the summed spikes of the sources, channels that one lacks being silent."""
        size = self._layers[self._at].inputs
        first, *others = (self._spikes[name] for name in self._wires[self._at].sources)
        total = _padded(first, size)
        for one in others:
            total = total + _padded(one, size)
        return total


def _padded(spikes: Tensor, size: int) -> Tensor:
    """Return spikes with silent neurons behind them, which in C order are the missing channels."""
    missing = size - spikes.shape[-1]
    return spikes if missing == 0 else functional.pad(spikes, (0, missing))


class NoisyFlow(_Flow):
    """Moments of the summed inputs under the posterior, as :meth:`Layer.joint_moments` gives them."""

    def __init__(
        self, layers: Sequence[Layer], wires: Sequence[Wires], spikes: Tensor, sharpness: float, *, spread: bool = True
    ) -> None:
        super().__init__(layers, wires, spikes)
        self._sharpness, self._spread = sharpness, spread
        self._currents: dict[str, Tensor] = {}
        self._read: dict[str, tuple[tuple[Layer, Tensor], ...]] = {}

    def inputs(self) -> Tensor:
        """Return the moments of the next layer's summed input, as :meth:`Layer.joint_moments` has them.

        The layers that add to it are taken as independent.
        """
        layer, wires = self._layers[self._at], self._wires[self._at]
        total = layer.joint_moments(self._sum(), self._sharpness, spread=self._spread)
        for name in wires.shortcuts:
            width = max(total.shape[-1], self._currents[name].shape[-1])
            total = _padded(total, width) + _padded(self._currents[name], width)
        if layer.name in self._recalled:
            self._currents[layer.name] = total
            self._read[layer.name] = self._parts()
        return total

    def folded(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the next layer's input summed with a factor a step, weights held over all steps.

        Args:
            kernel: the factors, shape (steps,).

        Returns:
            Two tensors of shape (samples, neurons), in weights and weights squared.
        """
        found = [
            layer.moments(torch.einsum("t,tbn->bn", kernel.to(spikes), spikes).float(), self._sharpness)
            for layer, spikes in self._parts()
        ]
        means, variances = zip(*found, strict=True)
        return torch.stack(means).sum(0), torch.stack(variances).sum(0)

    def _parts(self) -> tuple[tuple[Layer, Tensor], ...]:
        """Return the layers that add to the next one's input, each with the spikes that it reads."""
        more = (one for name in self._wires[self._at].shortcuts for one in self._read[name])
        return ((self._layers[self._at], self._sum()), *more)


class ExactFlow(_Flow):
    """Summed inputs with collapsed weights, integer for integer."""

    def __init__(
        self, layers: Sequence[Layer], wires: Sequence[Wires], spikes: Tensor, bits: Mapping[str, Bits]
    ) -> None:
        super().__init__(layers, wires, spikes)
        self._bits = bits
        self._currents: dict[str, Tensor] = {}

    def summed(self) -> Tensor:
        """Return the next layer's summed input, int64, shape (steps, samples, neurons)."""
        layer, wires = self._layers[self._at], self._wires[self._at]
        total = layer.summed(self._sum(), self._bits)
        for name in wires.shortcuts:
            total = total + self._currents[name]
        if layer.name in self._recalled:
            self._currents[layer.name] = total
        return total
