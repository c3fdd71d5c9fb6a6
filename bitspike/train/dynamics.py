"""The chip's neuron as it is trained: noise from the posterior, gradients through time.

One population over all steps (arXiv 2505.17962, with the chip's decays in place of beta), in weights:

    u[t] = lattice(u[t-1] * cu) + a[t]                    cu = (4096 - du) / 4096
    v[t] = lattice(v[t-1] * cv) + u[t] + bias             cv = (4096 - dv) / 4096
    z[t] = v[t] - vth,  s[t] = sqrt(V[t] + floor**2)      V: variance of v, below
    b[t] = 1[z[t] + s[t] * eps[t] > 0]                    backward: the estimator's factor
    v[t] = 0 where b[t], or v[t] - vth * b[t]

lattice() truncates toward zero to multiples of 1/64 and passes gradients straight through; without decay nothing is
truncated. With independent noise of variance A[t] in each step's input, the variances of u and v and their covariance
follow the decays exactly:

    Vu[t] = cu**2 * Vu[t-1] + A[t]
    C[t]  = cv * cu * C[t-1] + Vu[t]
    V[t]  = cv**2 * V[t-1] + 2 * cv * cu * C[t-1] + Vu[t]

which is V[t] = cv**2 * V[t-1] + A[t] without current memory. A reset to zero also clears V and C, since the membrane of
every network of the posterior is then 0; a reset by subtraction leaves them.

The whole loop over time is one autograd function, so that it can be made faster without touching a layer.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from bitspike.train.estimators import Estimator
from bitspike.train.registers import UNITS, Neuron

_BLOCK = 1 << 16
"""Numbers of each tensor that are handled together where steps do not depend on each other: they stay in the cache."""


def lattice(values: Tensor) -> Tensor:
    """Truncate toward zero to multiples of 1/64; exact, since 64 is a power of two."""
    return torch.trunc(values * UNITS) / UNITS


def straight_through(values: Tensor, moved: Tensor) -> Tensor:
    """Return `moved`, with the gradient that `values` would have had."""
    return values + (moved - values).detach()


def _decayed_plus(state: Tensor, fraction: float, more: Tensor, out: Tensor) -> Tensor:
    """Write lattice(state * fraction) + more to `out`; the state is used up. Without decay nothing is truncated."""
    if fraction == 1:
        return torch.add(state, more, out=out)
    return torch.add(more, state.mul_(fraction * UNITS).trunc_(), alpha=1 / UNITS, out=out)


def _cleared(state: Tensor, bit: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the state where the bit is 0, and 0 where it is 1."""
    return torch.addcmul(state, state, bit, value=-1, out=out)


def _kept(state: Tensor, fraction: float) -> Tensor:
    """Return what a step keeps of a state, on the lattice, with a straight-through gradient."""
    return state if fraction == 1 else straight_through(state * fraction, lattice(state * fraction))


