"""Images read between their pixels, and levels as thermometers, compiled.

They run without Python's lock, so that threads that make batches do not wait for each other.
"""

from typing import Any

import numpy as np

from bitspike.compiled import compiled

_ZERO, _ONE = np.float64(0.0), np.float64(1.0)


@compiled(error_model="numpy")
def shift(  # noqa: PLR0917
    images: Any, top: Any, below: Any, left: Any, beside: Any, result: Any
) -> None:
    """Write shifted images: columns are read first, then rows, each between two places; outside an image is 0.

    Args:
        images: float64, shape (samples, height, width).
        top: for each row the place that it reads, 0 being the margin above, shape (samples, height).
        below: how far beyond it, 0 to 1, the same shape.
        left, beside: the same for columns, shape (samples, width).
        result: 0 to 1, the shape of `images`.
    """
    samples, height, width = images.shape
    across = np.zeros((height + 2, width), np.float64)
    for n in range(samples):
        for row in range(height):
            for column in range(width):
                at, part = left[n, column], beside[n, column]
                here = images[n, row, at - 1] if 1 <= at <= width else _ZERO
                after = images[n, row, at] if at < width else _ZERO
                across[row + 1, column] = (_ONE - part) * here + part * after
        for row in range(height):
            at, part = top[n, row], below[n, row]
            for column in range(width):
                value = (_ONE - part) * across[at, column] + part * across[at + 1, column]
                result[n, row, column] = min(max(value, _ZERO), _ONE)


@compiled(error_model="numpy")
def thermometers(levels: Any, full: Any, result: Any) -> None:
    """Write a 1 for each of w marks that a level reaches: level * (w + 1) of the k-th is at least (full + 1) * k.

    Args:
        levels: float64, shape (samples, neurons).
        full: the highest level.
        result: uint8, shape (samples, w, neurons).
    """
    samples, marks, neurons = result.shape
    for n in range(samples):
        for k in range(marks):
            mark = np.float64((full + 1) * (k + 1))
            for at in range(neurons):
                result[n, k, at] = levels[n, at] * (marks + 1) >= mark
