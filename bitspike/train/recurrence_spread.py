"""A recurrent population as it is trained, for weights whose variances do not follow from their means.

The equations of :mod:`bitspike.train.recurrence` with the variances S of the recurrent weights R given:

    a[t] = mean[t] + R @ b[t-1]
    A[t] = variance[t] + S @ b[t-1]**2                    no gradient to b[t-1]

Written step by step with torch's own derivatives, so it is slower; weights of -1 and +1 do not need it.
"""

import torch
from torch import Tensor

from bitspike.train.dynamics import lattice, straight_through
from bitspike.train.estimators import Estimator, noisy_bit
from bitspike.train.registers import Neuron


def _kept(state: Tensor, fraction: float) -> Tensor:
    """Return lattice(state * fraction), straight through; without decay nothing is truncated."""
    return state if fraction == 1 else straight_through(state * fraction, lattice(state * fraction))


def noisy_spread_population(
    mean: Tensor,
    variance: Tensor,
    bias: Tensor,
    noise: Tensor,
    weights: Tensor,
    *,
    spread: Tensor | None,
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
        weights: means R of the recurrent weights, shape (neurons, neurons): targets, sources.
        spread: their variances S, the same shape, or (1, neurons) where all targets share them; None for no noise.
        neuron: decays, threshold and reset.
        estimator: how gradients pass a bit.
        floor: standard deviation of the membrane's own noise, in weights, above 0.

    Returns:
        Bits b and ratios v / s before reset, the shape of `mean`; both carry gradients.
    """
    cu, cv, unit = neuron.keep_u, neuron.keep_v, estimator.noise.deviation
    u = v = var_u = cov = var_v = bit = torch.zeros_like(mean[0])
    bits, ratios = [], []
    for a, var_a, eps in zip(mean, variance, noise, strict=True):
        u = _kept(u, cu) + a + bit @ weights.T
        v = _kept(v, cv) + u + bias
        fed = var_a if spread is None else var_a + bit.detach().square() @ spread.T
        var_u = cu * cu * var_u + fed
        var_v = cv * cv * var_v + 2 * cv * cu * cov + var_u
        cov = cv * cu * cov + var_u
        scale = torch.sqrt(var_v + floor * floor)
        bit = noisy_bit(v - neuron.vth, scale / unit, eps * unit, estimator)
        bits.append(bit)
        ratios.append(v / scale)
        if neuron.reset == "zero":
            silent = 1 - bit.detach()
            v, var_v, cov = v * (1 - bit), var_v * silent, cov * silent
        else:
            v = v - neuron.vth * bit
    return torch.stack(bits), torch.stack(ratios)
