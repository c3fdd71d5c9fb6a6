"""Threads of torch, and compiled work in as many."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch's operations use `count` threads in this block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_threads(count: int, work: Callable[[int, int], None]) -> None:
    """Run `work` on all of `count` independent parts, each thread from a first to before a last one."""
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        work(0, count)
        return
    # The flag belongs to a thread of the processor.
    flush = float(torch.tensor([1e-38]) * 0.01) == 0.0

    def part(number: int) -> None:
        torch.set_flush_denormal(flush)
        work(count * number // threads, count * (number + 1) // threads)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(threads)))
