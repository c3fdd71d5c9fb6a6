"""Work that is done before its turn, in threads, for who must not wait for it. No torch here."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_FOR_EACH = 2
"""Results that are made or wait, for each worker."""


def ahead(make: Callable[[A], B], items: Iterable[A], *, workers: int) -> Iterator[B]:
    """Yield `make` of each item, in the items' order.

    Args:
        make: of an item; called in several threads at once where there are any.
        items: read as far as workers reach.
        workers: threads; 0 to make each result when it is asked for.
    """
    if workers < 1:
        yield from map(make, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[B]] = deque(pool.submit(make, item) for item in islice(rest, _FOR_EACH * workers))
        try:
            while begun:
                found = begun.popleft().result()
                begun.extend(pool.submit(make, item) for item in islice(rest, 1))
                yield found
        finally:
            for one in begun:
                one.cancel()
