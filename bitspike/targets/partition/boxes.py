"""Boxes of neurons: a part of a population's channels, rows and columns."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Space = tuple[int, int, int]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """From the first to before the last channel, row and column."""

    channels: Span
    rows: Span
    columns: Span

    @property
    def spans(self) -> tuple[Span, Span, Span]:
        """The three, in order."""
        return self.channels, self.rows, self.columns

    @property
    def extents(self) -> Space:
        """Channels, rows and columns."""
        (a, b), (c, d), (e, f) = self.spans
        return b - a, d - c, f - e

    @property
    def size(self) -> int:
        """Number of neurons."""
        channels, rows, columns = self.extents
        return channels * rows * columns

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Into an array of the population's shape."""
        (a, b), (c, d), (e, f) = self.spans
        return slice(a, b), slice(c, d), slice(e, f)

    def neurons(self, shape: Space) -> Integers:
        """Their numbers in C order, ascending."""
        channels, rows, columns = (np.arange(*span, dtype=np.int64) for span in self.spans)
        return ((channels[:, None, None] * shape[1] + rows[:, None]) * shape[2] + columns).ravel()

    def cut(self, axis: int, count: int) -> "tuple[Box, Box]":
        """The first `count` along `axis`, and the rest."""
        first, last = self.spans[axis]
        parts = [list(self.spans), list(self.spans)]
        parts[0][axis], parts[1][axis] = (first, first + count), (first + count, last)
        return Box(*parts[0]), Box(*parts[1])

    def first(self) -> "Box":
        """Its first neuron."""
        return Box(*((start, start + 1) for start, _ in self.spans))


def whole(shape: Space) -> Box:
    """All neurons of a population of that shape."""
    return Box((0, shape[0]), (0, shape[1]), (0, shape[2]))


def largest(box: Box, fits: Callable[[Box], bool]) -> tuple[Box, tuple[Box, ...]] | None:
    """The largest part of `box` that fits and begins where it begins, and what is left; None where no neuron fits.

    The box is cut along one axis; where not even a single slice fits, along a second and a third.
    """
    if fits(box):
        return box, ()
    best: tuple[Box, tuple[Box, ...]] | None = None
    for axis in range(3):
        count = most(box.extents[axis] - 1, lambda n, at=axis: fits(box.cut(at, n)[0]))  # type: ignore[misc]
        if count and (best is None or count * box.size // box.extents[axis] > best[0].size):
            piece, rest = box.cut(axis, count)
            best = piece, (rest,)
    if best is not None:
        return best
    # Rows and columns before channels: a place is what shared weights are shared between.
    for axis in (1, 2, 0):
        if box.extents[axis] > 1:
            first, rest = box.cut(axis, 1)
            found = largest(first, fits)
            return None if found is None else (found[0], (*found[1], rest))
    return None


def most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `limit` that fits, by bisection; 0 where 1 does not."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def grid(shape: Space, extents: Space, *, even: bool) -> list[Box]:
    """A population cut into boxes of at most `extents`; of equal ones as far as it goes, or as many full ones."""
    cuts = []
    for length, extent in zip(shape, extents, strict=True):
        count = -(-length // extent)
        ends = [length * k // count if even else min(k * extent, length) for k in range(count + 1)]
        cuts.append(list(pairwise(ends)))
    return [Box(c, r, x) for c in cuts[0] for r in cuts[1] for x in cuts[2]]
