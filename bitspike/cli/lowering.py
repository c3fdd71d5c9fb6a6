"""The command that puts a network onto the cores of a chip."""

from pathlib import Path
from typing import Annotated

import typer

from bitspike.cli.console import Json, Network, progress, show
from bitspike.cli.proof import Encoder, Part, Samples, encoded
from bitspike.errors import UsageError

_DATA_HELP = "Data, as for simulate: cores are placed on the mesh by its spikes, and messages and times are told."


def lower(
    net: Network,
    chip: Annotated[
        str, typer.Option("--chip", metavar="NAME|FILE.toml", help="loihi1, loihi2, tiny, or a chip of your own.")
    ] = "loihi2",
    data: Annotated[str | None, typer.Option("--data", help=_DATA_HELP)] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="With --data: draw the mesh into this .svg or .png.")
    ] = None,
    part: Part = "test",
    seed: Annotated[int, typer.Option("--seed", help="Of the encoder, and of the search for a placement.")] = 0,
    samples: Samples = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Put a network onto the cores of a chip: limits, cores and what they use, and Lava's registers.

    A network that does not fit is refused with every limit that it breaks.
    """
    from bitspike.convert.formats import load
    from bitspike.sim.lowering import lower as lower_network
    from bitspike.sim.mesh_figure import check_figure, write_mesh

    if figure is not None:
        if data is None:
            raise UsageError("--figure: draws what a run does; expected --data beside it")
        check_figure(figure)
    network = load(net)
    spikes = None
    if data is not None:
        spikes = encoded(data, network, part=part, seed=seed, first=samples, encoder=encoder, layer=None)
    with progress("lower") as notify:
        notify(network.name, 0, 1)
        found = lower_network(network, chip, data=spikes, seed=seed)
    result = found.as_json()
    if figure is not None and found.mapped is not None:
        title = f"{network.name} on {found.partition.chip.name}"
        result["figure"] = str(write_mesh(found.mapped, found.occupancy(), figure, title=title))
    show(found, result, as_json)
