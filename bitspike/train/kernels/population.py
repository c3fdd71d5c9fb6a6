"""The time loop of a noisy population, forward and backward, compiled. The equations are those of
:mod:`bitspike.train.dynamics`.

Samples and neurons do not depend on each other, so that a block of neurons of one sample goes through all steps while
its state stays in the cache. Each step is a row of short loops over few arrays: a compiler gives up vector lanes where
many arrays might overlap. Arrays are contiguous; `moments` has shape (steps, samples, 2 * neurons), means first and
then variances, or (steps, samples, neurons) where the input has no variance.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.train.kernels.arithmetic import (
    FAST,
    INVERSE_SQRT_TWO_PI,
    LOGISTIC,
    SQRT_HALF,
    exponential,
    hashed_uniform,
    load,
    scaled_tail,
    store,
)

_BLOCK = 512
"""Neurons that go through time together."""
_UNITS, _PER_UNIT = np.float32(64.0), np.float32(1.0 / 64.0)
_QUARTER_TURN = np.float32(np.pi / 2)
_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))


@njit(fastmath=FAST, error_model="numpy")
def _tails(membrane: Any, scale: Any, vth: Any, logistic: Any, tails: Any) -> None:
    """Write the probability of the less likely bit, the noise of standard deviation 1."""
    if logistic:
        for n in range(len(tails)):
            odds = exponential(-LOGISTIC * abs(membrane[n] - vth) / scale[n])
            tails[n] = odds / (_ONE + odds)
    else:
        for n in range(len(tails)):
            z = abs(membrane[n] - vth) * (SQRT_HALF / scale[n])
            tails[n] = _HALF * scaled_tail(z, -z * z)


@njit(fastmath=FAST, error_model="numpy")
def _step(membrane: Any, vth: Any, one: Any, fired: Any) -> None:
    """Write the bits without noise."""
    off = fired.dtype.type(0)
    for n in range(len(fired)):
        fired[n] = one if membrane[n] > vth else off


@njit(fastmath=FAST, error_model="numpy")
def _fire(membrane: Any, tails: Any, vth: Any, at: Any, keys: Any, one: Any, fired: Any) -> None:  # noqa: PLR0917
    """Write the bits: the likely one, but for a surprise."""
    key, other, off = keys[0], keys[1], fired.dtype.type(0)
    for n in range(len(fired)):
        surprise = hashed_uniform(at + n, key, other) < tails[n]
        fired[n] = one if (membrane[n] > vth) != surprise else off


@njit(fastmath=FAST, error_model="numpy")
def _integrate(state: Any, keep: Any, more: Any, result: Any) -> None:
    """Write lattice(state * keep) + more; without decay nothing is truncated."""
    if keep == _ZERO:
        for n in range(len(result)):
            result[n] = load(more, n)
    elif keep < _ONE:
        scaled = keep * _UNITS
        for n in range(len(result)):
            result[n] = np.trunc(state[n] * scaled) * _PER_UNIT + load(more, n)
    else:
        for n in range(len(result)):
            result[n] = state[n] + load(more, n)


@njit(fastmath=FAST, error_model="numpy")
def _add(state: Any, keep: Any, more: Any) -> None:
    """Multiply a state by `keep` and add."""
    for n in range(len(state)):
        state[n] = keep * state[n] + load(more, n)


@njit(fastmath=FAST, error_model="numpy")
def _silence(state: Any, fired: Any) -> None:
    """Clear the state of the neurons that fired."""
    for n in range(len(state)):
        state[n] = _ZERO if fired[n] != 0 else state[n]


@njit(fastmath=FAST, error_model="numpy")
def _variances(var_u: Any, cov: Any, var_v: Any, cu: Any, cv: Any) -> None:
    """Take V and C one step on, from the new Vu."""
    if cu == _ZERO:
        _add(var_v, cv * cv, var_u)
        return
    for n in range(len(var_v)):
        var_v[n] = cv * cv * var_v[n] + _TWO * cv * cu * cov[n] + var_u[n]
    _add(cov, cv * cu, var_u)


@njit(fastmath=FAST, error_model="numpy")
def _deviations(var_v: Any, floor2: Any, scale: Any) -> None:
    for n in range(len(scale)):
        scale[n] = np.sqrt(var_v[n] + floor2)


@njit(fastmath=True, error_model="numpy")
def _squares(membrane: Any, scale: Any) -> Any:
    """Return the sum of (v / s)**2."""
    total = _ZERO
    for n in range(len(scale)):
        ratio = membrane[n] / scale[n]
        total += ratio * ratio
    return total


@njit(fastmath=FAST, error_model="numpy")
def _reset(membrane: Any, fired: Any, zero: Any, vth: Any, v: Any) -> None:
    """Write the membrane after the reset."""
    for n in range(len(v)):
        v[n] = membrane[n] if fired[n] == 0 else (_ZERO if zero else membrane[n] - vth)


@njit(fastmath=FAST, error_model="numpy")
def _narrow(values: Any, less: Any, result: Any) -> None:
    """Write the values, less a number, in the kind of the result."""
    for n in range(len(values)):
        store(result, n, values[n] - less)


@njit(fastmath=FAST, error_model="numpy")
def _widen(values: Any, result: Any) -> None:
    for n in range(len(result)):
        result[n] = load(values, n)


@njit(cache=True, fastmath=FAST, error_model="numpy", nogil=True)
def forward(  # noqa: PLR0917
    moments: Any,
    bias: Any,
    states: Any,
    keys: Any,
    place: Any,
    decays: Any,
    flags: Any,
    bits: Any,
    distances: Any,
    scales: Any,
    auxiliary: Any,
    first: Any,
    last: Any,
) -> None:
    """Run samples `first` to `last` - 1 through all steps.

    Args:
        moments: see the module's docstring; float32, or uint16 for bfloat16.
        bias: shape (neurons,).
        states: u, v, and the variances and the covariance Vu, C, V, shape (5, samples, neurons); carried on.
        keys: two words of the noise.
        place: numbers of the first step and of sample 0 among those that share the keys, and how many samples do.
        decays: cu, cv, threshold and floor**2.
        flags: reset to zero; logistic noise; no noise; whether to sum the auxiliary loss.
        bits: result, shape (steps, samples, neurons), as uint32 or uint16 that are a float's bits.
        distances, scales: results, v - vth before reset and s, of the kind of `moments`.
        auxiliary: result, the sum of (v / s)**2 of each sample, added to what is there; float64.
        first, last: samples.
    """
    steps, _, neurons = bits.shape
    noisy = moments.shape[2] > neurons
    cu, cv, vth, floor2 = decays
    zero, logistic, silent, summed = flags
    step, sample, batch = place
    one = bits.dtype.type(0x3F80 if bits.itemsize == 2 else 0x3F800000)
    scratch = np.empty((3, _BLOCK), np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, _BLOCK):
            end = min(neurons, begin + _BLOCK)
            u, v = states[0, b, begin:end], states[1, b, begin:end]
            var_u, cov, var_v = states[2, b, begin:end], states[3, b, begin:end], states[4, b, begin:end]
            tails, membrane, scale = scratch[0, : end - begin], scratch[1, : end - begin], scratch[2, : end - begin]
            for t in range(steps):
                fired = bits[t, b, begin:end]
                _integrate(u, cu, moments[t, b, begin:end], u)
                _integrate(v, cv, u, membrane)
                _add(membrane, _ONE, bias[begin:end])
                if noisy:
                    _add(var_u, cu * cu, moments[t, b, neurons + begin : neurons + end])
                    _variances(var_u, cov, var_v, cu, cv)
                _deviations(var_v, floor2, scale)
                if silent:
                    _step(membrane, vth, one, fired)
                else:
                    _tails(membrane, scale, vth, logistic, tails)
                    _fire(membrane, tails, vth, ((step + t) * batch + sample + b) * neurons + begin, keys, one, fired)
                if summed:
                    auxiliary[b] += _squares(membrane, scale)
                _narrow(membrane, vth, distances[t, b, begin:end])
                _narrow(scale, _ZERO, scales[t, b, begin:end])
                _reset(membrane, fired, zero, vth, v)
                if noisy and zero:
                    _silence(var_v, fired)
                    _silence(cov, fired)


@njit(fastmath=FAST, error_model="numpy")
def _factors(  # noqa: PLR0917
    distance: Any, scale: Any, fired: Any, logistic: Any, alpha: Any, result: Any
) -> None:
    """Write J / s, J of :mod:`bitspike.train.estimators`; an alpha below 0 stands for p, plain straight-through."""
    if logistic:
        for n in range(len(result)):
            odds = exponential(-LOGISTIC * abs(distance[n]) / scale[n])
            tail = odds / (_ONE + odds)
            expected = (fired[n] != 0) == (distance[n] > _ZERO)
            share = alpha if fired[n] != 0 else _ONE - alpha
            weighted = share * (tail if expected else _ONE - tail)
            result[n] = LOGISTIC * (tail * (_ONE - tail) if alpha < _ZERO else weighted) / scale[n]
    elif alpha < _ZERO:
        for n in range(len(result)):
            inverse = _ONE / scale[n]
            ratio = distance[n] * inverse
            result[n] = exponential(-_HALF * ratio * ratio) * (INVERSE_SQRT_TWO_PI * inverse)
    else:
        for n in range(len(result)):
            z = abs(distance[n]) * (SQRT_HALF / scale[n])
            bell, tail = exponential(-z * z), _HALF * scaled_tail(z, _ZERO)
            expected = (fired[n] != 0) == (distance[n] > _ZERO)
            share = alpha if fired[n] != 0 else _ONE - alpha
            hazard = bell / (_ONE - tail * bell) if expected else _ONE / tail
            result[n] = share * INVERSE_SQRT_TWO_PI * hazard / scale[n]


@njit(fastmath=FAST, error_model="numpy")
def _surrogate(distance: Any, scale: Any, slope: Any, result: Any) -> None:
    """Write h' / s of the arctangent of :mod:`bitspike.train.surrogates`."""
    for n in range(len(result)):
        inverse = _ONE / scale[n]
        x = _QUARTER_TURN * slope * distance[n] * inverse
        result[n] = _HALF * slope * inverse / (_ONE + x * x)


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
        inverse = _ONE / scale[n]
        half[n] = -_HALF * through[n] * distance[n] * inverse * inverse


