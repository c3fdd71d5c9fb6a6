"""The command that puts a run on one page."""

from pathlib import Path
from typing import Annotated

import typer

from bitspike.cli.console import Json, progress, show
from bitspike.cli.proof import Samples


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `bitspike train` makes it.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write, ending in .html.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Replaces the recipe's data, as mnist:DIR; its test part is taken.")
    ] = None,
    chip: Annotated[str, typer.Option("--chip", help="Whose cores and prices; loihi2 gives counts only.")] = "loihi1",
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write each figure there too, as SVG and PNG.")
    ] = None,
    samples: Samples = None,
    as_json: Json = False,
) -> None:
    """Put a run on one page: accuracy, equality of engines, spikes, cores, energy. Exit code 1 where engines part."""
    from bitspike.api import report as make

    with progress("report") as notify:
        made = make(run, out, figures=figures, data=data, chip=chip, samples=samples, notify=notify)
    show(made, made.as_json(), as_json)
    if not made.findings.verification.passed:
        raise typer.Exit(1)
