"""Summed input of one-bit convolutions in the definition's own words: ``2 * popcount(w & s) - popcount(s)``.

Where the channels of a source place lie side by side, a window sees a few runs of bits. Each word of them meets the
weights of sixteen target channels at once, a word for each in a vector. The work is the same however many spikes there
are, the sums come out in the order of the inputs, and nothing is listed or turned over; but a processor without an
instruction that counts the bits of many words takes several times as long.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bitspike.compiled import compiled
from bitspike.convert.connections import Conv2d
from bitspike.sim.fast.lanes import INT, QUAD, SHORT, WORD, at, splat
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.neurons import run_sample
from bitspike.sim.fast.sources import Array, placed
from bitspike.sim.fast.vectors import LANES

#: Vectors of targets that a word of spikes meets before the next one is read.
_TOGETHER = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """A convolution's weights as words, and where a window's words are.

    Attributes:
        weights: flat, uint32: of each four vectors of target channels, of each word of a window, one of each channel.
        full: which bits of each word of a window are sources, uint32.
        source: rows, bits in each.
        frame: rows above the source, bits before each row; words from one row to the next, and of all.
        window: rows, words in each; rows of the frame from one to the next; from target to target rows, and bits.
        target: rows, columns, channels.
    """

    weights: Array
    full: Array
    source: tuple[int, int]
    frame: tuple[int, int, int, int]
    window: tuple[int, int, int, int, int]
    target: tuple[int, int, int]

    @property
    def tables(self) -> tuple[Any, ...]:
        """As the kernel takes them."""
        return self.weights, self.full, self.source, self.frame, self.window, self.target

    @property
    def met(self) -> int:
        """How often a word of spikes meets a vector of weights in a row: all words of all windows, all vectors."""
        rows, columns, channels = self.target
        return rows * columns * len(self.full) * -(-channels // LANES)


def by_words(connection: Conv2d, source: Layout) -> bool:
    """Whether a one-bit convolution of binary spikes can be counted so: one group, and windows without gaps.

    The source's channels lie side by side where it is kept as the connection sees it; one may see it in another shape.
    """
    beside = connection.source_shape[0] == source.channels
    return connection.groups == 1 and connection.dilation[1] == 1 and beside


def make_words(connection: Conv2d) -> Words:
    """Return the tables of a convolution for which :func:`by_words` holds."""
    (height, width), (channels, rows, columns) = connection.kernel, connection.source_shape
    targets = connection.target_channels
    run = width * channels
    each = -(-run // WORD)
    vectors = -(-targets // LANES)
    bits = np.zeros((height, each * WORD, vectors * LANES + 1), np.uint8)
    bits[:, :run, -1] = 1
    for y in range(height):
        for x in range(width):
            bits[y, x * channels : (x + 1) * channels, :targets] = connection.tap(y, x).T > 0
    packed = np.packbits(np.ascontiguousarray(bits.transpose(0, 2, 1)), axis=-1, bitorder="little").view(np.uint32)
    found = packed.transpose(0, 2, 1).reshape(height * each, -1)
    blocks = [found[:, :-1][:, first : first + _TOGETHER * LANES] for first in range(0, targets, _TOGETHER * LANES)]
    above, before = connection.padding
    pitch = -(-(columns + 2 * before) * channels // WORD) + 2
    return Words(
        weights=placed(np.concatenate([block.ravel() for block in blocks])),
        full=placed(np.ascontiguousarray(found[:, -1])),
        source=(rows, columns * channels),
        frame=(above, before * channels, pitch, (rows + 2 * above) * pitch),
        window=(height, each, connection.dilation[0], connection.stride[0], connection.stride[1] * channels),
        target=(*connection.target_shape[1:], targets),
    )


class _Window:
    """Emits what becomes of one window: the arguments of :data:`count_words`, with `vectors` known."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any, vectors: int) -> None:
        self.context, self.builder, self.kinds = context, builder, kinds
        self.frame, begin, window, self.full, self.weights, self.start, _, scale, self.inputs, self.to = arguments
        self.rows, self.each, self.down = (builder.extract_value(window, one) for one in range(3))
        self.factor, self.low = (builder.extract_value(scale, one) for one in range(2))
        self.first = builder.lshr(begin, ir.Constant(QUAD, 5))
        self.shift = builder.and_(begin, ir.Constant(QUAD, 31))
        self.form = ir.VectorType(INT, LANES)
        lent: Any = cgutils.alloca_once
        self.seen, self.totals = lent(builder, INT), [lent(builder, self.form) for _ in range(vectors)]
        function: Any = cgutils.get_or_insert_function
        self.ones = function(builder.module, ir.FunctionType(self.form, [self.form]), f"llvm.ctpop.v{LANES}i32")

    def count(self) -> None:
        """Count all words of all rows."""
        builder = self.builder
        for total in (self.seen, *self.totals):
            builder.store(ir.Constant(total.type.pointee, None), total)
        with cgutils.for_range(builder, self.rows, intp=QUAD) as row:
            begin = builder.add(self.first, builder.mul(row.index, self.down))
            place = builder.mul(row.index, self.each)
            with cgutils.for_range(builder, self.each, intp=QUAD) as one:
                self._meet(*(builder.add(other, one.index) for other in (begin, place)))

    def _meet(self, where: Any, place: Any) -> None:
        """Count the spikes of a word of the frame, and those that meet a weight 1; `place` is its number."""
        builder = self.builder
        pair = at(self.context, builder, self.kinds[0], self.frame, where, QUAD)
        spikes = builder.trunc(builder.lshr(builder.load(pair, align=4), self.shift), INT)
        whole = builder.load(at(self.context, builder, self.kinds[3], self.full, place, INT), align=4)
        builder.store(builder.add(builder.load(self.seen), builder.ctpop(builder.and_(spikes, whole))), self.seen)
        every = splat(builder, self.form, spikes)
        of = builder.add(self.start, builder.mul(place, ir.Constant(QUAD, len(self.totals) * LANES)))
        for total in self.totals:
            row = builder.load(at(self.context, builder, self.kinds[4], self.weights, of, self.form), align=4)
            met = builder.call(self.ones, [builder.and_(row, every)])
            builder.store(builder.add(builder.load(total), met), total)
            of = builder.add(of, ir.Constant(QUAD, LANES))

    def write(self) -> None:
        """Write the sums."""
        builder, shorts = self.builder, ir.VectorType(SHORT, LANES)
        offset = splat(builder, shorts, builder.mul(builder.trunc(builder.load(self.seen), SHORT), self.low))
        factor = splat(builder, shorts, self.factor)
        for number, total in enumerate(self.totals):
            scaled = builder.mul(builder.trunc(builder.load(total), shorts), factor)
            where = builder.add(self.to, ir.Constant(QUAD, number * LANES))
            where = at(self.context, builder, self.kinds[8], self.inputs, where, shorts)
            builder.store(builder.add(scaled, offset), where, align=2)


