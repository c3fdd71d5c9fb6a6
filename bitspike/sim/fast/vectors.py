"""Vectors of integers in registers, for the compiled loops of the fast engine: bits, and states.

256 bits are one for each of 256 neurons; sixteen 32-bit integers are the states of 16 neurons.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_model

from bitspike.sim.fast.lanes import (
    BYTE,
    COLUMN,
    INT,
    QUAD,
    SHORT,
    Vector,
    VectorModel,
    at,
    comparison,
    everywhere,
    loader,
    operation,
    replacement,
    splat,
    spreader,
    storer,
)

BITS = 256
"""Neurons in a vector of bits."""
LANES = 16
"""Neurons in a vector of states."""


class _Bits(Vector):
    def __init__(self) -> None:
        super().__init__("Bits", QUAD, BITS // 64)


class _States(Vector):
    def __init__(self) -> None:
        super().__init__("States", INT, LANES)


register_model(_Bits)(VectorModel)
register_model(_States)(VectorModel)
_BITS, _STATES = _Bits(), _States()


def _zero(context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return ir.Constant(_BITS.form, None)

    return _BITS(), generate


def _crossed(context, one, other, shift, mask):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        one, other, shift, mask = arguments
        moved = builder.lshr(one, splat(builder, _BITS.form, shift))
        return builder.and_(builder.xor(moved, other), splat(builder, _BITS.form, mask))

    return _BITS(one, other, shift, mask), generate


def _raised(context, bits, shift):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        bits, shift = arguments
        return builder.shl(bits, splat(builder, _BITS.form, shift))

    return _BITS(bits, shift), generate


def _decay(context, state, keep):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, keep = arguments
        form = _STATES.form
        factor, twelve = splat(builder, form, keep), everywhere(form, 12)
        sign = builder.ashr(state, everywhere(form, 31))
        size = builder.sub(builder.xor(state, sign), sign)
        high = builder.mul(builder.lshr(size, twelve), factor)
        low = builder.lshr(builder.mul(builder.and_(size, everywhere(form, 4095)), factor), twelve)
        return builder.sub(builder.xor(builder.add(high, low), sign), sign)

    return _STATES(state, keep), generate


def _charge(context, state, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, inputs = arguments
        return builder.add(state, builder.shl(inputs, everywhere(_STATES.form, 6)))

    return _STATES(state, inputs), generate


def _trailing_zeros(context, word):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _byte_bits(context, array, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        form = ir.VectorType(BYTE, COLUMN)
        array, place = arguments
        found = builder.load(at(context, builder, signature.args[0], array, place, form), align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(form, None)), INT)

    return types.uint32(array, place), generate


def _list_word(context, word, base, places, to):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, base, places, to = arguments
        numbers, mask = ir.VectorType(BYTE, 64), ir.VectorType(ir.IntType(1), 64)
        some = ir.VectorType(INT, LANES)
        function: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(numbers, [numbers, numbers, mask])
        pack = function(builder.module, kind, "llvm.x86.avx512.mask.compress.v64i8")
        every = ir.Constant(numbers, list(range(64)))
        packed = builder.call(pack, [every, ir.Constant(numbers, None), builder.bitcast(word, mask)])
        found, end = builder.ctpop(word), builder.append_basic_block("listed")
        for first in range(0, 64, LANES):
            order = ir.Constant(ir.VectorType(INT, LANES), list(range(first, first + LANES)))
            part = builder.zext(builder.shuffle_vector(packed, packed, order), some)
            where = builder.add(to, ir.Constant(QUAD, first))
            place = at(context, builder, signature.args[2], places, where, some)
            builder.store(builder.add(part, splat(builder, some, base)), place, align=4)
            more = builder.append_basic_block(f"from{first + LANES}")
            builder.cbranch(builder.icmp_unsigned(">", found, ir.Constant(QUAD, first + LANES)), more, end)
            builder.position_at_end(more)
        builder.branch(end)
        builder.position_at_end(end)
        return found

    return types.uint64(word, base, places, to), generate


def _ones(context, word):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


load_bits: Any = loader(_BITS, QUAD, 8)
"""load_bits(array, place): a vector of bits from a place of a uint64 array."""
zero_bits: Any = intrinsic(_zero)
"""zero_bits(): no bit set."""
both: Any = operation(_BITS, lambda builder, one, other: builder.and_(one, other))
"""both(one, other): the bits that both have."""
either: Any = operation(_BITS, lambda builder, one, other: builder.or_(one, other))
"""either(one, other): the bits that one has at least."""
unlike: Any = operation(_BITS, lambda builder, one, other: builder.xor(one, other))
"""unlike(one, other): the bits in which they differ."""
crossed: Any = intrinsic(_crossed)
"""crossed(one, other, shift, mask): the bits of `mask` in which `other` and `one`, moved down by `shift`, differ."""
raised: Any = intrinsic(_raised)
"""raised(bits, shift): moved up by `shift`."""
load_bytes: Any = loader(_BITS, QUAD, 1)
"""load_bytes(array, place): 32 bytes from a place of an int8 array, as a vector of bits."""
store_bytes: Any = storer(_BITS, 1)
"""store_bytes(array, place, vector)."""
load_states: Any = loader(_STATES, INT, 4)
"""load_states(array, place): sixteen int32."""
load_inputs: Any = loader(_STATES, SHORT, 2, widen=True)
"""load_inputs(array, place): sixteen int16, as int32."""
store_states: Any = storer(_STATES, 4)
"""store_states(array, place, vector)."""
all_states: Any = spreader(_STATES)
"""all_states(number): the int32 in all lanes."""
decay: Any = intrinsic(_decay)
"""decay(state, keep): ``sign(x) * (|x| * keep >> 12)`` in 32 bits, for keep in 0..4096.

That is ``(|x| >> 12) * keep + ((|x| & 4095) * keep >> 12)``, which no state of 24 bits leaves."""
charge: Any = intrinsic(_charge)
"""charge(state, inputs): ``state + (inputs << 6)``."""
plus: Any = operation(_STATES, lambda builder, one, other: builder.add(one, other))
"""plus(one, other): the sums."""
minus: Any = operation(_STATES, lambda builder, one, other: builder.sub(one, other))
"""minus(one, other): the differences."""
above: Any = comparison(types.uint16, SHORT)
"""above(state, threshold): one bit for each lane that is greater, in a uint16."""
after: Any = replacement(_STATES)
"""after(state, threshold, left): `left` in the lanes that are greater, `state` in the others."""
trailing_zeros: Any = intrinsic(_trailing_zeros)
"""trailing_zeros(word): the place of the lowest 1 of a uint64."""
ones: Any = intrinsic(_ones)
"""ones(word): how many bits of a uint64 are 1."""
list_word: Any = intrinsic(_list_word)
"""list_word(word, base, places, to): write ``base`` plus the place of each 1 of a uint64, int32, from place `to` on;
return how many there are. Sixteen places more may be written. Only where
:func:`~bitspike.sim.fast.processor.packs_bytes` holds."""
byte_bits: Any = intrinsic(_byte_bits)
"""byte_bits(array, place): which of 32 bytes are not 0, a bit for each in a uint32, the first the lowest."""
