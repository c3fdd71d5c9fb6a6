"""Functions that Numba compiles once, and keeps beside the package for later processes.

Numba compiles a function together with those that it calls, and takes what it kept for fresh while the function's own
file is unchanged. Here it is fresh while no file in its folder has changed, so that a change in a helper is never
answered by old machine code.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, overload

from numba import njit


@overload
def compiled(function: Callable[..., Any]) -> Any: ...
@overload
def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]: ...
def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function for all its callers, without Python's lock; also as ``@compiled(inline="always")``.

    Args:
        function: what it decorates. It calls compiled functions of its own folder only.
        options: others of :func:`numba.njit`.
    """
    if function is None:
        return lambda later: compiled(later, **options)
    found = njit(cache=True, nogil=True, **options)(function)
    # Numba has no public place for this; where the private one is gone, only those who edit the package would notice.
    kept = getattr(getattr(found, "_cache", None), "_cache_file", None)
    if kept is not None:
        kept._source_stamp = _stamp(Path(function.__code__.co_filename).parent)
    return found


@cache
def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change in ns, and size of each file of Python code."""
    states = ((file.name, file.stat()) for file in sorted(folder.glob("*.py")))
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states)
