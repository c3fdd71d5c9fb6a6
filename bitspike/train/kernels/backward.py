"""The time loop of a noisy population, backward, compiled. The equations are those of :mod:`bitspike.train.dynamics`.

Arrays are contiguous; how the loops are laid out is told in :mod:`bitspike.train.kernels.shared`.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.compiled import compiled
from bitspike.train.kernels.arithmetic import (
    FAST,
    INVERSE_SQRT_TWO_PI,
    LOGISTIC,
    SQRT_HALF,
    exponential,
    load,
    scaled_tail,
    store,
)
from bitspike.train.kernels.shared import BLOCK, HALF, ONE, QUARTER_TURN, TWO, ZERO, add, silence


@njit(fastmath=FAST, error_model="numpy")
def _factors(  # noqa: PLR0917
    distance: Any, scale: Any, fired: Any, logistic: Any, alpha: Any, result: Any
) -> None:
    """Write J / s, J of :mod:`bitspike.train.estimators`; an alpha below 0 stands for p, plain straight-through."""
    if logistic:
        for n in range(len(result)):
            odds = exponential(-LOGISTIC * abs(distance[n]) / scale[n])
            tail = odds / (ONE + odds)
            expected = (fired[n] != 0) == (distance[n] > ZERO)
            share = alpha if fired[n] != 0 else ONE - alpha
            weighted = share * (tail if expected else ONE - tail)
            result[n] = LOGISTIC * (tail * (ONE - tail) if alpha < ZERO else weighted) / scale[n]
    elif alpha < ZERO:
        for n in range(len(result)):
            inverse = ONE / scale[n]
            ratio = distance[n] * inverse
            result[n] = exponential(-HALF * ratio * ratio) * (INVERSE_SQRT_TWO_PI * inverse)
    else:
        for n in range(len(result)):
            z = abs(distance[n]) * (SQRT_HALF / scale[n])
            bell, tail = exponential(-z * z), HALF * scaled_tail(z, ZERO)
            expected = (fired[n] != 0) == (distance[n] > ZERO)
            share = alpha if fired[n] != 0 else ONE - alpha
            hazard = bell / (ONE - tail * bell) if expected else ONE / tail
            result[n] = share * INVERSE_SQRT_TWO_PI * hazard / scale[n]


@njit(fastmath=FAST, error_model="numpy")
def _surrogate(distance: Any, scale: Any, slope: Any, result: Any) -> None:
    """Write h' / s of the arctangent of :mod:`bitspike.train.surrogates`."""
    for n in range(len(result)):
        inverse = ONE / scale[n]
        x = QUARTER_TURN * slope * distance[n] * inverse
        result[n] = HALF * slope * inverse / (ONE + x * x)


@njit(fastmath=FAST, error_model="numpy")
def _through(  # noqa: PLR0917
    above: Any, g_v: Any, distance: Any, cv: Any, vth: Any, zero: Any, factor: Any
) -> None:
    """Turn the factors into what comes through the bits; the reset is part of the path."""
    if zero:
        for n in range(len(factor)):
            factor[n] = (load(above, n) - cv * g_v[n] * (distance[n] + vth)) * factor[n]
    else:
        for n in range(len(factor)):
            factor[n] = (load(above, n) - cv * vth * g_v[n]) * factor[n]


@njit(fastmath=FAST, error_model="numpy")
def _to_variance(through: Any, distance: Any, scale: Any, half: Any) -> None:
    """Write dL/ds / (2 s) of what comes through the bits."""
    for n in range(len(half)):
        inverse = ONE / scale[n]
        half[n] = -HALF * through[n] * distance[n] * inverse * inverse


@njit(fastmath=FAST, error_model="numpy")
def _from_auxiliary(  # noqa: PLR0917
    distance: Any, scale: Any, vth: Any, factor: Any, through: Any, half: Any
) -> None:
    """Add the gradient of factor * (v / s)**2 to v, and to V."""
    for n in range(len(half)):
        inverse = ONE / scale[n]
        v = distance[n] + vth
        per_v = factor * v * inverse * inverse
        through[n] += TWO * per_v
        half[n] -= per_v * v * inverse * inverse


