"""A network on the cores of a chip, and what a run does there: where cores sit, messages, hops, and the time of a step.

The chip's figures and prices decide what is said: without a published mesh there is no placement, without times no
time. Hops count by their published energies, east-west and north-south, or all alike where nobody published any.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import records
from bitspike.sim.counts import spread
from bitspike.sim.estimate import Placed
from bitspike.sim.record import Record
from bitspike.sim.step_time import CoreTimes, StepTime, core_times, has_times, step_time
from bitspike.sim.traffic import Hops, Traffic, hops, joined, traffic
from bitspike.targets.chips import Chip
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import Placement, place
from bitspike.targets.prices import price_list
from bitspike.targets.reach import Assigned


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mapped:
    """What a run does on the cores of a chip.

    Attributes:
        chip: its name.
        cores: in use.
        traffic: messages between cores, and from outside.
        placement: where the cores sit; None where the chip's mesh is not published.
        hops: of the messages, as placed.
        time: of steps; None where the chip's times, or its mesh, are not published.
    """

    chip: str
    cores: int
    traffic: Traffic
    placement: Placement | None
    hops: Hops | None
    time: StepTime | None

    def placed(self) -> Placed | None:
        """What :func:`bitspike.sim.energy.price` asks of it; a step lasts its mean, units one after the other."""
        if self.hops is None:
            return None
        step_us = None if self.time is None else float(self.time.serial_ns.mean()) / 1000
        return Placed(hops=self.hops, cores=self.cores, step_time_us=step_us)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found: dict[str, Any] = {
            "samples": self.traffic.samples,
            "messages": spread(self.traffic.messages()),
            "entering": spread(self.traffic.entering()),
        }
        if self.placement is not None and self.hops is not None:
            found |= {"placement": self.placement.as_json(), "hops": self.hops.as_json()}
        return found | ({} if self.time is None else {"time": self.time.as_json()})

    def __str__(self) -> str:
        samples, messages = self.traffic.samples, self.traffic.messages()
        lines = [
            f"messages of an inference, mean of {samples}: {messages.mean():,.1f} between cores "
            f"(sd {spread(messages)['sd']:,.1f}), {self.traffic.entering().mean():,.1f} from outside"
        ]
        if self.placement is None or self.hops is None:
            lines.append(f"placement: none, the mesh of {self.chip} is not published")
        else:
            lines += [
                self.placement.told(samples),
                f"  {self.hops.within_tile.mean():,.1f} messages stay in their tile; {self.hops.east_west.mean():,.1f} "
                f"hops east-west and {self.hops.north_south.mean():,.1f} north-south",
            ]
        lines.append(f"time: none, the times of {self.chip} are not published" if self.time is None else str(self.time))
        return "\n".join(lines)


def map_run(
    assigned: Assigned,
    *,
    data: SpikeData,
    chip: Chip,
    seed: int = 0,
    engine_name: str = "fast",
    chunk: int | None = None,
    visit: Callable[[Record], None] | None = None,
) -> Mapped:
    """Run the network of `assigned` on `data`, and place its cores on the mesh of `chip` by the messages between them.

    Args:
        assigned: a network in chip time whose neurons have cores, such as a partition.
        data: encoded samples.
        chip: whose mesh and times are meant.
        seed: of the search for a placement.
        engine_name, chunk: as for :func:`bitspike.sim.count_run.count_run`; no result depends on them.
        visit: is called with each chunk's record, so that one run serves several counts.
    """
    timed = has_times(chip)
    parts: list[Traffic] = []
    times: list[CoreTimes] = []
    for record in records(assigned.network, data, engine_name=engine_name, chunk=chunk):
        if visit is not None:
            visit(record)
        parts.append(traffic(assigned, [record]))
        if timed:
            times.append(core_times(assigned, record, chip))
    found = joined(parts)
    mesh = mesh_of(chip)
    if mesh is None:
        return Mapped(chip=chip.name, cores=assigned.core_count, traffic=found, placement=None, hops=None, time=None)
    placement = place(found.between(), mesh, weights=hop_weights(chip.name), seed=seed)
    return Mapped(
        chip=chip.name,
        cores=assigned.core_count,
        traffic=found,
        placement=placement,
        hops=hops(found, placement),
        time=step_time(times, found.routes, placement, chip) if timed else None,
    )


def mesh_of(chip: Chip) -> Mesh | None:
    """The mesh of `chip`; None where it is not published."""
    rows, columns, cores = (chip.limit(name) for name in ("mesh_rows", "mesh_columns", "cores_per_tile"))
    if rows is None or columns is None or cores is None:
        return None
    return Mesh(rows=rows, columns=columns, cores_per_tile=cores)


def hop_weights(chip: str) -> tuple[float, float]:
    """Picojoules of an east-west and a north-south hop in the chip's first list of prices; 1 and 1 without one."""
    try:
        prices = price_list(chip)
    except UsageError:
        return 1.0, 1.0
    east_west, north_south = (prices.find(event) for event in ("hop_east_west", "hop_north_south"))
    return (1.0, 1.0) if east_west is None or north_south is None else (east_west.nominal, north_south.nominal)
