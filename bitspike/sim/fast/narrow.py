"""Neurons in 16 bits: the states of 32 in a vector, where they fit, and whether they did.

A membrane may need 24 bits, but seldom has them. Here currents and membranes are 16 bits wide, additions stop at the
ends of the range instead of wrapping, and the largest and smallest numbers that were seen say afterwards whether any
came so far that it could have been stopped. Then the sample is run again by the wide kernel: no value is ever rounded.

In 16 bits, ``sign(x) * (|x| * keep >> 12)`` is the upper half of the product ``|x| * (keep << 4)``.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, register_model

from bitspike.sim.fast.lanes import INT, SHORT, Vector, VectorModel, everywhere, loader, operation, splat, storer

LANES = 32
"""Neurons in a vector."""
HIGHEST = 32767
"""The largest number of 16 bits; the smallest is one farther from 0."""
_INPUT = 511
#: A summed input that stays within 16 bits when it is multiplied by 64.


class _Shorts(Vector):
    def __init__(self) -> None:
        super().__init__("Shorts", SHORT, LANES)


register_model(_Shorts)(VectorModel)
_SHORTS = _Shorts()


def _all(context, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return splat(builder, _SHORTS.form, arguments[0])

    return _SHORTS(number), generate


def _shrink(context, state, keep):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, keep = arguments
        sign = builder.ashr(state, everywhere(_SHORTS.form, 15))
        size = builder.sub(builder.xor(state, sign), sign)
        kind = ir.FunctionType(state.type, [state.type, state.type, INT])
        multiply = cgutils.get_or_insert_function(builder.module, kind, f"llvm.umul.fix.v{LANES}i16")
        half = builder.call(multiply, [size, keep, ir.Constant(INT, 16)])
        return builder.sub(builder.xor(half, sign), sign)

    return _SHORTS(state, keep), generate


def _scaled(context, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.shl(arguments[0], everywhere(_SHORTS.form, 6))

    return _SHORTS(inputs), generate


def _added(builder: Any, one: Any, other: Any) -> Any:
    form = _SHORTS.form
    kind = ir.FunctionType(form, [form, form])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sadd.sat.v{LANES}i16"), [one, other])


def _larger(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.icmp_signed(">", one, other), one, other)


def _smaller(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.icmp_signed("<", one, other), one, other)


def _over(context, state, limit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(builder.icmp_signed(">", *arguments), INT)

    return types.uint32(state, limit), generate


def _reset(context, state, limit, left):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, limit, left = arguments
        return builder.select(builder.icmp_signed(">", state, limit), left, state)

    return _SHORTS(state, limit, left), generate


_load_shorts: Any = loader(_SHORTS, SHORT, 2)
_store_shorts: Any = storer(_SHORTS, 2)
_everywhere_shorts: Any = intrinsic(_all)
_decay: Any = intrinsic(_shrink)
_charged: Any = intrinsic(_scaled)
_add: Any = operation(_SHORTS, _added)
_minus: Any = operation(_SHORTS, lambda builder, one, other: builder.sub(one, other))
_higher: Any = operation(_SHORTS, _larger)
_lower: Any = operation(_SHORTS, _smaller)
_above: Any = intrinsic(_over)
_after: Any = intrinsic(_reset)


@njit(cache=True, nogil=True)
def narrow_bias(bias: Any, narrow: Any) -> Any:
    """Copy biases to 16 bits; return the largest distance from 0, or -1 where one does not fit."""
    most = 0
    for n in range(len(bias)):
        most = max(most, abs(bias[n]))
        narrow[n] = np.int16(bias[n])
    return most if most <= HIGHEST else -1


@njit(cache=True, nogil=True)
def _fits(state: Any, narrow: Any) -> Any:
    outside = False
    for n in range(len(state)):
        outside |= abs(state[n]) > HIGHEST
        narrow[n] = np.int16(state[n])
    return not outside


@njit(cache=True, nogil=True)
def run_narrow(  # noqa: PLR0917
    inputs: Any, u: Any, v: Any, bias: Any, most: Any, room: Any, settings: Any, steps: Any, fired: Any
) -> Any:
    """Run the neurons of one sample through some steps, if 16 bits hold all their states.

    Args:
        inputs: shape (steps, neurons in whole columns), int16.
        u, v: states, int32; carried on where the result is true, and else as they were.
        bias: int16.
        most: the largest distance of a bias from 0.
        room: for the states, shape (2, neurons), int16.
        settings, steps: as in :func:`bitspike.sim.fast.neurons.binary`.
        fired: result, shape (lead + steps, neurons / 32), uint32: bits, the lowest first.

    Returns:
        Whether all states and inputs fitted.
    """
    keep_u, keep_v, threshold, zero, start, lead = settings
    currents, membranes = room[0], room[1]
    if not (_fits(u, currents) and _fits(v, membranes)):
        return False
    limit = _everywhere_shorts(np.int16(min(threshold, HIGHEST)))
    nothing = _everywhere_shorts(np.int16(0))
    decay_u = _everywhere_shorts(np.int16(keep_u << 4))
    decay_v = _everywhere_shorts(np.int16(keep_v << 4))
    high, low, most_in, least_in = nothing, nothing, nothing, nothing
    for step in range(steps[0], steps[1]):
        if step == start:
            currents[:] = 0
            membranes[:] = 0
        row, bits = inputs[step], fired[lead + step]
        for word in range(np.uint64(len(v) // LANES)):
            n = np.uint64(LANES) * word
            given = _load_shorts(row, n)
            most_in, least_in = _higher(most_in, given), _lower(least_in, given)
            current = _charged(given)
            if keep_u:
                old = _load_shorts(currents, n)
                current = _add(current, old if keep_u == 4096 else _decay(old, decay_u))
                _store_shorts(currents, n, current)
                high, low = _higher(high, current), _lower(low, current)
            membrane = _load_shorts(membranes, n)
            if keep_v != 4096:
                membrane = _decay(membrane, decay_v)
            membrane = _add(_add(membrane, current), _load_shorts(bias, n))
            high, low = _higher(high, membrane), _lower(low, membrane)
            bits[word] = _above(membrane, limit)
            _store_shorts(membranes, n, _after(membrane, limit, nothing if zero else _minus(membrane, limit)))
    far = _everywhere_shorts(np.int16(HIGHEST - most - 1))
    deep = _everywhere_shorts(np.int16(most - HIGHEST))
    most_scaled, least_scaled = _everywhere_shorts(np.int16(_INPUT)), _everywhere_shorts(np.int16(-_INPUT))
    stopped = _above(high, far) | _above(deep, low) | _above(most_in, most_scaled) | _above(least_scaled, least_in)
    if stopped:
        return False
    v[:] = membranes
    if keep_u:
        u[:] = currents
    return True
