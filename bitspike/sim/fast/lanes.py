"""How types and operations of vectors are declared to Numba, which has none; the fast engine's own are made of these.

A compiler that must prove that arrays do not overlap gives up where there are many, so that the engine's loops are
written in vectors. LLVM splits them where a processor's registers are narrower: the same code runs everywhere. Places
are not checked: the caller's arrays are padded to whole vectors.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models

COLUMN = 32
"""Bytes in a vector of bits, and neurons of which one bit in each of them tells: arrays have whole columns."""

WORD = 32
"""Bits in a word of spikes, one for each of so many neurons."""

QUAD, INT, SHORT, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.IntType(8)


class Vector(types.Type):
    """The type of a vector in compiled code."""

    def __init__(self, name: str, element: Any, count: int) -> None:
        super().__init__(name=name)
        self.element, self.count = element, count
        self.form = ir.VectorType(element, count)


class VectorModel(models.PrimitiveModel):
    """A vector is itself in memory and in registers."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.form)  # type: ignore[no-untyped-call]


def splat(builder: Any, form: Any, value: Any) -> Any:
    """Return a vector that has `value` in every lane."""
    first = builder.insert_element(ir.Constant(form, ir.Undefined), value, ir.Constant(INT, 0))
    order = ir.Constant(ir.VectorType(INT, form.count), [0] * form.count)
    return builder.shuffle_vector(first, ir.Constant(form, ir.Undefined), order)


def everywhere(form: Any, value: int) -> Any:
    """Return a constant vector that has `value` in every lane."""
    return ir.Constant(form, [value] * form.count)


def at(context: Any, builder: Any, kind: Any, array: Any, place: Any, form: Any) -> Any:  # noqa: PLR0917
    """Return a pointer to a vector at a place of a contiguous array of one dimension."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), form.as_pointer())


def loader(kind: Vector, memory: Any, align: int, widen: bool = False) -> Any:
    """Return load(array, place): a vector of `kind`; elements of `memory` may be narrower, with a sign."""
    form = ir.VectorType(memory, kind.count)

    def load(context, array, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place = arguments
            found = builder.load(at(context, builder, signature.args[0], array, place, form), align=align)
            return builder.sext(found, kind.form) if widen else found

        return kind(array, place), generate

    return intrinsic(load)


def storer(kind: Vector, align: int) -> Any:
    """Return store(array, place, vector)."""

    def store(context, array, place, vector):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place, value = arguments
            builder.store(value, at(context, builder, signature.args[0], array, place, kind.form), align=align)
            return context.get_dummy_value()

        return types.void(array, place, vector), generate

    return intrinsic(store)


def operation(kind: Vector, emit: Callable[[Any, Any, Any], Any]) -> Any:
    """Return an operation of two vectors, lane by lane."""

    def both(context, one, other):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return emit(builder, *arguments)

        return kind(one, other), generate

    return intrinsic(both)


def spreader(kind: Vector) -> Any:
    """Return all(number): the number in all lanes of a vector of `kind`."""

    def spread(context, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return splat(builder, kind.form, arguments[0])

        return kind(number), generate

    return intrinsic(spread)


def comparison(result: Any, bits: Any) -> Any:
    """Return above(state, threshold): a bit for each lane that is greater; `bits` in LLVM, `result` in Numba."""

    def compare(context, state, threshold):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return builder.bitcast(builder.icmp_signed(">", *arguments), bits)

        return result(state, threshold), generate

    return intrinsic(compare)


def replacement(kind: Vector) -> Any:
    """Return after(state, threshold, left): `left` in the lanes that are greater, `state` in the others."""

    def replace(context, state, threshold, left):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            state, threshold, left = arguments
            return builder.select(builder.icmp_signed(">", state, threshold), left, state)

        return kind(state, threshold, left), generate

    return intrinsic(replace)
