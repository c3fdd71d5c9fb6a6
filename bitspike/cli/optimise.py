"""The command that runs passes over a network: optimise."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bitspike.cli.console import Json, Network, progress, show


def optimise(
    net: Network,
    out: Annotated[Path, typer.Option("--out", help="The file to write; its ending says the format.")],
    passes: Annotated[
        list[str] | None,
        typer.Option(
            "--pass",
            metavar="PASS",
            help="fold, merge, prune, common, hold, quiet, split:NEURONS, retime[:MAX_DELAY]; may be given several "
            "times, and they run in that order. Default: fold, merge, prune.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a network smaller, or fit for a target, with the same answers for every input."""
    from bitspike.convert.formats import export, load
    from bitspike.convert.passes.table import SMALLER, find_passes, run_passes, size_of

    chosen = passes or list(SMALLER)
    network = load(net)
    find_passes(chosen)
    before = size_of(network)
    rows: list[dict[str, Any]] = []
    with progress("optimise") as notify:
        for number, name in enumerate(chosen):
            notify(name, number, len(chosen))
            after = run_passes(network, (name,))
            rows.append({"pass": name, "changed": after is not network, **asdict(size_of(after))})
            network = after
    form = export(network, out)
    data = {
        "path": str(out),
        "format": form.name,
        "digest": network.digest(),
        "changed": any(row["changed"] for row in rows),
        "before": asdict(before),
        "passes": rows,
        "after": asdict(size_of(network)),
    }
    head = f"{'':<12} {'populations':>11} {'connections':>11} {'neurons':>10} {'synapses':>12}"
    lines = [_line("before", asdict(before)), *(_line(row["pass"], row) for row in rows)]
    show("\n".join([head, *lines, f"{out}: {form.name}, read back and equal"]), data, as_json)


def _line(label: str, row: dict[str, Any]) -> str:
    return (
        f"{label:<12} {row['populations']:>11,} {row['connections']:>11,} {row['neurons']:>10,} {row['synapses']:>12,}"
    )
