r"""The noise that decides a bit: its draws, its density, and its hazard far from the threshold.

A unit with mean z and noise scale s gives b = 1[z + s * eps > 0], so P(b = 1) = F(r), r = z / s, F the distribution
function of the symmetric noise eps:

    gaussian   F(r) = Phi(r)                   standard deviation 1
    logistic   F(r) = 1 / (1 + exp(-r))        standard deviation pi / sqrt(3)

The hazard is F'(q) / F(q), with q = r for a bit of 1 and q = -r for a bit of 0: the density over the probability of
what happened. It is computed without dividing two small numbers, so it stays accurate and finite at any |r|.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_SQRT_HALF = math.sqrt(0.5)
_SQRT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
_INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
_LOG_INVERSE_SQRT_TWO_PI = -0.5 * math.log(2.0 * math.pi)
_LEAST_UNIFORM = 2.0**-24


@dataclass(frozen=True)
class Noise(ABC):
    """A kind of noise.

    Attributes:
        deviation: the standard deviation of the standard noise, the one of scale 1.
    """

    deviation: ClassVar[float] = 1.0

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw independent noise of standard deviation 1, float32, on the generator's device."""


@dataclass(frozen=True)
class Density(Noise):
    """Symmetric noise with a density; all methods take r in units of the scale s and work elementwise."""

    @abstractmethod
    def probability(self, ratio: Tensor) -> Tensor:
        """Return F(r), the probability of a bit of 1."""

    @abstractmethod
    def density(self, ratio: Tensor) -> Tensor:
        """Return F'(r)."""

    @abstractmethod
    def hazard(self, likely: Tensor) -> Tensor:
        """Return F'(q) / F(q)."""

    @abstractmethod
    def log_density(self, ratio: Tensor) -> Tensor:
        """Return log F'(r)."""

    @abstractmethod
    def log_probability(self, ratio: Tensor) -> Tensor:
        """Return log F(r)."""

    def log_odds(self, ratio: Tensor) -> Tensor:
        """Return log F(r) - log F(-r)."""
        return self.log_probability(ratio) - self.log_probability(-ratio)


@dataclass(frozen=True)
class Gaussian(Density):
    """Normal noise: the probit unit."""

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw standard normal noise."""
        return torch.randn(shape, generator=generator, device=generator.device)

    def probability(self, ratio: Tensor) -> Tensor:
        """Return Phi(r); torch.special.ndtr would lose digits in the lower tail."""
        return 0.5 * torch.erfc(-_SQRT_HALF * ratio)

    def density(self, ratio: Tensor) -> Tensor:
        """Return phi(r)."""
        return torch.exp(-0.5 * ratio * ratio) * _INVERSE_SQRT_TWO_PI

    def hazard(self, likely: Tensor) -> Tensor:
        """Return phi(q) / Phi(q) as sqrt(2 / pi) / erfcx(-q / sqrt(2))."""
        return _SQRT_TWO_OVER_PI / torch.special.erfcx(-_SQRT_HALF * likely)

    def log_density(self, ratio: Tensor) -> Tensor:
        """Return log phi(r)."""
        return -0.5 * ratio * ratio + _LOG_INVERSE_SQRT_TWO_PI

    def log_probability(self, ratio: Tensor) -> Tensor:
        """Return log Phi(r)."""
        return torch.special.log_ndtr(ratio)


@dataclass(frozen=True)
class Logistic(Density):
    """Logistic noise: the sigmoid unit."""

    deviation: ClassVar[float] = math.pi / math.sqrt(3.0)

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw logistic noise of standard deviation 1; a uniform draw of 0 counts as 2**-24."""
        uniform = torch.rand(shape, generator=generator, device=generator.device)
        return torch.logit(uniform, eps=_LEAST_UNIFORM) / self.deviation

    def probability(self, ratio: Tensor) -> Tensor:
        """Return sigmoid(r)."""
        return torch.sigmoid(ratio)

    def density(self, ratio: Tensor) -> Tensor:
        """Return sigmoid(r) * sigmoid(-r)."""
        return torch.sigmoid(ratio) * torch.sigmoid(-ratio)

    def hazard(self, likely: Tensor) -> Tensor:
        """Return sigmoid(-q)."""
        return torch.sigmoid(-likely)

    def log_density(self, ratio: Tensor) -> Tensor:
        """Return log sigmoid(r) + log sigmoid(-r)."""
        return logsigmoid(ratio) + logsigmoid(-ratio)

    def log_probability(self, ratio: Tensor) -> Tensor:
        """Return log sigmoid(r)."""
        return logsigmoid(ratio)


@dataclass(frozen=True)
class Silent(Noise):
    """No noise at all: the bit is 1[z > 0]. Only a surrogate gradient can be used with it."""

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Return zeros; nothing is drawn from the generator."""
        return torch.zeros(tuple(shape), device=generator.device)
