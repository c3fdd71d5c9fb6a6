"""Spiking self-attention on bits: a population that is driven by products of other populations' spikes.

With bits Q, K and V of one step, each of shape (tokens, channels of a head), and without a softmax,

    a = Q K^T V,    the neuron hears a / 2**shift

(spiking self-attention as in arXiv 2209.15425, its scale a power of two). All numbers are whole: instead of dividing
the input, the threshold is raised by 2**shift, so that the neuron fires at the same inputs and nothing is rounded.

An input is a product of three activities. No synapse of a chip makes one: what it adds is a stored weight times one
spike. This population therefore stays in torch; see :mod:`bitspike.train.transformer`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn

from bitspike.errors import UnsupportedError, UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.layers import Layer
from bitspike.train.posteriors import Bits, Posterior
from bitspike.train.processes import Share
from bitspike.train.registers import INPUT_LIMIT, NEVER, Neuron

MAX_SHIFT = 6
"""Most bits by which the products are divided."""


class InTorch:
    """What has attention in it, and is refused where :func:`bitspike.collapse` asks for its bits."""

    def map_bits(self) -> NoReturn:
        """Raise UnsupportedError."""
        raise _refused()

    def sample_bits(self, seed: int) -> NoReturn:  # noqa: ARG002
        """Raise UnsupportedError."""
        raise _refused()


def _refused() -> UnsupportedError:
    return UnsupportedError(
        "attention: found products of spike trains (queries, keys and values), which are no synapse: a Loihi-class "
        "chip has no multiplication of two activities; expected a feed-forward part: keep the attention in torch and "
        "collapse block.feed_forward_network(tokens)"
    )


class AttentionLayer(Layer):
    """A population of shape (channels, tokens, 1) whose input is Q K^T V, head by head.

    It reads queries, keys and values behind each other, shape (3 * channels, tokens, 1). It has no weights and no
    variance; in training its noise is the membranes' own, in units of the scaled input.

    Attributes:
        heads: each has an equal share of the channels, in their order.
        scale_bits: the shift; the threshold of `neuron` has been raised by it.
        bias: one a channel, in units of the unscaled input.
    """

    kind: ClassVar[str] = "attention"
    bias: nn.Parameter

    def __init__(self, *, name: str, channels: int, tokens: int, heads: int, shift: int, neuron: Neuron) -> None:
        if heads < 1 or channels % heads:
            raise UsageError(f"heads: found {heads}; expected a divisor of the {channels} channels")
        if not 0 <= shift <= MAX_SHIFT:
            raise UsageError(f"shift: found {shift}; expected 0 to {MAX_SHIFT}")
        if tokens * (channels // heads) >= INPUT_LIMIT:
            raise UsageError(
                f"heads: found {tokens} tokens with {channels // heads} channels a head, whose products reach "
                f"{tokens * (channels // heads)}; expected below {INPUT_LIMIT}"
            )
        if neuron.vth << shift >= NEVER:
            raise UsageError(f"shift: found {shift} with a threshold of {neuron.vth}; expected a product below {NEVER}")
        raised = replace(neuron, vth=neuron.vth << shift)
        super().__init__(name=name, source_shape=(3 * channels, tokens, 1), shape=(channels, tokens, 1), neuron=raised)
        self.heads = heads
        self.scale_bits = shift
        self.bias = nn.Parameter(torch.zeros(channels))

    def posteriors(self) -> dict[str, Posterior]:
        """Return nothing: there are no weights."""
        return {}

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the products, and a variance of 0."""
        mixed = self._mixed(spikes)
        return mixed, torch.zeros_like(mixed)

    def joint_moments(self, spikes: Tensor, sharpness: float, *, spread: bool = True) -> Tensor:  # noqa: ARG002
        """Return the products alone."""
        return self._mixed(spikes)

    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the products: there are no weights to give."""
        return self._mixed(spikes)

    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:  # noqa: ARG002
        """Return the products; they are whole and below 2**15, so that float32 holds them exactly."""
        return self._mixed(spikes).long()

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
        """Run with the membranes' own noise, `floor` counted in the scaled input."""
        return super().fire(
            inputs,
            generator,
            estimator=estimator,
            floor=floor * 2.0**self.scale_bits,
            sharpness=sharpness,
            summed=summed,
            share=share,
        )

    def _mixed(self, spikes: Tensor) -> Tensor:
        """Return Q K^T V, shape (steps, samples, neurons), of spikes of shape (steps, samples, 3 * neurons)."""
        channels, tokens, _ = self.shape
        parts = spikes.reshape(-1, 3, self.heads, channels // self.heads, tokens)
        query, key, value = parts.unbind(1)
        scores = query.transpose(-1, -2) @ key
        return (value @ scores.transpose(-1, -2)).reshape(*spikes.shape[:-1], self.neurons)
