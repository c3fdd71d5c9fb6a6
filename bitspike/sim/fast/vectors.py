"""Vectors of integers in registers, for the compiled loops of the fast engine.

Numba has no type for a vector, and a compiler that must prove that arrays do not overlap gives up where there are many.
These are two types with the operations that the loops need: 256 bits, one for each of 256 neurons, and sixteen 32-bit
integers, the states of 16 neurons. LLVM splits them where a processor's registers are narrower, so that the same code
runs everywhere. Places are not checked: the caller's arrays are padded to whole vectors.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

BITS = 256
"""Neurons in a vector of bits."""
LANES = 16
"""Neurons in a vector of states."""
COLUMN = 32
"""Neurons of which one bit in each byte of a vector of bits tells."""

_QUAD, _INT, _SHORT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.IntType(8)


class _Vector(types.Type):
    """The type of a vector in compiled code."""

    def __init__(self, name: str, element: Any, count: int) -> None:
        super().__init__(name=name)
        self.element, self.count = element, count
        self.form = ir.VectorType(element, count)


class _Bits(_Vector):
    def __init__(self) -> None:
        super().__init__("Bits", _QUAD, BITS // 64)


class _States(_Vector):
    def __init__(self) -> None:
        super().__init__("States", _INT, LANES)


@register_model(_Bits)
@register_model(_States)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.form)  # type: ignore[no-untyped-call]


_BITS, _STATES = _Bits(), _States()


def _splat(builder: Any, form: Any, value: Any) -> Any:
    """Return a vector that has `value` in every lane."""
    first = builder.insert_element(ir.Constant(form, ir.Undefined), value, ir.Constant(_INT, 0))
    order = ir.Constant(ir.VectorType(_INT, form.count), [0] * form.count)
    return builder.shuffle_vector(first, ir.Constant(form, ir.Undefined), order)


def _everywhere(form: Any, value: int) -> Any:
    return ir.Constant(form, [value] * form.count)


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, form: Any) -> Any:  # noqa: PLR0917
    """Return a pointer to a vector at a place of a contiguous array of one dimension."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), form.as_pointer())


