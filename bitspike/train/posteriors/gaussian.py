r"""Normal posteriors over weights that become integers (Walker, Khajehnejad, Razi, arXiv 2505.17962).

Each weight has a mean mu of its own; all of a matrix share one deviation sigma = softplus(rho). On the chip's lattice
the forward pass of training uses round(mu), clipped to the integers of `bits` bits, with the gradient passed straight
through to mu; halves round to even. So the network of the most probable weights is the mean network. The sharpness
divides sigma.
"""

import math
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from bitspike.errors import UsageError
from bitspike.train.encode import Stream, words
from bitspike.train.posteriors.base import Bits, Posterior
from bitspike.train.posteriors.divergence import Prior, gaussian_divergence

LEAST_DEVIATION = 1e-30
"""In weights; a narrower posterior is written as this one, whose rho float32 still holds."""


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, low: int, high: int) -> Tensor:  # noqa: ARG004
        return values.round().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ARG004
        return gradient, None, None


class GaussianWeights(Posterior):
    """Normal weights, integers of 2 to 8 bits once collapsed.

    Attributes:
        low: smallest integer weight, -2**(bits - 1).
        high: largest, 2**(bits - 1) - 1.
        rho: softplus(rho) is the deviation of every weight of the matrix, in weights; shape (1,).
    """

    family: ClassVar[str] = "gaussian"
    location_name: ClassVar[str] = "mean"

    def __init__(self, rows: int, columns: int, *, bits: int = 8) -> None:
        super().__init__(rows, columns)
        self.bits = bits
        self.low, self.high = -(1 << bits - 1), (1 << bits - 1) - 1
        self.rho = nn.Parameter(torch.full((1,), softplus_inverse(1.0)))

    def deviation(self, sharpness: float) -> Tensor:
        """Return sigma / sharpness in weights, shape (1,), with its gradient."""
        return softplus(self.rho) / sharpness

    def scales(self) -> dict[str, nn.Parameter]:
        """Return rho."""
        return {"rho": self.rho}

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor | None]:
        """Return the integers that the means round to, and one row of variances, or none at infinite sharpness."""
        mean = cast(Tensor, _Rounded.apply(self.location, self.low, self.high))  # type: ignore[no-untyped-call]
        if sharpness == math.inf:
            return mean, None
        return mean, self.deviation(sharpness).square().expand(1, self.shape[1])

    def initialise(self, *, seed: int, index: int, spread: float, scale: float) -> None:
        """Set means uniformly in -spread to spread, and sigma to scale * spread.

        A scale of 1/2 makes the mean of mu**2 / sigma**2 4/3, as the paper's released code starts.
        """
        super().initialise(seed=seed, index=index, spread=spread, scale=scale)
        with torch.no_grad():
            self.rho.fill_(softplus_inverse(scale * spread))

    def fold(self, sharpness: float) -> None:
        """Divide sigma."""
        if sharpness == 1:
            return
        deviation = float(self.deviation(1.0).detach())
        with torch.no_grad():
            self.rho.fill_(softplus_inverse(deviation / sharpness))

    def most_probable(self) -> Bits:
        """Return the means, rounded and clipped."""
        return self._integers(self.location.detach().cpu().numpy())

    def sample(self, *, seed: int, index: int) -> Bits:
        """Draw normal weights by the inverse of their distribution function, round and clip them."""
        raw = words(seed, Stream.BITS, index, self.location.numel())
        # The middles of 2**53 equal parts: never 0 and never 1.
        middles = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        noise = torch.special.ndtri(torch.from_numpy(middles)).reshape(self.location.shape)
        drawn = self.location.detach().double().cpu() + self.deviation(1.0).detach().double().cpu() * noise
        return self._integers(drawn.numpy())

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the divergence of the means before rounding."""
        return gaussian_divergence(self.location, self.deviation(sharpness), prior)

    def check_values(self, weights: npt.NDArray[np.int64], *, name: str) -> None:
        """Refuse integers that have more bits."""
        if weights.size and (weights.min() < self.low or weights.max() > self.high):
            found = f"{weights.min()} to {weights.max()}"
            raise UsageError(f"weights of {name}: found {found}; expected {self.low} to {self.high}")

    def _integers(self, values: npt.NDArray[Any]) -> Bits:
        return np.clip(np.rint(values), self.low, self.high).astype(np.int8)


def softplus_inverse(value: float) -> float:
    """Return x with ln(1 + exp(x)) = `value`; values below 1e-30 count as that."""
    least = max(value, LEAST_DEVIATION)
    return least + math.log(-math.expm1(-least))
