"""Bernoulli posteriors: weights of one bit, -1 and +1 or 0 and 1.

Each weight has its larger value with probability p = sigmoid(2 w), w its natural parameter (Jang, Skatchkovsky,
Simeone, arXiv 2012.08300). Of -1 and +1 the mean is tanh(w) and the variance 1 - tanh(w)**2; of 0 and 1 they are p and
p (1 - p). In training w is multiplied by the sharpness.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.encode import Stream, below, words
from bitspike.train.posteriors.base import Bits, Posterior
from bitspike.train.posteriors.divergence import Prior, bernoulli_divergence


class Bernoulli(Posterior):
    """Weights of -1 and +1.

    Attributes:
        low: the smaller value; the larger is 1.
    """

    family: ClassVar[str] = "bernoulli"
    location_name: ClassVar[str] = "natural"
    low: ClassVar[int] = -1

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return tanh(sharpness * w) and 1 minus its square."""
        mu = torch.tanh(sharpness * self.location)
        return mu, 1.0 - mu.square()

    def fold(self, sharpness: float) -> None:
        """Multiply the natural parameters."""
        with torch.no_grad():
            self.location.mul_(sharpness)

    def most_probable(self) -> Bits:
        """Return the larger value where w is 0 or more."""
        return self._values(self.location.detach().numpy() >= 0)

    def sample(self, *, seed: int, index: int) -> Bits:
        """Draw the larger value with probability sigmoid(2 w)."""
        natural = self.location.detach().numpy().astype(np.float64)
        raw = words(seed, Stream.BITS, index, natural.size).reshape(natural.shape)
        return self._values(below(raw, 0.5 * (1.0 + np.tanh(natural))))

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the divergence at sharpness * w."""
        return bernoulli_divergence(sharpness * self.location, prior)

    def check_values(self, weights: npt.NDArray[np.int64], *, name: str) -> None:
        """Refuse anything but the two values."""
        if not np.isin(weights, (self.low, 1)).all():
            raise UsageError(f"weights of {name}: found a value other than {self.low} and +1")

    def _values(self, larger: npt.NDArray[np.bool_]) -> Bits:
        return np.where(larger, 1, self.low).astype(np.int8)


class Bernoulli01(Bernoulli):
    """Weights of 0 and 1: a synapse is there or not, and all are excitatory."""

    family: ClassVar[str] = "bernoulli01"
    low: ClassVar[int] = 0

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return p = sigmoid(2 * sharpness * w) and p (1 - p)."""
        p = torch.sigmoid(2.0 * sharpness * self.location)
        return p, p * (1.0 - p)
