"""Commands that measure: bench accuracy, calibration, detection, energy, estimators, gradients, pareto, sim, train."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from bitspike.cli.bench_sim import sim
from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.proof import Data, Part, encoded
from bitspike.cli.work import Accelerator

app = typer.Typer(help="Measure parts side by side; each has --json.", no_args_is_help=True)
app.command("sim")(sim)


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
            "--precision", help="Of our spikes and matrix products; bfloat16 by default where the device has it."
        ),
    ] = None,
    accelerator: Annotated[Accelerator, typer.Option("--accelerator", help="Where both train.")] = Accelerator.CPU,
    quick: Annotated[bool, typer.Option("--quick", help="Two runs of one batch, in a few seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Time and memory of training 784-512-512-10 over 25 steps, beside snnTorch (about half a minute)."""
    import torch

    from bitspike.train.bench_train import bench_train
    from bitspike.train.launch import Placement

    device = torch.device(Placement(accelerator=accelerator.value).kind)
    if quick:
        runs, batches = 2, 1
    with progress("bench") as notify:
        result = bench_train(
            runs=runs, batches=batches, threads=threads, precision=precision, device=device, notify=notify
        )
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


@app.command("accuracy")
def accuracy(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as examples/digits.toml.")],
    seeds: Annotated[str, typer.Option("--seeds", help="Of the runs, with commas.")] = "0,1,2",
    sides: Annotated[str, typer.Option("--sides", help="Some of the three, with commas.")] = (
        "bitspike,straight-through,snntorch"
    ),
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for the runs; finished ones in it are not run again.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Replaces the recipe's data, as mnist:DIR.")] = None,
    snntorch_rate: Annotated[float, typer.Option("--snntorch-rate", help="Of Adam, for snnTorch.")] = 1e-3,
    straight_rate: Annotated[
        float | None, typer.Option("--straight-rate", help="Of the latent weights; default: a measured one.")
    ] = None,
    straight_width: Annotated[
        float | None, typer.Option("--straight-width", help="Of the surrogate, in weights; default: a measured one.")
    ] = None,
    rates: Annotated[
        str, typer.Option("--rates", help="Factors of the other sides' rates, such as 0.3,1,3; validation picks one.")
    ] = "",
    widths: Annotated[
        str, typer.Option("--widths", help="Of the surrogate of straight-through, such as 3,8; validation picks one.")
    ] = "",
    accelerator: Annotated[Accelerator, typer.Option("--accelerator", help="Where all train.")] = Accelerator.CPU,
    as_json: Json = False,
) -> None:
    """Accuracy, collapse gap and calibration of a recipe, beside straight-through and snnTorch (three runs a seed)."""
    from bitspike.train.bench_accuracy import bench_accuracy
    from bitspike.train.bench_search import SideOptions
    from bitspike.train.recipe import load_recipe

    options = SideOptions(
        snntorch_rate=snntorch_rate,
        straight_rate=straight_rate,
        straight_width=straight_width,
        factors=_numbers("--rates", rates),
        widths=_numbers("--widths", widths),
    )
    with progress("bench") as notify:
        found = load_recipe(recipe)
        result = bench_accuracy(
            found if data is None else found.with_data(data),
            seeds=_whole_numbers("--seeds", seeds),
            sides=[part.strip() for part in sides.split(",")],
            out=out,
            options=options,
            accelerator=accelerator.value,
            notify=notify,
        )
    show(result, result.as_json(), as_json)


