"""The command that counts what an inference does, and prices it."""

from pathlib import Path
from typing import Annotated

import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.proof import Data, Encoder, InputLayer, Part, Samples, Seed, encoded


def energy(
    net: Network,
    data: Data,
    chip: Annotated[
        str, typer.Option("--chip", help="loihi1; loihi2 gives counts, since its prices are not published.")
    ] = "loihi1",
    prices: Annotated[str | None, typer.Option("--prices", help="davies2018 (default) or sanafe.")] = None,
    counts: Annotated[
        Path | None, typer.Option("--counts", help="Write all counts, sample by sample, to this .csv or .json.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="Which engine runs; see bitspike doctor.")] = "fast",
    part: Part = "test",
    seed: Seed = 0,
    samples: Samples = None,
    encoder: Encoder = None,
    input_layer: InputLayer = None,
    as_json: Json = False,
) -> None:
    """Count what one inference does and price it, with the range and with what is left out."""
    from bitspike.convert.formats import load
    from bitspike.sim.count_run import count_run
    from bitspike.sim.counts_file import check_path, write_counts
    from bitspike.sim.energy import price
    from bitspike.targets.chips import chip as chip_named
    from bitspike.targets.prices import PRICE_LISTS, price_list

    if counts is not None:
        check_path(counts)
    network = load(net)
    known = {listed.chip for listed in PRICE_LISTS}
    priced = price_list(chip, prices) if chip in known or prices else None
    name = chip_named(chip).name
    spikes = encoded(data, network, part=part, seed=seed, first=samples, encoder=encoder, layer=input_layer)
    with progress("count") as notify:
        notify(network.name, 0, 1)
        found = count_run(network, data=spikes, engine_name=engine)
    written = {} if counts is None else {"counts_file": str(write_counts(found, counts))}
    if priced is None:
        reason = f"no prices per event are published for {name}: counts only, no total"
        show(f"{found}\n{reason}", {"counts": found.as_json(), "energy": None, "reason": reason} | written, as_json)
        return
    estimate = price(found, priced)
    show(estimate, {"counts": found.as_json(), "energy": estimate.as_json()} | written, as_json)
