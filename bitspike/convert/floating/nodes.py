"""The nodes of a float network: what spikes pass on their way from one population to the next.

All arrays are float64 and read-only. A signal is flattened in C order; a node that needs a shape says which.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bitspike.convert.value import Value, make_integers, make_pair, make_shape, read_only
from bitspike.errors import UsageError

Reals = npt.NDArray[np.float64]
Pair = tuple[int, int]
Space = tuple[int, int, int]
FloatReset = Literal["value", "subtract", "none"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Node(Value):
    """What all nodes share: a name that is unique in the network, and the shape that leaves the node."""

    kind: ClassVar[str]

    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what leaves the node."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Numbers that leave the node each step."""
        return math.prod(self.shape)


def make_reals(value: Value, where: str, name: str, shape: tuple[int, ...] | None = None) -> None:
    """Turn a field of a frozen value, still under construction, into read-only float64, spread to `shape`.

    Raises:
        UsageError: for anything that is not a finite number, or of another shape.
    """
    found = np.asarray(getattr(value, name))
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise UsageError(f"{where}: {name} of type {found.dtype}; expected finite numbers")
    try:
        spread = found if shape is None else np.broadcast_to(found, shape)
    except ValueError:
        raise UsageError(f"{where}: {name} of shape {found.shape}; expected {shape}") from None
    object.__setattr__(value, name, read_only(spread, np.float64))


