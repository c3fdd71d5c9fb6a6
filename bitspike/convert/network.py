"""The integer network: the one immutable value that stands between training, files, chips and engines.

Its arithmetic is defined by :mod:`bitspike.sim.reference`, its rules by :mod:`bitspike.convert.rules`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.value import LATER, Value, alone, make_integers, make_shape, read_only
from bitspike.errors import UsageError

__all__ = [
    "Connection",
    "Conv2d",
    "Dense",
    "Identity",
    "Input",
    "IntegerNetwork",
    "Population",
    "Readout",
    "SumPool2d",
]

Reset = Literal["zero", "subtract"]
Spike = Literal["binary", "graded"]
ReadoutKind = Literal["spike_count", "membrane_sum", "membrane_last"]

#: Decays are fractions of 4096; 4096 forgets everything at once.
DECAY_ONE = 4096
#: Membranes and currents count 1/64 of a weight unit: the chip shifts synaptic input left by 6.
STATE_SHIFT = 6
#: The largest threshold mantissa (17 bits); a population that has it is a read-out that never spikes.
VTH_MAX = 131071
#: What a state register holds, signed and in 24 bits. A payload may be as wide; ``v >> 6`` has 17 bits and always fits.
STATE_MAX = (1 << 23) - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Input(Value):
    """The place where spikes enter: a name and a shape in neurons."""

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        make_shape(self, f"input {self.name}")

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Population(Value):
    """Leaky integrate-and-fire neurons that share decays, threshold and reset.

    Attributes:
        name: unique in the network.
        shape: in neurons.
        du, dv: decay of current and of membrane, in 1/4096 per step, 0..4096 (effective values, not registers).
        vth: threshold mantissa, 0..131071, in weight units; a neuron spikes where ``v > 64 * vth``.
        reset: what a spike does to the membrane: ``zero`` or ``subtract`` (64 * vth).
        bias_mantissa: int32, one per neuron, -4096..4095.
        bias_exponent: 0..7; the bias ``mantissa << exponent`` is added to the membrane each step, in 1/64 weight unit.
        start: the population's latency: the step that answers input step 0. The state is cleared at that step, before
            decay and integration. 0 in a trained network; on a chip, where every connection takes a step, the step in
            which the first input arrives.
        spike: what a neuron sends where it spikes: ``binary``, 1, or ``graded``, a payload: ``v >> (6 + shift)`` of the
            membrane before its reset.
        shift: 0..16, of graded spikes. ``2^shift`` is at most `vth`, so that a payload is 1 or more, and 0 is silence.
    """

    name: str
    shape: tuple[int, ...]
    du: int = DECAY_ONE
    dv: int
    vth: int
    reset: Reset = "zero"
    bias_mantissa: npt.NDArray[np.int32]
    bias_exponent: int = 0
    start: int = 0
    spike: Spike = field(default="binary", metadata=LATER)
    shift: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        make_shape(self, f"population {self.name}")
        make_integers(self, f"population {self.name}", "du", "dv", "vth", "bias_exponent", "start", "shift")
        wide = np.asarray(self.bias_mantissa)
        if wide.dtype.kind not in "iu" or (wide.size and np.abs(wide.astype(np.int64)).max() > 2**31 - 1):
            raise UsageError(f"population {self.name}: bias of type {wide.dtype}; expected integers of at most 32 bits")
        object.__setattr__(self, "bias_mantissa", read_only(wide, np.int32))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def bias(self) -> npt.NDArray[np.int64]:
        """Bias of each neuron in 1/64 weight unit."""
        return self.bias_mantissa.astype(np.int64) << self.bias_exponent

    @property
    def spiking(self) -> bool:
        """False for a read-out whose threshold is at its maximum."""
        return self.vth < VTH_MAX

    @property
    def graded(self) -> bool:
        """Whether a spike carries a payload."""
        return self.spike == "graded"

    @property
    def payload_shift(self) -> int:
        """Low bits of the membrane that a payload leaves out."""
        return STATE_SHIFT + self.shift

    @property
    def payload_max(self) -> int:
        """The largest value that a spike can have while the membrane is in its register: 1 for binary spikes."""
        return STATE_MAX >> self.payload_shift if self.graded else 1

    @property
    def spike_dtype(self) -> np.dtype[Any]:
        """The type in which records hold this population's spikes: uint8, and int32 for graded ones."""
        return np.dtype(np.int32) if self.graded else np.dtype(np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readout(Value):
    """How classes are read off: spike counts of a population, or its membrane summed over the window or at its end.

    Attributes:
        population, kind: what is read.
        answer: which answer this is a part of. Read-outs of the same answer are joined: their classes lie one after the
            other in the network's order, as where a wide population was split. Separate heads have different answers.
    """

    population: str
    kind: ReadoutKind
    answer: str = field(default="", metadata=LATER)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IntegerNetwork(Value):
    """A network in integers.

    Attributes:
        name: for people.
        steps: length of the window of one sample, in algorithmic steps.
        inputs: where spikes enter. Engines take them in one array, (samples, steps, neurons), in which the neurons of
            the inputs lie one after the other in this order.
        populations: in the order in which a step computes them.
        connections: between them; see :mod:`bitspike.convert.connections`.
        readouts: how classes are read off; one or more for each answer.
        collapse: how the bits were chosen from a posterior: ``map``, ``sample(3)``, or empty where nobody said.
    """

    name: str
    steps: int
    inputs: tuple[Input, ...] = field(metadata=alone("input"))
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readouts: tuple[Readout, ...] = field(metadata=alone("readout"))
    collapse: str = ""

    def __post_init__(self) -> None:
        make_integers(self, f"network {self.name}", "steps")

    @property
    def input(self) -> Input:
        """The only input; UsageError where there are several."""
        if len(self.inputs) != 1:
            raise UsageError(f"network {self.name}: inputs {_listed(i.name for i in self.inputs)}; expected one")
        return self.inputs[0]

    @property
    def readout(self) -> Readout:
        """The only read-out; UsageError where there are several."""
        if len(self.readouts) != 1:
            found = _listed(r.population for r in self.readouts)
            raise UsageError(f"network {self.name}: read-outs {found}; expected one")
        return self.readouts[0]

    @property
    def input_size(self) -> int:
        """Neurons of all inputs: the last extent of the spikes that an engine is given."""
        return sum(i.size for i in self.inputs)

    def input_spikes(self, spikes: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """The spikes of each input by name: parts of `spikes`, (..., neurons of all inputs), not copied."""
        ends = np.cumsum([i.size for i in self.inputs])
        return {i.name: spikes[..., end - i.size : end] for i, end in zip(self.inputs, ends.tolist(), strict=True)}

    def answers(self) -> dict[str, tuple[Readout, ...]]:
        """The read-outs of each answer, in order."""
        return {r.answer: tuple(x for x in self.readouts if x.answer == r.answer) for r in self.readouts}

    def population(self, name: str) -> Population:
        """The population called `name`; UsageError names those that exist."""
        for population in self.populations:
            if population.name == name:
                return population
        raise UsageError(f"no population {name!r}; there are {', '.join(p.name for p in self.populations)}")

    def incoming(self, name: str) -> tuple[Connection, ...]:
        """The connections that end in population `name`, in the network's order."""
        return tuple(c for c in self.connections if c.target == name)

    def outgoing(self, name: str) -> tuple[Connection, ...]:
        """The connections that begin in population (or input) `name`."""
        return tuple(c for c in self.connections if c.source == name)

    def latencies(self) -> dict[str, int]:
        """Steps by which each population (and each input: 0) is late: its `start`.

        A trained network answers within the step, whatever its connections' delays are, and has latency 0 everywhere;
        :func:`bitspike.convert.retime.retime` gives each connection a step of its own and each population its latency.
        """
        return {i.name: 0 for i in self.inputs} | {p.name: p.start for p in self.populations}

    def nodes(self) -> "tuple[Input | Population, ...]":
        """The inputs, then the populations in the order in which a step computes them."""
        return (*self.inputs, *self.populations)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each of :meth:`nodes`, by name and in their order."""
        return {node.name: node.shape for node in self.nodes()}

    def with_populations(self, populations: Iterator[Population] | tuple[Population, ...]) -> "IntegerNetwork":
        """This network with other populations."""
        return replace(self, populations=tuple(populations))

    def __str__(self) -> str:
        from bitspike.convert.text import text_form

        return text_form(self)

    def __repr__(self) -> str:
        return f"<IntegerNetwork {self.name} {self.digest()[:12]}>"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
