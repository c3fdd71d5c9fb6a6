"""Vectors of summed input in the compiled loops of the fast engine: bytes, and integers of 16 bits made of them."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bitspike.sim.fast.lanes import BYTE, COLUMN, INT, QUAD, SHORT, at, splat
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


UNITS = tuple((rows, count, width) for rows in (1, 2, 3) for count in (1, 2, 3) for width in (COLUMN, 2 * COLUMN))
"""Rows, vectors in each, and weights in a vector, of what is added without a loop."""


def _choose(builder: Any, unit: Any, emit: Any) -> None:
    """Emit the code of every unit, of which the number chooses one."""
    done = builder.append_basic_block("done")
    choice = builder.switch(unit, done)
    for number, parts in enumerate(UNITS):
        block = builder.append_basic_block(f"unit{number}")
        choice.add_case(ir.Constant(unit.type, number), block)
        builder.position_at_end(block)
        emit(*parts)
        builder.branch(done)
    builder.position_at_end(done)


def _emit_adds(context: Any, builder: Any, arrays: Any, places: Any, down: Any, parts: tuple[int, ...]) -> None:  # noqa: PLR0917
    """Emit the additions of one unit: arrays are (type, array) of sums and weights, places where they begin."""
    (to, array), (of, weights) = arrays
    (place, given), (rows, count, width) = places, parts
    form = ir.VectorType(BYTE, width)
    for _ in range(rows):
        total = place
        for _ in range(count):
            where = at(context, builder, to, array, total, form)
            row = builder.load(at(context, builder, of, weights, given, form), align=1)
            builder.store(builder.add(builder.load(where, align=1), row), where, align=1)
            total, given = (builder.add(one, ir.Constant(one.type, width)) for one in (total, given))
        place = builder.add(place, down)


def _add_unit(context, array, place, weights, start, down, unit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, weights, start, down, unit = arguments
        arrays = (signature.args[0], array), (signature.args[2], weights)
        _choose(builder, unit, lambda *parts: _emit_adds(context, builder, arrays, (place, start), down, parts))
        return context.get_dummy_value()

    return types.void(array, place, weights, start, down, unit), generate


def _add_events(context, array, places, span, sources, weights, down, unit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, places, span, sources, weights, down, unit = arguments
        kinds = signature.args
        arrays = (kinds[0], array), (kinds[4], weights)
        first, end = (builder.extract_value(span, side) for side in (0, 1))

        def number(kind: Any, numbers: Any, place: Any) -> Any:
            return builder.sext(builder.load(at(context, builder, kind, numbers, place, INT), align=4), QUAD)

        def loop(*parts: int) -> None:
            with cgutils.for_range_slice(builder, first, end, ir.Constant(QUAD, 1), QUAD) as (event, _):
                source = builder.shl(number(kinds[1], places, event), ir.Constant(QUAD, 1))
                start = number(kinds[3], sources, source)
                total = number(kinds[3], sources, builder.add(source, ir.Constant(QUAD, 1)))
                _emit_adds(context, builder, arrays, (total, start), down, parts)

        _choose(builder, unit, loop)
        return context.get_dummy_value()

    return types.void(array, places, span, sources, weights, down, unit), generate


class _Held:
    """Emits sums of one unit that are held in registers while the weights of some events are added.

    `array` and `weights` are (type, array); `down` is as in :data:`add_unit`.
    """

    def __init__(self, context: Any, builder: Any, array: Any, weights: Any, down: Any, parts: tuple[int, ...]) -> None:  # noqa: PLR0917
        self.context, self.builder, self.array, self.weights, self.down = context, builder, array, weights, down
        self.rows, self.each, self.width = parts
        self.form = ir.VectorType(BYTE, self.width)
        room: Any = cgutils.alloca_once
        self.sums, self.left = [room(builder, self.form) for _ in range(self.rows * self.each)], room(builder, INT)

    def _vector(self, array: Any, place: Any) -> Any:
        kind, values = array
        return at(self.context, self.builder, kind, values, place, self.form)

    def move(self, place: Any, *, back: bool = False) -> None:
        """Load the sums whose first is at a place of the array, or store them."""
        for number, held in enumerate(self.sums):
            if number and number % self.each == 0:
                place = self.builder.add(place, self.down)
            of = self.builder.add(place, ir.Constant(QUAD, number % self.each * self.width))
            there = self._vector(self.array, of)
            one, other = (held, there) if back else (there, held)
            self.builder.store(self.builder.load(one, align=1), other, align=1)

    def add(self, bits: Any, start: Any, pace: Any) -> None:
        """Add the weights of each 1 of a word, of which there is one at least; those of bit 0 begin at `start`."""
        builder = self.builder
        again, done = (builder.append_basic_block(name) for name in ("event", "last"))
        builder.store(bits, self.left)
        builder.branch(again)
        builder.position_at_end(again)
        bits = builder.load(self.left)
        bit = builder.zext(builder.cttz(bits, ir.Constant(ir.IntType(1), 1)), QUAD)
        place = builder.add(start, builder.mul(bit, pace))
        for held in self.sums:
            builder.store(
                builder.add(builder.load(held), builder.load(self._vector(self.weights, place), align=1)), held
            )
            place = builder.add(place, ir.Constant(QUAD, self.width))
        bits = builder.and_(bits, builder.sub(bits, ir.Constant(INT, 1)))
        builder.store(bits, self.left)
        builder.cbranch(builder.icmp_unsigned("!=", bits, ir.Constant(INT, 0)), again, done)
        builder.position_at_end(done)


def _add_words(context, array, words, span, places, weights, pace, down, unit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, words, span, places, weights, pace, down, unit = arguments
        kinds = signature.args
        first, count = (builder.extract_value(span, side) for side in (0, 1))

        def number(kind: Any, numbers: Any, place: Any) -> Any:
            return builder.load(at(context, builder, kind, numbers, place, INT), align=4)

        def loop(*parts: int) -> None:
            held = _Held(context, builder, (kinds[0], array), (kinds[4], weights), down, parts)
            with cgutils.for_range(builder, count, intp=QUAD) as word:
                bits = number(kinds[1], words, builder.add(first, word.index))
                with builder.if_then(builder.icmp_unsigned("!=", bits, ir.Constant(INT, 0))):
                    twice = builder.shl(word.index, ir.Constant(QUAD, 1))
                    of = (twice, builder.add(twice, ir.Constant(QUAD, 1)))
                    total, start = (builder.sext(number(kinds[3], places, place), QUAD) for place in of)
                    held.move(total)
                    held.add(bits, start, pace)
                    held.move(total, back=True)

        _choose(builder, unit, loop)
        return context.get_dummy_value()

    return types.void(array, words, span, places, weights, pace, down, unit), generate


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
add_unit: Any = intrinsic(_add_unit)
"""add_unit(array, place, weights, start, down, unit): add int8 of `weights`, one after the other, to rows of `array`,
`down` apart: so many as the number of one of :data:`UNITS` says."""
add_events: Any = intrinsic(_add_events)
"""add_events(array, places, (first, end), sources, weights, down, unit): the same for events `first` to `end` - 1.

`places` are int32; of each, `sources` has where its weights begin and where in `array`, (sources, 2), int32."""
add_words: Any = intrinsic(_add_words)
"""add_words(array, words, (first, count), places, weights, pace, down, unit): the same for the events of so many words
of 32 bits, the lowest first, uint32. Of word n `places` has where in `array` the weights of all its events are added,
and where those of bit 0 begin, int32; those of the next bit begin `pace` farther. They are summed in registers."""
accumulate: Any = intrinsic(_accumulate)
"""accumulate(array, place, weights, start, value): add `value` times sixteen int16 of `weights` to sixteen int16."""
add_turned: Any = _write_turned(added=True)
"""add_turned(sums, start, array, place, pitch): add sixteen numbers of each of sixteen rows of `sums`, 256 apart, to
sixteen rows of `array`, `pitch` apart: the first numbers of all to the first row."""
set_turned: Any = _write_turned(added=False)
"""set_turned(sums, start, array, place, pitch): write them over what lies there."""
