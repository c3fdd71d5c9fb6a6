"""Progress on standard error: a bar with loss, accuracy and the time left, or lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from bitspike.train.loop import Metrics

_FIRST_SECONDS, _FIRST_UPDATES = 3.0, 3
"""When the first estimate is made: the very first updates are slower than the others."""
_LINE_SECONDS = 60.0
"""Lines come at the first estimate, and then at the end of an epoch when the last is so old."""


class Report(Protocol):
    """What the training loop calls after updates and at the end of each epoch."""

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        """Show the metrics of an epoch so far."""


def _silent(epoch: int, metrics: Metrics) -> None:
    """Show nothing."""


@dataclass(kw_only=True)
class Clock:
    """An estimate of the time that is left, from the updates and epochs since the start.

    Within the first epoch it counts updates alone; after it, whole epochs with their evaluation.

    Attributes:
        epochs: left at the start.
        updates: in one epoch.
        now: gives the time in seconds.
    """

    epochs: int
    updates: int
    now: Callable[[], float] = time.monotonic
    _start: float = field(init=False)
    _whole: float = field(init=False, default=0.0)
    _done: int = field(init=False, default=0)
    _within: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._start = self.now()

    def count(self, metrics: Metrics) -> None:
        """Take note of the updates of an epoch so far, or of its end, by what the loop said of it."""
        if "epoch" not in metrics:
            self._within = int(metrics["updates"])
            return
        self._done += 1
        self._within = 0
        self._whole = self.now() - self._start

    def left_seconds(self) -> float | None:
        """Return the estimate in seconds; None before there is one."""
        elapsed = self.now() - self._start
        if self._done:
            left = self.epochs - self._done - self._within / self.updates
            return max(0.0, left) * self._whole / self._done
        if self._within < _FIRST_UPDATES or elapsed < _FIRST_SECONDS:
            return None
        return max(0, self.epochs * self.updates - self._within) * elapsed / self._within


def about(seconds: float) -> str:
    """Return a duration in words, such as ``about 4 min left``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min left"


def described(epoch: int, epochs: int, metrics: Metrics, left: float | None) -> str:
    """Return one line on an epoch."""
    figures = f"epoch {epoch}/{epochs}  loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.1%}"
    if "validation_map" in metrics:
        figures += f"  validation {metrics['validation_map']:.1%}"
    return f"{figures}  {about(left)}" if left else figures


@contextmanager
def progress_bar(*, show: bool | None, name: str, epochs: int, updates: int, done: int) -> Iterator[Report]:
    """Yield a report function.

    Args:
        show: whether to draw a bar; None draws one where standard error is a terminal, and writes lines where not.
        name: of the run.
        epochs: in the whole run.
        updates: in one epoch.
        done: epochs done before.
    """
    clock = Clock(epochs=epochs - done, updates=updates)
    if show is False:
        yield _silent
        return
    if show is None and not sys.stderr.isatty():
        yield _lines(clock, name=name, epochs=epochs)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=epochs * updates, completed=done * updates, figures="")

        def report(epoch: int, metrics: Metrics) -> None:
            clock.count(metrics)
            figures = described(epoch, epochs, metrics, clock.left_seconds())
            if "epoch" in metrics:
                bar.update(task, completed=epoch * updates, figures=figures)
            else:
                bar.update(task, completed=(epoch - 1) * updates + metrics["updates"], figures=figures)

        yield report


def _lines(clock: Clock, *, name: str, epochs: int) -> Report:
    """Return a report that writes a line at the first estimate, and then at ends of epochs, once a minute."""
    last: float | None = None

    def report(epoch: int, metrics: Metrics) -> None:
        nonlocal last
        clock.count(metrics)
        left, now = clock.left_seconds(), clock.now()
        # A run of a few seconds says nothing.
        first = last is None and left is not None and left >= _FIRST_SECONDS
        later = last is not None and "epoch" in metrics and now - last >= _LINE_SECONDS
        if first or later:
            last = now
            sys.stderr.write(f"{name}: {described(epoch, epochs, metrics, left)}\n")
            sys.stderr.flush()

    return report
