"""The command that puts a run on one page."""

from pathlib import Path
from typing import Annotated

import typer

from bitspike.cli.console import Json, progress, show
from bitspike.cli.proof import Samples

_Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Replaces the recipe's data, as mnist:DIR: of a RECIPE in training too, of a RUN the test part alone.",
    ),
]
_Pareto = Annotated[
    bool | None,
    typer.Option(
        "--pareto/--no-pareto",
        help="Energy against accuracy on all samples, or not at all; default: on a few.",
    ),
]


def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|RECIPE.toml",
            help="A run folder, as `bitspike train` makes it; or a recipe, trained first where it is not yet.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The page to write, ending in .html; its certificate is put beside it.")
    ],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Of a recipe: where its run lies; default: runs/NAME.")
    ] = None,
    data: _Data = None,
    chip: Annotated[str, typer.Option("--chip", help="Whose cores and prices; loihi2 gives counts only.")] = "loihi1",
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write each figure there too, as SVG and PNG.")
    ] = None,
    samples: Samples = None,
    pareto: _Pareto = None,
    as_json: Json = False,
) -> None:
    """Put a run on one page: accuracy, equality of engines, spikes, cores, energy. Exit code 1 where engines part."""
    from bitspike.api import report as make
    from bitspike.reports.build import check_ready
    from bitspike.reports.source import find_run

    check_ready(out)
    recipe = source.suffix == ".toml"
    trained = find_run(source, folder=run, data=data if recipe else None)
    with progress("report") as notify:
        made = make(
            trained,
            out,
            figures=figures,
            data=None if recipe else data,
            chip=chip,
            samples=samples,
            pareto=pareto,
            notify=notify,
        )
    show(made, made.as_json(), as_json)
    if not made.findings.verification.passed:
        raise typer.Exit(1)
