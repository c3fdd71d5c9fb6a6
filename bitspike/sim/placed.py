"""A run that is counted where it lies: partition, placement and counts in one pass over the data."""

from dataclasses import dataclass

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import BitspikeError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.counts import Counts, count
from bitspike.sim.counts_combined import joined
from bitspike.sim.estimate import Placed
from bitspike.sim.mapped import Mapped, map_run, mesh_of
from bitspike.targets.chips import CHIPS
from bitspike.targets.chips import chip as chip_named
from bitspike.targets.partition import Partition, partition


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CountedRun:
    """What a run did, and where.

    Attributes:
        counts: of the network in chip time where it was placed, its relays counted with it.
        placed: None where there is no placement.
        why: then the reason; empty where nobody wanted one.
        assigned, mapped: the cores and what they send each other, where it was placed.
    """

    counts: Counts
    placed: Placed | None = None
    why: str = ""
    assigned: Partition | None = None
    mapped: Mapped | None = None


def counted_run(
    network: IntegerNetwork, *, data: SpikeData, chip: str, engine_name: str = "fast", place: bool = True
) -> CountedRun:
    """Run `network` on `data`, on the cores of `chip` where that has a published mesh and the network fits it.

    Args:
        network: any legal network whose range proof holds.
        data: encoded samples.
        chip: whose prices are meant; one without figures has no mesh.
        engine_name: which engine runs; all give the same counts.
        place: whether to look for a placement at all.
    """
    why = ""
    if place:
        found, why = _assigned(network, chip)
        if found is not None:
            return _placed_run(found, data, engine_name)
    return CountedRun(counts=count_run(network, data=data, engine_name=engine_name), why=why)


def _assigned(network: IntegerNetwork, chip: str) -> tuple[Partition | None, str]:
    """The network on cores, or why there is none."""
    if chip not in CHIPS or mesh_of(chip_named(chip)) is None:
        return None, f"no mesh of {chip} is published"
    try:
        return partition(network, chip_named(chip)), ""
    except BitspikeError as error:
        return None, str(error)


def _placed_run(assigned: Partition, data: SpikeData, engine_name: str) -> CountedRun:
    counts: list[Counts] = []
    mapped = map_run(
        assigned,
        data=data,
        chip=assigned.chip,
        engine_name=engine_name,
        visit=lambda record: counts.append(count(assigned.network, record)),
    )
    return CountedRun(counts=joined(counts), placed=mapped.placed(), assigned=assigned, mapped=mapped)
