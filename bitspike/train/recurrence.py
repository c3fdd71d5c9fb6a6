"""A population of the chip's neurons that hears its own spikes of the step before, as it is trained.

The equations of :mod:`bitspike.train.dynamics`, where mean and variance of the input at step t gain those of the
recurrent weights, of mean R and variance 1 - R**2 (arXiv 2505.17962, the recurrent part of its noise, with Bernoulli
weights; its mask of self-loops is not used):

    a[t] = mean[t] + R @ b[t-1]
    A[t] = variance[t] + (1 - R**2) @ b[t-1]**2           no gradient to b[t-1]

The whole loop over time is one autograd function. In the backward pass a step's bits also receive R.T @ dL/da[t+1];
the gradient of R is summed over all steps at once.
"""

from typing import Any, cast

import torch
from torch import Tensor

from bitspike.train.estimators import Estimator
from bitspike.train.registers import UNITS, Neuron


def _kept(state: Tensor, fraction: float) -> Tensor:
    """Return lattice(state * fraction); without decay nothing is truncated."""
    return state if fraction == 1 else torch.trunc(state * (fraction * UNITS)) / UNITS


class _RecurrentPopulation(torch.autograd.Function):
    """The time loop; see the module's docstring. Shapes are (steps, samples, neurons)."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        mean: Tensor,
        variance: Tensor,
        bias: Tensor,
        noise: Tensor,
        weights: Tensor,
        neuron: Neuron,
        estimator: Estimator,
        floor: float,
    ) -> tuple[Tensor, Tensor]:
        bits, membranes, scales = (torch.empty_like(mean) for _ in range(3))
        u, v, var_u, cov, var_v, bit = (torch.zeros_like(mean[0]) for _ in range(6))
        forth, spread = weights.T, (1.0 - weights.square()).T
        cu, cv = neuron.keep_u, neuron.keep_v
        for step in range(len(mean)):
            u = _kept(u, cu) + torch.addmm(mean[step], bit, forth)
            v = membranes[step] = _kept(v, cv) + u + bias
            var_u = cu * cu * var_u + torch.addmm(variance[step], bit, spread)
            var_v = cv * cv * var_v + 2 * cv * cu * cov + var_u
            cov = cv * cu * cov + var_u
            scale = scales[step] = torch.sqrt(var_v + floor * floor)
            bit = bits[step] = (v + scale * noise[step] > neuron.vth).to(mean.dtype)
            if neuron.reset == "zero":
                silent = 1 - bit
                v, var_v, cov = v * silent, var_v * silent, cov * silent
            else:
                v = v - neuron.vth * bit
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(bits, membranes, scales, noise if estimator.uses_noise else None, weights)
        ctx.neuron, ctx.estimator = neuron, estimator
        return bits, membranes / scales

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor | None, to_ratio: Tensor | None) -> tuple[Tensor | None, ...]:
        bits, membranes, scales, noise, weights = ctx.saved_tensors
        neuron: Neuron = ctx.neuron
        ratio = (membranes - neuron.vth) / scales
        jacobian = ctx.estimator.unit_factor(ratio, bits, noise) / scales
        from_ratio = torch.zeros_like(bits) if to_ratio is None else to_ratio / scales
        from_bits = torch.zeros_like(bits) if to_bits is None else to_bits
        to_mean, to_v, to_variance = (torch.empty_like(bits) for _ in range(3))
        # What comes back from the step after: to its bits, and to its states before they decay.
        g_fed, g_u, g_v, g_var_u, g_cov, g_var_v = (torch.zeros_like(bits[0]) for _ in range(6))
        cu, cv = neuron.keep_u, neuron.keep_v
        for step in range(len(bits) - 1, -1, -1):
            v, scale, g_bit = membranes[step], scales[step], from_bits[step] + g_fed
            if neuron.reset == "zero":
                silent = 1 - bits[step]
                g_bit = g_bit - cv * g_v * v
                g_v, g_var_v, g_cov = g_v * silent, g_var_v * silent, g_cov * silent
            else:
                g_bit = g_bit - cv * neuron.vth * g_v
            through = g_bit * jacobian[step]
            # dL/ds of both results, and ds/dV = 1 / (2 s).
            g_scale = -(through * ratio[step] + from_ratio[step] * v / scale)
            g_v = to_v[step] = through + from_ratio[step] + cv * g_v
            g_cov = cv * cu * (g_cov + 2 * g_var_v)
            g_var_v = cv * cv * g_var_v + g_scale / (2 * scale)
            g_var_u = to_variance[step] = g_var_v + g_cov + cu * cu * g_var_u
            g_u = to_mean[step] = g_v + cu * g_u
            g_fed = g_u @ weights
        to_weights = torch.einsum("tbn,tbm->nm", to_mean[1:], bits[:-1])
        to_spread = torch.einsum("tbn,tbm->nm", to_variance[1:], bits[:-1])
        to_weights -= 2 * weights * to_spread
        return to_mean, to_variance, to_v.sum((0, 1)), None, to_weights, None, None, None


def noisy_recurrent_population(
    mean: Tensor,
    variance: Tensor,
    bias: Tensor,
    noise: Tensor,
    weights: Tensor,
    *,
    neuron: Neuron,
    estimator: Estimator,
    floor: float,
) -> tuple[Tensor, Tensor]:
    """Run a recurrent population with posterior noise.

    Args:
        mean: mean of the summed input from the population before, in weights, shape (steps, samples, neurons).
        variance: its variance, in weights squared, the same shape.
        bias: in weights, shape (neurons,).
        noise: eps, of standard deviation 1, as the estimator's noise draws it; the shape of `mean`.
        weights: means R of the recurrent weights, -1 to 1, shape (neurons, neurons): targets, sources.
        neuron: decays, threshold and reset.
        estimator: how gradients pass a bit.
        floor: standard deviation of the membrane's own noise, in weights, above 0.

    Returns:
        Bits b and ratios v / s before reset, the shape of `mean`; both carry gradients.
    """
    result = _RecurrentPopulation.apply(  # type: ignore[no-untyped-call]
        mean, variance, bias, noise, weights, neuron, estimator, floor
    )
    return cast(tuple[Tensor, Tensor], result)
