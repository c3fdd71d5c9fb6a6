"""Arithmetic of the compiled kernels in single precision, written so that a compiler can use vector lanes.

None of these functions calls a library: the exponential and the error function are polynomials, and random numbers are
a hash of their place. Numba inlines them into the loops of :mod:`bitspike.train.kernels.shared`. 32-bit words go by
names of their own, since Numba's sums and products of them are 64 bits wide.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

SQRT_HALF = np.float32(0.7071067811865476)
INVERSE_SQRT_TWO_PI = np.float32(0.3989422804014327)
#: Standard deviation of standard logistic noise, pi / sqrt(3).
LOGISTIC = np.float32(1.8137993642342178)

_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_LEAST_EXPONENT = np.float32(-87.0)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
#: Taylor coefficients of the exponential, 1 / 2! to 1 / 6!, for +-ln(2) / 2.
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720))
#: log(erfcx(z) / t) with t = 1 / (1 + z / 2), a Chebyshev fit on 0 < t <= 1: z of 0 and more.
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7 = (
    np.float32(value)
    for value in (
        -1.265509297195766,
        0.9996045787918693,
        0.3840898444604851,
        0.004035713612850385,
        0.2482906393882875,
        -0.8729041482263772,
        0.668515160850562,
        -0.16612211189883375,
    )
)
_WORD = np.uint32
#: What the compiler may change: fuse products with sums, forget the sign of zero and NaN. It may not turn products with
#: a reciprocal into divisions, which are slow, nor reorder sums.
FAST = {"contract", "nsz", "nnan"}


@njit(inline="always", fastmath=FAST, error_model="numpy")
def exponential(x: Any) -> Any:
    """Return e**x for x of at most 88; e**-87 below -87. Relative error at most 4e-7."""
    x = max(x, _LEAST_EXPONENT)
    whole = np.floor(x * _LOG2_E + _HALF)
    rest = x - whole * _LN2_HIGH - whole * _LN2_LOW
    tail = rest * rest * (_E2 + rest * (_E3 + rest * (_E4 + rest * (_E5 + rest * _E6))))
    return (_ONE + rest + tail) * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@njit(inline="always", fastmath=FAST, error_model="numpy")
def scaled_tail(z: Any, exponent: Any) -> Any:
    """Return e**(z * z + exponent) * erfc(z) for z of 0 and more: erfcx(z) with an exponent of 0, erfc(z) with -z * z.

    Relative error at most 2e-5.
    """
    t = _ONE / (_ONE + _HALF * z)
    high = _C4 + t * (_C5 + t * (_C6 + t * _C7))
    return t * exponential(_C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * high))) + exponent)


@njit(inline="always", fastmath=FAST, error_model="numpy")
def hashed_uniform(place: Any, key: Any, other: Any) -> Any:
    """Return a number in 0 to 1 that is a function of a place below 2**32 and of two keys.

    Two rounds of multiplication and shifts, in the manner of integer hashes with full avalanche; what it must be good
    for, and is tested for, is that neighbouring places and keys look independent.
    """
    word = _WORD(_WORD(place) ^ key)
    word = _WORD(_WORD(word ^ (word >> _WORD(16))) * _WORD(0x7FEB352D))
    word = _WORD(_WORD(word ^ (word >> _WORD(15))) * _WORD(0x846CA68B))
    word = _WORD((word ^ (word >> _WORD(16))) + other)
    word = _WORD(_WORD(word ^ (word >> _WORD(17))) * _WORD(0xED5AD4BB))
    word = _WORD(_WORD(word ^ (word >> _WORD(11))) * _WORD(0xAC4C1B51))
    word = _WORD(word ^ (word >> _WORD(15)))
    return (np.float32(np.int32(word >> _WORD(8))) + _HALF) * np.float32(2.0**-24)


def load(array: Any, place: Any) -> Any:
    """Return a number of an array of float32, or of uint16 that holds bfloat16, as float32."""
    raise NotImplementedError


@overload(load, inline="always")
def _load(array, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    if array.dtype == types.uint16:
        return lambda array, place: np.uint32(np.uint32(array[place]) << np.uint32(16)).view(np.float32)
    return lambda array, place: array[place]


def store(array: Any, place: Any, value: Any) -> None:
    """Write a float32 to an array of float32, or rounded to nearest to one of uint16 that holds bfloat16."""
    raise NotImplementedError


@overload(store, inline="always")
def _store(array, place, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    if array.dtype == types.uint16:

        def narrow(array, place, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            word = np.float32(value).view(np.uint32)
            even = np.uint32((word >> np.uint32(16)) & np.uint32(1))
            array[place] = np.uint16(np.uint32(word + np.uint32(0x7FFF) + even) >> np.uint32(16))

        return narrow

    def plain(array, place, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        array[place] = value

    return plain
