"""Commands that measure: bench estimators, bench train and bench gradients."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from bitspike.cli.console import Json, progress, show

app = typer.Typer(help="Measure parts side by side; each has --json.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure parts side by side; each has --json."""


@app.command("estimators")
def estimators(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer cases, in a few seconds.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for estimators.json, .png and .svg (needs matplotlib).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bias and spread of the gradient estimators against exact gradients, by enumeration (about half a minute)."""
    from bitspike.errors import FileError
    from bitspike.train.bench_estimators import bench_estimators

    if out is not None:
        from bitspike.train.bench_figure import check_matplotlib, draw_estimators

        check_matplotlib()
        if out.exists() and not out.is_dir():
            raise FileError(out, "is a file; expected a folder")
    with progress("bench") as notify:
        result = bench_estimators(quick=quick, notify=notify)
    files: list[str] = []
    if out is not None:
        files = [str(path) for path in draw_estimators(result, out)]
        (out / "estimators.json").write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
        files.append(str(out / "estimators.json"))
    show("\n".join([str(result), *files]), {**result.as_json(), "files": files}, as_json)


@app.command("train")
def train(
    runs: Annotated[int, typer.Option("--runs", help="Runs of each, alternating; the median counts.")] = 5,
    batches: Annotated[int, typer.Option("--batches", help="Updates in a run.")] = 4,
    threads: Annotated[int, typer.Option("--threads", help="Of torch, for both.")] = 1,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(
            "--precision", help="Of our spikes and matrix products; bfloat16 by default where the processor has it."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two runs of one batch, in a few seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Time and memory of training 784-512-512-10 over 25 steps, beside snnTorch on the CPU (about half a minute)."""
    from bitspike.train.bench_train import bench_train

    if quick:
        runs, batches = 2, 1
    with progress("bench") as notify:
        result = bench_train(runs=runs, batches=batches, threads=threads, precision=precision, notify=notify)
    show(result, result.as_json(), as_json)


@app.command("gradients")
def gradients(
    depth: Annotated[int, typer.Option("--depth", help="Convolutions: 19 or 25.")] = 25,
    updates: Annotated[int, typer.Option("--updates", help="Updates between the two measurements.")] = 10,
    as_json: Json = False,
) -> None:
    """Gradients of each layer of a deep residual network and of a plain chain, without normalisation (a minute)."""
    from bitspike.train.bench_gradients import bench_gradients

    with progress("bench") as notify:
        result = bench_gradients(depth=depth, updates=updates, notify=notify)
    show(result, result.as_json(), as_json)
