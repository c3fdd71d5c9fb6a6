"""Products with bits by their events alone: a sum of rows of a matrix for each list of places, compiled.

A matrix is cut into blocks of WIDTH columns, each contiguous. While CHUNK rows of a block are in a processor's nearest
caches, all that is listed of them is added, WIDTH sums in its registers. Sums are float32, in the order of the lists;
rows of a result do not depend on each other, so that no number of threads changes a bit.

Numba keeps compiled kernels by the time stamp of the file that they are in: after a change in
:mod:`bitspike.train.kernels.lanes`, touch this file too.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.compiled import compiled
from bitspike.train.kernels.lanes import LANES, add, load, store

WIDTH = 8 * LANES
"""Columns of a block: eight vectors."""
CHUNK = 192
"""Rows of a block that are added from together: 48 KiB."""
TILE = 256
"""Sums that wait, while one chunk after the other is added to them: 64 KiB."""

_L = LANES


@compiled
def find_events(words: Any, most: Any, starts: Any, places: Any) -> Any:
    """List the columns of all words that are not 0, row by row, a list for each CHUNK columns of a row.

    Args:
        words: shape (rows, columns).
        most: how many events to list.
        starts: result, shape (rows * chunks + 1,): where each list begins, and where the last one ends.
        places: result, columns; room for `most` and one row.

    Returns:
        How many there are, or -1 where they are more than `most`.
    """
    rows, columns = words.shape
    at, number = np.uint64(0), 0
    for row in range(rows):
        line = words[row]
        for begin in range(0, columns, CHUNK):
            starts[number] = at
            number += 1
            # Places without a sign: one with a sign is asked each time whether it counts from the end.
            for column in range(np.uint64(begin), np.uint64(min(columns, begin + CHUNK))):
                places[at] = column
                at += np.uint64(line[column] != 0)
        if np.int64(at) > most:
            return -1
    starts[number] = at
    return np.int64(at)


@compiled
def turn_events(starts: Any, places: Any, columns: Any, heads: Any, turned: Any) -> None:
    """List the rows of each column's events, CHUNK rows at once.

    Args:
        starts, places: as :func:`find_events` has them.
        columns: how many there are.
        heads: result, shape (chunks, columns + 1): where each column's list begins, and where the last one ends.
        turned: result, rows, counted from the first of their chunk; as long as `places`.
    """
    lists = (columns + CHUNK - 1) // CHUNK
    rows = (len(starts) - 1) // lists
    for chunk in range(len(heads)):
        first, last = chunk * CHUNK, min(rows, (chunk + 1) * CHUNK)
        head = heads[chunk]
        head[:] = 0
        for at in range(np.uint64(starts[first * lists]), np.uint64(starts[last * lists])):
            head[np.uint64(places[at]) + np.uint64(1)] += 1
        head[0] = starts[first * lists]
        for column in range(columns):
            head[column + 1] += head[column]
        free = head.copy()
        for row in range(first, last):
            for at in range(np.uint64(starts[row * lists]), np.uint64(starts[(row + 1) * lists])):
                of = np.uint64(places[at])
                turned[np.uint64(free[of])] = row - first
                free[of] += 1


@compiled
def cut(matrix: Any, blocks: Any) -> None:
    """Write the transpose of a matrix, shape (columns, rows), in blocks of columns, shape (blocks, rows, WIDTH)."""
    columns, rows = matrix.shape
    for block in range(len(blocks)):
        first = block * WIDTH
        many = min(WIDTH, columns - first)
        target = blocks[block]
        for row in range(rows):
            for column in range(many):
                target[row, column] = matrix[first + column, row]
            for column in range(many, WIDTH):
                target[row, column] = 0


@njit(inline="always")
def _load(array: Any, at: Any) -> Any:
    """Return WIDTH numbers as eight vectors."""
    return (
        (load(array, at), load(array, at + _L), load(array, at + 2 * _L), load(array, at + 3 * _L)),
        (load(array, at + 4 * _L), load(array, at + 5 * _L), load(array, at + 6 * _L), load(array, at + 7 * _L)),
    )


@njit(inline="always")
def _summed(sums: Any, block: Any, places: Any) -> Any:
    """Add the rows of a block, in flat order, that are listed to WIDTH sums."""
    (s0, s1, s2, s3), (s4, s5, s6, s7) = sums
    for event in range(len(places)):
        at = np.int64(places[event]) * WIDTH
        s0, s1 = add(s0, load(block, at)), add(s1, load(block, at + _L))
        s2, s3 = add(s2, load(block, at + 2 * _L)), add(s3, load(block, at + 3 * _L))
        s4, s5 = add(s4, load(block, at + 4 * _L)), add(s5, load(block, at + 5 * _L))
        s6, s7 = add(s6, load(block, at + 6 * _L)), add(s7, load(block, at + 7 * _L))
    return (s0, s1, s2, s3), (s4, s5, s6, s7)


@njit(inline="always")
def _store(sums: Any, array: Any, at: Any) -> None:
    """Write WIDTH sums."""
    (s0, s1, s2, s3), (s4, s5, s6, s7) = sums
    store(array, at, s0)
    store(array, at + _L, s1)
    store(array, at + 2 * _L, s2)
    store(array, at + 3 * _L, s3)
    store(array, at + 4 * _L, s4)
    store(array, at + 5 * _L, s5)
    store(array, at + 6 * _L, s6)
    store(array, at + 7 * _L, s7)


@compiled
def sum_rows(  # noqa: PLR0917
    blocks: Any, starts: Any, places: Any, result: Any, first: Any, last: Any
) -> None:
    """Write the sums of a matrix's rows that are listed, for rows `first` to `last` - 1 of the result.

    Args:
        blocks: the matrix, as :func:`cut` has it.
        starts, places: as :func:`find_events` has them.
        result: shape (rows, columns).
        first, last: rows.
    """
    columns, inputs = result.shape[1], blocks.shape[1]
    lists = (inputs + CHUNK - 1) // CHUNK
    part = np.empty((TILE, WIDTH), np.float32)
    flat_part = part.reshape(-1)
    for block in range(len(blocks)):
        begin = block * WIDTH
        many = min(WIDTH, columns - begin)
        matrix = blocks[block].reshape(-1)
        for top in range(first, last, TILE):
            rows = min(TILE, last - top)
            part[:] = 0
            for chunk in range(lists):
                for row in range(rows):
                    number = (top + row) * lists + chunk
                    found = _load(flat_part, row * WIDTH)
                    found = _summed(found, matrix, places[starts[number] : starts[number + 1]])
                    _store(found, flat_part, row * WIDTH)
            for row in range(rows):
                for column in range(many):
                    result[top + row, begin + column] = part[row, column]


@compiled
def sum_outer(  # noqa: PLR0917
    gradient: Any, heads: Any, turned: Any, result: Any, first: Any, last: Any
) -> None:
    """Write gradient.T @ bits, for blocks `first` to `last` - 1 of the gradient's columns.

    Args:
        gradient: shape (rows, columns).
        heads, turned: as :func:`turn_events` has them.
        result: shape (columns, inputs).
        first, last: blocks of WIDTH columns.
    """
    rows, columns = gradient.shape
    inputs = result.shape[1]
    part, sums = np.zeros((CHUNK, WIDTH), np.float32), np.empty((inputs, WIDTH), np.float32)
    flat, flat_part, flat_sums = gradient.reshape(-1), part.reshape(-1), sums.reshape(-1)
    for block in range(first, last):
        begin = block * WIDTH
        many = min(WIDTH, columns - begin)
        sums[:] = 0
        for chunk in range(len(heads)):
            head, top = heads[chunk], chunk * CHUNK
            for row in range(min(CHUNK, rows - top)):
                if many == WIDTH:
                    _store(_load(flat, (top + row) * columns + begin), flat_part, row * WIDTH)
                else:
                    for column in range(many):
                        part[row, column] = gradient[top + row, begin + column]
            for place in range(inputs):
                found = _load(flat_sums, place * WIDTH)
                found = _summed(found, flat_part, turned[head[place] : head[place + 1]])
                _store(found, flat_sums, place * WIDTH)
        for column in range(many):
            for place in range(inputs):
                result[begin + column, place] = sums[place, column]
