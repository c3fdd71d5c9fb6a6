r"""Kullback-Leibler divergences of a posterior q from a prior p, in nats.

Bernoulli, q(1) = sigmoid(2 w) and p(1) = sigmoid(2 w0), w0 = 1/2 ln(prior / (1 - prior)), summed over weights:

    KL = q(1) ln(q(1) / p(1)) + q(0) ln(q(0) / p(0)),    dKL/dmu = w - w0    with mu = tanh(w) = 2 q(1) - 1

(Jang, Skatchkovsky, Simeone, arXiv 2012.08300: the natural-gradient step decays w towards w0.) Gaussian, q = N(mu,
sigma**2) and p = N(0, d**2), d given or, for each weight, the one with the least divergence, d**2 = sigma**2 + mu**2:

    KL = ln(d / sigma) + (sigma**2 + mu**2) / (2 d**2) - 1/2,    least  KL = 1/2 ln(1 + mu**2 / sigma**2)

The second is a function of mu**2 / sigma**2 alone, and by Cauchy and Schwarz so is a bound on how far any neuron that
hears inputs x is driven into saturation, r the mean of its summed input over its standard deviation:

    r**2 = (sum mu x)**2 / (sigma**2 sum x**2) <= sum mu**2 / sigma**2

The auxiliary loss of the estimator recipe is the sum of r**2 over what the data drive; this term bounds the same
quantity for every input at once. Either keeps r small, where the straight-through estimator has little bias; too strong
a factor makes gradients vanish.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bitspike.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed of every weight before training.

    Attributes:
        probability: of the larger value of a one-bit weight, above 0 and below 1.
        deviation: of a real weight of mean 0, in weights; 0 for each weight's own best.
    """

    probability: float = 0.5
    deviation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise UsageError(f"probability: found {self.probability!r}; expected a number above 0 and below 1")
        if not 0 <= self.deviation < math.inf:
            raise UsageError(f"deviation: found {self.deviation!r}; expected a number from 0")

    @property
    def natural(self) -> float:
        """w0, the natural parameter of a one-bit weight's prior."""
        return 0.5 * (math.log(self.probability) - math.log1p(-self.probability))


def bernoulli_divergence(natural: Tensor, prior: Prior) -> Tensor:
    """Return the divergence of one-bit weights with natural parameters w, summed; see the module's docstring."""
    log_odds = 2.0 * natural
    one = torch.sigmoid(log_odds) * (logsigmoid(log_odds) - math.log(prior.probability))
    zero = torch.sigmoid(-log_odds) * (logsigmoid(-log_odds) - math.log1p(-prior.probability))
    return (one + zero).sum()


class _ToMean(torch.autograd.Function):
    """The divergence of one-bit weights; its gradient to w is that to the mean, w - w0."""

    @staticmethod
    def forward(ctx: Any, natural: Tensor, prior: Prior) -> Tensor:
        ctx.save_for_backward(natural)
        ctx.prior = prior
        return bernoulli_divergence(natural, prior)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (natural,) = ctx.saved_tensors
        return gradient * (natural - ctx.prior.natural), None


def natural_divergence(natural: Tensor, prior: Prior) -> Tensor:
    """Return :func:`bernoulli_divergence` with natural gradients: w takes dKL/dmu = w - w0 as it is."""
    return cast(Tensor, _ToMean.apply(natural, prior))  # type: ignore[no-untyped-call]


def gaussian_divergence(mean: Tensor, deviation: Tensor, prior: Prior) -> Tensor:
    """Return the divergence of normal weights, summed.

    Args:
        mean: mu, any shape.
        deviation: sigma, above 0, a shape that broadcasts to that of `mean`.
        prior: its deviation is d; 0 for each weight's best.
    """
    if prior.deviation == 0:
        return 0.5 * torch.log1p((mean / deviation).square()).sum()
    variance = prior.deviation**2
    each = (
        math.log(prior.deviation) - torch.log(deviation) + (deviation.square() + mean.square()) / (2 * variance) - 0.5
    )
    return each.sum()
