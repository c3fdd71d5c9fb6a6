"""Numbers too small to matter, which the processor multiplies many times slower than others."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let the processor treat numbers below 1e-38 as 0 in this block.

    Gradients of almost certain bits, and Adam's squares of them, fall below that size and would make a step several
    times slower.
    """
    already = float(torch.tensor([1e-38]) * 0.01) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
