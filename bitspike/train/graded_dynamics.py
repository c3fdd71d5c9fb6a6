r"""Neurons that send graded spikes, as they are trained.

The equations of :mod:`bitspike.train.dynamics`; a spike carries the membrane that passed the threshold. What passes it
is the membrane of one network of the posterior, n = v + s * eps, so that is what is sent (ReverB-SNN, arXiv 2506.07720,
on the chip's lattice, with the posterior's noise):

    n[t] = v[t] + s[t] * eps[t]
    b[t] = 1[n[t] > vth]
    O[t] = b[t] * floor(n[t] / 2**shift)              1 or more where b = 1, since vth is 2**shift or more

As a function of n, O is a jump of floor(vth / 2**shift) at the threshold and stairs of height 1 above it, one every
2**shift weights. Where the noise is wide enough for the stairs to be even, floor(x) is x - 1/2 on average, which is a
jump of h = vth / 2**shift - 1/2 and a slope. With F the distribution of eps and r = (v - vth) / s, that is

    d E[O] / dv = h * F'(r) / s + P(b = 1) / 2**shift
    d E[O] / ds = -r * h * F'(r) / s + E[eps * b] / 2**shift

The jump is a drawn bit of height h: its share is the estimator's, with J, whatever that is, in place of F'(r). The
slope goes straight through the floor, and along the path of the noise, where the neuron fired:

    dO/dv = h * J / s + b / 2**shift
    dO/ds = -r * h * J / s + eps * b / 2**shift

The second terms are ReverB-SNN's gradient, 1 where the neuron fired; the first are the spike's own, times what a neuron
sends that barely fires. The payload that was sent, in place of h, would count the slope twice. The reset is that of a
binary spike, and so is its gradient.

The loop over time is plain autograd. Shapes are (steps, samples, neurons).
"""

import torch
from torch import Tensor

from bitspike.train.dynamics import lattice, straight_through
from bitspike.train.estimators import Estimator, noisy_bit
from bitspike.train.registers import Neuron


def noisy_graded_population(
    mean: Tensor, variance: Tensor, bias: Tensor, noise: Tensor, *, neuron: Neuron, estimator: Estimator, floor: float
) -> tuple[Tensor, Tensor]:
    """Run a population of graded spikes with posterior noise.

    Args and ratios are those of :func:`bitspike.train.dynamics.noisy_population`; in place of the bits payloads O are
    returned, whole numbers, in 2**shift weights.
    """
    cu, cv, unit = neuron.keep_u, neuron.keep_v, estimator.noise.deviation
    u = v = var_u = cov = var_v = torch.zeros_like(mean[0])
    sent, ratios = [], []
    for a, var_a, eps in zip(mean.unbind(), variance.unbind(), noise.unbind(), strict=True):
        u = _kept(u, cu) + a
        v = _kept(v, cv) + u + bias
        var_u = cu * cu * var_u + var_a
        var_v = cv * cv * var_v + 2 * cv * cu * cov + var_u
        cov = cv * cu * cov + var_u
        scale = torch.sqrt(var_v + floor * floor)
        bit = noisy_bit(v - neuron.vth, scale / unit, eps * unit, estimator)
        sent.append(payload(v + scale * eps, bit, neuron))
        ratios.append(v / scale)
        if neuron.reset == "zero":
            fired = bit.detach()
            v, var_v, cov = v * (1 - bit), var_v * (1 - fired), cov * (1 - fired)
        else:
            v = v - neuron.vth * bit
    return torch.stack(sent), torch.stack(ratios)


def payload(membrane: Tensor, bit: Tensor, neuron: Neuron) -> Tensor:
    """Return what is sent: 0 where the bit is 0, else floor(membrane / 2**shift), with the gradients of the docstring.

    Args:
        membrane: n, in weights, above the threshold, but for rounding, where the bit is 1.
        bit: 0 or 1, with the estimator's gradient.
        neuron: threshold and shift.
    """
    unit = 1 << neuron.shift
    scaled = membrane / unit
    # Rounding can leave a membrane that fired at the threshold, or just below it.
    floored = torch.floor(scaled).clamp(min=neuron.vth // unit)
    jump = neuron.vth / unit - 0.5
    return bit.detach() * straight_through(scaled, floored) + jump * (bit - bit.detach())


def _kept(state: Tensor, fraction: float) -> Tensor:
    """Return what a step keeps of a state, on the lattice, with a straight-through gradient."""
    if fraction == 0:
        return torch.zeros_like(state)
    return state if fraction == 1 else straight_through(state * fraction, lattice(state * fraction))