def _load(kind: _Vector, memory: Any, align: int, widen: bool = False) -> Any:
    """Return load(array, place): a vector of `kind`; elements of `memory` may be narrower, with a sign."""
    form = ir.VectorType(memory, kind.count)

    def load(context, array, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place = arguments
            found = builder.load(_at(context, builder, signature.args[0], array, place, form), align=align)
            return builder.sext(found, kind.form) if widen else found

        return kind(array, place), generate

    return intrinsic(load)


def _store(kind: _Vector, align: int) -> Any:
    """Return store(array, place, vector)."""

    def store(context, array, place, vector):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place, value = arguments
            builder.store(value, _at(context, builder, signature.args[0], array, place, kind.form), align=align)
            return context.get_dummy_value()

        return types.void(array, place, vector), generate

    return intrinsic(store)


def _both(kind: _Vector, emit: Callable[[Any, Any, Any], Any]) -> Any:
    """Return an operation of two vectors, lane by lane."""

    def both(context, one, other):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return emit(builder, *arguments)

        return kind(one, other), generate

    return intrinsic(both)


def _zero(context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return ir.Constant(_BITS.form, None)

    return _BITS(), generate


def _crossed(context, one, other, shift, mask):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        one, other, shift, mask = arguments
        moved = builder.lshr(one, _splat(builder, _BITS.form, shift))
        return builder.and_(builder.xor(moved, other), _splat(builder, _BITS.form, mask))

    return _BITS(one, other, shift, mask), generate


def _raised(context, bits, shift):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        bits, shift = arguments
        return builder.shl(bits, _splat(builder, _BITS.form, shift))

    return _BITS(bits, shift), generate


def _write_bytes(added: bool, signed: bool) -> Any:
    """Return the operation that adds scaled bytes to what lies there, or writes them over it."""

    def write(context, array, place, numbers, factor, offset):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place, numbers, factor, offset = arguments
            shorts = ir.VectorType(_SHORT, COLUMN)
            narrow = builder.bitcast(numbers, ir.VectorType(_BYTE, COLUMN))
            wide = builder.sext(narrow, shorts) if signed else builder.zext(narrow, shorts)
            scaled = builder.mul(wide, _splat(builder, shorts, factor))
            scaled = builder.add(scaled, _splat(builder, shorts, offset))
            where = _at(context, builder, signature.args[0], array, place, shorts)
            if added:
                scaled = builder.add(builder.load(where, align=2), scaled)
            builder.store(scaled, where, align=2)
            return context.get_dummy_value()

        return types.void(array, place, numbers, factor, offset), generate

    return intrinsic(write)


def _add_bytes(context, array, place, weights, start):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, weights, start = arguments
        form = ir.VectorType(_BYTE, COLUMN)
        where = _at(context, builder, signature.args[0], array, place, form)
        row = builder.load(_at(context, builder, signature.args[2], weights, start, form), align=1)
        builder.store(builder.add(builder.load(where, align=1), row), where, align=1)
        return context.get_dummy_value()

    return types.void(array, place, weights, start), generate


def _write_turned(added: bool) -> Any:
    """Return the operation that turns sixteen rows of sixteen int16 over, and adds or writes the columns.

    A round interleaves vectors i and i + 8: the place of a number, its row's four bits and then its column's, is turned
    by one bit, and after four rounds rows have become columns.
    """

    def write(context, sums, start, array, place, pitch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, start, array, place, pitch = arguments
            form = ir.VectorType(_SHORT, LANES)
            half = LANES // 2
            rows = []
            for row in range(LANES):
                at = builder.add(start, ir.Constant(start.type, BITS * row))
                rows.append(builder.load(_at(context, builder, signature.args[0], sums, at, form), align=2))
            for _ in range(4):
                pairs = [(rows[i], rows[i + half]) for i in range(half)]
                rows = [
                    builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT, LANES), order))
                    for one, other in pairs
                    for order in ([i // 2 + i % 2 * LANES + first for i in range(LANES)] for first in (0, half))
                ]
            for column in rows:
                where = _at(context, builder, signature.args[2], array, place, form)
                value = builder.add(builder.load(where, align=2), column) if added else column
                builder.store(value, where, align=2)
                place = builder.add(place, pitch)
            return context.get_dummy_value()

        return types.void(sums, start, array, place, pitch), generate

    return intrinsic(write)


def _accumulate(context, array, place, weights, start, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, weights, start, value = arguments
        form = ir.VectorType(_SHORT, LANES)
        where = _at(context, builder, signature.args[0], array, place, form)
        row = builder.load(_at(context, builder, signature.args[2], weights, start, form), align=2)
        times = builder.mul(row, _splat(builder, form, value))
        builder.store(builder.add(builder.load(where, align=2), times), where, align=2)
        return context.get_dummy_value()

    return types.void(array, place, weights, start, value), generate


def _everywhere_states(context, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _splat(builder, _STATES.form, arguments[0])

    return _STATES(number), generate


def _decay(context, state, keep):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, keep = arguments
        form = _STATES.form
        factor, twelve = _splat(builder, form, keep), _everywhere(form, 12)
        sign = builder.ashr(state, _everywhere(form, 31))
        size = builder.sub(builder.xor(state, sign), sign)
        high = builder.mul(builder.lshr(size, twelve), factor)
        low = builder.lshr(builder.mul(builder.and_(size, _everywhere(form, 4095)), factor), twelve)
        return builder.sub(builder.xor(builder.add(high, low), sign), sign)

    return _STATES(state, keep), generate


def _charge(context, state, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, inputs = arguments
        return builder.add(state, builder.shl(inputs, _everywhere(_STATES.form, 6)))

    return _STATES(state, inputs), generate


def _above(context, state, threshold):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        above = builder.icmp_signed(">", *arguments)
        return builder.bitcast(above, _SHORT)

    return types.uint16(state, threshold), generate


def _after(context, state, threshold, left):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        state, threshold, left = arguments
        return builder.select(builder.icmp_signed(">", state, threshold), left, state)

    return _STATES(state, threshold, left), generate


def _trailing_zeros(context, word):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint32(types.uint32), generate


def _ones(context, word):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), generate


load_bits: Any = _load(_BITS, _QUAD, 8)
"""load_bits(array, place): a vector of bits from a place of a uint64 array."""
zero_bits: Any = intrinsic(_zero)
"""zero_bits(): no bit set."""
both: Any = _both(_BITS, lambda builder, one, other: builder.and_(one, other))
"""both(one, other): the bits that both have."""
either: Any = _both(_BITS, lambda builder, one, other: builder.or_(one, other))
"""either(one, other): the bits that one has at least."""
unlike: Any = _both(_BITS, lambda builder, one, other: builder.xor(one, other))
"""unlike(one, other): the bits in which they differ."""
crossed: Any = intrinsic(_crossed)
"""crossed(one, other, shift, mask): the bits of `mask` in which `other` and `one`, moved down by `shift`, differ."""
raised: Any = intrinsic(_raised)
"""raised(bits, shift): moved up by `shift`."""
add_counts: Any = _write_bytes(added=True, signed=False)
"""add_counts(array, place, counts, factor, offset): add ``factor * count + offset`` to 32 int16, one for each byte."""
set_counts: Any = _write_bytes(added=False, signed=False)
"""set_counts(array, place, counts, factor, offset): write them over what lies there."""
add_sums: Any = _write_bytes(added=True, signed=True)
"""add_sums(array, place, sums, factor, offset): as add_counts, for bytes with a sign."""
set_sums: Any = _write_bytes(added=False, signed=True)
"""set_sums(array, place, sums, factor, offset): as set_counts, for bytes with a sign."""
load_bytes: Any = _load(_BITS, _QUAD, 1)
"""load_bytes(array, place): 32 bytes from a place of an int8 array, as a vector of bits."""
store_bytes: Any = _store(_BITS, 1)
"""store_bytes(array, place, vector)."""
add_bytes: Any = intrinsic(_add_bytes)
"""add_bytes(array, place, weights, start): add 32 int8 of `weights` to 32 int8."""
accumulate: Any = intrinsic(_accumulate)
"""accumulate(array, place, weights, start, value): add `value` times sixteen int16 of `weights` to sixteen int16."""
add_turned: Any = _write_turned(added=True)
"""add_turned(sums, start, array, place, pitch): add sixteen numbers of each of sixteen rows of `sums`, 256 apart, to
sixteen rows of `array`, `pitch` apart: the first numbers of all to the first row."""
set_turned: Any = _write_turned(added=False)
"""set_turned(sums, start, array, place, pitch): write them over what lies there."""
load_states: Any = _load(_STATES, _INT, 4)
"""load_states(array, place): sixteen int32."""
load_inputs: Any = _load(_STATES, _SHORT, 2, widen=True)
"""load_inputs(array, place): sixteen int16, as int32."""
store_states: Any = _store(_STATES, 4)
"""store_states(array, place, vector)."""
all_states: Any = intrinsic(_everywhere_states)
"""all_states(number): the int32 in all lanes."""
decay: Any = intrinsic(_decay)
"""decay(state, keep): ``sign(x) * (|x| * keep >> 12)`` in 32 bits, for keep in 0..4096.

That is ``(|x| >> 12) * keep + ((|x| & 4095) * keep >> 12)``, which no state of 24 bits leaves."""
charge: Any = intrinsic(_charge)
"""charge(state, inputs): ``state + (inputs << 6)``."""
plus: Any = _both(_STATES, lambda builder, one, other: builder.add(one, other))
"""plus(one, other): the sums."""
minus: Any = _both(_STATES, lambda builder, one, other: builder.sub(one, other))
"""minus(one, other): the differences."""
above: Any = intrinsic(_above)
"""above(state, threshold): one bit for each lane that is greater, in a uint16."""
after: Any = intrinsic(_after)
"""after(state, threshold, left): `left` in the lanes that are greater, `state` in the others."""
trailing_zeros: Any = intrinsic(_trailing_zeros)
"""trailing_zeros(word): the place of the lowest 1 of a uint32."""
ones: Any = intrinsic(_ones)
"""ones(word): how many bits of a uint32 are 1."""
