"""Spike messages between cores, counted in the integer run.

A core sends each spike once to every input axon that it has (see :mod:`bitspike.targets.reach`): for each connection to
every core that holds a target of the neuron, its own core included, however many synapses wait there. Spikes of the
network's inputs come from outside the mesh. Neurons of one core whose spikes go to the same axons make a route; all
that traffic needs to know of a run is how many spikes each route carried.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.sim.counts import spread
from bitspike.sim.record import Record
from bitspike.targets.mesh import Integers
from bitspike.targets.placement import Placement
from bitspike.targets.reach import Assigned, fan_out_by_core

#: In the place of a core: where the network's inputs are.
OUTSIDE = -1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Routes:
    """Where spikes go.

    Attributes:
        sources: the core that each route begins in, or `OUTSIDE`, (routes,).
        axons: of a neuron of this route in each core, and so messages of one spike, (routes, cores).
        route_of: by input and population, the route of each neuron; a neuron that nobody listens to has one without
            axons.
    """

    sources: Integers
    axons: Integers
    route_of: Mapping[str, Integers]

    def gathered(self, name: str, fired: npt.NDArray[Any]) -> tuple[Integers, npt.NDArray[Any]]:
        """The routes of input or population `name`, and the sums of `fired`, (..., neurons), over each of them."""
        order = np.argsort(self.route_of[name], kind="stable")
        used, begins = np.unique(self.route_of[name][order], return_index=True)
        return used, np.add.reduceat(fired[..., order], begins, axis=-1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Traffic:
    """The spikes of each route in a run.

    Attributes:
        routes: see :class:`Routes`.
        spikes: sent over each route, (samples, routes).
    """

    routes: Routes
    spikes: Integers

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.spikes)

    def messages(self) -> Integers:
        """Messages from cores to cores, one entry a sample; those from outside are :meth:`entering`."""
        return self._weighted(self.routes.axons.sum(axis=1), outside=False)

    def entering(self) -> Integers:
        """Messages from outside to cores, one entry a sample."""
        return self._weighted(self.routes.axons.sum(axis=1), outside=True)

    def between(self) -> Integers:
        """Messages of all samples from each core to each, (cores, cores); on the diagonal those that stay inside."""
        sent = self.spikes.sum(axis=0, dtype=np.int64)
        found = np.zeros((self.routes.axons.shape[1],) * 2, np.int64)
        inside = self.routes.sources != OUTSIDE
        np.add.at(found, self.routes.sources[inside], self.routes.axons[inside] * sent[inside, None])
        return found

    def into(self) -> Integers:
        """Messages of all samples that enter each core from outside, (cores,)."""
        outside = self.routes.sources == OUTSIDE
        return self.spikes[:, outside].sum(axis=0, dtype=np.int64) @ self.routes.axons[outside]

    def _weighted(self, each: Integers, *, outside: bool) -> Integers:
        return self.spikes @ np.where((self.routes.sources == OUTSIDE) == outside, each, 0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hops:
    """What the messages between cores travel on a mesh; arrays have one entry a sample.

    Attributes:
        messages: from cores to cores.
        within_tile: those of them that stay in their tile.
        east_west, north_south: hops from tile to tile of all of them.
        entering: messages from outside. They hop too, from a port that no data sheet names, and are in none of these.
    """

    messages: Integers
    within_tile: Integers
    east_west: Integers
    north_south: Integers
    entering: Integers

    @property
    def spike_hops(self) -> Integers:
        """Hops in both directions."""
        return self.east_west + self.north_south

    def as_json(self) -> dict[str, Any]:
        """Mean, spread and sum of each over the samples."""
        names = ("messages", "within_tile", "east_west", "north_south", "spike_hops", "entering")
        return {name: spread(getattr(self, name)) for name in names}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arrivals:
    """The messages that one core is sent in a run; arrays have one entry a sample.

    Attributes:
        core: its number; of a committee with that of its member before it, ``2/0``.
        messages: from cores, itself included.
        entering: from outside.
        east_west, north_south: hops of the former on their way here.
    """

    core: str
    messages: Integers
    entering: Integers
    east_west: Integers
    north_south: Integers


def routes(assigned: Assigned) -> Routes:
    """The routes of a network whose neurons have cores."""
    nodes = fan_out_by_core(assigned)
    populations = {p.name for p in assigned.network.populations}
    rows = [
        np.column_stack([_cores(assigned, name, len(fan.axons), name in populations), fan.axons])
        for name, fan in nodes.items()
    ]
    distinct, number = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    ends = np.cumsum([len(fan.axons) for fan in nodes.values()])
    parts = np.split(number.ravel().astype(np.int64), ends[:-1])
    return Routes(
        sources=distinct[:, 0].astype(np.int64),
        axons=distinct[:, 1:].astype(np.int64),
        route_of=dict(zip(nodes, parts, strict=True)),
    )


def traffic(assigned: Assigned, records: Iterable[Record]) -> Traffic:
    """Count the spikes of each route in `records`, runs of the network of `assigned` one behind the other."""
    found = routes(assigned)
    return joined([Traffic(routes=found, spikes=_spikes(assigned, found, record)) for record in records])


def joined(parts: Sequence[Traffic]) -> Traffic:
    """The traffic of several runs of the same network on the same cores, one behind the other."""
    return Traffic(routes=parts[0].routes, spikes=np.concatenate([part.spikes for part in parts]))


def hops(found: Traffic, placement: Placement) -> Hops:
    """What the messages of a run travel where their cores are placed so."""
    inside = found.routes.sources != OUTSIDE
    to = np.where(inside[:, None], found.routes.axons, 0)
    east_west, north_south = (h[np.where(inside, found.routes.sources, 0)] for h in placement.hops())
    return Hops(
        messages=found.messages(),
        within_tile=found.spikes @ (to * (east_west + north_south == 0)).sum(axis=1),
        east_west=found.spikes @ (to * east_west).sum(axis=1),
        north_south=found.spikes @ (to * north_south).sum(axis=1),
        entering=found.entering(),
    )


def arrivals(found: Traffic, placement: Placement, *, member: str = "") -> tuple[Arrivals, ...]:
    """What each core is sent, in the order of the cores; sums over them are those of :func:`hops`.

    Args:
        found: the spikes of each route.
        placement: where the cores are.
        member: of a committee, its number.
    """
    inside = found.routes.sources != OUTSIDE
    to = np.where(inside[:, None], found.routes.axons, 0)
    east_west, north_south = (h[np.where(inside, found.routes.sources, 0)] for h in placement.hops())
    parts = (to, found.routes.axons - to, to * east_west, to * north_south)
    sent = [found.spikes @ part for part in parts]
    return tuple(
        Arrivals(
            core=f"{member}/{core}" if member else str(core),
            messages=sent[0][:, core],
            entering=sent[1][:, core],
            east_west=sent[2][:, core],
            north_south=sent[3][:, core],
        )
        for core in range(to.shape[1])
    )


def _cores(assigned: Assigned, name: str, neurons: int, placed: bool) -> Integers:
    return assigned.core_of(name) if placed else np.full(neurons, OUTSIDE, np.int64)


def _spikes(assigned: Assigned, found: Routes, record: Record) -> Integers:
    """Spikes of each route in one record, (samples, routes)."""
    sent = np.zeros((record.samples, len(found.sources)), np.int64)
    for name in found.route_of:
        fired = np.count_nonzero(record.spikes_of(assigned.network, name), axis=1)
        used, by_route = found.gathered(name, fired)
        sent[:, used] += by_route
    return sent
