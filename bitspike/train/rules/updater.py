"""What the training loop asks of a rule."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bitspike.train.dataset import Samples
from bitspike.train.model import SpikingNetwork


class Updater(ABC):
    """A rule that has a network and turns batches into updates of it.

    Attributes:
        optimiser: with the groups of :func:`parameter_groups`; the loop sets their learning rates.
        moments: names of what the optimiser keeps of each parameter, part of a checkpoint.
    """

    moments: ClassVar[Sequence[str]] = ()
    optimiser: torch.optim.Optimizer

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:  # noqa: B027
        """Take note of the samples of the update that comes next, before they are spikes.

        Args:
            batch: the samples, their images already moved.
            seed: of their fresh spikes.
            stream: of the epoch's fresh spikes.
        """

    @abstractmethod
    def update(
        self, spikes: Tensor, labels: Tensor, generator: torch.Generator, sharpness: float
    ) -> tuple[Tensor, float]:
        """Train on one batch.

        Args:
            spikes: input, float, shape (steps, samples, inputs).
            labels: shape (samples,).
            generator: source of all noise.
            sharpness: factor on the natural parameters; 1 with the rules that do not use it.

        Returns:
            Logits, shape (samples, classes), and the cross-entropy of the labels in nats; both without gradients.
        """


def parameter_groups(model: SpikingNetwork) -> list[dict[str, list[torch.nn.Parameter]]]:
    """Return the groups of an optimiser: locations of weights, trained biases, and scales of posteriors."""
    return [
        {"params": model.locations()},
        {"params": [bias for bias in model.biases() if bias.requires_grad]},
        {"params": [scale for scale in model.scales() if scale.requires_grad]},
    ]
