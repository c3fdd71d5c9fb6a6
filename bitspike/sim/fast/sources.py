"""Spikes of one source over a tile, and the lists of events made of them: where each row has spikes, and their values.

Rows are (sample, step) pairs in C order; each sample begins with `lead` rows of the steps before the tile, which
delayed connections still read.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.compiled import compiled
from bitspike.sim.fast.counting import GROUP
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.processor import packs_bytes
from bitspike.sim.fast.vectors import byte_bits, list_word, ones, trailing_zeros

Array = npt.NDArray[Any]
Room = Callable[[str, tuple[int, ...], npt.DTypeLike], Array]
"""Lends an array for a use, with whatever was left in it, until the next one asks for the same use."""
#: Bytes in a line of the cache.
_LINE = 64


def whole(neurons: int) -> int:
    """Return `neurons` rounded up to whole columns, as all arrays inside the engine have them."""
    return -(-neurons // COLUMN) * COLUMN


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return an array that begins with a line of the cache, so that no vector in it lies in two lines."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE, np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """As :func:`empty`, all 0."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def placed(values: Array) -> Array:
    """Return a copy that begins with a line of the cache."""
    array = empty(values.shape, values.dtype)
    array[...] = values
    return array


class Bits:
    """Binary spikes of a source: bits, the lowest neuron first, shape (samples, rows of a sample, words), uint32.

    Attributes:
        size: neurons; the bits that fill the last word are 0.
    """

    graded = False

    def __init__(self, words: Array, size: int) -> None:
        self.words, self.size = words, size

    def events(self, room: Room, steps: slice = slice(None)) -> "Events":
        """Events of some rows of each sample, one row after the other; `room` lends the arrays for them."""
        words = np.ascontiguousarray(self.words[:, steps]).reshape(-1, self.words.shape[2])
        offsets, active = room("offsets", (len(words) + 1,), np.int64), room("active", (len(words),), np.int64)
        measure_bits(words, offsets, active)
        return BitEvents(words, self.size, offsets, active, room)

    def tail(self, rows: int) -> Array:
        """The last rows of each sample."""
        return self.words[:, self.words.shape[1] - rows :]

    def dense(self, steps: slice) -> Array:
        """Some rows as 0 and 1, uint8, shape (samples, steps, neurons)."""
        words = np.ascontiguousarray(self.words[:, steps])
        return np.unpackbits(words.view(np.uint8), axis=2, count=self.size, bitorder="little")


class Payloads:
    """Graded spikes of a source: 0 or the payload, shape (samples, rows of a sample, neurons), int32."""

    graded = True

    def __init__(self, values: Array, size: int) -> None:
        self.values, self.size = values, size

    def events(self, room: Room, steps: slice = slice(None)) -> "Events":  # noqa: ARG002
        """Events of some rows of each sample, one row after the other."""
        values = self.values[:, steps, : self.size].reshape(-1, self.size)
        rows, places = np.nonzero(values)
        active = np.bincount(rows, minlength=len(values)).astype(np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(active)])
        return Events(places=places.astype(np.int32), values=values[rows, places], offsets=offsets, active=active)

    def tail(self, rows: int) -> Array:
        """The last rows of each sample."""
        return self.values[:, self.values.shape[1] - rows :]

    def dense(self, steps: slice) -> Array:
        """Some rows, shape (samples, steps, neurons)."""
        return self.values[:, steps, : self.size]


class Events:
    """Events of many rows.

    Attributes:
        places: neurons, int32; of binary spikes each row is filled up to whole groups with the number of neurons.
        values: payloads, int32; empty for binary spikes.
        offsets: where each row begins, and the end.
        active: how many events each row has.
    """

    def __init__(self, *, places: Array, values: Array, offsets: Array, active: Array) -> None:
        self.places, self.values, self.offsets, self.active = places, values, offsets, active

    @property
    def parts(self) -> tuple[Array, Array, Array, Array]:
        """Places, values, offsets and active, as the kernels take them."""
        return self.places, self.values, self.offsets, self.active


