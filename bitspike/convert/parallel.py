"""Connections between the same two populations, made one: their weights are added.

Shortcuts can reach a population twice from the same source, and a legal network has one connection of each delay
between two populations. Rules:

1. Dense connections become one whose weights are the sums: 2 bits where two one-bit matrices meet.
2. Convolutions and sum pools (weights of 1 from each channel to itself) of equal stride become one convolution. The
   smaller kernels are laid into the one with the most padding, place on place; its rim gets weights of 0.
3. Anything else is refused: other strides, or a kernel that would stick out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from bitspike.convert.connection import Connection, Integers
from bitspike.convert.connections import Conv2d, Dense, SumPool2d, Windowed
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError


def merged(connections: Iterable[Connection]) -> Iterator[Connection]:
    """Yield `connections`, those of equal source, target and delay as one, in the order of the first of each.

    Raises:
        UnsupportedError: by rule 3.
    """
    groups: dict[tuple[str, str, int], list[Connection]] = {}
    for one in connections:
        groups.setdefault((one.source, one.target, one.delay), []).append(one)
    for group in groups.values():
        yield group[0] if len(group) == 1 else _one(group)


def _one(group: list[Connection]) -> Connection:
    dense = [one for one in group if isinstance(one, Dense)]
    if len(dense) == len(group):
        total = sum((one.effective() for one in dense[1:]), dense[0].effective())
        return replace(dense[0], weights=weights_of(total), exponent=0)
    windows = [one for one in group if isinstance(one, Conv2d | SumPool2d)]
    if len(windows) < len(group):
        raise UnsupportedError(f"connection {group[0].name}: found several of different kinds; expected equal kinds")
    return _one_window(windows)


def _one_window(group: list[Conv2d | SumPool2d]) -> Conv2d:
    """Rule 2."""
    frame = max(group, key=lambda one: (one.padding, one.window))
    total = np.zeros((frame.target_channels, frame.source_shape[0], *frame.window), dtype=np.int64)
    for one in group:
        top, left = (outer - inner for outer, inner in zip(frame.padding, one.padding, strict=True))
        height, width = one.window
        fits = top + height <= frame.window[0] and left + width <= frame.window[1]
        if one.stride != frame.stride or one.dilation != (1, 1) or not fits or min(top, left) < 0:
            raise UnsupportedError(
                f"connection {one.name}: found windows {one.window} and {frame.window}, strides {one.stride} and "
                f"{frame.stride}; expected equal strides, and one window inside the other"
            )
        total[:, :, top : top + height, left : left + width] += _taps(one)
    return Conv2d(
        source=frame.source,
        target=frame.target,
        delay=frame.delay,
        source_shape=frame.source_shape,
        kernel=frame.window,
        stride=frame.stride,
        padding=frame.padding,
        weights=weights_of(total.reshape(len(total), -1)),
    )


def _taps(one: Windowed) -> Integers:
    """Effective weights, (target channels, source channels, height, width)."""
    height, width = one.window
    rows = [np.stack([one.tap(y, x) for x in range(width)], axis=-1) for y in range(height)]
    return np.stack(rows, axis=-2)