@njit(fastmath=FAST, error_model="numpy")
def _from_auxiliary(  # noqa: PLR0917
    distance: Any, scale: Any, vth: Any, factor: Any, through: Any, half: Any
) -> None:
    """Add the gradient of factor * (v / s)**2 to v, and to V."""
    for n in range(len(half)):
        inverse = _ONE / scale[n]
        v = distance[n] + vth
        per_v = factor * v * inverse * inverse
        through[n] += _TWO * per_v
        half[n] -= per_v * v * inverse * inverse


@njit(fastmath=FAST, error_model="numpy")
def _back_variances(g_var_u: Any, g_cov: Any, g_var_v: Any, cu: Any) -> None:
    """Take the gradients of Vu and C one step back, once that of V is; the last decays are still to come."""
    if cu == _ZERO:
        g_var_u[:] = g_var_v
        return
    for n in range(len(g_var_u)):
        g_var_u[n] = g_var_v[n] + g_cov[n] + cu * cu * g_var_u[n]


@njit(fastmath=FAST, error_model="numpy")
def _copy(values: Any, result: Any) -> None:
    for n in range(len(values)):
        store(result, n, values[n])


@njit(cache=True, fastmath=FAST, error_model="numpy", nogil=True)
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
        bits, distances, scales: as :func:`forward` gave them.
        states: gradients of u, v, Vu, C, V after the last step, shape (5, samples, neurons); carried on.
        decays, flags: as in :func:`forward`.
        alpha: of the estimator; below 0 for p; without noise the slope of the arctangent.
        to_moments: result, the shape and kind of `moments`.
        to_bias: result, shape (samples, neurons), added to what is there.
        first, last: samples.
    """
    steps, _, neurons = bits.shape
    noisy = to_moments.shape[2] > neurons
    cu, cv, vth, _ = decays
    zero, logistic, silent, summed = flags
    scratch = np.empty((4, _BLOCK), np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, _BLOCK):
            end = min(neurons, begin + _BLOCK)
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
                    _silence(g_v, fired)
                _add(g_v, cv, through)
                _add(to_bias[b, begin:end], _ONE, g_v)
                _add(g_u, cu, g_v)
                _copy(g_u, to_moments[t, b, begin:end])
                if noisy:
                    if zero:
                        _silence(g_var_v, fired)
                        _silence(g_cov, fired)
                    for n in range(end - begin):
                        g_cov[n] = cv * cu * (g_cov[n] + _TWO * g_var_v[n])
                    _add(g_var_v, cv * cv, half)
                    _back_variances(g_var_u, g_cov, g_var_v, cu)
                    _copy(g_var_u, to_moments[t, b, neurons + begin : neurons + end])