class _Population(torch.autograd.Function):
    """The time loop of a noisy population; see the module's docstring. Shapes are (steps, samples, neurons)."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        mean: Tensor,
        variance: Tensor,
        bias: Tensor,
        noise: Tensor,
        neuron: Neuron,
        estimator: Estimator,
        floor: float,
    ) -> tuple[Tensor, Tensor]:
        bits, membranes, scales, ratios = (torch.empty_like(mean) for _ in range(4))
        u, v, var_u, cov, var_v, noisy = (torch.zeros_like(mean[0]) for _ in range(6))
        cu, cv = neuron.keep_u, neuron.keep_v
        inputs = zip(mean.unbind(), variance.unbind(), noise.unbind(), strict=True)
        results = zip(bits.unbind(), membranes.unbind(), scales.unbind(), ratios.unbind(), strict=True)
        for (a, var_a, eps), (bit, membrane, scale, ratio) in zip(inputs, results, strict=True):
            u = a if cu == 0 else _decayed_plus(u, cu, a, out=u)
            _decayed_plus(v, cv, u, out=membrane).add_(bias)
            var_u = var_a if cu == 0 else torch.add(var_a, var_u, alpha=cu * cu, out=var_u)
            torch.add(var_u, var_v, alpha=cv * cv, out=var_v)
            if cu != 0:
                var_v.add_(cov, alpha=2 * cv * cu)
                torch.add(var_u, cov, alpha=cv * cu, out=cov)
            torch.add(var_v, floor * floor, out=scale).sqrt_()
            torch.gt(torch.addcmul(membrane, scale, eps, out=noisy), neuron.vth, out=bit)
            torch.div(membrane, scale, out=ratio)
            if neuron.reset == "zero":
                _cleared(membrane, bit, out=v)
                _cleared(var_v, bit, out=var_v)
                if cu != 0:
                    _cleared(cov, bit, out=cov)
            else:
                torch.sub(membrane, bit, alpha=neuron.vth, out=v)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(bits, membranes, scales, noise if estimator.uses_noise else None)
        ctx.neuron, ctx.estimator = neuron, estimator
        return bits, ratios

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor | None, to_ratio: Tensor | None) -> tuple[Tensor | None, ...]:
        bits, membranes, _, _ = ctx.saved_tensors
        neuron: Neuron = ctx.neuron
        to_v, to_variance = torch.empty_like(bits), torch.empty_like(bits)
        to_u = to_v if neuron.keep_u == 0 else torch.empty_like(bits)
        # What comes back from the step after, not yet multiplied by the decays.
        g_u, g_v, g_var_u, g_cov, g_var_v = (torch.zeros_like(bits[0]) for _ in range(5))
        cu, cv = neuron.keep_u, neuron.keep_v
        for step, jacobian, per_variance, from_ratio, ratio_variance in _factors(ctx, to_ratio):
            bit, g_bit = bits[step], torch.zeros_like(g_v) if to_bits is None else to_bits[step]
            if neuron.reset == "zero":
                g_bit = torch.addcmul(g_bit, g_v, membranes[step], value=-cv)
                g_v, g_var_v = _cleared(g_v, bit), _cleared(g_var_v, bit)
                g_cov = _cleared(g_cov, bit) if cu != 0 else g_cov
            else:
                g_bit = torch.sub(g_bit, g_v, alpha=cv * neuron.vth)
            through = g_bit.mul_(jacobian)
            g_v = torch.add(through, g_v, alpha=cv, out=to_v[step])
            g_var_v = torch.addcmul(g_var_v * (cv * cv), through, per_variance, out=to_variance[step])
            if from_ratio is not None and ratio_variance is not None:
                g_v.add_(from_ratio)
                g_var_v.add_(ratio_variance)
            if cu != 0:
                g_u = torch.add(g_v, g_u, alpha=cu, out=to_u[step])
                g_now = g_var_v + g_cov
                g_cov = cv * cu * (g_cov + 2 * g_var_v)
                g_var_v = g_var_v.clone()
                g_var_u = torch.add(g_now, g_var_u, alpha=cu * cu, out=to_variance[step])
        return to_u, to_variance, to_v.sum((0, 1)), None, None, None, None


class _WithinSteps(_Population):
    """The same time loop, whose gradients stay within a step: what a step finds of u, v, V and C counts as given.

    With e[t] for what the membrane kept, b[t] = 1[a[t] + e[t] + bias + s[t] * eps[t] > vth] is then one pass of a
    network of binary activations with the noise e[t] (the self-ensemble view of arXiv 2508.12609).
    """

    @staticmethod
    def backward(ctx: Any, to_bits: Tensor | None, to_ratio: Tensor | None) -> tuple[Tensor | None, ...]:
        bits, _, _, _ = ctx.saved_tensors
        to_v, to_variance = torch.zeros_like(bits), torch.zeros_like(bits)
        for step, jacobian, per_variance, from_ratio, ratio_variance in _factors(ctx, to_ratio):
            if to_bits is not None:
                torch.mul(to_bits[step], jacobian, out=to_v[step])
                torch.mul(to_v[step], per_variance, out=to_variance[step])
            if from_ratio is not None and ratio_variance is not None:
                to_v[step] += from_ratio
                to_variance[step] += ratio_variance
        return to_v, to_variance, to_v.sum((0, 1)), None, None, None, None


def _factors(ctx: Any, to_ratio: Tensor | None) -> Iterator[tuple[int, Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Yield what does not depend on later steps, last step first, a few steps at a time so that it stays in the cache.

    Each is the step, db/dz, dz/dV times its share of the bit, and what to_ratio gives v and V, or None.
    """
    bits, membranes, scales, noise = ctx.saved_tensors
    size = max(1, _BLOCK // max(1, bits[0].numel()))
    for stop in range(len(bits), 0, -size):
        rows = slice(max(0, stop - size), stop)
        scale = scales[rows]
        ratio = torch.sub(membranes[rows], ctx.neuron.vth).div_(scale)
        jacobian = ctx.estimator.unit_factor(ratio, bits[rows], None if noise is None else noise[rows]) / scale
        per_variance = ratio.div_(scale).mul_(-0.5)
        from_ratio = None if to_ratio is None else to_ratio[rows] / scale
        per_ratio = None if from_ratio is None else from_ratio * membranes[rows] / scale.square() * -0.5
        for step in range(rows.stop - 1, rows.start - 1, -1):
            at = step - rows.start
            shares = (None, None) if from_ratio is None or per_ratio is None else (from_ratio[at], per_ratio[at])
            yield step, jacobian[at], per_variance[at], *shares


def noisy_population(
    mean: Tensor,
    variance: Tensor,
    bias: Tensor,
    noise: Tensor,
    *,
    neuron: Neuron,
    estimator: Estimator,
    floor: float,
    through_time: bool = True,
) -> tuple[Tensor, Tensor]:
    """Run a population with posterior noise.

    Args:
        mean: mean a of the summed input in weights, shape (steps, samples, neurons).
        variance: its variance A, in weights squared, the same shape.
        bias: in weights, shape (neurons,).
        noise: eps, of standard deviation 1, as the estimator's noise draws it; the shape of `mean`.
        neuron: decays, threshold and reset.
        estimator: how gradients pass a bit.
        floor: standard deviation of the membrane's own noise, in weights, above 0.
        through_time: whether gradients also go to the inputs of the steps before.

    Returns:
        Bits b and ratios v / s before reset, the shape of `mean`; both carry gradients.
    """
    loop = _Population if through_time else _WithinSteps
    result = loop.apply(mean, variance, bias, noise, neuron, estimator, floor)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], result)


def membrane(mean: Tensor, bias: Tensor, neuron: Neuron) -> Tensor:
    """Run a population that cannot spike, without noise; return v in weights, the shape of `mean`."""
    u = v = torch.zeros_like(mean[0])
    states = []
    for a in mean:
        u = a if neuron.keep_u == 0 else _kept(u, neuron.keep_u) + a
        v = _kept(v, neuron.keep_v) + u + bias
        states.append(v)
    return torch.stack(states)


def impulse_response(neuron: Neuron, steps: int) -> list[float]:
    """Return what an input of one weight adds to the membrane 0, 1, ... `steps` - 1 steps later, decays untruncated."""
    u, v = 1.0, 1.0
    response = [v]
    for _ in range(steps - 1):
        u *= neuron.keep_u
        v = v * neuron.keep_v + u
        response.append(v)
    return response