@app.command("calibration")
def calibration(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one data set, one a seed.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="A run of plain straight-through; may be given again.")
    ] = None,
    drop: Annotated[
        float, typer.Option("--drop", help="Share of the test part's spikes that are lost: inputs worse than learned.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 0,
    as_json: Json = False,
) -> None:
    """ECE, NLL and Brier score of finished runs, and how far their test part can tell them apart."""
    from bitspike.train import load_run
    from bitspike.train.bench_calibration import bench_calibration

    result = bench_calibration(
        [load_run(one) for one in runs], against=[load_run(one) for one in against or ()], drop=drop, seed=seed
    )
    show(result, result.as_json(), as_json)


@app.command("energy")
def energy(
    net: Network,
    data: Data,
    samples: Annotated[int, typer.Option("--samples", help="The first so many; SpikingJelly takes seconds each.")] = 10,
    part: Part = "test",
    as_json: Json = False,
) -> None:
    """One network's energy by our prices, by SpikingJelly's models and NeuroBench's counts, each difference said."""
    from bitspike.convert.formats import load
    from bitspike.sim.peers.table import compare_tools

    network = load(net)
    spikes = encoded(data, network, part=part, seed=0, first=samples, encoder=None, layer=None)
    with progress("bench") as notify:
        notify(network.name, 0, 1)
        result = compare_tools(network, spikes, samples=samples)
    show(result, result.as_json(), as_json)


@app.command("pareto")
def pareto(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, as bitspike train makes them.")],
    steps: Annotated[str, typer.Option("--steps", help="Windows, as 4,8,16; default: a quarter, a half, all.")] = "",
    members: Annotated[
        str, typer.Option("--members", help="Sizes of committees; 1: the most probable bits.")
    ] = "1,2,4",
    pruned: Annotated[str, typer.Option("--pruned", help="Shares of the weights that are set to 0.")] = "0,0.25,0.5",
    prices: Annotated[list[str] | None, typer.Option("--prices", help="As for bitspike energy.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="The first so many of each part.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Replaces the runs' data, as mnist:DIR.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for pareto.csv, .png and .svg (needs matplotlib).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Energy against accuracy and calibration over the window, the committee's size and pruning."""
    from bitspike.errors import FileError
    from bitspike.pareto import Grid, bench_pareto
    from bitspike.targets.prices import price_list
    from bitspike.train import load_run

    grid = Grid(
        steps=_whole_numbers("--steps", steps),
        members=_whole_numbers("--members", members),
        pruned=_numbers("--pruned", pruned),
    )
    if out is not None:
        from bitspike.pareto_figure import draw_pareto
        from bitspike.train.bench_figure import check_matplotlib

        check_matplotlib()
        if out.exists() and not out.is_dir():
            raise FileError(out, "is a file; expected a folder")
    chosen = price_list(None, prices or None)
    with progress("bench") as notify:
        loaded = [load_run(one) for one in runs]
        if data is not None:
            loaded = [replace(one, recipe=one.recipe.with_data(data)) for one in loaded]
        result = bench_pareto(loaded, grid=grid, prices=chosen, samples=samples, notify=notify)
    files: list[str] = []
    if out is not None:
        files = [str(path) for path in draw_pareto(result, out)]
        result.write_csv(out / "pareto.csv")
        files.append(str(out / "pareto.csv"))
    show("\n".join([str(result), *files]), {**result.as_json(), "files": files}, as_json)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers of an option, with commas; none of an empty one."""
    from bitspike.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(",") if text)
    except ValueError:
        raise UsageError(f"{option} {text!r}; expected numbers with commas, such as 0.3,1,3") from None


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers of an option, with commas; none of an empty one."""
    from bitspike.errors import UsageError

    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"{option} {text!r}; expected whole numbers with commas, such as 1,2,4")
    return tuple(map(int, parts))


@app.command("detection")
def detection(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as bitspike train makes it.")],
    against: Annotated[
        str, typer.Option("--against", metavar="DATA", help="noise, a data set such as fashion:DIR, or an .npz.")
    ] = "noise",
    samples: Annotated[int | None, typer.Option("--samples", help="The first so many of each; default: all.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the noise and of the first member.")] = 0,
    as_json: Json = False,
) -> None:
    """How well a trained network tells its own test samples from others, by its certainty (area under the ROC)."""
    from bitspike.train import load_run
    from bitspike.train.detection import detect

    result = detect(load_run(run), against=against, samples=samples, seed=seed)
    show(result, result.as_json(), as_json)
