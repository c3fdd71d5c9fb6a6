"""The command that runs networks: simulate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.floating import (
    Counts,
    Dt,
    FloatRun,
    Late,
    LateOption,
    ResetOption,
    Single,
    Steps,
    Trace,
    is_float_file,
    simulate_nir,
)
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import RangeError, UsageError
from bitspike.samples import SpikeData


class Ranges(StrEnum):
    """What is done about states that could leave the chip's 24 bits."""

    PROVED = "proved"
    WATCHED = "watched"
    LAVA = "lava"


Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="As a recipe names it: digits, mnist:DIR, fashion:DIR, cifar10:DIR, nmnist:DIR, dvsgesture:DIR, shd:DIR, "
        "ssc:DIR, braille:FILE, fsdd:DIR, events:FILE.npz; or an .npz of spikes and labels; or a recipe.toml.",
    ),
]
Part = Annotated[str, typer.Option("--part", help="train, validation, test or all.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the encoder.")]
Encoder = Annotated[
    str | None,
    typer.Option("--encoder", help="How values become spikes: rate, latency, burst, direct, current or delta."),
]
InputLayer = Annotated[
    Path | None,
    typer.Option(
        "--input-layer",
        metavar="FILE.net",
        help="A NetX file of lava-dl whose input neurons make the spikes; --data is then an .npz of values (or drive) "
        "and labels.",
    ),
]
Samples = Annotated[int | None, typer.Option("--samples", help="Only the first so many samples.")]


def simulate(
    net: Network,
    data: Data,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="Which engine runs: reference (default), another of `bitspike doctor`, or float: a NIR file in real "
            "numbers (default for one of another tool).",
        ),
    ] = None,
    part: Part = "test",
    seed: Seed = 0,
    samples: Samples = None,
    encoder: Encoder = None,
    input_layer: InputLayer = None,
    dt: Dt = None,
    reset: ResetOption = None,
    steps: Steps = None,
    counts: Counts = False,
    late: LateOption = Late.DROP,
    single: Single = False,
    trace: Trace = None,
    ranges: Annotated[
        Ranges,
        typer.Option(
            "--ranges",
            help="proved: states cannot leave 24 bits. watched: stop where one does. lava: wrap and saturate as Lava.",
        ),
    ] = Ranges.PROVED,
    out: Annotated[Path | None, typer.Option("--out", help="Write the record, an .npz, here.")] = None,
    as_json: Json = False,
) -> None:
    """Run a network, or a committee in a folder, on data; print accuracy and counts, write the record."""
    run = FloatRun(
        data=data,
        part=part,
        seed=seed,
        samples=samples,
        encoder=encoder,
        dt=dt,
        reset=None if reset is None else reset.value,
        steps=steps,
        counts=counts,
        late=late.value,
        single=single,
        traces=tuple(trace or ()),
        out=out,
    )
    if engine == "float" or (engine is None and is_float_file(net)):
        simulate_nir(Path(net), run, as_json=as_json)
        return
    run.refuse_for_integers()
    from bitspike.convert.committee_files import load_networks

    _simulate(run, load_networks(net), engine or "reference", input_layer, ranges, as_json=as_json)


def _simulate(
    run: FloatRun,
    members: tuple[IntegerNetwork, ...],
    engine: str,
    layer: Path | None,
    ranges: Ranges,
    *,
    as_json: bool,
) -> None:
    from bitspike.sim.counts import count
    from bitspike.sim.run import simulate as run_network

    out = run.out
    if out is not None and (len(members) > 1 or out.suffix != ".npz"):
        raise UsageError(f"--out {out}: expected a name ending in .npz, and one network")
    spikes = encoded(
        run.data, members[0], part=run.part, seed=run.seed, first=run.samples, encoder=run.encoder, layer=layer
    )
    scores: dict[str, Any] = dict.fromkeys(members[0].answers(), 0)
    with progress("simulate") as notify:
        for number, member in enumerate(members):
            notify(member.name, number, len(members))
            try:
                record = run_network(member, spikes, engine_name=engine, ranges=ranges.value)
            except RangeError as error:
                hint = {"proved": "--ranges watched runs it without the proof", "watched": "--ranges lava lets it"}
                raise RangeError([*error.faults, *filter(None, [hint.get(ranges.value)])]) from None
            scores = {answer: total + record.scores(member, answer) for answer, total in scores.items()}
    if out is not None:
        record.save(out)
    shares = {answer: float(np.mean(np.argmax(x, axis=1) == spikes.labels)) for answer, x in scores.items()}
    accuracy = shares if len(shares) > 1 else next(iter(shares.values()))
    said = ", ".join(
        f"{share:.4f}" + (f" of answer {name!r}" if len(shares) > 1 else "") for name, share in shares.items()
    )
    counts = count(members[-1], record)
    summary = {"network": members[0].name, "members": len(members), "engine": engine, "data": spikes.name}
    lines = [f"{members[0].name} on {len(spikes)} samples of {spikes.name}, engine {engine}: accuracy {said}"]
    lines += [f"a committee of {len(members)}, read-outs summed; counts of the last member"] if len(members) > 1 else []
    lines += [str(counts)] + ([f"record: {out}"] if out else [])
    result = {**summary, "samples": len(spikes), "accuracy": accuracy, "counts": counts.as_json()}
    show("\n".join(lines), result | ({"record": str(out)} if out else {}), as_json)


def encoded(
    data: str,
    network: IntegerNetwork,
    *,
    part: str,
    seed: int,
    first: int | None,
    encoder: str | None,
    layer: Path | None,
) -> SpikeData:
    """The samples that a command names, in the window of `network`."""
    from bitspike.api import encode, load_data

    if layer is None:
        options = {} if encoder is None else {"encoder": encoder}
        found = load_data(data, part=part, steps=network.steps, seed=seed, **options)
    elif encoder is None:
        found = encode(data, layer, steps=network.steps)
    else:
        raise UsageError("--encoder and --input-layer exclude each other; expected one of them")
    return found if first is None else found.first(first)
