"""Lowering: a network on the cores of a chip and in Lava's registers, and what a run on data does there.

The partition is of the network in chip time. Lava's registers (:func:`bitspike.targets.lava.lower.lower`) do not depend
on the chip, and may hold relays more: what Lava cannot hold is told in their place and does not keep the partition
back.
"""

import os
from dataclasses import dataclass
from typing import Any

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import UnsupportedError
from bitspike.samples import SpikeData
from bitspike.sim.mapped import Mapped, map_run
from bitspike.targets.chips import Chip
from bitspike.targets.lava.lower import lower as lava_registers
from bitspike.targets.lava.program import LavaProgram
from bitspike.targets.partition import Partition, partition


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lowering:
    """A network as a chip holds it.

    Attributes:
        partition: its neurons on cores.
        mapped: what a run on data does on them; None without data.
        program: its populations and connections in Lava's registers; None where Lava has none for them.
        refused: why not; else empty.
    """

    partition: Partition
    mapped: Mapped | None
    program: LavaProgram | None
    refused: str = ""

    def occupancy(self) -> list[float]:
        """Of each core, the largest share that is used of any resource with a published limit."""
        chip = self.partition.chip
        return [
            max(used / limit for name, used in core.used().items() if (limit := chip.limit(name)))
            for core in self.partition.cores
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "chip": self.partition.chip.name,
            "name": self.partition.network.name,
            "partition": self.partition.as_json(),
            "run": None if self.mapped is None else self.mapped.as_json(),
            "registers": None if self.program is None else _registers(self.program),
            "refused": self.refused or None,
        }

    def __str__(self) -> str:
        registers = f"no registers of Lava: {self.refused}" if self.program is None else str(self.program)
        parts = [str(self.partition), *([] if self.mapped is None else [str(self.mapped)]), registers]
        return "\n\n".join(parts)


def lower(
    network: IntegerNetwork, chip: str | os.PathLike[str] | Chip, *, data: SpikeData | None = None, seed: int = 0
) -> Lowering:
    """Put a legal network onto `chip`.

    Args:
        network: trained, or in chip time.
        chip: a chip's name, its file, or the chip itself.
        data: encoded samples, by whose spikes cores are placed on the chip's mesh.
        seed: of the search for a placement.

    Raises:
        LimitError: with every limit of the chip that the network breaks.
        RangeError: where a state could leave its 24 bits.
        UnsupportedError: where the network cannot be put into chip time.
    """
    found = partition(check(network), chip)
    check_range(network)
    mapped = None if data is None else map_run(found, data=data, chip=found.chip, seed=seed)
    try:
        return Lowering(partition=found, mapped=mapped, program=lava_registers(network))
    except UnsupportedError as error:
        return Lowering(partition=found, mapped=mapped, program=None, refused=str(error))


def _registers(program: LavaProgram) -> dict[str, Any]:
    neurons = ("name", "size", "du", "dv", "vth", "bias_exp", "start")
    return {
        "latency": program.latency,
        "streams": program.streams,
        "gap": program.gap,
        "hardware": program.hardware,
        "cautions": list(program.cautions),
        "neurons": [{key: getattr(n, key) for key in neurons} for n in program.neurons],
        "connections": [
            {"source": c.source, "target": c.target, "kind": c.kind, "delay": c.delay, **c.registers()}
            for c in program.connections
        ],
    }
