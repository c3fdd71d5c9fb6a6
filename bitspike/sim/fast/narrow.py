"""Neurons in 16 bits: the states of 32 in a vector, where they fit, and whether they did.

A membrane may need 24 bits, but seldom has them. Here currents and membranes are 16 bits wide, additions stop at the
ends of the range instead of wrapping, and the largest and smallest numbers that were seen say afterwards whether any
came so far that it could have been stopped. Then the sample is run again by the wide kernel: no value is ever rounded.

In 16 bits, ``sign(x) * (|x| * keep >> 12)`` is the upper half of the product ``|x| * (keep << 4)``.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_model

from bitspike.compiled import compiled
from bitspike.sim.fast.lanes import (
    BYTE,
    INT,
    SHORT,
    Vector,
    VectorModel,
    comparison,
    everywhere,
    loader,
    operation,
    replacement,
    splat,
    spreader,
    storer,
)
from bitspike.sim.fast.vectors import store_bytes, zero_bits

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


def _shrink(context, state, keep):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, keep = arguments
        sign = builder.ashr(state, everywhere(_SHORTS.form, 15))
        size = builder.sub(builder.xor(state, sign), sign)
        half = _called(builder, "umul.fix", [size, keep, ir.Constant(INT, 16)])
        return builder.sub(builder.xor(half, sign), sign)

    return _SHORTS(state, keep), generate


def _scaled(context, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.shl(arguments[0], everywhere(_SHORTS.form, 6))

    return _SHORTS(inputs), generate


def _multiplied(context, numbers, factor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        numbers, factor = arguments
        return builder.mul(numbers, splat(builder, _SHORTS.form, factor))

    return _SHORTS(numbers, factor), generate


def _called(builder: Any, name: str, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions on vectors."""
    kind = ir.FunctionType(_SHORTS.form, [argument.type for argument in arguments])
    function: Any = cgutils.get_or_insert_function
    return builder.call(function(builder.module, kind, f"llvm.{name}.v{LANES}i16"), arguments)


def _added(builder: Any, one: Any, other: Any) -> Any:
    return _called(builder, "sadd.sat", [one, other])


def _larger(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.icmp_signed(">", one, other), one, other)


def _smaller(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.icmp_signed("<", one, other), one, other)


_load_shorts: Any = loader(_SHORTS, SHORT, 2)
_load_sums: Any = loader(_SHORTS, BYTE, 1, widen=True)
_store_shorts: Any = storer(_SHORTS, 2)
_everywhere_shorts: Any = spreader(_SHORTS)
_decay: Any = intrinsic(_shrink)
_charged: Any = intrinsic(_scaled)
_times: Any = intrinsic(_multiplied)
_add: Any = operation(_SHORTS, _added)
_minus: Any = operation(_SHORTS, lambda builder, one, other: builder.sub(one, other))
_higher: Any = operation(_SHORTS, _larger)
_lower: Any = operation(_SHORTS, _smaller)
_above: Any = comparison(types.uint32, INT)
_after: Any = replacement(_SHORTS)


@compiled
def narrow_bias(bias: Any, narrow: Any) -> Any:
    """Copy biases to 16 bits; return the largest distance from 0, or -1 where one does not fit."""
    most = 0
    for n in range(len(bias)):
        most = max(most, abs(bias[n]))
        narrow[n] = np.int16(bias[n])
    return most if most <= HIGHEST else -1


@compiled
def begin(u: Any, v: Any, small: Any) -> Any:
    """Copy the states of a sample to 16 bits; return whether they fit and 16 bits are to be tried at all."""
    _, most, currents, membranes, seen = small
    if most < 0:
        return False
    outside = False
    for n in range(len(v)):
        outside |= abs(u[n]) > HIGHEST
        outside |= abs(v[n]) > HIGHEST
        currents[n], membranes[n] = np.int16(u[n]), np.int16(v[n])
    seen[:] = 0
    return not outside


@compiled(forceinline=True)
def step(inputs: Any, sums: Any, span: Any, bits: Any, to: Any, clear: Any, small: Any, settings: Any) -> None:  # noqa: PLR0917
    """Run one step, and note the largest and the smallest numbers.

    Arrays are whole and flat, and places in them are told: a view of an array costs more than a vector of neurons.

    Args:
        inputs: int16.
        sums: of a sliding window: int8, their factor, and whether they are the inputs, instead of `inputs`; they are
            cleared then.
        span: where the inputs of the step begin, their rows, the places from one row to the next, and the neurons of a
            row, in whole columns.
        bits: result, uint32: spikes, the lowest neuron first, from place `to` on.
        clear: whether the step begins with cleared states.
        small: biases, int16; the largest distance of one from 0; currents and membranes, int16; room for four vectors.
        settings: as in :func:`bitspike.sim.fast.neurons.binary`.
    """
    keep_u, keep_v, threshold, zero, _, _ = settings
    bias, _, currents, membranes, seen = small
    frame, factor, summed = sums
    first, rows, down, width = span
    if clear:
        for neuron in range(len(bias)):
            currents[neuron] = 0
            membranes[neuron] = 0
    limit = _everywhere_shorts(np.int16(min(threshold, HIGHEST)))
    nothing = _everywhere_shorts(np.int16(0))
    decay_u = _everywhere_shorts(np.int16(keep_u << 4))
    decay_v = _everywhere_shorts(np.int16(keep_v << 4))
    high, low = _load_shorts(seen, 0), _load_shorts(seen, LANES)
    most, least = _load_shorts(seen, 2 * LANES), _load_shorts(seen, 3 * LANES)
    word = np.uint64(0)
    for row in range(rows):
        begin = np.uint64(first + row * down)
        for column in range(np.uint64(0), np.uint64(width), np.uint64(LANES)):
            n = np.uint64(LANES) * word
            if summed:
                given = _times(_load_sums(frame, begin + column), np.int16(factor))
                store_bytes(frame, begin + column, zero_bits())
            else:
                given = _load_shorts(inputs, begin + column)
            most, least = _higher(most, given), _lower(least, given)
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
            bits[np.uint64(to) + word] = _above(membrane, limit)
            _store_shorts(membranes, n, _after(membrane, limit, nothing if zero else _minus(membrane, limit)))
            word += np.uint64(1)
    _store_shorts(seen, 0, high)
    _store_shorts(seen, LANES, low)
    _store_shorts(seen, 2 * LANES, most)
    _store_shorts(seen, 3 * LANES, least)


@compiled
def end(u: Any, v: Any, small: Any, settings: Any) -> Any:
    """Carry the states on, if 16 bits held all states and inputs since :func:`begin`; return whether they did."""
    _, most, currents, membranes, seen = small
    for lane in range(LANES):
        far = seen[lane] >= HIGHEST - most or seen[LANES + lane] <= most - HIGHEST - 1
        if far or seen[2 * LANES + lane] > _INPUT or seen[3 * LANES + lane] < -_INPUT:
            return False
    v[:] = membranes
    if settings[0]:
        u[:] = currents
    return True
