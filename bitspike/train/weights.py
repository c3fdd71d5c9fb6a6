r"""One-bit weights drawn in the forward pass, with the estimators' gradients to their posterior.

A weight y is +1 with probability p = sigmoid(2 w), else -1; w is its natural parameter and mu = tanh(w) its mean. It
is a unit with logistic noise, r = 2 w and y = 2 b - 1, so that every estimator for logistic noise serves it:

    dL/dmu = dL/dy * w(y),   w(+1) = alpha / p,   w(-1) = (1 - alpha) / (1 - p)
    dL/dw  = (1 - mu**2) * dL/dmu = 4 * J * dL/dy

with J = F'(r) * w(y) of :mod:`bitspike.train.estimators`. alpha = p is straight-through, dL/dmu = dL/dy; alpha = 1/2 is
dL/dy / (2 P(y)). A natural-gradient step of a Bernoulli posterior takes dL/dmu itself. Bits run in the forward pass and
there is no temperature, unlike the relaxed weights of Jang, Skatchkovsky, Simeone (arXiv 2012.08300).
"""

from typing import Any, cast

import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.noise import Logistic

#: A weight whose log odds are further out than this is never drawn against them.
_FURTHEST = 80.0


class _DrawnWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, natural: Tensor, noise: Tensor, estimator: Estimator) -> Tensor:
        bits = (2.0 * natural + noise > 0).to(natural.dtype)
        ctx.save_for_backward(natural, bits, noise if estimator.uses_noise else None)
        ctx.estimator = estimator
        return 2.0 * bits - 1.0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        natural, bits, noise = ctx.saved_tensors
        return 4.0 * gradient * ctx.estimator.factor(2.0 * natural, bits, noise), None, None


def drawn_weights(natural: Tensor, noise: Tensor, estimator: Estimator) -> Tensor:
    """Draw weights of -1 and +1, with the estimator's gradient to the natural parameters.

    Args:
        natural: w, any shape.
        noise: standard logistic noise, the same shape; a weight is +1 where 2 w + noise is above 0.
        estimator: one for logistic noise.

    Raises:
        UsageError: an estimator for other noise.
    """
    _check(estimator)
    return cast(Tensor, _DrawnWeights.apply(natural, noise, estimator))  # type: ignore[no-untyped-call]


def mean_gradient(gradient: Tensor, weights: Tensor, natural: Tensor, estimator: Estimator) -> Tensor:
    """Return dL/dmu from dL/dy, elementwise.

    Args:
        gradient: dL/dy.
        weights: y as drawn, -1 or +1, the same shape.
        natural: w, the same shape; read up to |w| = 40.
        estimator: one for logistic noise that needs no noise.

    Raises:
        UsageError: an estimator for other noise, or a surrogate.
    """
    _check(estimator)
    if estimator.uses_noise:
        raise UsageError("estimator: found a surrogate; expected one that depends on the weights alone")
    ratio = (2.0 * natural.double()).clamp(-_FURTHEST, _FURTHEST)
    factor = estimator.factor(ratio, 0.5 * (weights.double() + 1.0), None)
    return gradient * (factor / Logistic().density(ratio)).to(gradient.dtype)


def _check(estimator: Estimator) -> None:
    if not isinstance(estimator.noise, Logistic):
        raise UsageError(f"estimator.noise: found {estimator.noise}; expected Logistic() for one-bit weights")
