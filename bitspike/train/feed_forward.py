"""The feed-forward part of a transformer block as a trained network of its own, which can be collapsed.

Both layers are convolutions with a kernel of 1 over (channels, tokens, 1): the same bits for every token. The first
one reads a sum of spikes of several populations; since W (a + b) = W a + W b, the network has one input of all their
channels behind each other, and the bits of W once for each population.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bitspike.errors import UsageError
from bitspike.samples import are_bits
from bitspike.train.layers import ConvLayer, Layer
from bitspike.train.model import Readout, State
from bitspike.train.posteriors import Bits, Family, Posterior
from bitspike.train.registers import Neuron
from bitspike.train.windows import Window
from bitspike.train.wiring import INPUT, Wires, chain

_TOKENWISE = Window(kernel=1)


def tokenwise(
    *, name: str, sources: int, channels: int, tokens: int, neuron: Neuron, family: Family, binary: bool
) -> ConvLayer:
    """Return a one-bit layer that all tokens share, untrained.

    Args:
        name: of the population.
        sources: channels of what it reads, of shape (sources, tokens, 1).
        channels: of the population, of shape (channels, tokens, 1).
        tokens: how many there are.
        neuron: what its neurons share.
        family: of the posterior.
        binary: whether what it reads are bits.
    """
    layer = ConvLayer(
        name=name, source_shape=(sources, tokens, 1), channels=channels, window=_TOKENWISE, neuron=neuron, family=family
    )
    layer.binary_input = binary
    return layer


def with_tokens(layer: ConvLayer, tokens: int, family: Family) -> ConvLayer:
    """Return a layer for another number of tokens, with the very same posterior and biases."""
    found = tokenwise(
        name=layer.name,
        sources=layer.source_shape[0],
        channels=layer.shape[0],
        tokens=tokens,
        neuron=layer.neuron,
        family=family,
        binary=layer.binary_input,
    )
    found.posterior, found.bias = layer.posterior, layer.bias
    return found


# Not frozen, since the protocol of what is collapsed has plain attributes, as a module has.
@dataclass(kw_only=True, eq=False)
class FeedForward:
    """What :func:`bitspike.collapse` reads of a feed-forward part.

    It is a view: the posteriors and biases are those of the block.

    Attributes:
        steps: of a sample.
        tokens: of a sample.
        copies: populations whose spikes are summed in front of the first layer.
        hidden: the first layer, over the sum.
        output: the second layer.
        numbers: of the two matrices' random words.
        readout: the spikes of the output are counted.
        input_name: of the input, which has the channels of all summed populations behind each other.
    """

    steps: int
    tokens: int
    copies: int
    hidden: ConvLayer
    output: ConvLayer
    numbers: tuple[int, int]
    readout: Readout = "spike_count"
    input_name: str = INPUT

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input, (copies * channels, tokens, 1)."""
        return self.copies * self.hidden.source_shape[0], self.tokens, 1

    @property
    def populations(self) -> Sequence[ConvLayer]:
        """The two layers."""
        return self.hidden, self.output

    @property
    def wires(self) -> Sequence[Wires]:
        """Each reads the one before."""
        return chain([self.hidden.name, self.output.name])

    def map_bits(self) -> dict[str, Bits]:
        """Return the most probable bits by layer name, (targets, sources), those of the first once for each copy."""
        return self._copied({layer.name: layer.posterior.most_probable() for layer in self.populations})

    def sample_bits(self, seed: int) -> dict[str, Bits]:
        """Draw bits, those that the block draws from the same seed; the copies are equal."""
        drawn = zip(self.populations, self.numbers, strict=True)
        return self._copied({layer.name: layer.posterior.sample(seed=seed, index=at) for layer, at in drawn})

    def record(self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None) -> dict[str, State]:
        """Run exactly; as :meth:`bitspike.train.model.SpikingNetwork.record`."""
        size = self.copies * self.hidden.inputs
        if spikes.ndim != 3 or spikes.shape[2] != size or not are_bits(spikes):
            raise UsageError(f"input spikes: found shape {spikes.shape}; expected bits, (samples, steps, {size})")
        weights = self.map_bits() if bits is None else bits
        parts = torch.from_numpy(np.array(spikes.transpose(1, 0, 2), dtype=np.float32)).chunk(self.copies, dim=-1)
        columns = np.split(weights[self.hidden.name], self.copies, axis=1)
        sums = [self.hidden.summed(part, {self.hidden.name: own}) for part, own in zip(parts, columns, strict=True)]
        first = self.hidden.settle(torch.stack(sums).sum(0), weights)
        second = self.output.evaluate(first[0].float(), weights)
        return {
            layer.name: samples_first(found) for layer, found in zip(self.populations, (first, second), strict=True)
        }

    def _copied(self, bits: dict[str, Bits]) -> dict[str, Bits]:
        return bits | {self.hidden.name: np.tile(bits[self.hidden.name], (1, self.copies))}


def samples_first(found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> State:
    """Return spikes, currents and membranes, shape (steps, samples, neurons), as arrays with the samples first."""
    spikes, currents, membranes = (part.numpy().transpose(1, 0, 2) for part in found)
    return spikes, currents, membranes


def numbered(layers: Sequence[Layer], first: int) -> dict[str, tuple[int, Posterior]]:
    """Return the posteriors of layers by name, each with the number of its random words, counted from `first`."""
    found = [pair for layer in layers for pair in layer.posteriors().items()]
    return {name: (first + at, one) for at, (name, one) in enumerate(found)}


def collapsed(posteriors: Mapping[str, tuple[int, Posterior]], seed: int | None) -> dict[str, Bits]:
    """Return the weights of numbered posteriors by name: the most probable ones, or a draw of the seed."""
    if seed is None:
        return {name: one.most_probable() for name, (_, one) in posteriors.items()}
    return {name: one.sample(seed=seed, index=index) for name, (index, one) in posteriors.items()}
