"""Commands on float networks: what a foreign NIR file computes, before it is on the lattice."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bitspike.cli.console import Json, progress, show
from bitspike.errors import UsageError
from bitspike.samples import SignalData, SpikeData


class Reset(StrEnum):
    """How neurons reset whose file cannot say it."""

    VALUE = "value"
    SUBTRACT = "subtract"


class Late(StrEnum):
    """What becomes of events after the window."""

    DROP = "drop"
    LAST = "last"


Dt = Annotated[
    float | None, typer.Option("--dt", help="NIR of other tools: length of a step, where the file does not say it.")
]
ResetOption = Annotated[
    Reset | None, typer.Option("--reset", help="NIR of other tools: subtract, where it was trained so.")
]
Steps = Annotated[int | None, typer.Option("--steps", help="Float engine: window of a sample.")]
Counts = Annotated[bool, typer.Option("--counts", help="Float engine: count the events of a step.")]
LateOption = Annotated[
    Late, typer.Option("--late", help="Float engine, --counts: drop events after the window, or put them into its end.")
]
Single = Annotated[bool, typer.Option("--single", help="Float engine: arithmetic in 32 bits.")]
Trace = Annotated[
    list[str] | None,
    typer.Option("--trace", help="Float engine: a population of which --out keeps every step; again for more."),
]
Calibration = Annotated[
    str | None,
    typer.Option("--data", help="NIR of other tools: samples on which it is put onto the lattice, as for simulate."),
]
CalibrationSamples = Annotated[
    int, typer.Option("--samples", min=4, help="With --data: how many for the search, and how many to test it.")
]
Bits = Annotated[int, typer.Option("--bits", min=1, max=8, help="With --data: bits of a weight's magnitude.")]
#: Options of a float run that mean nothing to an integer network.
FLOAT_ONLY = ("dt", "reset", "steps", "counts", "late", "single", "traces")


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatRun:
    """What `bitspike simulate` was told about a float network, beside the file."""

    data: str
    part: str = "test"
    seed: int = 0
    samples: int | None = None
    encoder: str | None = None
    dt: float | None = None
    reset: Literal["value", "subtract"] | None = None
    steps: int | None = None
    counts: bool = False
    late: Literal["drop", "last"] = "drop"
    single: bool = False
    traces: tuple[str, ...] = ()
    out: Path | None = None

    def refuse_for_integers(self) -> None:
        """UsageError where something was asked that only a float network can do."""
        given = [f.name for f in fields(self) if f.name in FLOAT_ONLY and getattr(self, f.name) != f.default]
        if given:
            option = given[0].removesuffix("s") if given[0] == "traces" else given[0]
            raise UsageError(f"--{option}: for NIR files of other tools, or --engine float; expected none here")


def is_float_file(net: str) -> bool:
    """Whether a file is NIR of another tool, which carries no integers."""
    from bitspike.convert.floating.nir_raw import is_foreign

    return net.lower().endswith(".nir") and Path(net).is_file() and is_foreign(net)


def simulate_nir(file: Path, run: FloatRun, *, as_json: bool) -> None:
    """Run a NIR file in real numbers; print accuracy, spikes and what was chosen, write the record."""
    from bitspike.convert.floating.nir_import import from_nir
    from bitspike.sim.floating import simulate_float

    if run.out is not None and run.out.suffix != ".npz":
        raise UsageError(f"--out {run.out}: expected a name ending in .npz")
    network = from_nir(file, dt=run.dt, reset=run.reset)
    data = _signals(run)
    with progress("simulate") as notify:
        record = simulate_float(
            network, data, record=run.traces or "none", dtype="float32" if run.single else "float64", notify=notify
        )
    if run.out is not None:
        record.save(run.out)
    labelled = bool((data.labels >= 0).all())
    accuracy = record.accuracy(data.labels) if labelled else None
    right = f": accuracy {accuracy:.4f}" if accuracy is not None else ""
    lines = [f"{network.name} on {len(data)} samples of {data.name}, engine float{right}", str(record)]
    lines += [f"note: {note}" for note in network.notes] + ([f"record: {run.out}"] if run.out else [])
    result: dict[str, Any] = {**record.as_json(), "data": data.name, "accuracy": accuracy, "notes": list(network.notes)}
    show("\n".join(lines), result | ({"record": str(run.out)} if run.out else {}), as_json)


def _signals(run: FloatRun) -> SpikeData | SignalData:
    from bitspike.signals import load_signals

    options = {} if run.encoder is None else {"encoder": run.encoder}
    found = load_signals(
        run.data, part=run.part, steps=run.steps, seed=run.seed, counts=run.counts, late=run.late, **options
    )
    return found if run.samples is None else found.first(run.samples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantising:
    """How a NIR file of another tool is put onto the lattice."""

    data: str | None
    samples: int
    steps: int | None
    bits: int
    dt: float | None
    reset: Literal["value", "subtract"] | None


def import_nir(file: Path, out: Path, plan: Quantising, *, as_json: bool) -> None:
    """Quantise a NIR file, write the integer network, print the report."""
    from bitspike.api import quantise
    from bitspike.convert.floating.nir_import import from_nir
    from bitspike.convert.store import save

    network = from_nir(file, dt=plan.dt, reset=plan.reset)
    if plan.data is None:
        raise UsageError(
            f"--data: {file} holds real numbers; expected samples on which they are put onto the lattice "
            "(or bitspike simulate, which runs them as they are)"
        )
    calibration, held_out = _calibration(plan.data, plan)
    with progress("quantise") as notify:
        moved = quantise(network, calibration, held_out=held_out, bits=plan.bits, notify=notify)
    save(moved.network, out)
    lines = [str(moved), *(f"note: {note}" for note in network.notes), f"{out}: written, read back and equal"]
    show("\n".join(lines), moved.as_json() | {"path": str(out), "network": moved.network.name}, as_json)


def _calibration(name: str, plan: Quantising) -> tuple[SpikeData, SpikeData | None]:
    """Samples of the training part for the search and of the test part for the report; of an npz all for both."""
    from bitspike.signals import load_signals

    def load(part: str) -> SpikeData:
        found = load_signals(name, part=part, steps=plan.steps)
        if not isinstance(found, SpikeData):
            raise UsageError(f"--data {name}: real values; expected spikes, which the lattice takes alone")
        return found.first(plan.samples)

    alone = name.endswith(".npz") and ":" not in name
    return load("train"), None if alone else load("test")


def lint_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.nir", help="Any NIR file.")],
    dt: Annotated[float | None, typer.Option("--dt", help="The step that is meant.")] = None,
    as_json: Json = False,
) -> None:
    """List what a NIR file leaves open or has wrong, and what each known reader makes of it; 1 where it has errors."""
    from bitspike.convert.floating.nir_lint import lint

    result = lint(file, dt=dt)
    show(result, result.as_json(), as_json)
    if not result.passed:
        raise typer.Exit(1)
