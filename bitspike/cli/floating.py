"""Commands on float networks: what a foreign NIR file computes, before it is on the lattice."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bitspike.cli.console import progress, show
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
