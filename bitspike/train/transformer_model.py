"""A model of transformer blocks with a one-bit read-out; the blocks are those of :mod:`bitspike.train.transformer`."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.samples import are_bits
from bitspike.train.attention import InTorch
from bitspike.train.estimators import Estimator
from bitspike.train.feed_forward import collapsed, numbered, samples_first, tokenwise
from bitspike.train.layers import DenseLayer
from bitspike.train.model import State
from bitspike.train.posteriors import Bits, Posterior, Prior
from bitspike.train.registers import Neuron
from bitspike.train.transformer import MATRICES, BlockShape, TransformerBlock


class SpikingTransformer(nn.Module, InTorch):
    """A one-bit stem, blocks behind each other, each reading all bits before it, and a one-bit read-out of all of them.

    The read-out never spikes and never forgets: its last membrane is the logit.

    Attributes:
        shape: of the blocks.
        stem: from the channels of the input to those of the blocks, the same bits for every token.
        temperature: weights of membrane in one unit of logit.
        blocks: first to last.
        head: the read-out, from every neuron of the stem, the attentions and the feed-forward parts.
    """

    def __init__(self, shape: BlockShape, *, inputs: int, depth: int, classes: int, temperature: float) -> None:
        super().__init__()
        for key, value in (("inputs", inputs), ("depth", depth), ("classes", classes)):
            if value < 1:
                raise UsageError(f"{key}: found {value}; expected 1 or more")
        self.shape, self.temperature = shape, temperature
        self.stem = tokenwise(
            name="stem",
            sources=inputs,
            channels=shape.channels,
            tokens=shape.tokens,
            neuron=shape.projection,
            family=shape.family,
            binary=True,
        )
        blocks = [TransformerBlock(shape, sources=1 + 2 * at, name=f"block{at + 1}", number=at) for at in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        read = 1 + 2 * depth
        self.head = DenseLayer(
            name="head",
            inputs=read * shape.neurons,
            neurons=classes,
            neuron=Neuron(),
            source_shape=(read * shape.channels, shape.tokens, 1),
            family=shape.family,
        )

    @property
    def parts(self) -> list[TransformerBlock]:
        """The blocks with their own type."""
        return [block for block in self.blocks if isinstance(block, TransformerBlock)]

    def numbered(self) -> dict[str, tuple[int, Posterior]]:
        """Return the posteriors by name, each with the number of its random words."""
        found = {name: pair for block in self.parts for name, pair in block.numbered().items()}
        return found | numbered([self.stem, self.head], MATRICES * len(self.parts))

    def locations(self) -> list[nn.Parameter]:
        """Return the trained numbers of which each weight has its own."""
        return [one.location for _, one in self.numbered().values()]

    def biases(self) -> list[nn.Parameter]:
        """Return the biases of all populations."""
        layers = [layer for block in self.parts for layer in block.populations]
        return [layer.bias for layer in (self.stem, *layers, self.head) if layer.bias is not None]

    def fold(self, sharpness: float) -> None:
        """Take the sharpness into the posteriors for good, before draws are made."""
        for _, posterior in self.numbered().values():
            posterior.fold(sharpness)

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the divergence of the posterior from the prior in nats, summed over all weights, with gradients."""
        return torch.stack([one.kl(prior, sharpness=sharpness) for _, one in self.numbered().values()]).sum()

    def initialise(self, seed: int, *, spread: float, scale: float = 0.5) -> None:
        """Set locations uniformly in -spread to spread and biases to 0; as in SpikingNetwork."""
        for index, posterior in self.numbered().values():
            posterior.initialise(seed=seed, index=index, spread=spread, scale=scale)
        with torch.no_grad():
            for bias in self.biases():
                bias.zero_()

    def noisy(
        self,
        spikes: Tensor,
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float = 1.0,
    ) -> Tensor:
        """Return logits, shape (samples, classes), of one pass with posterior noise on the input's spikes.

        Arguments are those of :meth:`TransformerBlock.noisy`; the input has shape (steps, samples, inputs * tokens).
        The noise of the read-out is that of one weight sample held over all steps.
        """
        stem, _ = self.stem.noisy(spikes, generator, estimator=estimator, floor=floor, sharpness=sharpness)
        read = [stem]
        for block in self.parts:
            read += block.noisy(read, generator, estimator=estimator, floor=floor, sharpness=sharpness)
        mean, variance = self.head.moments(torch.cat(read, dim=-1).sum(0), sharpness)
        value = mean + len(spikes) * self.head.rounded_bias()
        noise = torch.randn(mean.shape, generator=generator)
        return (value + torch.sqrt(variance + 1e-12) * noise) / self.temperature

    def record(self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None) -> dict[str, State]:
        """Run collapsed weights exactly.

        Args:
            spikes: input, 0 or 1, shape (samples, steps, inputs * tokens); channel by channel.
            bits: weights, as :meth:`collapsed_bits` gives them, which is the default.

        Returns:
            Spikes, u and v of each population, shape (samples, steps, neurons).
        """
        weights = self.collapsed_bits() if bits is None else bits
        self._check_input(spikes)
        first = torch.from_numpy(np.array(spikes.transpose(1, 0, 2), dtype=np.float32))
        stem = self.stem.evaluate(first, weights)
        states = {self.stem.name: samples_first(stem)}
        read = [stem[0].float()]
        for block in self.parts:
            found = block.evaluate(read, weights)
            states |= {name: samples_first(one) for name, one in found.items()}
            read += [found[layer.name][0].float() for layer in (block.attention, block.output)]
        head = self.head.evaluate(torch.cat(read, dim=-1), weights)
        return states | {self.head.name: samples_first(head)}

    def predict(
        self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return last membranes, (samples, classes), in 1/64 weight, and classes, (samples,); ties go to the lowest."""
        values = self.record(spikes, bits)[self.head.name][2][:, -1].astype(np.int64)
        return values, values.argmax(axis=1).astype(np.int64)

    def collapsed_bits(self, seed: int | None = None) -> dict[str, Bits]:
        """Return all weights by name: the most probable ones, or a draw of the seed."""
        return collapsed(self.numbered(), seed)

    def _check_input(self, spikes: npt.NDArray[np.uint8]) -> None:
        size = self.stem.inputs
        if spikes.ndim != 3 or spikes.shape[1] < 1 or spikes.shape[2] != size or not are_bits(spikes):
            raise UsageError(f"input spikes: found shape {spikes.shape}; expected bits, (samples, steps, {size})")


def channel_by_channel(spikes: npt.NDArray[np.uint8], tokens: int) -> npt.NDArray[np.uint8]:
    """Return spikes that lie token by token, such as row by row of an image, as the model reads them.

    Args:
        spikes: shape (samples, steps, tokens * channels).
        tokens: how many there are.

    Raises:
        UsageError: neurons that cannot be shared among the tokens.
    """
    if tokens < 1 or spikes.ndim != 3 or spikes.shape[2] % tokens:
        raise UsageError(f"tokens: found {tokens} for spikes of shape {spikes.shape}; expected a divisor of the last")
    parts = spikes.reshape(*spikes.shape[:2], tokens, -1)
    return np.ascontiguousarray(parts.swapaxes(2, 3)).reshape(spikes.shape)
