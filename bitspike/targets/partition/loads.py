"""What a core carries: neurons, synaptic memory, axons and groups, and whether that is within the chip's limits."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bitspike.convert.connections import Windowed
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.targets.chips import Chip
from bitspike.targets.partition.boxes import Box, Integers, Space, whole
from bitspike.targets.partition.synapses import Format, Synapses, synapses_of

#: The limits of a core: the figure of the chip that has it, and what it is called.
RESOURCES = {
    "neurons": "neurons",
    "synapse_bits": "bits of synaptic memory",
    "input_axons": "input axons",
    "output_axons": "output axons",
    "decay_groups": "pairs of decays",
    "threshold_groups": "thresholds",
    "synapse_formats": "synapse formats",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What some neurons take, or all neurons of a core.

    Attributes:
        neurons, synapse_bits, input_axons, output_axons: numbers.
        decays: different (du, dv).
        thresholds: different mantissas.
        formats: different forms of lists of synapses.
    """

    neurons: int = 0
    synapse_bits: int = 0
    input_axons: int = 0
    output_axons: int = 0
    decays: frozenset[tuple[int, int]] = frozenset()
    thresholds: frozenset[int] = frozenset()
    formats: frozenset[Format] = frozenset()

    def plus(self, other: "Load") -> "Load":
        """Both on one core."""
        return Load(
            neurons=self.neurons + other.neurons,
            synapse_bits=self.synapse_bits + other.synapse_bits,
            input_axons=self.input_axons + other.input_axons,
            output_axons=self.output_axons + other.output_axons,
            decays=self.decays | other.decays,
            thresholds=self.thresholds | other.thresholds,
            formats=self.formats | other.formats,
        )

    def used(self) -> dict[str, int]:
        """How much of each of :data:`RESOURCES`."""
        return {
            "neurons": self.neurons,
            "synapse_bits": self.synapse_bits,
            "input_axons": self.input_axons,
            "output_axons": self.output_axons,
            "decay_groups": len(self.decays),
            "threshold_groups": len(self.thresholds),
            "synapse_formats": len(self.formats),
        }

    def excess(self, chip: Chip) -> Iterator[tuple[str, int, int]]:
        """The resources of which a core of `chip` has less: name, used and limit."""
        for name, used in self.used().items():
            limit = chip.limit(name)
            if limit is not None and used > limit:
                yield name, used, limit

    def fits(self, chip: Chip) -> bool:
        """Whether a core of `chip` holds it."""
        return next(self.excess(chip), None) is None


class Room:
    """What a core of a chip has of each of :data:`RESOURCES`, asked millions of times while cores are filled."""

    def __init__(self, chip: Chip) -> None:
        """Take the chip; what is not published has no limit."""
        limits = (chip.limit(name) for name in RESOURCES)
        self._limits = tuple(math.inf if limit is None else limit for limit in limits)

    def holds(self, one: Load, other: Load) -> bool:
        """Whether ``one.plus(other)`` fits a core, without making it."""
        neurons, bits, inputs, outputs, decays, thresholds, formats = self._limits
        return (
            one.neurons + other.neurons <= neurons
            and one.synapse_bits + other.synapse_bits <= bits
            and one.input_axons + other.input_axons <= inputs
            and one.output_axons + other.output_axons <= outputs
            and len(one.decays | other.decays) <= decays
            and len(one.thresholds | other.thresholds) <= thresholds
            and len(one.formats | other.formats) <= formats
        )


#: A core that holds nothing.
EMPTY = Load()


class Needs:
    """What boxes of each population of a network in chip time take on a core."""

    def __init__(self, network: IntegerNetwork, chip: Chip) -> None:
        """Take a network and the chip whose storage is counted."""
        self.network = network
        self.chip = chip
        self.room = Room(chip)
        self.shapes = {p.name: space(network, p) for p in network.populations}
        self._groups = {p.name: (frozenset({(p.du, p.dv)}), frozenset({p.vth})) for p in network.populations}
        self._known: dict[tuple[str, Box], Load] = {}

    @cached_property
    def synapses(self) -> dict[str, tuple[Synapses, ...]]:
        """The incoming connections of each population."""
        return {
            name: tuple(synapses_of(c, self.chip, shape) for c in self.network.incoming(name))
            for name, shape in self.shapes.items()
        }

    def whole(self, name: str) -> Box:
        """All neurons of a population."""
        return whole(self.shapes[name])

    def incoming(self, name: str, box: Box) -> Load:
        """What `box` takes, but for its output axons."""
        if (name, box) not in self._known:
            stored = [synapses.stored(box) for synapses in self.synapses[name]]
            decays, thresholds = self._groups[name]
            self._known[name, box] = Load(
                neurons=box.size,
                synapse_bits=sum(s.bits for s in stored),
                input_axons=sum(s.axons for s in stored),
                decays=decays,
                thresholds=thresholds,
                formats=frozenset(s.form for s in stored if s.axons),
            )
        return self._known[name, box]

    def load(self, name: str, box: Box, slots: Integers) -> Load:
        """What `box` takes, where each neuron of the population has `slots` output axons, in its shape."""
        return replace(self.incoming(name, box), output_axons=int(slots[box.slices].sum()))

    def slots(self, tiles: dict[str, list[Box]]) -> dict[str, Integers]:
        """Output axons of each neuron, in its population's shape, where targets are cut into `tiles`."""
        found = {name: np.zeros(shape, np.int64) for name, shape in self.shapes.items()}
        for name, boxes in tiles.items():
            for synapses in self.synapses[name]:
                if synapses.connection.source in found:
                    there = found[synapses.connection.source]
                    for box in boxes:
                        there += synapses.sources(box).reshape(there.shape) * synapses.stored(box).slots
        return found


def space(network: IntegerNetwork, population: Population) -> Space:
    """Channels, rows and columns, where a window fills the population; else its neurons are as many channels."""
    windowed = next((c for c in network.incoming(population.name) if isinstance(c, Windowed)), None)
    return (population.size, 1, 1) if windowed is None else windowed.target_shape
