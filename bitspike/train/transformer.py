"""Transformer blocks of spikes, with one-bit feed-forward layers. No softmax, no normalisation.

A block reads the sum x of the spikes of one or more populations of shape (channels, tokens, 1):

    q, k, v = three one-bit layers of x, the same bits for every token
    a       = LIF(q k^T v / 2**shift)                     :mod:`bitspike.train.attention`
    h       = LIF(W1 (x + a)),   f = LIF(W2 h)            expansion * channels, then channels

and what comes after it reads x + a + f. A residual join is a sum of spikes, W (b1 + b2) = W b1 + W b2: one connection
from each population, all with the same weights, so that no spike other than 0 and 1 is sent. All neurons are the
chip's; all weights have a posterior (Bernoulli by default); gradients are the library's. Binary feed-forward layers in
a spiking transformer are those of arXiv 2508.12609.

What a Loihi-class chip can be given of it:

| part                          | torch | chip                                                                 |
|-------------------------------|-------|----------------------------------------------------------------------|
| projections to q, k, v        | yes   | could be (one-bit layers), but what they feed is not there           |
| products q k^T v              | yes   | no: a synapse multiplies a spike by a stored weight, not by a spike  |
| the LIF of the products       | yes   | no: nothing on the chip makes its input                              |
| residual joins                | yes   | yes: connections with equal weights from each population             |
| both feed-forward layers      | yes   | yes: convolutions with a kernel of 1; exact                          |
| read-out of the model         | yes   | not collapsed here: it also reads the attention                      |

So :meth:`TransformerBlock.feed_forward_network` is what :func:`bitspike.collapse` takes; the block and the model are
refused. The collapsed network's input has the channels of all populations that are summed, those of the attention last:
whoever runs it on a chip sends the attention's spikes from outside, step by step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.train.attention import AttentionLayer, InTorch
from bitspike.train.estimators import Estimator
from bitspike.train.feed_forward import FeedForward, collapsed, numbered, tokenwise, with_tokens
from bitspike.train.layers import ConvLayer, Layer
from bitspike.train.posteriors import BERNOULLI, Bits, Family, Posterior
from bitspike.train.registers import Neuron

_LIF = Neuron(vth=1, dv=2048)
MATRICES = 5
"""With a posterior, of one block."""


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """What the blocks of one model share.

    Attributes:
        channels: of each token, 1 or more.
        tokens: of a sample, 1 or more.
        expansion: hidden channels of the feed-forward part in units of `channels`, 1 or more.
        heads: of the attention, a divisor of `channels`.
        shift: the products are divided by 2**shift, 0 to 6.
        projection: neurons of queries, keys and values.
        attention: neurons of the attention, the threshold in units of the divided products.
        hidden: neurons of the first feed-forward layer.
        output: neurons of the second.
        family: of all posteriors.
    """

    channels: int
    tokens: int
    expansion: int = 4
    heads: int = 1
    shift: int = 1
    projection: Neuron = _LIF
    attention: Neuron = _LIF
    hidden: Neuron = _LIF
    output: Neuron = _LIF
    family: Family = BERNOULLI

    def __post_init__(self) -> None:
        for key in ("channels", "tokens", "expansion"):
            if getattr(self, key) < 1:
                raise UsageError(f"{key}: found {getattr(self, key)}; expected 1 or more")
        for key in ("projection", "attention", "hidden", "output"):
            if getattr(self, key).graded:
                raise UsageError(f"{key}.spike: found 'graded'; expected 'binary': attention multiplies bits")

    @property
    def neurons(self) -> int:
        """Neurons of a population of this shape."""
        return self.channels * self.tokens


class TransformerBlock(nn.Module, InTorch):
    """One block; see the module's docstring.

    Attributes:
        shape: of it.
        sources: how many populations it reads.
        number: of the block in its model, for random words.
        query, key, value, attention, hidden, output: the populations, named ``NAME_query`` and so on.
    """

    def __init__(self, shape: BlockShape, *, sources: int = 1, name: str = "block", number: int = 0) -> None:
        super().__init__()
        if sources < 1:
            raise UsageError(f"sources: found {sources}; expected 1 or more")
        self.shape, self.sources, self.number, self.name = shape, sources, number, name
        wide, bits = shape.channels * shape.expansion, sources == 1
        self.query = self._layer("query", shape.channels, shape.channels, shape.projection, binary=bits)
        self.key = self._layer("key", shape.channels, shape.channels, shape.projection, binary=bits)
        self.value = self._layer("value", shape.channels, shape.channels, shape.projection, binary=bits)
        self.attention = AttentionLayer(
            name=f"{name}_attention",
            channels=shape.channels,
            tokens=shape.tokens,
            heads=shape.heads,
            shift=shape.shift,
            neuron=shape.attention,
        )
        self.hidden = self._layer("hidden", shape.channels, wide, shape.hidden, binary=False)
        self.output = self._layer("output", wide, shape.channels, shape.output, binary=True)

    def _layer(self, part: str, sources: int, channels: int, neuron: Neuron, *, binary: bool) -> ConvLayer:
        return tokenwise(
            name=f"{self.name}_{part}",
            sources=sources,
            channels=channels,
            tokens=self.shape.tokens,
            neuron=neuron,
            family=self.shape.family,
            binary=binary,
        )

    @property
    def populations(self) -> list[Layer]:
        """All populations, in the order in which they are run."""
        return [self.query, self.key, self.value, self.attention, self.hidden, self.output]

    def numbered(self) -> dict[str, tuple[int, Posterior]]:
        """Return the posteriors by name, each with the number of its random words."""
        return numbered(self.populations, MATRICES * self.number)

    def noisy(
        self,
        spikes: Sequence[Tensor],
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise and gradients.

        Args:
            spikes: of the populations that it reads, float, each of shape (steps, samples, channels * tokens).
            generator: source of the noise.
            estimator: how gradients pass a bit.
            floor: standard deviation of the membranes' own noise, in weights, above 0.
            sharpness: how much narrower the posteriors are taken.

        Returns:
            Bits of the attention and of the feed-forward part, in the shape of those read.
        """

        def fire(layer: Layer, read: Tensor) -> Tensor:
            bits, _ = layer.noisy(read, generator, estimator=estimator, floor=floor, sharpness=sharpness)
            return bits

        total = self._joined(spikes)
        projected = [fire(layer, total) for layer in (self.query, self.key, self.value)]
        mixed = fire(self.attention, torch.cat(projected, dim=-1))
        return mixed, fire(self.output, fire(self.hidden, total + mixed))

    def evaluate(
        self, spikes: Sequence[Tensor], bits: Mapping[str, Bits] | None = None
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Run collapsed weights exactly.

        Args:
            spikes: as in :meth:`noisy`.
            bits: weights, as :meth:`collapsed_bits` gives them, which is the default.

        Returns:
            Of each population spikes, u and v, as :func:`bitspike.train.neurons.evaluate` gives them.
        """
        weights = self.collapsed_bits() if bits is None else bits
        total = self._joined(spikes)
        found = {layer.name: layer.evaluate(total, weights) for layer in (self.query, self.key, self.value)}
        read = torch.cat([spikes.float() for spikes, _, _ in found.values()], dim=-1)
        for layer in (self.attention, self.hidden, self.output):
            fired, _, _ = found[layer.name] = layer.evaluate(read, weights)
            read = fired.float() + total if layer is self.attention else fired.float()
        return found

    def collapsed_bits(self, seed: int | None = None) -> dict[str, Bits]:
        """Return all weights of the block by name: the most probable ones, or a draw of the seed."""
        return collapsed(self.numbered(), seed)

    def feed_forward_network(self, tokens: int | None = None, *, steps: int = 4) -> FeedForward:
        """Return the feed-forward part for :func:`bitspike.collapse`.

        Its input has the channels of the populations that the block reads, and then those of its attention.

        Args:
            tokens: of a sample, 1 or more; as many as the block has by default.
            steps: of a sample, 1 or more.
        """
        found = self.shape.tokens if tokens is None else tokens
        for key, value in (("tokens", found), ("steps", steps)):
            if value < 1:
                raise UsageError(f"{key}: found {value}; expected 1 or more")
        numbers = self.numbered()
        return FeedForward(
            steps=steps,
            tokens=found,
            copies=self.sources + 1,
            hidden=with_tokens(self.hidden, found, self.shape.family),
            output=with_tokens(self.output, found, self.shape.family),
            numbers=(numbers[self.hidden.name][0], numbers[self.output.name][0]),
        )

    def _joined(self, spikes: Sequence[Tensor]) -> Tensor:
        """Return the sum of what the block reads."""
        if len(spikes) != self.sources or any(one.shape[-1] != self.shape.neurons for one in spikes):
            shapes = ", ".join(str(tuple(one.shape)) for one in spikes)
            raise UsageError(
                f"{self.name}: found spikes of shapes {shapes}; expected {self.sources} of {self.shape.neurons} neurons"
            )
        return torch.stack(list(spikes)).sum(0)
