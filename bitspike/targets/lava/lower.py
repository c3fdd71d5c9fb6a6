"""Lowering: a network in the registers of Lava's processes, as a value that can be printed, compared and built.

Rules:

1. The network is put into chip time first (:func:`bitspike.convert.retime.retime`): Lava's synapses deliver in the
   step after the spike.
2. A connection of delay 1 becomes a ``Dense``; of delay d > 1 a ``DelayDense`` whose own delay is d - 1.
3. Weights take the densest exact form (:mod:`bitspike.targets.lava.encode`).
4. A population becomes a ``LIFReset``. Lava adds 1 to the `du` that it is given, so the register holds ``du - 1``;
   an effective 0 is -1, which Lava's CPU model takes (lava-dl writes it too) and Loihi 1 has no register value for.
5. `dv`, `vth` and the bias go over as they are. Reset by subtraction and graded spikes are refused: Lava's ``LIFReset``
   has neither.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.dense_only import dense_connections
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.single_only import refuse_several
from bitspike.convert.value import Value, read_only
from bitspike.errors import UnsupportedError
from bitspike.targets.lava.encode import Synapses, encode


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neurons(Value):
    """A population in the registers of ``LIFReset``.

    Attributes:
        du: register: effective decay less 1, -1..4095.
        dv, vth: as in the network.
        bias_mant: int32, one per neuron, -4096..4095; `bias_exp`: 0..7.
        start: step, counted from 0, in which the first sample's first input arrives.
    """

    name: str
    size: int
    du: int
    dv: int
    vth: int
    bias_mant: npt.NDArray[np.int32]
    bias_exp: int
    start: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias_mant", read_only(self.bias_mant, np.int32))

    def __str__(self) -> str:
        low, high = int(self.bias_mant.min(initial=0)), int(self.bias_mant.max(initial=0))
        bias = f"{low}..{high}<<{self.bias_exp}" if low or high else "0"
        return (
            f"lif     {self.name} {self.size} du={self.du} dv={self.dv} vth={self.vth} start={self.start} bias={bias}"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Connection(Value):
    """Synapses between two populations; `delay` is 1 or more: it counts the step that every Lava connection takes."""

    source: str
    target: str
    synapses: Synapses
    delay: int

    @property
    def name(self) -> str:
        """``source -> target``."""
        return f"{self.source} -> {self.target}"

    def __str__(self) -> str:
        rows, columns = self.synapses.mantissas.shape
        kind = "dense " if self.delay == 1 else "delayed"
        return (
            f"{kind:<7} {self.name} {rows}x{columns} {self.synapses.sign_mode.name.lower()} bits={self.synapses.bits} "
            f"exponent={self.synapses.exponent} delay={self.delay}"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LavaProgram(Value):
    """A network as Lava holds it.

    Attributes:
        input_name, input_size: where spikes enter.
        neurons: in the network's order.
        connections: in the network's order.
        streams: whether samples may follow one another in one run. They may where every spike arrives in the step of
            the target that answers the same input step; a spike over a longer delay would outlive its sample.
    """

    name: str
    input_name: str
    input_size: int
    neurons: tuple[Neurons, ...]
    connections: tuple[Connection, ...]
    streams: bool

    @property
    def latency(self) -> int:
        """The largest number of steps by which a population is late."""
        return max(n.start for n in self.neurons)

    def __str__(self) -> str:
        lines = [
            f"lava    {self.name} latency={self.latency} samples={'stream' if self.streams else 'alone'}",
            f"source  {self.input_name} {self.input_size}",
        ]
        for n in self.neurons:
            lines += [str(c) for c in self.connections if c.target == n.name]
            lines.append(str(n))
        return "\n".join(lines)


def lower(network: IntegerNetwork) -> LavaProgram:
    """A legal network in Lava's registers.

    Raises:
        UnsupportedError: naming the population or connection that Lava cannot hold exactly.
    """
    refuse_graded(check(network), "the lowering to Lava")
    refuse_several(network, "the lowering to Lava", readouts=False)
    chip = retime(network)
    latency = chip.latencies()
    return LavaProgram(
        name=chip.name,
        input_name=chip.input.name,
        input_size=chip.input.size,
        neurons=tuple(_neurons(p) for p in chip.populations),
        connections=tuple(
            Connection(source=c.source, target=c.target, synapses=encode(c), delay=c.delay)
            for c in dense_connections(chip, "the lowering to Lava")
        ),
        streams=all(c.delay == latency[c.target] - latency[c.source] for c in chip.connections),
    )


def _neurons(p: Population) -> Neurons:
    if p.reset != "zero":
        raise UnsupportedError(f"population {p.name}: reset by subtraction; Lava's neurons reset to zero")
    return Neurons(
        name=p.name,
        size=p.size,
        du=p.du - 1,
        dv=p.dv,
        vth=p.vth,
        bias_mant=p.bias_mantissa,
        bias_exp=p.bias_exponent,
        start=p.start,
    )
