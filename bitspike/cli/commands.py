"""All commands, gathered from the modules that hold them."""

from typing import Annotated

import typer

from bitspike import __version__
from bitspike.cli import bench, floating, lowering, networks, proof, verification, work
from bitspike.cli.energy import energy
from bitspike.cli.optimise import optimise
from bitspike.cli.report import report

app = typer.Typer(
    name="bitspike",
    help="Train spiking networks with one-bit weights, put them on a chip, and prove that nothing changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bitspike {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Train spiking networks with one-bit weights, put them on a chip, and prove that nothing changed."""


app.command("doctor")(work.doctor)
app.command("demo")(work.demo)
app.command("train")(work.train)
app.command("collapse")(networks.collapse)
app.command("export")(networks.export)
app.command("import")(networks.import_)
app.command("lint")(floating.lint_file)
app.command("optimise")(optimise)
app.command("lower")(lowering.lower)
app.command("simulate")(proof.simulate)
app.command("verify")(verification.verify)
app.command("energy")(energy)
app.command("report")(report)
app.add_typer(bench.app, name="bench")
