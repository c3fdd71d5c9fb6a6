"""The time loop of a noisy population, forward, compiled. The equations are those of :mod:`bitspike.train.dynamics`.

Arrays are contiguous; how the loops are laid out is told in :mod:`bitspike.train.kernels.shared`.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.compiled import compiled
from bitspike.train.kernels.arithmetic import (
    FAST,
    LOGISTIC,
    SQRT_HALF,
    exponential,
    hashed_uniform,
    load,
    scaled_tail,
    store,
)
from bitspike.train.kernels.shared import BLOCK, HALF, ONE, PER_UNIT, TWO, UNITS, ZERO, add, silence


@njit(fastmath=FAST, error_model="numpy")
def _tails(membrane: Any, scale: Any, vth: Any, logistic: Any, tails: Any) -> None:
    """Write the probability of the less likely bit, the noise of standard deviation 1."""
    if logistic:
        for n in range(len(tails)):
            odds = exponential(-LOGISTIC * abs(membrane[n] - vth) / scale[n])
            tails[n] = odds / (ONE + odds)
    else:
        for n in range(len(tails)):
            z = abs(membrane[n] - vth) * (SQRT_HALF / scale[n])
            tails[n] = HALF * scaled_tail(z, -z * z)


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
    if keep == ZERO:
        for n in range(len(result)):
            result[n] = load(more, n)
    elif keep < ONE:
        scaled = keep * UNITS
        for n in range(len(result)):
            result[n] = np.trunc(state[n] * scaled) * PER_UNIT + load(more, n)
    else:
        for n in range(len(result)):
            result[n] = state[n] + load(more, n)


@njit(fastmath=FAST, error_model="numpy")
def _variances(var_u: Any, cov: Any, var_v: Any, cu: Any, cv: Any) -> None:
    """Take V and C one step on, from the new Vu."""
    if cu == ZERO:
        add(var_v, cv * cv, var_u)
        return
    for n in range(len(var_v)):
        var_v[n] = cv * cv * var_v[n] + TWO * cv * cu * cov[n] + var_u[n]
    add(cov, cv * cu, var_u)


@njit(fastmath=FAST, error_model="numpy")
def _deviations(var_v: Any, floor2: Any, scale: Any) -> None:
    for n in range(len(scale)):
        scale[n] = np.sqrt(var_v[n] + floor2)


@njit(fastmath=True, error_model="numpy")
def _squares(membrane: Any, scale: Any) -> Any:
    """Return the sum of (v / s)**2."""
    total = ZERO
    for n in range(len(scale)):
        ratio = membrane[n] / scale[n]
        total += ratio * ratio
    return total


@njit(fastmath=FAST, error_model="numpy")
def _decide(  # noqa: PLR0917
    membrane: Any,
    scale: Any,
    vth: Any,
    logistic: Any,
    silent: Any,
    tails: Any,
    at: Any,
    keys: Any,
    one: Any,
    fired: Any,
) -> None:
    """Write the bits, by noise or without."""
    if silent:
        _step(membrane, vth, one, fired)
    else:
        _tails(membrane, scale, vth, logistic, tails)
        _fire(membrane, tails, vth, at, keys, one, fired)


@njit(fastmath=FAST, error_model="numpy")
def _reset(  # noqa: PLR0917
    membrane: Any, fired: Any, zero: Any, vth: Any, v: Any, var_v: Any, cov: Any
) -> None:
    """Write the membrane after the reset; one to zero also clears its variances."""
    for n in range(len(v)):
        v[n] = membrane[n] if fired[n] == 0 else (ZERO if zero else membrane[n] - vth)
    if zero:
        silence(var_v, fired)
        silence(cov, fired)


@njit(fastmath=FAST, error_model="numpy")
def _narrow(values: Any, less: Any, result: Any) -> None:
    """Write the values, less a number, in the kind of the result."""
    for n in range(len(values)):
        store(result, n, values[n] - less)


@compiled(fastmath=FAST, error_model="numpy")
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
        moments: means first and then variances, shape (steps, samples, 2 * neurons), or means alone; float32, or
            uint16 for bfloat16.
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
    scratch = np.empty((3, BLOCK), np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, BLOCK):
            end = min(neurons, begin + BLOCK)
            u, v = states[0, b, begin:end], states[1, b, begin:end]
            var_u, cov, var_v = states[2, b, begin:end], states[3, b, begin:end], states[4, b, begin:end]
            tails, membrane, scale = scratch[0, : end - begin], scratch[1, : end - begin], scratch[2, : end - begin]
            for t in range(steps):
                fired = bits[t, b, begin:end]
                _integrate(u, cu, moments[t, b, begin:end], u)
                _integrate(v, cv, u, membrane)
                add(membrane, ONE, bias[begin:end])
                if noisy:
                    add(var_u, cu * cu, moments[t, b, neurons + begin : neurons + end])
                    _variances(var_u, cov, var_v, cu, cv)
                _deviations(var_v, floor2, scale)
                at = ((step + t) * batch + sample + b) * neurons + begin
                _decide(membrane, scale, vth, logistic, silent, tails, at, keys, one, fired)
                if summed:
                    auxiliary[b] += _squares(membrane, scale)
                _narrow(membrane, vth, distances[t, b, begin:end])
                _narrow(scale, ZERO, scales[t, b, begin:end])
                _reset(membrane, fired, zero, vth, v, var_v, cov)
