"""Matrix products with few bits set, by their events alone, on a CPU.

A spike adds a row of the weights to what a neuron receives, and the gradient of a row of weights is the sum of what
came back where its input had spiked. Where few inputs spike, adding those rows takes less time than a dense product,
which multiplies the zeros too. Sums are float32 in the order of the inputs, or of time and samples, and rounded once
where the factors are bfloat16; a dense product has another order, so that the two agree up to rounding, and exactly
where all sums are whole numbers below 2**24.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitspike.train.threads import in_threads

MOST = {torch.float32: 0.3, torch.bfloat16: 0.2}
"""Up to this fraction of bits set the events are taken.

In float32, on a processor with AVX2, they were the faster up to 0.4, for five shapes from 1024 x 64 x 512 to 3200 x 784
x 512. In bfloat16, on one that multiplies it, up to 0.2 for shapes from 3200 x 512 x 512 on, forward and back together.
"""
_WORDS: dict[torch.dtype, tuple[torch.dtype, Any]] = {
    torch.float32: (torch.int32, np.uint32),
    torch.bfloat16: (torch.int16, np.uint16),
}
"""Integers of the same width."""
_LARGEST = 1 << 31
"""Places are counted in 32 bits."""

Array = npt.NDArray[Any]


class Events:
    """Where the bits of a matrix are set.

    Attributes:
        rows: of the matrix.
        columns: of the matrix.
    """

    def __init__(self, starts: Array, places: Array, shape: tuple[int, int]) -> None:
        self.rows, self.columns = shape
        self._starts, self._places = starts, places

    def times(self, weights: Tensor) -> Tensor:
        """Return bits @ weights.T for weights of shape (outputs, columns)."""
        from bitspike.train.kernels.events import WIDTH, cut, sum_rows

        outputs = len(weights)
        blocks = np.empty((-(-outputs // WIDTH), self.columns, WIDTH), np.float32)
        cut(weights.detach().float().contiguous().numpy(), blocks)
        result = torch.empty(self.rows, outputs)
        found = result.numpy()
        in_threads(self.rows, lambda first, last: sum_rows(blocks, self._starts, self._places, found, first, last))
        return result.to(weights.dtype)

    def outer(self, gradient: Tensor) -> Tensor:
        """Return gradient.T @ bits for a gradient of shape (rows, outputs)."""
        from bitspike.train.kernels.events import CHUNK, WIDTH, sum_outer, turn_events

        outputs = gradient.shape[1]
        heads = np.empty((-(-self.rows // CHUNK), self.columns + 1), np.int32)
        turned = np.empty_like(self._places)
        turn_events(self._starts, self._places, self.columns, heads, turned)
        result = torch.empty(outputs, self.columns)
        values, found = gradient.detach().float().contiguous().numpy(), result.numpy()
        in_threads(-(-outputs // WIDTH), lambda first, last: sum_outer(values, heads, turned, found, first, last))
        return result.to(gradient.dtype)


def find_events(bits: Tensor, most: float | None = None) -> Events | None:
    """Return the events of a matrix of 0 and 1, or None where a dense product is the better choice.

    Args:
        bits: shape (rows, columns).
        most: the fraction of set bits above which it is; by default that of :data:`MOST`.
    """
    words = _WORDS.get(bits.dtype)
    if words is None or bits.device.type != "cpu" or bits.numel() >= _LARGEST:
        return None
    from bitspike.train.kernels.events import CHUNK
    from bitspike.train.kernels.events import find_events as find

    rows, columns = bits.shape
    limit = int((MOST[bits.dtype] if most is None else most) * bits.numel())
    starts, places = np.empty(rows * -(-columns // CHUNK) + 1, np.int32), np.empty(limit + columns + 1, np.int32)
    signed, unsigned = words
    found = find(bits.detach().contiguous().view(signed).numpy().view(unsigned), limit, starts, places)
    return None if found < 0 else Events(starts, places[:found].copy(), (rows, columns))
