"""The time loop of a population without noise whose surrogate has one width, forward and backward, compiled.

The equations are those of :mod:`bitspike.train.dynamics` without variances: s is the floor. The sign of the distance
from the threshold tells a bit, so that only the distance is kept. How the loops are laid out is told in
:mod:`bitspike.train.kernels.shared`.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.compiled import compiled
from bitspike.train.kernels.arithmetic import FAST, load, store
from bitspike.train.kernels.shared import BLOCK, HALF, ONE, PER_UNIT, QUARTER_TURN, UNITS, ZERO, add


@njit(fastmath=FAST, error_model="numpy")
def _kept(state: Any, keep: Any) -> None:
    """Multiply a state by `keep`, on the lattice; without decay nothing is truncated."""
    if keep == ONE:
        return
    scaled = keep * UNITS
    for n in range(len(state)):
        state[n] = np.trunc(state[n] * scaled) * PER_UNIT


@njit(fastmath=FAST, error_model="numpy")
def _add_all(v: Any, more: Any, bias: Any) -> None:
    for n in range(len(v)):
        v[n] = v[n] + load(more, n) + bias[n]


@njit(fastmath=FAST, error_model="numpy")
def _decide(v: Any, vth: Any, one: Any, fired: Any, distance: Any) -> None:
    """Write the distances from the threshold and the bits."""
    off = fired.dtype.type(0)
    for n in range(len(v)):
        store(distance, n, v[n] - vth)
        fired[n] = one if v[n] > vth else off


@njit(fastmath=FAST, error_model="numpy")
def _reset(v: Any, vth: Any, zero: Any) -> None:
    if zero:
        for n in range(len(v)):
            v[n] = ZERO if v[n] > vth else v[n]
    else:
        for n in range(len(v)):
            v[n] = v[n] - vth if v[n] > vth else v[n]


@compiled(fastmath=FAST, error_model="numpy")
def forward(  # noqa: PLR0917
    means: Any, bias: Any, decays: Any, zero: Any, bits: Any, distances: Any, first: Any, last: Any
) -> None:
    """Run samples `first` to `last` - 1 through all steps.

    Args:
        means: of the summed input, shape (steps, samples, neurons); float32, or uint16 for bfloat16.
        bias: shape (neurons,).
        decays: cu, cv, threshold, and a number that is not read.
        zero: whether a spike resets to zero; else by subtraction.
        bits: result, shape (steps, samples, neurons), as uint32 or uint16 that are a float's bits.
        distances: result, v - vth before reset, of the kind of `means`.
        first, last: samples.
    """
    steps, _, neurons = bits.shape
    cu, cv, vth, _ = decays
    one = bits.dtype.type(0x3F80 if bits.itemsize == 2 else 0x3F800000)
    state, none = np.empty((2, BLOCK), np.float32), np.zeros(BLOCK, np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, BLOCK):
            end = min(neurons, begin + BLOCK)
            u, v = state[0, : end - begin], state[1, : end - begin]
            u[:] = ZERO
            v[:] = ZERO
            for t in range(steps):
                more = means[t, b, begin:end]
                _kept(v, cv)
                if cu == ZERO:
                    _add_all(v, more, bias[begin:end])
                else:
                    _kept(u, cu)
                    _add_all(u, more, none)
                    _add_all(v, u, bias[begin:end])
                _decide(v, vth, one, bits[t, b, begin:end], distances[t, b, begin:end])
                _reset(v, vth, zero)


@njit(fastmath=FAST, error_model="numpy")
def _through(  # noqa: PLR0917
    above: Any, g_v: Any, distance: Any, steepness: Any, peak: Any, cv: Any, vth: Any, zero: Any, result: Any
) -> None:
    """Write what comes through the bits, and through a reset to zero or by subtraction; see the estimator's h'."""
    if zero:
        for n in range(len(result)):
            x = steepness * distance[n]
            to_bit = load(above, n) - cv * g_v[n] * (distance[n] + vth)
            result[n] = to_bit * (peak / (ONE + x * x))
    else:
        for n in range(len(result)):
            x = steepness * distance[n]
            result[n] = (load(above, n) - cv * vth * g_v[n]) * (peak / (ONE + x * x))


@njit(fastmath=FAST, error_model="numpy")
def _back(g_v: Any, distance: Any, cv: Any, zero: Any, through: Any) -> None:
    """Take the gradient of v one step back."""
    if zero:
        for n in range(len(g_v)):
            g_v[n] = (ZERO if distance[n] > ZERO else cv * g_v[n]) + through[n]
    else:
        for n in range(len(g_v)):
            g_v[n] = cv * g_v[n] + through[n]


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
    distances: Any,
    decays: Any,
    zero: Any,
    slope: Any,
    floor: Any,
    to_means: Any,
    to_bias: Any,
    first: Any,
    last: Any,
) -> None:
    """Run samples `first` to `last` - 1 back through all steps.

    Args:
        to_bits: gradient of the bits, shape (steps, samples, neurons); float32, or uint16 for bfloat16.
        distances, decays, zero: as in :func:`forward`.
        slope: of the arctangent.
        floor: s.
        to_means: result, the shape and kind of `distances`.
        to_bias: result, shape (samples, neurons), added to what is there.
        first, last: samples.
    """
    steps, _, neurons = distances.shape
    cu, cv, vth, _ = decays
    steepness, peak = QUARTER_TURN * slope / floor, HALF * slope / floor
    scratch = np.empty((4, BLOCK), np.float32)
    for b in range(first, last):
        for begin in range(0, neurons, BLOCK):
            end = min(neurons, begin + BLOCK)
            g_u, g_v = scratch[0, : end - begin], scratch[1, : end - begin]
            through, distance = scratch[2, : end - begin], scratch[3, : end - begin]
            bias = to_bias[b, begin:end]
            g_u[:] = ZERO
            g_v[:] = ZERO
            for t in range(steps - 1, -1, -1):
                _widen(distances[t, b, begin:end], distance)
                _through(to_bits[t, b, begin:end], g_v, distance, steepness, peak, cv, vth, zero, through)
                _back(g_v, distance, cv, zero, through)
                add(bias, ONE, g_v)
                if cu == ZERO:
                    _copy(g_v, to_means[t, b, begin:end])
                else:
                    add(g_u, cu, g_v)
                    _copy(g_u, to_means[t, b, begin:end])
