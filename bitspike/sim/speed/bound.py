"""The machine's own bound: how many words of weights it ANDs with spikes and counts, and how many bytes it reads.

Where every target counts over all its sources, a step takes at least the words of all weights. What does better than
this bound leaves words out: those of sources that are silent.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from bitspike.compiled import compiled

#: Words that stay in a core's first cache; and those that no cache holds.
_NEAR, _FAR = 2048, 1 << 23
_REPEATS = 10_000


def _count_ones(typingctx: Any, word: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), codegen


_ones: Any = intrinsic(_count_ones)


@compiled
def _count(weights: Any, spikes: Any, repeats: Any) -> Any:
    total = np.uint64(0)
    for repeat in range(repeats):
        spikes[repeat % len(spikes)] ^= np.uint64(1)
        for word in range(len(weights)):
            total += _ones(weights[word] & spikes[word])
    return total


@compiled
def _read(words: Any) -> Any:
    total = np.uint64(0)
    for word in range(len(words)):
        total ^= words[word]
    return total


def words_per_second() -> float:
    """AND and popcount of 64-bit words in the first cache, on all cores."""
    random = np.random.default_rng(0)

    def work(weights: Any) -> None:
        _count(weights, weights[::-1].copy(), _REPEATS)

    parts = [random.integers(0, 1 << 63, _NEAR, dtype=np.uint64) for _ in range(_cores())]
    return _timed(work, parts, _NEAR * _REPEATS)


def bytes_per_second() -> float:
    """Reading of memory that no cache holds, on all cores."""
    parts = [np.ones(_FAR, np.uint64) for _ in range(_cores())]
    return _timed(_read, parts, _FAR * 8)


def _cores() -> int:
    return os.cpu_count() or 1


def _timed(work: Any, parts: list[Any], amount: int) -> float:
    """Amounts a second over all parts, the best of three runs."""
    work(parts[0])
    best = float("inf")
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(work, parts))
            best = min(best, time.perf_counter() - start)
    return amount * len(parts) / best