@njit(fastmath=FAST, error_model="numpy")
def _back_variances(  # noqa: PLR0917
    g_var_u: Any, g_cov: Any, g_var_v: Any, half: Any, fired: Any, cu: Any, cv: Any, zero: Any
) -> None:
    """Take the gradients of Vu, C and V one step back; `half` is what V of this step adds."""
    if zero:
        silence(g_var_v, fired)
        silence(g_cov, fired)
    for n in range(len(g_cov)):
        g_cov[n] = cv * cu * (g_cov[n] + TWO * g_var_v[n])
    add(g_var_v, cv * cv, half)
    if cu == ZERO:
        g_var_u[:] = g_var_v
        return
    for n in range(len(g_var_u)):
        g_var_u[n] = g_var_v[n] + g_cov[n] + cu * cu * g_var_u[n]


@njit(fastmath=FAST, error_model="numpy")
def _copy(values: Any, result: Any) -> None:
    for n in range(len(values)):
        store(result, n, values[n])


@njit(fastmath=FAST, error_model="numpy")
def _widen(values: Any, result: Any) -> None:
    for n in range(len(result)):
        result[n] = load(values, n)


@compiled(fastmath=FAST, error_model="numpy")
def backward(  # noqa: PLR0917
    to_bits: Any,
    to_auxiliary: Any,
    bits: Any,
    distances: Any,
    scales: Any,
    states: Any,
    decays: Any,
    flags: Any,
    alpha: Any,
    to_moments: Any,
    to_bias: Any,
    first: Any,
    last: Any,
) -> None:
    """Run samples `first` to `last` - 1 back through all steps.

    Args:
        to_bits: gradient of the bits, shape (steps, samples, neurons); float32, or uint16 for bfloat16.
        to_auxiliary: gradient of the auxiliary sum.
        states: gradients of u, v, Vu, C, V after the last step, shape (5, samples, neurons); carried on.
        bits, distances, scales, decays, flags: as in :func:`forward`.
        alpha: of the estimator; below 0 for p; without noise the slope of the arctangent.
        to_moments: result, the shape and kind of `moments`.
        to_bias: result, shape (samples, neurons), added to what is there.
        first, last: samples.
    """
    steps, _, neurons = bits.shape
    noisy = to_moments.shape[2] > neurons
    cu, cv, vth, _ = decays
    zero, logistic, silent, summed = flags
    scratch = np.empty((4, BLOCK), np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, BLOCK):
            end = min(neurons, begin + BLOCK)
            g_u, g_v = states[0, b, begin:end], states[1, b, begin:end]
            g_var_u, g_cov, g_var_v = states[2, b, begin:end], states[3, b, begin:end], states[4, b, begin:end]
            through, half = scratch[0, : end - begin], scratch[1, : end - begin]
            distance, scale = scratch[2, : end - begin], scratch[3, : end - begin]
            for t in range(steps - 1, -1, -1):
                fired = bits[t, b, begin:end]
                _widen(distances[t, b, begin:end], distance)
                _widen(scales[t, b, begin:end], scale)
                if silent:
                    _surrogate(distance, scale, alpha, through)
                else:
                    _factors(distance, scale, fired, logistic, alpha, through)
                _through(to_bits[t, b, begin:end], g_v, distance, cv, vth, zero, through)
                _to_variance(through, distance, scale, half)
                if summed:
                    _from_auxiliary(distance, scale, vth, to_auxiliary, through, half)
                if zero:
                    silence(g_v, fired)
                add(g_v, cv, through)
                add(to_bias[b, begin:end], ONE, g_v)
                add(g_u, cu, g_v)
                _copy(g_u, to_moments[t, b, begin:end])
                if noisy:
                    _back_variances(g_var_u, g_cov, g_var_v, half, fired, cu, cv, zero)
                    _copy(g_var_u, to_moments[t, b, neurons + begin : neurons + end])