def make_extents(value: Value, where: str) -> None:
    """Turn `extents` of a frozen value, still under construction, into a shape of at least one number."""
    make_shape(value, where, "extents")
    extents: tuple[int, ...] = value.extents  # type: ignore[attr-defined]
    if not extents or min(extents) < 1:
        raise UsageError(f"{where}: shape {extents}; expected one or more extents of 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatInput(Node):
    """The place where spikes, or real numbers, enter."""

    kind: ClassVar[str] = "input"
    extents: tuple[int, ...]

    def __post_init__(self) -> None:
        make_extents(self, f"input {self.name}")

    @property
    def shape(self) -> tuple[int, ...]:
        """As given."""
        return self.extents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Affine(Node):
    """``y = W x + b`` over the flattened signal.

    Attributes:
        weight: shape (targets, sources).
        bias: shape (targets,); zeros where there is none. It acts in every step.
    """

    kind: ClassVar[str] = "affine"
    weight: Reals
    bias: Any = 0.0

    def __post_init__(self) -> None:
        where = f"node {self.name}"
        make_reals(self, where, "weight")
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise UsageError(f"{where}: weight of shape {self.weight.shape}; expected (targets, sources)")
        make_reals(self, where, "bias", (len(self.weight),))

    @property
    def shape(self) -> tuple[int, ...]:
        """(targets,)."""
        return (len(self.weight),)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Convolution(Node):
    """Cross-correlation as in torch, of (channels, height, width); one dimension is a height of 1.

    Attributes:
        source_shape: (channels, height, width).
        weight: shape (target channels, source channels / groups, height, width).
        bias: shape (target channels,), in every step.
        stride, padding, dilation: (vertical, horizontal).
    """

    kind: ClassVar[str] = "conv"
    source_shape: Space
    weight: Reals
    bias: Any = 0.0
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        where = f"node {self.name}"
        make_pair(self, where, "source_shape", 3)
        for name in ("stride", "padding", "dilation"):
            make_pair(self, where, name, 2)
        make_integers(self, where, "groups")
        make_reals(self, where, "weight")
        channels = self.source_shape[0]
        whole = self.weight.ndim == 4 and self.groups > 0 and len(self.weight) % self.groups == 0
        if not whole or self.weight.shape[1] * self.groups != channels:
            raise UsageError(
                f"{where}: weight of shape {self.weight.shape}, {self.groups} groups; expected (a multiple of the "
                f"groups, {channels} / groups, height, width)"
            )
        make_reals(self, where, "bias", (len(self.weight),))
        _fits(self, where)

    @property
    def window(self) -> Pair:
        """Height and width of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def shape(self) -> Space:
        """(target channels, height, width)."""
        return len(self.weight), *_extents(self)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pool(Node):
    """Sum, or mean, over a window, channel by channel; a mean counts padded places, as torch and NIR do."""

    kind: ClassVar[str] = "pool"
    source_shape: Space
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)
    mean: bool = False
    dilation: ClassVar[Pair] = (1, 1)

    def __post_init__(self) -> None:
        where = f"node {self.name}"
        make_pair(self, where, "source_shape", 3)
        for name in ("window", "stride", "padding"):
            make_pair(self, where, name, 2)
        _fits(self, where)

    @property
    def shape(self) -> Space:
        """(channels, height, width)."""
        return self.source_shape[0], *_extents(self)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scale(Node):
    """``y = factor * x``, one factor for each number of the signal."""

    kind: ClassVar[str] = "scale"
    extents: tuple[int, ...]
    factor: Any

    def __post_init__(self) -> None:
        make_extents(self, f"node {self.name}")
        make_reals(self, f"node {self.name}", "factor", self.extents)

    @property
    def shape(self) -> tuple[int, ...]:
        """As it came in."""
        return self.extents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reshape(Node):
    """The same numbers in C order with another shape: flatten, and its reverse."""

    kind: ClassVar[str] = "reshape"
    extents: tuple[int, ...]

    def __post_init__(self) -> None:
        make_extents(self, f"node {self.name}")

    @property
    def shape(self) -> tuple[int, ...]:
        """As given."""
        return self.extents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Delay(Node):
    """The signal of `steps` earlier, the same for all its numbers; silence before."""

    kind: ClassVar[str] = "delay"
    extents: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        make_extents(self, f"node {self.name}")
        make_integers(self, f"node {self.name}", "steps")
        if self.steps < 0:
            raise UsageError(f"node {self.name}: a delay of {self.steps} steps; expected 0 or more")

    @property
    def shape(self) -> tuple[int, ...]:
        """As it came in."""
        return self.extents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neurons(Node):
    """Neurons that integrate, and spike where they have a threshold. One step, with x the summed signal::

        i[t] = alpha * i[t-1] + input_gain * x[t]
        v[t] = beta * v[t-1] + gain * i[t] + drift          i[t-1] instead of i[t] where `late_current`
        s[t] = v[t] > threshold                             or >= where not `strict`
        v[t] = reset_value               where s[t]         reset "value"
        v[t] = v[t] - threshold          where s[t]         reset "subtract"

    All states begin at 0, the membrane at `drift`'s fixed point where `at_rest`. With `reset_late` the reset is not
    applied in the step of the spike but in the next one, where it is computed with s[t-1]: for "subtract" as
    ``v[t] = beta * v[t-1] + gain * i[t] + drift - threshold * s[t-1]``; for "value" the state that the step before left
    is forgotten (``beta * v[t-1]`` is replaced by ``beta * reset_value``), and where `reset_swallows` the input of that
    step with it (``v[t] = reset_value``).

    With `residual_held` (of "subtract" that is not late) a neuron that its reset leaves above its threshold does not
    spike at once again: in the next step it spikes only where ``v[t] - threshold`` is above the threshold.

    Attributes:
        extents: shape of the population.
        alpha: what a step keeps of the current, one a neuron; 0 where there is no current.
        beta: what it keeps of the membrane.
        input_gain, gain, drift, threshold, reset_value: one a neuron, in the units of the file.
        spiking: False for a read-out: what leaves is the membrane v, and there is neither threshold nor reset.
        strict: whether a neuron spikes above its threshold or also at it.
    """

    kind: ClassVar[str] = "neurons"
    extents: tuple[int, ...]
    alpha: Any = 0.0
    beta: Any
    input_gain: Any = 1.0
    gain: Any = 1.0
    drift: Any = 0.0
    threshold: Any = 1.0
    reset_value: Any = 0.0
    spiking: bool = True
    strict: bool = True
    reset: FloatReset = "value"
    reset_late: bool = False
    reset_swallows: bool = False
    residual_held: bool = False
    late_current: bool = False
    at_rest: bool = False

    def __post_init__(self) -> None:
        where = f"node {self.name}"
        make_extents(self, where)
        for name in ("alpha", "beta", "input_gain", "gain", "drift", "threshold", "reset_value"):
            object.__setattr__(self, name, np.reshape(getattr(self, name), -1))
            make_reals(self, where, name, (self.size,))

    @property
    def shape(self) -> tuple[int, ...]:
        """As given."""
        return self.extents


def _extents(node: "Convolution | Pool") -> Pair:
    height, width = (
        (size + 2 * pad - dilation * (window - 1) - 1) // stride + 1
        for size, pad, dilation, window, stride in zip(
            node.source_shape[1:], node.padding, node.dilation, node.window, node.stride, strict=True
        )
    )
    return height, width


def _fits(node: "Convolution | Pool", where: str) -> None:
    sizes = (*node.stride, *node.dilation, *node.window, *node.source_shape, node.shape[0])
    if min(sizes) < 1 or min(node.padding) < 0 or min(_extents(node)) < 1:
        raise UsageError(f"{where}: a window of {node.window} over shape {node.source_shape}; expected one that fits")
