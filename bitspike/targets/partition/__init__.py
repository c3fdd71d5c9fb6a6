"""Partition: which core of a chip holds which neurons, as few cores as can be found, within all limits.

``partition(network, chip)`` puts the network into chip time, lists every limit that it breaks, or packs its neurons
(:mod:`~bitspike.targets.partition.packing`) and gives the number of cores beside a proved lower bound
(:mod:`~bitspike.targets.partition.bounds`) and beside greedy first-fit. Neurons of inputs lie on no core: spikes enter
from outside, and take input axons where they arrive.

A neuron whose sources alone take more than a core has is refused by name, with the pass that makes its sum in parts
(:mod:`bitspike.convert.passes.fan_in`): that changes the network, its latency and its cost, and is left to the user.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.retime import retime
from bitspike.convert.rules import MAX_DELAY, check
from bitspike.convert.value import Value, read_only
from bitspike.targets.chips import Chip
from bitspike.targets.chips import chip as chip_named
from bitspike.targets.partition.bounds import lower_bound
from bitspike.targets.partition.boxes import Box, Integers, Space
from bitspike.targets.partition.limits import (
    CHECKED,
    LimitError,
    core_violation,
    load_violations,
    neuron_violations,
    register_violations,
)
from bitspike.targets.partition.loads import RESOURCES, Load, Needs
from bitspike.targets.partition.packing import loads_of, pack
from bitspike.targets.partition.ways import Cores, Unfit

__all__ = ["Core", "LimitError", "Partition", "Piece", "partition"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Piece(Value):
    """Neurons of one population on one core.

    Attributes:
        population: its name.
        start, stop: the first neuron, and the one after the last, in C order.
        index: the neurons, int64, ascending, where they are not all from `start` to before `stop`; else None.
    """

    population: str
    start: int
    stop: int
    index: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.index is not None:
            object.__setattr__(self, "index", read_only(self.index, np.int64))

    @property
    def neurons(self) -> Integers:
        """The numbers of the neurons, ascending, read-only."""
        return read_only(np.arange(self.start, self.stop), np.int64) if self.index is None else self.index

    def __str__(self) -> str:
        some = "" if self.index is None else f" ({len(self.index)} of them)"
        return f"{self.population}[{self.start}:{self.stop}]{some}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Core(Value):
    """What one core holds, and how much of its resources that takes.

    Attributes:
        pieces: of different populations.
        neurons, synapse_bits, input_axons, output_axons: used.
        decay_groups, threshold_groups, synapse_formats: different ones.
        storage: how the synapses of each connection into the core lie there: the connection's name and ``dense``,
            ``indexed`` or ``shared``; a connection that shares its two ends with another of other delay has its delay
            in the name.
    """

    pieces: tuple[Piece, ...]
    neurons: int
    synapse_bits: int
    input_axons: int
    output_axons: int
    decay_groups: int
    threshold_groups: int
    synapse_formats: int
    storage: tuple[tuple[str, str], ...]

    def used(self) -> dict[str, int]:
        """How much of each resource."""
        return {name: getattr(self, name) for name in RESOURCES}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Partition(Value):
    """A network on the cores of a chip.

    Attributes:
        chip: whose cores they are.
        network: in chip time; relays stand where a delay was beyond the chip's.
        cores: each neuron of each population is on one of them.
        lower_bound: cores below which no partition can be, and `bound_by` the resource that proves it.
        first_fit: cores that greedy first-fit takes; None where it finds no partition.
    """

    chip: Chip
    network: IntegerNetwork
    cores: tuple[Core, ...]
    lower_bound: int
    bound_by: str
    first_fit: int | None

    @property
    def core_count(self) -> int:
        """Cores that hold neurons."""
        return len(self.cores)

    def core_of(self, population: str) -> Integers:
        """The number of the core of each neuron of a population, (neurons,)."""
        found = np.full(self.network.population(population).size, -1, np.int64)
        for number, core in enumerate(self.cores):
            for piece in core.pieces:
                if piece.population == population:
                    found[piece.neurons] = number
        return found

    def unchecked(self) -> tuple[str, ...]:
        """The limits that the chip's figures leave open."""
        return tuple(name for name in CHECKED if self.chip.limit(name) is None)

    def __str__(self) -> str:
        from bitspike.targets.partition.utilisation import table

        return table(self)

    def as_json(self) -> dict[str, Any]:
        """The utilisation table for machines."""
        from bitspike.targets.partition.utilisation import as_json

        return as_json(self)


def partition(network: IntegerNetwork, chip: str | os.PathLike[str] | Chip) -> Partition:
    """Put the neurons of a legal network onto the cores of `chip`, a chip's name, its file, or the chip itself.

    Raises:
        LimitError: with every limit that the network breaks.
        UnsupportedError: where the network cannot be put into chip time.
    """
    target = chip_named(chip)
    delay = target.limit("delay_steps") or MAX_DELAY
    timed = retime(check(network), min(delay, MAX_DELAY))
    needs = Needs(timed, target)
    broken = [*register_violations(timed, target), *neuron_violations(needs)]
    bound = lower_bound(needs)
    if bound.cores > target.cores.value:
        broken.append(core_violation(bound.cores, target, least=True))
    if broken:
        raise LimitError(network.name, target.name, tuple(broken))
    try:
        packed, baseline = pack(needs, bound.cores)
    except Unfit as unfit:
        neurons = "one neuron" if unfit.load.neurons == 1 else f"a core of {unfit.load.neurons} neurons"
        found = load_violations(f"population {unfit.population}: {neurons}", unfit.load, target)
        raise LimitError(network.name, target.name, tuple(found)) from None
    if len(packed) > target.cores.value:
        raise LimitError(network.name, target.name, (core_violation(len(packed), target),))
    return Partition(
        chip=target,
        network=timed,
        cores=_cores(needs, packed),
        lower_bound=bound.cores,
        bound_by=bound.resource,
        first_fit=None if baseline is None else len(baseline),
    )


def _cores(needs: Needs, packed: Cores) -> tuple[Core, ...]:
    """The cores in the order of the network: by the first population that each holds, and its first neuron there."""
    names = list(needs.shapes)
    held = [sorted(core.items(), key=lambda item: names.index(item[0])) for core in packed]
    rows = sorted(
        zip(held, loads_of(needs, packed), strict=True),
        key=lambda row: (names.index(row[0][0][0]), row[0][0][1].spans),
    )
    return tuple(_core(needs, boxes, load) for boxes, load in rows)


def _core(needs: Needs, boxes: list[tuple[str, Box]], load: Load) -> Core:
    storage = tuple(
        (_label(needs.network, s.connection.name, s.connection.delay), s.stored(box).way)
        for name, box in boxes
        for s in needs.synapses[name]
    )
    pieces = tuple(_piece(name, box, needs.shapes[name]) for name, box in boxes)
    return Core(pieces=pieces, storage=storage, **load.used())


def _label(network: IntegerNetwork, name: str, delay: int) -> str:
    alone = sum(c.name == name for c in network.connections) == 1
    return name if alone else f"{name} delay={delay}"


def _piece(name: str, box: Box, shape: Space) -> Piece:
    neurons = box.neurons(shape)
    start, stop = int(neurons[0]), int(neurons[-1]) + 1
    index = None if stop - start == len(neurons) else neurons
    return Piece(population=name, start=start, stop=stop, index=index)
