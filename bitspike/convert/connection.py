"""What every connection says of itself: how the spikes of one population become the summed input of another."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bitspike.convert.value import Value, make_integers

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Connection(Value):
    """What all kinds share.

    Attributes:
        source, target: names of populations (or of the input).
        exponent: 0..7; a synapse adds ``weight << exponent``, times the payload of a graded spike, to the target's
            input for each spike.
        delay: steps from a spike to its arrival; 0 is within the same step.
    """

    kind: ClassVar[str]

    source: str
    target: str
    exponent: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        make_integers(self, f"connection {self.name}", "exponent", "delay")

    @property
    def name(self) -> str:
        """``source -> target``."""
        return f"{self.source} -> {self.target}"

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(target neurons, source neurons)."""

    @abstractmethod
    def deliver(self, spikes: Integers) -> Integers:
        """Summed input of each target: `spikes`, (samples, sources), give (samples, targets)."""

    @abstractmethod
    def bounds(self, most: Integers | None = None) -> tuple[Integers, Integers]:
        """The lowest and the highest input of each target, (targets,), over all patterns of 0 and 1.

        Where `most`, (sources,), is given, over all patterns of 0 to that in each source.
        """

    @abstractmethod
    def fan_out(self) -> Integers:
        """Synapses of each source neuron, (sources,); synapses of weight 0 are counted."""

    @abstractmethod
    def nonzero_fan_out(self) -> Integers:
        """Synapses of each source neuron whose weight is not 0, (sources,)."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Weights that are stored: a kernel's once, however many synapses it has."""

    @property
    @abstractmethod
    def weight_bits(self) -> int:
        """Bits that one synapse's weight takes in memory, with its sign where the signs differ."""

    @abstractmethod
    def inputs_of(self, neuron: int) -> tuple[Integers, Integers]:
        """The sources of target `neuron` and the effective weights of its synapses, in the order of the sources."""

    @abstractmethod
    def describe(self) -> str:
        """What the text form says after ``source -> target``."""
