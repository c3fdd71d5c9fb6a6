"""Vectors of summed input in the compiled loops of the fast engine: bytes, and integers of 16 bits made of them."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bitspike.sim.fast.lanes import BYTE, COLUMN, INT, SHORT, at, splat
from bitspike.sim.fast.vectors import BITS, LANES


def _write_bytes(added: bool, signed: bool) -> Any:
    """Return the operation that adds scaled bytes to what lies there, or writes them over it."""

    def write(context, array, place, of, numbers, factor, offset):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, place, of, numbers, factor, offset = arguments
            shorts = ir.VectorType(SHORT, COLUMN)
            narrow = builder.bitcast(numbers, ir.VectorType(BYTE, COLUMN))
            wide = builder.sext(narrow, shorts) if signed else builder.zext(narrow, shorts)
            scaled = builder.mul(wide, splat(builder, shorts, factor))
            scaled = builder.add(scaled, splat(builder, shorts, offset))
            where = at(context, builder, signature.args[0], array, place, shorts)
            if added:
                other = at(context, builder, signature.args[0], array, of, shorts)
                scaled = builder.add(builder.load(other, align=2), scaled)
            builder.store(scaled, where, align=2)
            return context.get_dummy_value()

        return types.void(array, place, of, numbers, factor, offset), generate

    return intrinsic(write)


def _add_window(context, array, place, weights, start, pitches, unit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, weights, start, pitches, _ = arguments
        to, of, unit = signature.args[0], signature.args[2], signature.args[5]
        down, aside = (builder.extract_value(pitches, axis) for axis in (0, 1))
        for row in unit:
            column = place
            for vectors in row:
                total = column
                for vector in vectors:
                    form = ir.VectorType(BYTE, COLUMN << len(vector))
                    where = at(context, builder, to, array, total, form)
                    given = builder.load(at(context, builder, of, weights, start, form), align=1)
                    builder.store(builder.add(builder.load(where, align=1), given), where, align=1)
                    total, start = (builder.add(one, ir.Constant(one.type, form.count)) for one in (total, start))
                column = builder.add(column, aside)
            place = builder.add(place, down)
        return context.get_dummy_value()

    return types.void(array, place, weights, start, pitches, unit), generate


def _write_turned(added: bool) -> Any:
    """Return the operation that turns sixteen rows of sixteen int16 over, and adds or writes the columns.

    A round interleaves vectors i and i + 8: the place of a number, its row's four bits and then its column's, is turned
    by one bit, and after four rounds rows have become columns.
    """

    def write(context, sums, start, array, place, pitch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, start, array, place, pitch = arguments
            form = ir.VectorType(SHORT, LANES)
            half = LANES // 2
            rows = []
            for row in range(LANES):
                begin = builder.add(start, ir.Constant(start.type, BITS * row))
                rows.append(builder.load(at(context, builder, signature.args[0], sums, begin, form), align=2))
            for _ in range(4):
                pairs = [(rows[i], rows[i + half]) for i in range(half)]
                rows = [
                    builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(INT, LANES), order))
                    for one, other in pairs
                    for order in ([i // 2 + i % 2 * LANES + first for i in range(LANES)] for first in (0, half))
                ]
            for column in rows:
                where = at(context, builder, signature.args[2], array, place, form)
                value = builder.add(builder.load(where, align=2), column) if added else column
                builder.store(value, where, align=2)
                place = builder.add(place, pitch)
            return context.get_dummy_value()

        return types.void(sums, start, array, place, pitch), generate

    return intrinsic(write)


def _accumulate(context, array, place, weights, start, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, weights, start, value = arguments
        form = ir.VectorType(SHORT, LANES)
        where = at(context, builder, signature.args[0], array, place, form)
        row = builder.load(at(context, builder, signature.args[2], weights, start, form), align=2)
        times = builder.mul(row, splat(builder, form, value))
        builder.store(builder.add(builder.load(where, align=2), times), where, align=2)
        return context.get_dummy_value()

    return types.void(array, place, weights, start, value), generate


add_counts: Any = _write_bytes(added=True, signed=False)
"""add_counts(array, place, of, counts, factor, offset): write ``factor * count + offset``, one for each byte, plus what
lies at `of`, to 32 int16."""
set_counts: Any = _write_bytes(added=False, signed=False)
"""set_counts(array, place, of, counts, factor, offset): without those."""
add_sums: Any = _write_bytes(added=True, signed=True)
"""add_sums(array, place, of, sums, factor, offset): as add_counts, for bytes with a sign."""
set_sums: Any = _write_bytes(added=False, signed=True)
"""set_sums(array, place, of, sums, factor, offset): as set_counts, for bytes with a sign."""
add_window: Any = intrinsic(_add_window)
"""add_window(array, place, weights, start, (down, aside), unit): add int8 of `weights` to rows of places of `array`.

`unit` says by its type alone, so that there is no loop, how many rows there are, `down` apart, how many places in each,
`aside` apart, and how many vectors in each of them: ``()`` for one of 32 weights, ``((),)`` for one of 64."""
accumulate: Any = intrinsic(_accumulate)
"""accumulate(array, place, weights, start, value): add `value` times sixteen int16 of `weights` to sixteen int16."""
add_turned: Any = _write_turned(added=True)
"""add_turned(sums, start, array, place, pitch): add sixteen numbers of each of sixteen rows of `sums`, 256 apart, to
sixteen rows of `array`, `pitch` apart: the first numbers of all to the first row."""
set_turned: Any = _write_turned(added=False)
"""set_turned(sums, start, array, place, pitch): write them over what lies there."""
