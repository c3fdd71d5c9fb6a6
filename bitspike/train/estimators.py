r"""Gradient estimators for units that draw a bit from Gaussian noise.

A unit with mean z and noise scale s gives b = 1[z + s * eps > 0] with eps ~ N(0, 1), so P(b = 1) = Phi(r), r = z / s.
The importance-weighted straight-through family (Walker, Khajehnejad, Razi, arXiv 2505.17962) takes

    dL/dz = dL/db * phi(r) / s * w(b),   w(1) = alpha / p,   w(0) = (1 - alpha) / (1 - p),   p = Phi(r)
    dL/ds = -r * dL/dz

alpha = p gives w = 1, the plain straight-through estimator: no variance of its own, and a bias of second order wherever
p is not 1/2. alpha = 1/2 is unbiased for quadratic losses, at more variance. No gradient goes to eps.
"""

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor

Alpha = float | Literal["p"]

_SQRT_HALF = math.sqrt(0.5)
_SQRT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
_INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)


def iwst_factor(ratio: Tensor, bits: Tensor, alpha: Alpha) -> Tensor:
    """Return phi(r) * w(b), the Jacobian db/dz times s, elementwise.

    For a number alpha this is alpha (b = 1) or 1 - alpha (b = 0) times the hazard phi(q) / Phi(q) of what happened,
    with q = r for b = 1 and q = -r for b = 0. The hazard is computed as sqrt(2 / pi) / erfcx(-q / sqrt(2)). That equals
    exp(log phi(q) - log_ndtr(q)) without subtracting two large logarithms: it stays accurate and finite at any |r|.

    Args:
        ratio: r = z / s.
        bits: what was drawn, 0 or 1, the shape and dtype of `ratio`.
        alpha: ``"p"`` or a number from 0 to 1.
    """
    if alpha == "p":
        return torch.exp(-0.5 * ratio * ratio) * _INVERSE_SQRT_TWO_PI
    sign = 2.0 * bits - 1.0
    hazard = _SQRT_TWO_OVER_PI / torch.special.erfcx(-_SQRT_HALF * sign * ratio)
    return hazard * (0.5 + sign * (alpha - 0.5))


class _NoisyBit(torch.autograd.Function):
    """One draw with the IW-ST backward rule; see the module's docstring."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, scale: Tensor, noise: Tensor, alpha: Alpha) -> Tensor:
        bits = (mean + scale * noise > 0).to(mean.dtype)
        ctx.save_for_backward(mean, scale, bits)
        ctx.alpha = alpha
        return bits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        mean, scale, bits = ctx.saved_tensors
        noisy = scale > 0
        safe = torch.where(noisy, scale, torch.ones_like(scale))
        ratio = mean / safe
        to_mean = torch.where(noisy, gradient * iwst_factor(ratio, bits, ctx.alpha) / safe, torch.zeros_like(mean))
        return to_mean, -ratio * to_mean, None, None


def noisy_bit(mean: Tensor, scale: Tensor, noise: Tensor, alpha: Alpha) -> Tensor:
    """Draw b = 1[mean + scale * noise > 0], with IW-ST(alpha) gradients to the mean and to the scale.

    All tensors have one shape. Where the scale is 0 the bit is certain and its gradients are 0.
    """
    return cast(Tensor, _NoisyBit.apply(mean, scale, noise, alpha))  # type: ignore[no-untyped-call]
