r"""The Gumbel-Rao estimator of a bit with logistic noise, at any temperature.

It is the expectation of the relaxed bit's derivative given the bit that was drawn. With l = r, L the logistic noise and
sigma_tau(z) = sigmoid(z / tau),

    J(1; l) = E[ sigma_tau'(l + L) | l + L > 0 ] = (1 / p) * integral_0^inf sigma_tau'(z) * sigma'(z - l) dz
    J(0; l) = J(1; -l)

With q = l for a bit of 1 and -l for a bit of 0 there is one function to compute. At temperature 1, with
t = tanh(-q / 2),

    J = (1 + t) / (2 * t**3) * (log(1 + t) - t + t**2 / 2),        1/6 at t = 0

At temperature 0 it is sigmoid(-q) / 2, the member alpha = 1/2 of the importance-weighted straight-through family. At
other temperatures J / sigmoid(-q) is a smooth function of q, integrated once on a grid and interpolated. Derived from
the definition of Paulus, Maddison, Krause, "Rao-Blackwellizing the straight-through Gumbel-softmax" (ICLR 2021). The
estimator is not scaled to be unbiased for linear losses: at temperature 1 and p = 1/2 it is 2/3 of straight-through.
"""

import math
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bitspike.errors import UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.noise import Logistic

_SERIES_BELOW = 0.3
_SERIES_TERMS = 32
_NODES = 256
_REACH = 40.0
_PER_UNIT = 128
_TAIL = 45.0


def analytic(likely: Tensor) -> Tensor:
    """Return J at temperature 1 in closed form, by its series where the closed form would cancel."""
    t = torch.tanh(-0.5 * likely)
    near = t.abs() < _SERIES_BELOW
    inner = torch.where(near, t, torch.zeros_like(t))
    series = torch.zeros_like(t)
    for n in range(_SERIES_TERMS, 2, -1):
        series = series * inner + (1.0 if n % 2 else -1.0) / n
    outer = torch.where(near, torch.ones_like(t), t)
    log_one_plus = math.log(2.0) + logsigmoid(-likely)
    closed = (log_one_plus - outer + 0.5 * outer.square()) / outer.pow(3)
    return torch.sigmoid(-likely) * torch.where(near, series, closed)


def integrated(likely: Tensor, temperature: float) -> Tensor:
    """Return J by Gauss-Legendre quadrature with 256 nodes; float64, |q| up to 40, temperature above 0.

    Below temperature 1 the variable is z / tau, else z: the poles of the integrand then stay pi away from the line.
    """
    return torch.exp(_log_quotient(likely, temperature) + logsigmoid(-likely))


def _log_quotient(likely: Tensor, tau: float) -> Tensor:
    """Return log(J / sigmoid(-q)), which is smooth; float64."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(_NODES))
    narrow, wide = (1.0, tau) if tau < 1 else (1.0 / tau, 1.0)
    reach = _TAIL + likely.clamp_min(0.0) / wide
    if tau < 1:
        reach = reach.clamp_max(_TAIL / (1.0 - tau))
    x = 0.5 * reach[..., None] * (nodes + 1.0)
    q = likely[..., None]
    log_density = Logistic().log_density
    exponent = log_density(narrow * x) + log_density(wide * x - q) - log_density(q)
    return torch.logsumexp(exponent + torch.log(weights), -1) + torch.log(0.5 * narrow * reach)


@cache
def _table(temperature: float) -> Tensor:
    """Return log(J / sigmoid(-q)) at q from -40 to 40 in steps of 1/128, float64."""
    grid = torch.linspace(-_REACH, _REACH, int(2 * _REACH * _PER_UNIT) + 1, dtype=torch.float64)
    return torch.cat([_log_quotient(grid[at : at + 1024], temperature) for at in range(0, len(grid), 1024)])


@lru_cache(maxsize=16)
def _table_at(temperature: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the table where it is used: a GPU that records an update cannot wait for a copy."""
    return _table(temperature).to(device, dtype)


def _looked_up(likely: Tensor, temperature: float) -> Tensor:
    """Return J from the table, linear between its points and beyond its ends; to about one part in a million."""
    table = _table_at(temperature, likely.device, likely.dtype)
    place = (likely + _REACH) * _PER_UNIT
    at = place.floor().clamp(0, len(table) - 2).long()
    low, high = table[at], table[at + 1]
    return torch.exp(low + (high - low) * (place - at) + logsigmoid(-likely))


@dataclass(frozen=True, kw_only=True)
class GumbelRao(Estimator):
    """Gumbel-Rao for logistic noise.

    Attributes:
        temperature: tau, 0 or more; 0 is the limit, which is alpha = 1/2.
    """

    temperature: float = 1.0
    noise: Logistic = field(default_factory=Logistic)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UsageError(f"temperature: found {self.temperature!r}; expected a number from 0")

    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return J: the limit at temperature 0, the closed form at 1, and the table elsewhere."""
        likely = (2.0 * bits - 1.0) * ratio
        if self.temperature == 0:
            return 0.5 * torch.sigmoid(-likely)
        if self.temperature == 1:
            return analytic(likely)
        return _looked_up(likely, self.temperature)
