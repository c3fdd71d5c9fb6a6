"""Commands around the path: doctor, demo, train."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitspike.cli.console import Json, progress, show
from bitspike.errors import BitspikeError, StoppedError, UsageError

if TYPE_CHECKING:
    from bitspike.train import Run

_PARTS = "Install a part: lava, norse, spikingjelly or snntorch."


class Accelerator(StrEnum):
    """Where a network trains."""

    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


def doctor(
    install: Annotated[str | None, typer.Option("--install", metavar="PART", help=_PARTS)] = None,
    as_json: Json = False,
) -> None:
    """Show which engines, targets and accelerators work here, and the command that adds a missing one."""
    from bitspike.doctor import examine

    done: list[str] = []
    if install is not None:
        from bitspike.sim.portability.frameworks import FRAMEWORKS, install_framework
        from bitspike.targets.lava.install import install_lava

        if install != "lava" and install not in FRAMEWORKS:
            raise UsageError(f"--install {install!r}; expected lava, {', '.join(FRAMEWORKS)}")
        for step in install_lava() if install == "lava" else install_framework(install):
            done.append(step)
            sys.stderr.write(f"{step}\n")
    found = examine()
    show(found, {"installed": done, **found.as_json()}, as_json)


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as examples/digits.toml.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder; it must not exist, unless --resume.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole epoch, bit for bit.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Replaces the recipe's seed.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Replaces the recipe's data, as mnist:DIR.")] = None,
    devices: Annotated[int, typer.Option("--devices", help="Processes on each machine, one a GPU on GPUs.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", help="Machines; run the command on each.")] = 1,
    accelerator: Annotated[Accelerator, typer.Option("--accelerator", help="Where to train.")] = Accelerator.CPU,
    as_json: Json = False,
) -> None:
    """Train a network by a recipe; everything that it makes lies in one run folder."""
    from bitspike.train import fit

    try:
        run = fit(
            recipe,
            out=out,
            resume=resume,
            seed=seed,
            data=data,
            devices=devices,
            nodes=nodes,
            accelerator=accelerator.value,
        )
    except KeyboardInterrupt:
        words = ["bitspike", "train", str(recipe), "--out", str(out), "--resume"]
        words += [] if seed is None else ["--seed", str(seed)]
        words += [] if data is None else ["--data", data]
        words += [] if devices == 1 else ["--devices", str(devices)]
        words += [] if nodes == 1 else ["--nodes", str(nodes)]
        words += [] if accelerator is Accelerator.CPU else ["--accelerator", accelerator.value]
        raise StoppedError(f"stopped; every whole epoch is kept; resume with: {shlex.join(words)}") from None
    refusal = _refusal(run)
    if refusal:
        sys.stderr.write(f"bitspike: note: `bitspike collapse` will refuse this network: {refusal}\n")
    row = {"folder": str(run.folder), **run.result, "collapse_refusal": refusal or None}
    show(f"{run}\nrun: {run.folder}", row, as_json)


def _refusal(run: "Run") -> str:
    """Return why a trained network is none for the chip; nothing where it is one."""
    from bitspike.convert.collapse import collapse

    try:
        collapse(run.model, "map", name=run.recipe.name)
    except BitspikeError as error:
        return str(error)
    return ""


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="A new folder; default: runs/demo, runs/demo-2, ...")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Take the whole path on real handwritten digits: train, collapse, export, verify, count (about two minutes)."""
    from bitspike.demo import RECIPE, demonstrate, fresh_folder
    from bitspike.train import fit

    folder = out or fresh_folder()
    run = fit(RECIPE, out=folder, seed=seed)
    with progress("demo") as notify:
        result = demonstrate(run, folder, notify)
    show(result, result.as_json(), as_json)
    if not result.verification.passed:
        raise typer.Exit(1)
