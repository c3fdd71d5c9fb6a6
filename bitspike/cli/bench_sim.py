"""The command bench sim: speed of the engines side by side, and how the fast one scales."""

from pathlib import Path
from typing import Annotated

import typer

from bitspike.cli.console import Json, progress, show


def sim(
    networks: Annotated[str, typer.Option("--networks", help="mlp, conv or both, with commas.")] = "mlp,conv",
    activities: Annotated[str, typer.Option("--activities", help="Per cent of the input's bits.")] = "1,5,10,30",
    batches: Annotated[str, typer.Option("--batches", help="Samples given together.")] = "1,256",
    engines: Annotated[str | None, typer.Option("--engines", help="Some, with commas; default: all installed.")] = None,
    runs: Annotated[int, typer.Option("--runs", help="Of each, alternating; the median counts.")] = 5,
    steps: Annotated[int, typer.Option("--steps", help="Of a sample's window.")] = 100,
    quick: Annotated[bool, typer.Option("--quick", help="5 %, batch 16, two runs: a minute.")] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="The fast engine alone, over neurons, activity, batch and threads.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="With --scaling: draw the times into this .svg or .png.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Samples a second of our engines, ONNX Runtime, Lava and the frameworks installed, beside the machine's bound."""
    from bitspike.errors import UsageError
    from bitspike.sim.speed.bench import bench_sim

    if scaling:
        _scaling(runs=runs, steps=steps, quick=quick, figure=figure, as_json=as_json)
        return
    if figure is not None:
        raise UsageError("--figure: draws the scaling; expected --scaling beside it")
    if quick:
        activities, batches, runs = "5", "16", 2
    try:
        shares = [float(part) / 100 for part in activities.split(",")]
        sizes = [int(part) for part in batches.split(",")]
    except ValueError:
        raise UsageError(
            f"--activities {activities!r}, --batches {batches!r}; expected numbers with commas, such as 1,5 and 1,256"
        ) from None
    with progress("bench") as notify:
        result = bench_sim(
            networks=networks.split(","),
            activities=shares,
            batches=sizes,
            engines=engines.split(",") if engines else None,
            runs=runs,
            steps=steps,
            notify=notify,
        )
    show(result, result.as_json(), as_json)


def _scaling(*, runs: int, steps: int, quick: bool, figure: Path | None, as_json: bool) -> None:
    from bitspike.sim.mesh_figure import check_figure
    from bitspike.sim.speed.scaling import bench_scaling
    from bitspike.sim.speed.scaling_figure import draw_scaling

    if figure is not None:
        check_figure(figure)
    with progress("bench") as notify:
        result = bench_scaling(runs=2 if quick else runs, steps=steps, small=quick, notify=notify)
    values = result.as_json()
    lines = [str(result)]
    if figure is not None:
        values["figure"] = str(draw_scaling(result, figure))
        lines.append(values["figure"])
    show("\n".join(lines), values, as_json)
