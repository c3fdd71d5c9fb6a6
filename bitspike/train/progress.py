"""A progress bar with loss and accuracy, on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from bitspike.train.loop import Metrics


class Report(Protocol):
    """What the training loop calls after each update and at the end of each epoch."""

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        """Show the metrics of an epoch so far."""


def _silent(epoch: int, metrics: Metrics) -> None:
    """Show nothing."""


@contextmanager
def progress_bar(*, show: bool | None, name: str, epochs: int, updates: int, done: int) -> Iterator[Report]:
    """Yield a report function.

    Args:
        show: whether to draw a bar; None draws one where standard error is a terminal.
        name: of the run.
        epochs: in the whole run.
        updates: in one epoch.
        done: epochs done before.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=epochs * updates, completed=done * updates, figures="")

        def report(epoch: int, metrics: Metrics) -> None:
            figures = f"epoch {epoch}/{epochs}  loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.1%}"
            if "validation_map" in metrics:
                figures += f"  validation {metrics['validation_map']:.1%}"
                bar.update(task, completed=epoch * updates, figures=figures)
            else:
                bar.update(task, advance=1, figures=figures)

        yield report
