"""Eight float32 in one vector register, for compiled loops that must keep several sums in registers.

A compiler keeps an array of sums in memory, and so loads and stores each of them at every addition. Numba has no type
for a vector; this is one, with the three operations that summing needs. LLVM splits the vectors where a processor has
narrower registers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 8
"""Numbers in a vector."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ALIGNED = 4


class _Lanes(types.Type):
    """The type of a vector in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = _Lanes()


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


def _load(context, array, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=_ALIGNED)

    return _LANES(array, place), generate


def _store(context, array, place, vector):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, value = arguments
        builder.store(value, _pointer(context, builder, signature.args[0], array, place), align=_ALIGNED)
        return context.get_dummy_value()

    return types.void(array, place, vector), generate


def _add(context, one, other):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fadd(*arguments)

    return _LANES(one, other), generate


load: Any = intrinsic(_load)
"""load(array, place): the eight numbers from a place of a contiguous array of one dimension. It is not checked."""
store: Any = intrinsic(_store)
"""store(array, place, vector): write eight numbers to such a place."""
add: Any = intrinsic(_add)
"""add(one, other): the sums of two vectors, lane by lane."""