class BitEvents(Events):
    """Events of binary spikes; `words` are their bits, and the places are listed when somebody asks for them."""

    def __init__(self, words: Array, size: int, offsets: Array, active: Array, room: "Room") -> None:
        super().__init__(places=_NO_VALUES, values=_NO_VALUES, offsets=offsets, active=active)
        self.words, self.size, self._listed, self._room = words, size, False, room

    @property
    def parts(self) -> tuple[Array, Array, Array, Array]:
        """As those of all events, listed now."""
        if not self._listed:
            self.places = self._room("places", (int(self.offsets[-1]) + BEYOND,), np.int32)
            list_bits(self.words, self.offsets, self.places, self.size)
            self._listed = True
        return super().parts


_NO_VALUES = np.empty(0, np.int32)
#: Places that may be written beyond those that there are.
BEYOND = 16
_PACKS = packs_bytes()


@compiled
def pack(spikes: Any, lead: Any, words: Any) -> None:
    """Write 0 and 1 as bits, the lowest neuron first.

    Args:
        spikes: shape (samples, steps, neurons), uint8, in C order.
        lead: rows of each sample in `words` before its first step.
        words: result, shape (samples, lead + steps, words), uint32.
    """
    flat, size = spikes.ravel(), spikes.shape[2]
    at = 0
    for sample in range(len(spikes)):
        for step in range(spikes.shape[1]):
            row = words[sample, lead + step]
            for word in range(size // COLUMN):
                row[word] = byte_bits(flat, at + COLUMN * word)
            for word in range(size // COLUMN, len(row)):
                bits = np.uint32(0)
                for place in range(COLUMN * word, size):
                    bits |= np.uint32(flat[at + place] != 0) << np.uint32(place - COLUMN * word)
                row[word] = bits
            at += size


@compiled
def measure_bits(words: Any, offsets: Any, active: Any) -> None:
    """Count the events of each row, and where it begins when each row is filled up to whole groups."""
    at = 0
    for row in range(len(words)):
        found = 0
        for word in range(words.shape[1]):
            found += int(ones(np.uint64(words[row, word])))
        offsets[row] = at
        active[row] = found
        at += -(-found // GROUP) * GROUP
    offsets[len(words)] = at


@compiled
def list_row(words: Any, first: Any, count: Any, places: Any, to: Any) -> Any:
    """Write the places of the 1 bits of a row, `count` flat words from `first` on, and return how many there are.

    Two words are read at once, and eight places written for them, however many bits they have: what is too many is
    written over. Most have eight at most, and a loop whose length changes from word to word costs more than it saves.
    Sixteen at once where the processor can.
    `places`, written from `to` on, so has room for :data:`BEYOND` more.
    """
    at, row = np.uint64(to), np.uint64(first)
    for word in range(np.uint64(0), np.uint64(count), np.uint64(2)):
        left = np.uint64(words[row + word])
        if word + np.uint64(1) < np.uint64(count):
            left |= np.uint64(words[row + word + np.uint64(1)]) << np.uint64(32)
        begin = np.uint64(32) * word
        if _PACKS:
            at += list_word(left, np.int32(begin), places, np.int64(at))
            continue
        found = ones(left)
        done = np.uint64(0)
        while True:
            for step in range(np.uint64(8)):
                places[at + done + step] = begin + trailing_zeros(left)
                left &= left - np.uint64(1)
            done += np.uint64(8)
            if done >= found:
                break
        at += found
    return np.int64(at) - to


@compiled
def list_bits(words: Any, offsets: Any, places: Any, nobody: Any) -> None:
    """Write the places of the 1 bits of each row, filled up with `nobody`, and room for :data:`BEYOND` more."""
    flat, count = words.ravel(), words.shape[1]
    for row in range(len(words)):
        found = list_row(flat, row * count, count, places, offsets[row])
        for rest in range(offsets[row] + found, offsets[row + 1]):
            places[rest] = nobody
