"""Lava's order of neurons where a window slides over them: (width, height, channels) for our (channels, height, width).

Only populations and inputs that a ``Conv`` reads or feeds are laid out so; all others are a line of neurons in our
order. Matrices between the two are written in Lava's order, so that ports are reshaped and never transposed.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]


def lava_shape(shape: Shape, *, in_space: bool) -> Shape:
    """The shape that Lava is given."""
    return tuple(reversed(shape)) if in_space else (math.prod(shape),)


def our_index(shape: Shape) -> npt.NDArray[np.int64]:
    """Which of our neurons each one of Lava's is, of a population that has `shape` in Lava."""
    return np.arange(math.prod(shape)).reshape(shape[::-1]).T.ravel()


def lava_index(shape: Shape) -> npt.NDArray[np.int64]:
    """Which of Lava's neurons each one of ours is: the inverse of :func:`our_index`."""
    return np.argsort(our_index(shape))


def to_lava(values: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Values of our neurons, (..., neurons), as (..., *shape) in Lava's order."""
    return values[..., our_index(shape)].reshape(*values.shape[:-1], *shape)


def from_lava(values: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Values as Lava has them, (..., *shape), for our neurons: (..., neurons)."""
    flat = values.reshape(*values.shape[: values.ndim - len(shape)], -1)
    return flat[..., lava_index(shape)]
