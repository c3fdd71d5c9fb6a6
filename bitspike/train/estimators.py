r"""Gradient estimators for units that draw a bit.

A unit with mean z and noise scale s gives b = 1[z + s * eps > 0], so p = P(b = 1) = F(r), r = z / s, with F of
:mod:`bitspike.train.noise`. Every estimator here is a factor J(r, b), the Jacobian db/dz times s:

    dL/dz = dL/db * J / s
    dL/ds = -r * dL/dz

The importance-weighted straight-through family (Walker, Khajehnejad, Razi, arXiv 2505.17962) takes

    J = F'(r) * w(b),   w(1) = alpha / p,   w(0) = (1 - alpha) / (1 - p)

alpha = p gives w = 1, the plain straight-through estimator: no variance of its own, and a bias of second order wherever
p is not 1/2. alpha = 1/2 is unbiased for quadratic losses, at more variance; for logistic noise it is |b - p| / 2,
which is ReinMax with two classes and Gumbel-Rao at temperature 0. alpha = p**k / (p**k + (1 - p)**k) lies between, from
1/2 at k = 0 to p at k = 1. No gradient goes to eps. Gumbel-Rao at other temperatures is in
:mod:`bitspike.train.gumbel`, snnTorch's surrogate gradients are in :mod:`bitspike.train.surrogates`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.noise import Density, Gaussian, Noise

Alpha = float | Literal["p"]


class Estimator(ABC):
    """A rule for the gradient of a drawn bit.

    Attributes:
        noise: what decides the bit.
        uses_noise: whether the factor depends on the noise that was drawn, and not only on the bit.
    """

    noise: Noise
    uses_noise: ClassVar[bool] = False

    @property
    def reads_variance(self) -> bool:
        """Whether the posterior's variance is part of s; where it is not, nothing computes it."""
        return True

    @abstractmethod
    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None) -> Tensor:
        """Return J, the Jacobian db/dz times s, elementwise.

        Args:
            ratio: r = z / s.
            bits: what was drawn, 0 or 1, the shape and dtype of `ratio`.
            noise: eps, in units of s; only read where `uses_noise` is set.
        """

    def unit_factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None) -> Tensor:
        """Return the factor where s is the standard deviation of the noise, instead of its scale."""
        scale = self.noise.deviation
        if scale == 1.0:
            return self.factor(ratio, bits, noise)
        return scale * self.factor(scale * ratio, bits, None if noise is None else scale * noise)


def checked_fraction(value: float, name: str) -> float:
    """Return `value` where it is a number from 0 to 1; raise UsageError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{name}: found {value!r}; expected a number from 0 to 1")
    return value


@dataclass(frozen=True, kw_only=True)
class IWST(Estimator):
    """Importance-weighted straight-through with one alpha for all units.

    Attributes:
        alpha: ``"p"`` or a number from 0 to 1.
        noise: Gaussian or logistic.
    """

    alpha: Alpha = "p"
    noise: Density = field(default_factory=Gaussian)

    def __post_init__(self) -> None:
        if self.alpha != "p":
            checked_fraction(self.alpha, "alpha")

    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return F'(r) * w(b): for a number alpha the hazard of what happened times alpha (b = 1) or 1 - alpha."""
        if self.alpha == "p":
            return self.noise.density(ratio)
        sign = 2.0 * bits - 1.0
        return self.noise.hazard(sign * ratio) * (0.5 + sign * (self.alpha - 0.5))


@dataclass(frozen=True, kw_only=True)
class Tempered(Estimator):
    """Importance-weighted straight-through with alpha = p**k / (p**k + (1 - p)**k).

    Attributes:
        temper: k, from 0 (alpha = 1/2) to 1 (alpha = p).
        noise: Gaussian or logistic.
    """

    temper: float = 0.5
    noise: Density = field(default_factory=Gaussian)

    def __post_init__(self) -> None:
        checked_fraction(self.temper, "temper")

    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return F'(r) * w(b), with the share of what happened as sigmoid(k * its log odds)."""
        likely = (2.0 * bits - 1.0) * ratio
        return self.noise.hazard(likely) * torch.sigmoid(self.temper * self.noise.log_odds(likely))


class _NoisyBit(torch.autograd.Function):
    """One draw with an estimator's backward rule; see the module's docstring."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, scale: Tensor, noise: Tensor, estimator: Estimator) -> Tensor:
        bits = (mean + scale * noise > 0).to(mean.dtype)
        ctx.save_for_backward(mean, scale, bits, noise if estimator.uses_noise else None)
        ctx.estimator = estimator
        return bits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        mean, scale, bits, noise = ctx.saved_tensors
        noisy = scale > 0
        safe = torch.where(noisy, scale, torch.ones_like(scale))
        ratio = mean / safe
        factor = ctx.estimator.factor(ratio, bits, noise)
        to_mean = torch.where(noisy, gradient * factor / safe, torch.zeros_like(mean))
        return to_mean, -ratio * to_mean, None, None


def noisy_bit(mean: Tensor, scale: Tensor, noise: Tensor, estimator: Estimator) -> Tensor:
    """Draw b = 1[mean + scale * noise > 0], with the estimator's gradients to the mean and to the scale.

    All tensors have one shape; the noise is standard noise, of scale 1. Where the scale is 0 the bit is certain and its
    gradients are 0.
    """
    return cast(Tensor, _NoisyBit.apply(mean, scale, noise, estimator))  # type: ignore[no-untyped-call]
