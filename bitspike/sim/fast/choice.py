"""Which of several forms of a layer is run: by the work that each would have, and by how fast this machine does it.

What a form costs is told by a model of its instructions, whose unit takes another time in each form and on each
processor. The forms are timed while they run, so that the model has to be right only about how work grows.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

#: How much faster than the others a form that was not yet timed is taken to be: within that it is tried.
_HOPE = 2.0
#: By how much a run that was slower than the last one, on a machine with other work, raises the time of its form.
_RISE = 1.1
#: What the time of the others becomes with each run, so that they are tried again now and then.
_FADE = 0.998


class Choice:
    """The forms of one connection. No result depends on what is chosen."""

    def __init__(self) -> None:
        self._pace: dict[str, float] = {}
        self._begun: set[str] = set()

    def pick(self, works: Mapping[str, float]) -> str:
        """Return the form with the least time, from the work of each."""
        unknown = min(self._pace.values(), default=1.0) / (_HOPE if self._pace else 1.0)
        return min(works, key=lambda name: works[name] * self._pace.get(name, unknown))

    def timed(self, name: str, work: float, run: Callable[[], Any]) -> Any:
        """Run a form and learn its pace; not from its first run, which may compile it."""
        begin = time.perf_counter()
        found = run()
        pace = (time.perf_counter() - begin) / max(work, 1.0)
        if name in self._begun:
            self._pace = {other: known * _FADE for other, known in self._pace.items() if other != name} | {
                name: min(pace, self._pace.get(name, pace) * _RISE)
            }
        self._begun.add(name)
        return found
