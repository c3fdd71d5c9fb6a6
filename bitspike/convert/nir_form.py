"""How a NIR file says a network: its step in seconds, its dialect, and which nodes keep their three dimensions."""

from dataclasses import dataclass
from math import isfinite

from bitspike.convert.connections import Conv2d, Identity, SumPool2d, Windowed
from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Population
from bitspike.convert.windowed import Pair
from bitspike.errors import UsageError

#: Time steps in seconds for which all parameters are ordinary 32-bit floats.
DT_RANGE = (1e-9, 1e3)
DT = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class NirForm:
    """The choices of a writer.

    Attributes:
        dt: seconds a step, 1e-9..1e3.
        portable: only nodes and conventions that Norse, SpikingJelly and snnTorch share; otherwise the nodes that say
            most plainly what the network is.
        soft_reset: whether a reset by subtraction may be written as an integrator, a threshold and a feedback.
    """

    dt: float = DT
    portable: bool = False
    soft_reset: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.dt) and DT_RANGE[0] <= self.dt <= DT_RANGE[1]):
            raise UsageError(f"dt {self.dt}; expected {DT_RANGE[0]}..{DT_RANGE[1]} seconds")
        if self.portable and self.soft_reset:
            raise UsageError("a portable file has no soft reset: none of its readers has Threshold and Scale nodes")


@dataclass(frozen=True, kw_only=True, slots=True)
class SquareWindow:
    """A window with as many rows as columns that does the same: zeros stand before and after along one axis.

    Attributes:
        size: rows, and columns.
        before: zeros before the kernel's own rows, and before its own columns.
        padding: of the source.
    """

    size: int
    before: Pair
    padding: Pair


def square(c: Windowed) -> SquareWindow | None:
    """The square form of a window; None where there is none.

    NIR's own reader (1.0.8) takes the height of a kernel for its width too and refuses a graph in which that matters.
    Zeros on both sides and as much padding move nothing; an odd number of zeros gives another row or column of
    targets, unless the stride swallows it.
    """
    size = max(c.window)
    found = []
    for axis in range(2):
        extra = size - c.window[axis]
        dilation, stride, target = c.dilation[axis], c.stride[axis], c.target_shape[1 + axis]
        for before in (extra // 2, extra - extra // 2):
            padding = c.padding[axis] + dilation * before
            reach = c.source_shape[1 + axis] + 2 * padding - dilation * (size - 1) - 1
            if reach >= 0 and reach // stride + 1 == target:
                found.append((before, padding))
                break
    if len(found) < 2:
        return None
    (rows, high), (columns, wide) = found
    return SquareWindow(size=size, before=(rows, columns), padding=(high, wide))


def spatial_places(network: IntegerNetwork) -> frozenset[str]:
    """The inputs and populations that are written as (channels, height, width); all others are flat.

    NIR can flatten and cannot undo it. So a population keeps its dimensions where everything that leads to it does: a
    window that has a square form, or a shortcut, each from a source that keeps its own; and where a bias, which
    stands in a convolution, is one number a channel. A window between flat ones is written as the matrix that it is.
    """
    entries, shapes = {entry.name for entry in network.inputs}, network.shapes()
    kept = {name for name, shape in shapes.items() if len(shape) == 3}
    kept -= {p.name for p in network.populations if not _bias_fits(p)}

    def holds(name: str) -> bool:
        for c in network.incoming(name):
            window = isinstance(c, Conv2d | SumPool2d) and square(c) is not None
            shortcut = isinstance(c, Identity) and shapes[c.source] == shapes[name]
            if c.source not in kept or not (window or shortcut):
                return False
        return True

    while lost := {name for name in kept - entries if not holds(name)}:
        kept -= lost
    return frozenset(kept - {name for name in entries if not any(c.target in kept for c in network.outgoing(name))})


def _bias_fits(p: Population) -> bool:
    """Whether the bias is part of the neuron's own node, or one number a channel."""
    bias = p.bias_mantissa.reshape(p.shape[0], -1)
    return p.du < DECAY_ONE or bool((bias == bias[:, :1]).all())
