r"""Exact gradients, and exact bias and variance of an estimator, of small networks of drawn bits.

A network has layers of n units, all noise of standard deviation 1, and a quadratic loss of its last bits:

    z[1] = offsets[1],   z[k] = W[k] (b[k-1] - 1/2) + offsets[k],   b[k] = 1[z[k] + eps > 0]
    L = b' Q b / 2 + q' b,   Q symmetric, b the bits of the last layer

The gradient is that of the expected loss to z[1]. An estimator's single-sample gradient is what its backward pass gives
for the bits that were drawn: to_b[last] = Q b + q, to_z = J * to_b, to_b[k-1] = W[k]' to_z[k]. Nothing here is sampled:
layers form a Markov chain, so the mean and the second moment of to_b[k] given b[k] follow from those of layer k + 1 by
one sum over its 2**n bit strings. Where J depends on the noise itself and not only on the bit, its first two moments
given the bit are integrated over the noise. Everything is float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.noise import Density
from bitspike.train.surrogates import Surrogate

_LARGEST = 10
_TAIL = 45
_NODES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class BitNetwork:
    """A network of drawn bits; see the module's docstring.

    Attributes:
        offsets: one a layer, shape (units,).
        weights: one a layer after the first, shape (units, units).
        quadratic: Q, shape (units, units), symmetric.
        linear: q, shape (units,).
    """

    offsets: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    quadratic: Tensor
    linear: Tensor

    @property
    def units(self) -> int:
        """Units of a layer."""
        return len(self.linear)

    def states(self) -> Tensor:
        """Return all bit strings of a layer, shape (2**units, units)."""
        numbers = torch.arange(2**self.units)[:, None] >> torch.arange(self.units)
        return (numbers & 1).double()

    def loss(self, bits: Tensor) -> Tensor:
        """Return L of bits of shape (..., units)."""
        return 0.5 * torch.einsum("...i,ij,...j->...", bits, self.quadratic, bits) + bits @ self.linear

    def means(self, layer: int, bits: Tensor) -> Tensor:
        """Return z of a layer after the first, for bits of shape (..., units) of the layer before."""
        return (bits - 0.5) @ self.weights[layer - 1].T + self.offsets[layer]


def random_network(*, depth: int, units: int, coupling: float, saturation: float, seed: int) -> BitNetwork:
    """Draw a network: offsets N(0, saturation**2), weights N(0, coupling**2), Q and q N(0, 1), by one generator.

    Raises:
        UsageError: no layers, or more units than can be enumerated.
    """
    if depth < 1:
        raise UsageError(f"depth: found {depth}; expected 1 or more")
    if not 1 <= units <= _LARGEST:
        raise UsageError(f"units: found {units}; expected 1 to {_LARGEST}")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    quadratic, linear = normal(units, units), normal(units)
    offsets = tuple(saturation * normal(units) for _ in range(depth))
    weights = tuple(coupling * normal(units, units) for _ in range(depth - 1))
    return BitNetwork(offsets=offsets, weights=weights, quadratic=(quadratic + quadratic.T) / 2, linear=linear)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Mean and variance of a single-sample gradient, shape (units,) each."""

    mean: Tensor
    variance: Tensor


def exact_gradient(network: BitNetwork, noise: Density) -> Tensor:
    """Return the gradient of the expected loss to the first layer's means, shape (units,), by autograd."""
    states = network.states()
    first = network.offsets[0].clone().requires_grad_()
    value = network.loss(states)
    for layer in range(len(network.weights), 0, -1):
        value = _chances(network.means(layer, states), states, noise) @ value
    expected = (_chances(first[None], states, noise) @ value).sum()
    (gradient,) = torch.autograd.grad(expected, first)
    return gradient


def estimated_gradient(network: BitNetwork, estimator: Estimator, noise: Density) -> Moments:
    """Return the exact moments of an estimator's gradient in a network with this noise."""
    states = network.states()
    mean = states @ network.quadratic + network.linear
    second = mean[:, :, None] * mean[:, None, :]
    for layer in range(len(network.weights), 0, -1):
        weights = network.weights[layer - 1]
        means = network.means(layer, states)
        to_mean, to_second = _backward(means, states, mean, second, estimator=estimator, noise=noise)
        mean, second = to_mean @ weights, weights.T @ to_second @ weights
    first = network.offsets[0][None]
    to_mean, to_second = _backward(first, states, mean, second, estimator=estimator, noise=noise)
    return Moments(mean=to_mean[0], variance=(to_second[0].diagonal() - to_mean[0].square()).clamp_min(0.0))


def _backward(
    means: Tensor, states: Tensor, mean: Tensor, second: Tensor, *, estimator: Estimator, noise: Density
) -> tuple[Tensor, Tensor]:
    """Take the moments of to_b, given the bits, to those of to_z, given the bits of the layer before.

    Args:
        means: z, shape (before, units), one row for each bit string of the layer before.
        states: bit strings, shape (strings, units).
        mean: of to_b, shape (strings, units).
        second: moment of to_b, shape (strings, units, units).
    """
    (zero, zero_square), (one, one_square) = (_factor_moments(means, bit, estimator, noise) for bit in (0.0, 1.0))
    factor = torch.where(states > 0, one[:, None], zero[:, None])
    square = torch.where(states > 0, one_square[:, None], zero_square[:, None])
    chances = _chances(means, states, noise)
    weighted = chances[..., None] * factor
    product = torch.einsum("asi,asj,sij->aij", weighted, factor, second)
    diagonal = torch.einsum("as,asi,si->ai", chances, square, second.diagonal(dim1=1, dim2=2))
    return torch.einsum("asi,si->ai", weighted, mean), product.diagonal_scatter(diagonal, dim1=1, dim2=2)


def _chances(means: Tensor, states: Tensor, noise: Density) -> Tensor:
    """Return the probability of each bit string given z of shape (before, units), shape (before, strings)."""
    likely = (2.0 * states - 1.0) * means[:, None]
    return noise.probability(noise.deviation * likely).prod(-1)


def _factor_moments(means: Tensor, bit: float, estimator: Estimator, noise: Density) -> tuple[Tensor, Tensor]:
    """Return the mean of J, and of its square, given the bit, the shape of `means`."""
    if isinstance(estimator, Surrogate) and isinstance(estimator.noise, Density):
        return _noisy_moments(means, bit, estimator, noise)
    factor = estimator.unit_factor(means, torch.full_like(means, bit), None)
    return factor, factor.square()


def _noisy_moments(means: Tensor, bit: float, surrogate: Surrogate, noise: Density) -> tuple[Tensor, Tensor]:
    """Integrate J and its square over the noise given the bit: Gauss-Legendre panels, finer near the threshold."""
    sign, scale = 2.0 * bit - 1.0, noise.deviation
    likely = scale * sign * means
    edges = [0.0, 0.01, 0.03, 0.1, 0.3, *range(1, math.ceil(float(likely.max().clamp_min(0.0))) + _TAIL)]
    points, widths = panels(edges)
    likely = likely[..., None]
    chance = torch.exp(noise.log_density(points - likely) - noise.log_probability(likely)) * widths
    factor = scale * surrogate.derivative(sign * points)
    return chance @ factor, chance @ factor.square()


def panels(edges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return points and weights of Gauss-Legendre quadrature between each two edges, 16 points each, float64."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    low, high = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
    points = (low + high) / 2 + nodes * (high - low) / 2
    return torch.from_numpy(points.ravel()), torch.from_numpy((weights * (high - low) / 2).ravel())
