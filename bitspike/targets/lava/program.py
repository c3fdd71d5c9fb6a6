"""A network as Lava holds it: sources, neurons and synapses in the registers of Lava's processes, as plain values."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT
from bitspike.convert.value import Value, read_only
from bitspike.targets.lava.encode import SignMode, Synapses
from bitspike.targets.lava.layout import Shape

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source(Value):
    """Where spikes enter: a name and a shape in Lava's order."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"source  {self.name} {_extents(self.shape)}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neurons(Value):
    """A population in the registers of ``LIFReset``.

    Attributes:
        shape: in Lava's order.
        du: register: effective decay less 1, -1..4095.
        dv, vth: as in the network.
        bias_mant: int32, of that shape, -4096..4095; `bias_exp`: 0..7.
        start: step, counted from 0, in which the input's step 0 arrives.
        subtract: whether a spike takes the threshold off the membrane instead of clearing it.
        payload_shift: low bits of the membrane that a graded spike leaves out; None for binary spikes.
    """

    name: str
    shape: Shape
    du: int
    dv: int
    vth: int
    bias_mant: npt.NDArray[np.int32]
    bias_exp: int
    start: int
    subtract: bool = False
    payload_shift: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias_mant", read_only(self.bias_mant, np.int32))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def lava_has_it(self) -> bool:
        """Whether Lava's own ``LIFReset`` does; else a process of ours, which has no model for the chip."""
        return not self.subtract and self.payload_shift is None

    def __str__(self) -> str:
        low, high = int(self.bias_mant.min(initial=0)), int(self.bias_mant.max(initial=0))
        bias = f"{low}..{high}<<{self.bias_exp}" if low or high else "0"
        more = " reset=subtract" if self.subtract else ""
        more += "" if self.payload_shift is None else f" graded shift={self.payload_shift - STATE_SHIFT}"
        return (
            f"lif     {self.name} {_extents(self.shape)} du={self.du} dv={self.dv} vth={self.vth} "
            f"start={self.start} bias={bias}{more}"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Connection(Value):
    """Synapses between two populations.

    Attributes:
        delay: 1 or more: it counts the step that every Lava connection takes.
        message_bits: of a graded source's spikes; 0 for binary ones.
    """

    kind: ClassVar[str]

    source: str
    target: str
    delay: int
    message_bits: int = 0

    @property
    def name(self) -> str:
        """``source -> target``."""
        return f"{self.source} -> {self.target}"

    @property
    @abstractmethod
    def shapes(self) -> tuple[Shape, Shape]:
        """What the process sends and takes."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Registers by name, and sizes by names that begin with _, for the text form."""

    def registers(self) -> dict[str, Any]:
        """Registers by name."""
        return {name: value for name, value in self.describe().items() if not name.startswith("_")}

    def __str__(self) -> str:
        kind = "delayed" if self.delay > 1 else self.kind
        registers = {**self.describe(), "delay": self.delay}
        if self.message_bits:
            registers["message_bits"] = self.message_bits
        words = [value if name.startswith("_") else f"{name}={value}" for name, value in registers.items()]
        return f"{kind:<7} {self.name} {' '.join(words)}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DenseConnection(Connection):
    """``Dense``, or ``DelayDense``: `synapses` of shape (targets, sources), both in Lava's order."""

    kind: ClassVar[str] = "dense"
    synapses: Synapses

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """One axis each."""
        rows, columns = self.synapses.mantissas.shape
        return (rows,), (columns,)

    def describe(self) -> dict[str, Any]:
        """Size and the synapses' registers."""
        rows, columns = self.synapses.mantissas.shape
        return {"_size": f"{rows}x{columns}", **_registers(self.synapses)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SparseConnection(Connection):
    """``Sparse``, or ``DelaySparse``: a synapse for each entry of the arrays.

    Attributes:
        size: (targets, sources).
        targets, sources: int64: the neurons of each synapse, in Lava's order.
        synapses: of as many entries.
    """

    kind: ClassVar[str] = "sparse"
    size: Pair
    targets: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    synapses: Synapses

    def __post_init__(self) -> None:
        for name in ("targets", "sources"):
            object.__setattr__(self, name, read_only(getattr(self, name), np.int64))

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """One axis each."""
        return (self.size[0],), (self.size[1],)

    def describe(self) -> dict[str, Any]:
        """Size, number of synapses and their registers."""
        rows, columns = self.size
        return {"_size": f"{rows}x{columns}", "synapses": len(self.sources), **_registers(self.synapses)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConvConnection(Connection):
    """``Conv``: all pairs are (horizontal, vertical), as Lava has them.

    Attributes:
        kernel: int32, (target channels, width, height, source channels / groups): effective weights, flipped in both
            directions, since Lava's is a true convolution and ours is torch's cross-correlation.
        input_shape, output_shape: (width, height, channels).
    """

    kind: ClassVar[str] = "conv"
    kernel: npt.NDArray[np.int32]
    input_shape: Shape
    output_shape: Shape
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", read_only(self.kernel, np.int32))

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """In space."""
        return self.output_shape, self.input_shape

    def describe(self) -> dict[str, Any]:
        """Geometry and range of the weights."""
        found: dict[str, Any] = {
            "_shapes": f"{_extents(self.input_shape)}->{_extents(self.output_shape)}",
            "kernel": _extents(self.kernel.shape[1:3]),
        }
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            value = getattr(self, name)
            if value != default:
                found[name] = value if isinstance(value, int) else _extents(value)
        return {**found, "weights": f"{self.kernel.min(initial=0)}..{self.kernel.max(initial=0)}"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LavaProgram(Value):
    """A network as Lava holds it.

    Attributes:
        sources: where spikes enter, in the order in which engines take them; an input that keeps the gap between
            samples quiet comes last.
        neurons: in the network's order, with those that pass a spike on for a delayed window.
        connections: in the network's order.
        gap: steps before each sample of a run. None where samples cannot follow one another in one run: where a spike
            can outlive its sample over a delay, and nothing can keep it from being sent.
        quiet: whether the last of `sources` is one that fires in the steps of the gap, and in no others.
    """

    name: str
    sources: tuple[Source, ...]
    neurons: tuple[Neurons, ...]
    connections: tuple[Connection, ...]
    gap: int | None
    quiet: bool = False

    @property
    def latency(self) -> int:
        """The largest number of steps by which a population is late."""
        return max(n.start for n in self.neurons)

    @property
    def streams(self) -> bool:
        """Whether samples may follow one another in one run."""
        return self.gap is not None

    @property
    def hardware(self) -> bool:
        """Whether Lava's own processes do: those of ours have no model for a chip."""
        return all(n.lava_has_it for n in self.neurons)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What Lava's models on the processor take and a chip may not, one sentence each, with the populations."""
        rows = (
            ("reset by subtraction, which Lava's neurons have not: a process of ours", lambda n: n.subtract),
            ("graded spikes, which Lava's LIF has not: a process of ours", lambda n: n.payload_shift is not None),
            ("du 0, which is register -1 to Lava: Loihi 1 has 0 to 4095", lambda n: n.du < 0),
            ("dv 4096: the registers of Loihi 1 have 12 bits, 0 to 4095", lambda n: n.dv == DECAY_ONE),
        )
        found = ((words, [n.name for n in self.neurons if has(n)]) for words, has in rows)
        return tuple(f"{', '.join(names)}: {words}" for words, names in found if names)

    def __str__(self) -> str:
        samples = "alone" if self.gap is None else f"stream gap={self.gap}" if self.gap else "stream"
        hardware = "" if self.hardware else " hardware=no"
        lines = [f"lava    {self.name} latency={self.latency} samples={samples}{hardware}", *map(str, self.sources)]
        for n in self.neurons:
            lines += [str(c) for c in self.connections if c.target == n.name]
            lines.append(str(n))
        return "\n".join([*lines, *(f"caution {words}" for words in self.cautions)])


def _registers(synapses: Synapses) -> dict[str, Any]:
    mode = SignMode(synapses.sign_mode).name.lower()
    return {"_mode": mode, "bits": synapses.bits, "exponent": synapses.exponent}


def _extents(shape: Shape) -> str:
    return "x".join(map(str, shape))