def _count_words(context, frame, begin, window, full, weights, start, vectors, scale, inputs, to):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001, PLR0917
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, done = arguments[6], builder.append_basic_block("done")
        choice = builder.switch(vectors, done)
        for number in range(1, _TOGETHER + 1):
            builder.position_at_end(builder.append_basic_block(f"vectors{number}"))
            choice.add_case(ir.Constant(vectors.type, number), builder.block)
            window = _Window(context, builder, signature.args, arguments, number)
            window.count()
            window.write()
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(frame, begin, window, full, weights, start, vectors, scale, inputs, to), generate


count_words: Any = intrinsic(_count_words)
"""count_words(frame, begin, (rows, each, down), full, weights, start, vectors, (factor, low), inputs, to): for the
window that begins at a bit of the frame, so many rows of so many words, `down` words apart, and for one to four vectors
of channels, whose weights begin at `start`: write ``factor * popcount(w & s) + low * popcount(s)``, int16, from place
`to` of the inputs on. Places are int64, factor and low int16."""


@compiled
def _fill(words: Any, first: Any, source: Any, shape: Any, frame: Any) -> None:
    """Copy the spikes of a step, flat words from `first` on, into the frame, whose rows are whole words.

    A word beyond the last may be read; what it has is not kept.
    """
    rows, size = source
    above, before, pitch, _ = shape
    shift = before % WORD
    count, end = -(-(size + shift) // WORD), (size + shift) % WORD
    for row in range(rows):
        to = (row + above) * pitch + before // WORD
        bit = row * size
        at, right = first + bit // WORD, np.uint64(bit % WORD)
        pair = np.uint64(words[at]) | np.uint64(words[at + 1]) << np.uint64(32)
        frame[to] = np.uint32(pair >> right) << np.uint32(shift)
        bit += WORD - shift
        at, right = first + bit // WORD, np.uint64(bit % WORD)
        for n in range(count - 1):
            pair = np.uint64(words[at + n]) | np.uint64(words[at + n + 1]) << np.uint64(32)
            frame[to + 1 + n] = np.uint32(pair >> right)
        if end:
            frame[to + count - 1] &= (np.uint32(1) << np.uint32(end)) - np.uint32(1)


@compiled
def popcounted(words: Any, span: Any, table: Any, room: Any, cells: Any) -> Any:
    """Run neurons behind a one-bit convolution, sample by sample.

    Args:
        words: spikes, shape (source rows, words), uint32, and a word behind.
        span: steps, rows of a sample before its first step, and the delay of the connection.
        table: tables of :class:`Words`; ``(1 - low) << exponent`` and ``low << exponent``.
        room: for the inputs of one sample, shape (steps, neurons in whole columns), int16, and a vector behind; and for
            the frame, all 0, uint32.
        cells: of :func:`~bitspike.sim.fast.neurons.binary`.

    Returns:
        How many samples were run in 32 bits.
    """
    (weights, full, source, shape, reach, (high, across, channels)), factor, low = table
    inputs, frame = room
    steps, lead, delay = span
    spikes, flat = words.ravel(), inputs.ravel()
    pitch = shape[2]
    # Without padding, rows that are whole words are read where they lie.
    straight = shape[0] == 0 and shape[1] == 0 and source[1] % WORD == 0
    if straight:
        frame, pitch = spikes, source[1] // WORD
    window, scale = (reach[0], reach[1], reach[2] * pitch), (np.int16(factor), np.int16(low))
    width, vectors, wide = inputs.shape[1], -(-channels // LANES), 0
    for sample in range(len(words) // (lead + steps)):
        for step in range(steps):
            first = (sample * (lead + steps) + lead + step - delay) * words.shape[1]
            if not straight:
                _fill(spikes, first, source, shape, frame)
                first = 0
            to = step * width
            for y in range(high):
                for x in range(across):
                    begin = (first + y * reach[3] * pitch) * WORD + x * reach[4]
                    for vector in range(0, vectors, _TOGETHER):
                        some = min(_TOGETHER, vectors - vector)
                        start, place = vector * LANES * len(full), to + vector * LANES
                        count_words(frame, begin, window, full, weights, start, some, scale, flat, place)
                    to += channels
            for rest in range(to, (step + 1) * width):
                flat[rest] = 0
        wide += run_sample(inputs, sample, cells)
    return wide
