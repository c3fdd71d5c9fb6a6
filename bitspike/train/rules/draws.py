r"""Weights of a forward pass, and the direction in which the posterior's natural parameters then go.

A weight is +1 with probability sigmoid(2 w), w its natural parameter, mu = tanh(w) its mean. What is minimised is the
expected loss plus rho * KL(q || p), p with natural parameter w0 = ln(prior / (1 - prior)) / 2. Since dKL/dmu is w - w0,
a natural-gradient step of w, which is an ordinary gradient step in mu, is

    w <- w - eta * (dL/dmu + rho * (w - w0)) = (1 - eta * rho) * w - eta * (dL/dmu - rho * w0)

(Jang, Skatchkovsky, Simeone, arXiv 2012.08300.) The draws here give dL/dmu for one draw y of the weights and dL/dy.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bitspike.train.estimators import IWST, Alpha
from bitspike.train.noise import Logistic
from bitspike.train.rule_recipe import RuleRecipe
from bitspike.train.weights import drawn_weights, mean_gradient

_TINY = 1e-10
"""What the paper's code adds above and below, so that certain weights divide no 0 by 0."""


class Draw(ABC):
    """A way to take weights from natural parameters."""

    bayesian: ClassVar[bool] = True

    @abstractmethod
    def weights(self, natural: Tensor, generator: torch.Generator) -> Tensor:
        """Return y, the shape of `natural`, without gradients to it."""

    @abstractmethod
    def mean_gradient(self, gradient: Tensor, weights: Tensor, natural: Tensor) -> Tensor:
        """Return dL/dmu from dL/dy, elementwise; of a draw that is not Bayesian, the step itself."""


@dataclass(frozen=True)
class Signs(Draw):
    """Straight-through: y = sign(w), +1 at 0, and the step is dL/dy."""

    bayesian: ClassVar[bool] = False

    def weights(self, natural: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return the signs; nothing is drawn."""
        return torch.where(natural >= 0, 1.0, -1.0)

    def mean_gradient(self, gradient: Tensor, weights: Tensor, natural: Tensor) -> Tensor:  # noqa: ARG002
        """Return dL/dy."""
        return gradient


@dataclass(frozen=True, kw_only=True)
class Concrete(Draw):
    """The Concrete relaxation: y = tanh((w + d) / tau) with d = ln(eps / (1 - eps)) / 2, eps uniform.

    Its dy/dmu is (1 - y**2) / (tau * (1 - mu**2)), element by element.

    Attributes:
        tau: temperature, above 0; y tends to bits as it falls.
    """

    tau: float

    def weights(self, natural: Tensor, generator: torch.Generator) -> Tensor:
        """Return relaxed weights, from -1 to 1."""
        noise = Logistic().draw(natural.shape, generator) * (0.5 * Logistic.deviation)
        return torch.tanh((natural + noise) / self.tau)

    def mean_gradient(self, gradient: Tensor, weights: Tensor, natural: Tensor) -> Tensor:
        """Return dL/dy * dy/dmu."""
        mean = torch.tanh(natural)
        return gradient * (1 - weights.square() + _TINY) / (self.tau * (1 - mean.square() + _TINY))


@dataclass(frozen=True, kw_only=True)
class Bits(Draw):
    """Drawn bits with importance-weighted straight-through; see :mod:`bitspike.train.weights`.

    Attributes:
        alpha: ``"p"`` or a number from 0 to 1.
    """

    alpha: Alpha = "p"

    def weights(self, natural: Tensor, generator: torch.Generator) -> Tensor:
        """Return weights of -1 and +1."""
        noise = Logistic().draw(natural.shape, generator) * Logistic.deviation
        return drawn_weights(natural, noise, IWST(noise=Logistic()))

    def mean_gradient(self, gradient: Tensor, weights: Tensor, natural: Tensor) -> Tensor:
        """Return dL/dy * w(y)."""
        return mean_gradient(gradient, weights, natural, IWST(alpha=self.alpha, noise=Logistic()))


def build_draw(rule: RuleRecipe) -> Draw:
    """Return the draw of one of the BiSNN rules."""
    if rule.name == "bisnn-bayes":
        return Concrete(tau=float(rule.tau))
    return Bits(alpha=rule.alpha) if rule.name == "bisnn-bayes-bits" else Signs()


def natural_prior(prior: float) -> float:
    """Return w0, the natural parameter of a probability of +1."""
    return 0.5 * math.log(prior / (1.0 - prior))
