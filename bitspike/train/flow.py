"""What flows into each layer of a network, one after the other: sums of spikes and currents, noisy or exact.

A flow is asked for the summed input of a layer, then told which spikes followed, and so on. It keeps what a later layer
still reads and nothing else. What is read is told in :mod:`bitspike.train.wiring`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bitspike.train.layers import Layer
from bitspike.train.posterior import Bits
from bitspike.train.wiring import INPUT, Wires


class _Flow:
    """The spikes that are still needed, and the layer whose turn it is."""

    def __init__(self, layers: Sequence[Layer], wires: Sequence[Wires], spikes: Tensor) -> None:
        self._layers, self._wires = layers, wires
        self._at = 0
        self._spikes = {INPUT: spikes}
        self._last = {name: at for at, one in enumerate(wires) for name in one.sources}
        self._recalled = {name for one in wires for name in one.shortcuts}

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
    """Moments of the summed inputs under the posterior."""

    def __init__(self, layers: Sequence[Layer], wires: Sequence[Wires], spikes: Tensor, sharpness: float) -> None:
        super().__init__(layers, wires, spikes)
        self._sharpness = sharpness
        self._currents: dict[str, tuple[Tensor, Tensor]] = {}
        self._read: dict[str, tuple[tuple[Layer, Tensor], ...]] = {}

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the next layer's summed input, shape (steps, samples, neurons).

        The layers that add to it are taken as independent.
        """
        layer, wires = self._layers[self._at], self._wires[self._at]
        spikes = self._sum()
        mean, variance = layer.moments(spikes, self._sharpness)
        for name in wires.shortcuts:
            mean, variance = mean + self._currents[name][0], variance + self._currents[name][1]
        if layer.name in self._recalled:
            self._currents[layer.name] = mean, variance
        if layer.name in self._recalled or layer is self._layers[-1]:
            more = (one for name in wires.shortcuts for one in self._read[name])
            self._read[layer.name] = ((layer, spikes), *more)
        return mean, variance

    def variance_of(self, kernel: Tensor) -> Tensor:
        """Return the variance of the last layer's input summed with a factor a step, weights held over all steps.

        Args:
            kernel: the factors, shape (steps,).

        Returns:
            Shape (samples, neurons), in weights squared.
        """
        read = self._read[self._layers[-1].name]
        parts = [one.moments(torch.einsum("t,tbn->bn", kernel, x), self._sharpness)[1] for one, x in read]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


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
