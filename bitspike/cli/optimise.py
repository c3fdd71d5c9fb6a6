"""The command that runs passes over a network: optimise."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.errors import UsageError

if TYPE_CHECKING:
    from bitspike.convert.network import IntegerNetwork
    from bitspike.sim.answers import AnswerComparison


def optimise(
    net: Network,
    out: Annotated[Path, typer.Option("--out", help="The file to write; its ending says the format.")],
    passes: Annotated[
        list[str] | None,
        typer.Option(
            "--pass",
            metavar="PASS",
            help="fold, merge, prune, common, hold, quiet, split:NEURONS, fan-in:SOURCES, fan-in-binary:SOURCES, "
            "retime[:MAX_DELAY]; may be given several times, and they run in that order. Default: fold, merge, prune.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Samples, as for simulate, on which both networks must answer the same."),
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="With --data: only the first so many.")] = None,
    as_json: Json = False,
) -> None:
    """Make a network smaller, or fit for a target, with the same answers for every input."""
    from bitspike.convert.formats import export, load
    from bitspike.convert.passes.table import SMALLER, find_passes, size_of

    chosen = passes or list(SMALLER)
    find_passes(chosen)
    if samples is not None and data is None:
        raise UsageError("--samples: no data; expected --data too")
    before = load(net)
    after, rows = _run(before, chosen)
    compared = None if data is None else _compared(before, after, data, samples)
    size = asdict(size_of(before))
    result: dict[str, Any] = {"changed": any(row["changed"] for row in rows), "before": size, "passes": rows}
    result["after"] = asdict(size_of(after))
    lines = [f"{'':<12} {'populations':>11} {'connections':>11} {'neurons':>10} {'synapses':>12}"]
    lines += [_line("before", size), *(_line(row["pass"], row) for row in rows)]
    if compared is not None:
        lines.append(f"answers on {data}: {compared}")
        result["answers"] = compared.as_json()
        if not compared.passed:
            show("\n".join([*lines, "no file was written"]), result, as_json)
            raise typer.Exit(1)
    form = export(after, out)
    lines.append(f"{out}: {form.name}, read back and equal")
    show("\n".join(lines), {"path": str(out), "format": form.name, "digest": after.digest(), **result}, as_json)


def _run(network: "IntegerNetwork", passes: Sequence[str]) -> tuple["IntegerNetwork", list[dict[str, Any]]]:
    """The network after all passes, and what each has left of it."""
    from bitspike.convert.passes.table import run_passes, size_of

    rows: list[dict[str, Any]] = []
    with progress("optimise") as notify:
        for number, name in enumerate(passes):
            notify(name, number, len(passes))
            after = run_passes(network, (name,))
            rows.append({"pass": name, "changed": after is not network, **asdict(size_of(after))})
            network = after
    return network, rows


def _compared(before: "IntegerNetwork", after: "IntegerNetwork", data: str, samples: int | None) -> "AnswerComparison":
    from bitspike.api import load_data
    from bitspike.sim.answers import compare_answers

    found = load_data(data, steps=before.steps)
    return compare_answers(before, after, found if samples is None else found.first(samples))


def _line(label: str, row: dict[str, Any]) -> str:
    return (
        f"{label:<12} {row['populations']:>11,} {row['connections']:>11,} {row['neurons']:>10,} {row['synapses']:>12,}"
    )
