"""What commands share: where they write, and how they show that they are at work."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Network = Annotated[str, typer.Argument(metavar="NET", help="A network file: .safetensors, .nir, .onnx or .net.")]
Notify = Callable[[str, int, int], None]


def show(text: object, data: dict[str, Any], as_json: bool) -> None:
    """Print `data` as JSON, or else `text`."""
    sys.stdout.write((json.dumps(data, indent=2, default=str) if as_json else str(text)) + "\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str) -> Iterator[Notify]:
    """A progress bar on standard error, where that is a terminal; yields a function (label, number from 0, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=None)

        def notify(label: str, number: int, total: int) -> None:
            bar.update(task, description=f"{title}: {label}", completed=number, total=total)

        yield notify
