"""Bernoulli posteriors: weights of one bit, -1 and +1 or 0 and 1.

Each weight has its larger value with probability p = sigmoid(2 w), w its natural parameter (Jang, Skatchkovsky,
Simeone, arXiv 2012.08300). Of -1 and +1 the mean is tanh(w) and the variance 1 - tanh(w)**2; of 0 and 1 they are p and
p (1 - p). In training w is multiplied by the sharpness.

A natural gradient is the one to the mean mu = 2 p - 1 (arXiv 2012.08300): w takes dL/dmu instead of dL/dmu * dmu/dw.
The ordinary one vanishes with 1 - mu**2 for weights that are nearly certain, which then hardly change their minds; a
natural one does not, and an optimiser with steps of its own size, such as Adam, only sees how the gradients of a weight
relate to each other. That of the divergence from the prior is then natural too: w - w0.

An infinite sharpness makes every weight certain: the mean is the most probable weight, there is no variance, and the
gradient to the mean passes straight to w.
"""

import math
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.encode import Stream, below, words
from bitspike.train.posteriors.base import Bits, Posterior
from bitspike.train.posteriors.divergence import Prior, bernoulli_divergence, natural_divergence


class _Mean(torch.autograd.Function):
    """tanh(w), with the gradient of the mean passed to w."""

    @staticmethod
    def forward(ctx: Any, natural: Tensor) -> Tensor:  # noqa: ARG004
        return torch.tanh(natural)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


class _Certain(torch.autograd.Function):
    """The sign of w, +1 at 0, with the gradient of the mean passed to w."""

    @staticmethod
    def forward(ctx: Any, natural: Tensor) -> Tensor:  # noqa: ARG004
        return torch.where(natural >= 0, 1.0, -1.0).to(natural.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


def certain(natural: Tensor) -> Tensor:
    """Return the most probable weights of -1 and +1; their gradient goes straight to w."""
    return cast(Tensor, _Certain.apply(natural))  # type: ignore[no-untyped-call]


def mean(natural: Tensor, *, natural_gradient: bool) -> Tensor:
    """Return tanh(w), the mean of a weight of -1 and +1; its gradient goes to w as it is, or times 1 - tanh(w)**2."""
    if natural_gradient:
        return cast(Tensor, _Mean.apply(natural))  # type: ignore[no-untyped-call]
    return torch.tanh(natural)


class Bernoulli(Posterior):
    """Weights of -1 and +1.

    Attributes:
        low: the smaller value; the larger is 1.
        natural: whether gradients are natural ones.
    """

    family: ClassVar[str] = "bernoulli"
    location_name: ClassVar[str] = "natural"
    low: ClassVar[int] = -1

    def __init__(self, rows: int, columns: int, *, natural: bool = False) -> None:
        super().__init__(rows, columns)
        self.natural = natural

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor | None]:
        """Return tanh(sharpness * w) and 1 minus its square, or the most probable weights and no variance."""
        mu = self.means(sharpness)
        if sharpness == math.inf:
            return mu, None
        return mu, 1.0 - mu.square()

    def means(self, sharpness: float) -> Tensor:
        """Return tanh(sharpness * w), or the most probable weights."""
        if sharpness == math.inf:
            return certain(self.location)
        return mean(sharpness * self.location, natural_gradient=self.natural)

    def fold(self, sharpness: float) -> None:
        """Multiply the natural parameters."""
        with torch.no_grad():
            self.location.mul_(sharpness)

    def most_probable(self) -> Bits:
        """Return the larger value where w is 0 or more."""
        return self._values(self.location.detach().cpu().numpy() >= 0)

    def sample(self, *, seed: int, index: int) -> Bits:
        """Draw the larger value with probability sigmoid(2 w)."""
        natural = self.location.detach().cpu().numpy().astype(np.float64)
        raw = words(seed, Stream.BITS, index, natural.size).reshape(natural.shape)
        return self._values(below(raw, 0.5 * (1.0 + np.tanh(natural))))

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the divergence at sharpness * w; its gradients are natural ones where the likelihood's are."""
        divergence = natural_divergence if self.natural else bernoulli_divergence
        return divergence(sharpness * self.location, prior)

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

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor | None]:
        """Return p = sigmoid(2 * sharpness * w) and p (1 - p), or the most probable weights and no variance."""
        p = self.means(sharpness)
        if sharpness == math.inf:
            return p, None
        return p, p * (1.0 - p)

    def means(self, sharpness: float) -> Tensor:
        """Return p = sigmoid(2 * sharpness * w), or the most probable weights."""
        return 0.5 + 0.5 * super().means(sharpness)
