"""Words and events by Philox, compiled: those of :mod:`bitspike.train.encode`, many times faster.

Philox makes four words at a time from a counter, so a block of four whose events never happen need not be made at all.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from bitspike.compiled import compiled

_FIRST, _SECOND = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_FIRST_KEY, _SECOND_KEY = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_HALF, _ONE, _ZERO = np.uint64(32), np.uint64(1), np.uint64(0)
_ROUNDS = 10


def _high_product(typing: Any, one: Any, other: Any) -> Any:  # noqa: ARG001
    """Return the code that makes the high 64 bits of the product of two words."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        from llvmlite import ir

        wide = ir.IntType(128)
        first, second = (builder.zext(argument, wide) for argument in arguments)
        product = builder.lshr(builder.mul(first, second), ir.Constant(wide, 64))
        return builder.trunc(product, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), code


_high: Any = intrinsic(_high_product)


@compiled
def _block(counter: Any, index: Any, seed: Any, stream: Any) -> Any:
    """Return four words: Philox 4x64-10 (Salmon and others, SC 2011) of the counter (counter, 0, 0, index)."""
    a, b, c, d = counter, _ZERO, _ZERO, index
    for step in range(_ROUNDS):
        if step > 0:
            seed, stream = seed + _FIRST_KEY, stream + _SECOND_KEY
        a, b, c, d = _high(_SECOND, c) ^ b ^ seed, _SECOND * c, _high(_FIRST, a) ^ d ^ stream, _FIRST * a
    return a, b, c, d


@compiled
def _fill(limits: Any, indices: Any, seed: Any, stream: Any, spikes: Any) -> None:
    """Write the spikes of all samples, one row a sample; `limits` hold one step, which repeats."""
    samples, count = spikes.shape
    neurons = limits.shape[1]
    for sample in range(samples):
        neuron = 0
        counter = _ZERO
        for start in range(0, count, 4):
            counter += _ONE
            stop = min(start + 4, count)
            first, possible = neuron, False
            for _ in range(start, stop):
                possible |= limits[sample, neuron] > _ZERO
                neuron = 0 if neuron + 1 == neurons else neuron + 1
            if not possible:
                spikes[sample, start:stop] = 0
                continue
            words = _block(counter, indices[sample], seed, stream)
            neuron = first
            for at in range(stop - start):
                spikes[sample, start + at] = (words[at] >> _HALF) < limits[sample, neuron]
                neuron = 0 if neuron + 1 == neurons else neuron + 1


def spikes_below(
    limits: npt.NDArray[np.uint64], indices: npt.NDArray[np.intp], *, steps: int, seed: int, stream: int
) -> npt.NDArray[np.uint8]:
    """Return 1 where the high 32 bits of a word are below its limit, shape (samples, steps, neurons).

    Args:
        limits: 0 to 2**32, shape (samples, neurons).
        indices: number of each sample, which sets its counter, shape (samples,).
        steps: algorithmic time steps.
        seed: first word of the key.
        stream: second word of the key.
    """
    samples, neurons = limits.shape
    spikes = np.empty((samples, steps * neurons), dtype=np.uint8)
    _fill(np.ascontiguousarray(limits), indices.astype(np.uint64), np.uint64(seed), np.uint64(stream), spikes)
    return spikes.reshape(samples, steps, neurons)


@compiled
def _fill_words(indices: Any, seed: Any, stream: Any, found: Any) -> None:
    """Write the words of all items, one row an item."""
    count = found.shape[1]
    for item in range(len(indices)):
        counter = _ZERO
        for start in range(0, count, 4):
            counter += _ONE
            words = _block(counter, indices[item], seed, stream)
            for at in range(min(4, count - start)):
                found[item, start + at] = words[at]


def words_of_items(indices: npt.NDArray[np.intp], count: int, *, seed: int, stream: int) -> npt.NDArray[np.uint64]:
    """Return the first `count` raw words of each item, shape (items, count).

    Args:
        indices: number of each item, which sets its counter, shape (items,).
        count: words of an item.
        seed: first word of the key.
        stream: second word of the key.
    """
    found = np.empty((len(indices), count), dtype=np.uint64)
    _fill_words(indices.astype(np.uint64), np.uint64(seed), np.uint64(stream), found)
    return found
