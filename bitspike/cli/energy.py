"""The command that counts what an inference does, and prices it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.proof import Data, Encoder, InputLayer, Part, Samples, Seed, encoded
from bitspike.errors import UsageError

if TYPE_CHECKING:
    from bitspike.sim.placed import CountedRun
    from bitspike.sim.traffic import Arrivals

_MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}

Chip = Annotated[
    str | None,
    typer.Option(
        "--chip",
        help="loihi1 (default), truenorth, spinnaker, spinnaker2 or digital45; loihi2 gives counts, since its prices "
        "are not published.",
    ),
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--prices",
        metavar="NAME|FILE.toml",
        help="A list of prices, as davies2018 or sanafe, or one of your own; again for another source beside it.",
    ),
]
StepTime = Annotated[
    str | None,
    typer.Option(
        "--step-time", metavar="TIME", help="Length of a step, as 10us; default: what the busiest core needs."
    ),
]


def energy(
    net: Network,
    data: Data,
    chip: Chip = None,
    prices: Prices = None,
    step_time: StepTime = None,
    counts: Annotated[
        Path | None, typer.Option("--counts", help="Write all counts, sample by sample, to this .csv or .json.")
    ] = None,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Synapses of weight 0 are not stored: they take no operation.")
    ] = False,
    place: Annotated[
        bool, typer.Option("--place/--no-place", help="Put it on the chip's cores, for hops and static power.")
    ] = True,
    engine: Annotated[str, typer.Option("--engine", help="Which engine runs; see bitspike doctor.")] = "fast",
    part: Part = "test",
    seed: Seed = 0,
    samples: Samples = None,
    encoder: Encoder = None,
    input_layer: InputLayer = None,
    as_json: Json = False,
) -> None:
    """Count what one inference of a network, or of a committee in a folder, does, and price it."""
    from bitspike.convert.committee_files import load_networks
    from bitspike.sim.committee_energy import price_committee
    from bitspike.sim.counts_combined import together, without_zeros
    from bitspike.sim.counts_file import check_path, write_counts
    from bitspike.sim.energy import price_run
    from bitspike.sim.placed import counted_run
    from bitspike.targets.chips import chip as chip_named
    from bitspike.targets.prices import DEFAULTS, price_list

    if counts is not None:
        check_path(counts)
    time_us = None if step_time is None else microseconds(step_time)
    if chip is not None and chip not in DEFAULTS and not prices:
        where, priced = chip_named(chip).name, None
    else:
        priced = price_list(chip, prices or None)
        where = priced.chip
    members = load_networks(net)
    spikes = encoded(data, members[0], part=part, seed=seed, first=samples, encoder=encoder, layer=input_layer)
    runs = []
    with progress("count") as notify:
        for number, member in enumerate(members):
            notify(member.name, number, len(members))
            runs.append(counted_run(member, data=spikes, chip=where, engine_name=engine, place=place and bool(priced)))
    counted = [without_zeros(run.counts) if sparse else run.counts for run in runs]
    found = counted[0] if len(counted) == 1 else together(counted, name=Path(net).name)
    written = {} if counts is None else {"counts_file": str(write_counts(found, counts, arrivals=_arrivals(runs)))}
    if priced is None:
        reason = f"no prices per event are published for {where}: counts only, no total (--prices FILE.toml: your own)"
        show(f"{found}\n{reason}", {"counts": found.as_json(), "energy": None, "reason": reason} | written, as_json)
        return
    options: dict[str, Any] = {"step_time_us": time_us, "sparse": sparse}
    estimate = price_run(runs[0], priced, **options) if len(runs) == 1 else price_committee(runs, priced, **options)
    show(estimate, {"counts": found.as_json(), "energy": estimate.as_json()} | written, as_json)


def _arrivals(runs: Sequence["CountedRun"]) -> list["Arrivals"]:
    """What each core is sent, of all members; nothing where one of them is not placed."""
    from bitspike.sim.traffic import arrivals

    placed = [(m.traffic, m.placement) for run in runs if (m := run.mapped) is not None and m.placement is not None]
    if len(placed) < len(runs):
        return []
    names = [""] if len(runs) == 1 else [str(number) for number in range(len(runs))]
    return [
        one for name, (sent, where) in zip(names, placed, strict=True) for one in arrivals(sent, where, member=name)
    ]


def microseconds(text: str) -> float:
    """A time with its unit, as ``10us``, in microseconds."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ns|us|ms|s)", text.strip(), re.ASCII)
    time_us = float(found[1]) * _MICROSECONDS[found[2]] if found else 0.0
    if not 0 < time_us < float("inf"):
        raise UsageError(f"--step-time {text!r}; expected a time above 0 with its unit, such as 10us")
    return time_us
