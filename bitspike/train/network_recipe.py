"""The network's part of a recipe: layers of each kind, and the shapes that follow from the data. No torch here.

A layer's table has ``kind``, ``dense`` by default, the neurons' keys, and the keys of its own kind; the shape of each
population follows from what it reads: the one before, or its `sources` (:mod:`bitspike.train.wiring`).
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar

from bitspike.errors import UsageError
from bitspike.train.registers import FORGETS, MAX_SHIFT, NEVER, check_spike
from bitspike.train.residual import expand
from bitspike.train.schema import Checked, choice, flag, label, labels, real, ruled, several, whole
from bitspike.train.windows import CHANNELS, KERNEL, PADDING, STRIDE, Space, Window
from bitspike.train.wiring import INPUT, Wires, check_parallel, check_read, same_shape, widest, wire

Shape = tuple[int, ...]
P = ParamSpec("P")
T = TypeVar("T")
_MOST = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerRecipe(Checked, ABC):
    """What the recipes of all kinds of layers share: the neurons of a population.

    Attributes:
        kind: of the connection that feeds it.
        vth: threshold in whole weights; 131071, the default, cannot spike and is for a membrane read-out.
        du: current decay; 4096 means no current memory.
        dv: voltage decay; 0 forgets nothing.
        reset: what a spike leaves of the membrane.
        spike: what a spike carries: ``binary``, nothing, or ``graded``, the membrane before its reset, in 2**shift
            weights, rounded down. Not in the last layer, and not in a recurrent one.
        shift: of graded spikes; 2**shift is at most `vth`.
        name: of the population; ``hidden1``, ``hidden2``, ... and ``output`` by default.
        sources: earlier populations, or ``input``, whose spikes are summed; the one before by default. A residual stage
            stands for all that its sum is made of.
        shortcuts: earlier layers of the same shape whose summed input is added to this one's.
    """

    kind: str = ruled(choice("dense", "recurrent", "conv", "pool", "residual"))
    vth: int = ruled(whole(0, NEVER), NEVER)
    du: int = ruled(whole(0, FORGETS), FORGETS)
    dv: int = ruled(whole(0, FORGETS), 0)
    reset: Literal["zero", "subtract"] = ruled(choice("zero", "subtract"), "zero")
    spike: Literal["binary", "graded"] = ruled(choice("binary", "graded"), "binary")
    shift: int = ruled(whole(0, MAX_SHIFT), 0)
    name: str = ruled(label(empty=True), "")
    sources: tuple[str, ...] = ruled(labels(), ())
    shortcuts: tuple[str, ...] = ruled(labels(), ())

    def __post_init__(self) -> None:
        super().__post_init__()
        check_spike(self.spike, shift=self.shift, vth=self.vth)

    @abstractmethod
    def shape_after(self, before: Shape) -> Shape:
        """Return the population's shape; raise UsageError, which starts with the key, where it cannot be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseRecipe(LayerRecipe):
    """A connection from each neuron to each; spatial populations are flattened in C order.

    Attributes:
        neurons: size of the population.
    """

    kind: Literal["dense"] = ruled(choice("dense"), "dense")
    neurons: int = ruled(whole(1, _MOST))

    def shape_after(self, before: Shape) -> Shape:  # noqa: ARG002
        """Return (neurons,)."""
        return (self.neurons,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentRecipe(LayerRecipe):
    """A dense layer whose neurons also hear each other's spikes, one step late.

    Attributes:
        neurons: size of the population.
    """

    kind: Literal["recurrent"] = ruled(choice("recurrent"), "recurrent")
    neurons: int = ruled(whole(1, _MOST))

    def shape_after(self, before: Shape) -> Shape:  # noqa: ARG002
        """Return (neurons,)."""
        return (self.neurons,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvRecipe(LayerRecipe):
    """A convolution over (channels, height, width).

    Attributes:
        channels: of this population.
        kernel: height and width of the window.
        stride: vertical and horizontal.
        padding: rows and columns of silence on each side.
    """

    kind: Literal["conv"] = ruled(choice("conv"), "conv")
    channels: int = ruled(whole(1, CHANNELS))
    kernel: int = ruled(whole(1, KERNEL), 3)
    stride: int = ruled(whole(1, STRIDE), 1)
    padding: int = ruled(whole(0, PADDING), 0)

    @property
    def window(self) -> Window:
        """What slides."""
        return Window(kernel=self.kernel, stride=self.stride, padding=self.padding)

    def shape_after(self, before: Shape) -> Space:
        """Return (channels, height, width)."""
        return (self.channels, *self.window.fit(space(before)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolRecipe(LayerRecipe):
    """Neurons that count the spikes in a window, channel by channel; nothing in them is trained.

    Attributes:
        kernel: height and width of the window.
        stride: vertical and horizontal.
        exact: train it without noise, firing as the collapsed network does; its gradient is that of a threshold half a
            spike higher, with the estimator's floor. It must have no memory: dv and du 4096.
    """

    kind: Literal["pool"] = ruled(choice("pool"), "pool")
    kernel: int = ruled(whole(1, KERNEL), 2)
    stride: int = ruled(whole(1, STRIDE), 2)
    exact: bool = ruled(flag(), False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact and (self.du, self.dv) != (FORGETS, FORGETS):
            raise UsageError(f"exact: found true with du {self.du} and dv {self.dv}; expected {FORGETS} for both")
        if self.exact and self.spike == "graded":
            raise UsageError("exact: found true with graded spikes; expected spike 'binary', or exact false")

    @property
    def window(self) -> Window:
        """What slides."""
        return Window(kernel=self.kernel, stride=self.stride)

    def shape_after(self, before: Shape) -> Space:
        """Return (channels, height, width)."""
        channels, *_ = shape = space(before)
        return (channels, *self.window.fit(shape))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualRecipe(LayerRecipe):
    """A stage of residual blocks; read as the convolutions and the pool that it stands for.

    They are told in :mod:`bitspike.train.residual`. The layers get names that start with the stage's own, which is
    ``stage1``, ``stage2``, ... by default. 7, 6, 6 and 6 convolutions of 64, 128, 256 and 512 channels are a
    convolution and four stages of 3 blocks, strides 1, 2, 2 and 2.

    Attributes:
        vth: of each convolution; 131071, the default, takes each one's from `rate`.
        channels: of the convolutions.
        blocks: pairs of convolutions.
        stride: 1, or 2 for half the height and width, which then must be even.
        rate: that the neurons shall have at the start, in spikes a step.
    """

    kind: Literal["residual"] = ruled(choice("residual"), "residual")
    channels: int = ruled(whole(1, CHANNELS))
    blocks: int = ruled(whole(1, 1000), 3)
    stride: int = ruled(whole(1, 2), 1)
    rate: float = ruled(real(0, 0.5, above=True), 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortcuts:
            raise UsageError("shortcuts: found some in a residual stage; expected none, or single layers")
        if self.spike == "graded":
            raise UsageError("spike: found 'graded' in a residual stage; expected 'binary', or single layers")

    def shape_after(self, before: Shape) -> Shape:
        """Return nothing of use: a network holds the layers instead."""
        raise UsageError(f"kind: found 'residual' after shape {before}; expected the layers that it stands for")


KINDS: dict[str, type[LayerRecipe]] = {
    "dense": DenseRecipe,
    "recurrent": RecurrentRecipe,
    "conv": ConvRecipe,
    "pool": PoolRecipe,
    "residual": ResidualRecipe,
}


def space(shape: Shape) -> Space:
    """Return a shape as (channels, height, width); (height, width) has one channel.

    Raises:
        UsageError: a shape without height and width; the message starts with ``kind``.
    """
    if len(shape) not in (2, 3):
        raise UsageError(f"kind: found shape {shape} before the layer; expected (channels, height, width)")
    channels, height, width = (1, *shape)[-3:]
    return channels, height, width


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecipe(Checked):
    """The network.

    Attributes:
        readout: what of the last population is the answer.
        temperature: weights of membrane, or spikes, in one unit of logit.
        bias: whether neurons have a trained bias; those of a convolution share one a channel, pools have none.
        bias_exponent: left shift of the integer bias in units of 1/64 weight; 6 makes biases whole weights.
        layers: first to last; the last is dense, or recurrent with spike_count, and has one neuron a class. Stages of
            kind ``residual`` are replaced by their layers as soon as a recipe is made; messages count those.
    """

    readout: Literal["spike_count", "membrane_sum", "membrane_last"] = ruled(
        choice("spike_count", "membrane_sum", "membrane_last"), "membrane_sum"
    )
    temperature: float = ruled(real(0, 1e6, above=True))
    bias: bool = ruled(flag(), True)
    bias_exponent: int = ruled(whole(0, 7), 6)
    layers: tuple[LayerRecipe, ...] = ruled(several(LayerRecipe, KINDS))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bias:
            self.expect_default("bias_exponent", f"with bias false; expected {type(self).bias_exponent}, or bias true")
        object.__setattr__(self, "layers", expand(self.layers, _made))
        *hidden, last = self.layers
        for at, layer in enumerate(hidden):
            if layer.vth == NEVER:
                raise UsageError(f"layers[{at}].vth: found {NEVER}, which cannot spike; expected a lower threshold")
        at = len(hidden)
        for place, layer in enumerate(self.layers):
            if layer.spike == "graded" and (place == at or isinstance(layer, RecurrentRecipe)):
                where = "the last layer" if place == at else "a recurrent layer"
                raise UsageError(f"layers[{place}].spike: found 'graded' in {where}; expected 'binary'")
        if not isinstance(last, DenseRecipe | RecurrentRecipe):
            raise UsageError(f"layers[{at}].kind: found {last.kind!r}; expected 'dense' as the last layer")
        if isinstance(last, RecurrentRecipe) and self.readout != "spike_count":
            raise UsageError(f"layers[{at}].kind: found 'recurrent'; expected 'dense' with {self.readout}")
        if self.readout == "spike_count" and last.vth == NEVER:
            raise UsageError(f"layers[{at}].vth: found {NEVER}, which cannot spike; expected less with spike_count")
        if self.readout != "spike_count" and last.vth != NEVER:
            raise UsageError(f"layers[{at}].vth: found {last.vth}; expected {NEVER} with {self.readout}")

        names: list[str] = []
        for at, name in enumerate(self.names):
            if name in (*names, INPUT):
                raise UsageError(f"layers[{at}].name: found {name!r}, which is taken; expected another")
            names.append(name)
        windows = [layer.window if isinstance(layer, ConvRecipe | PoolRecipe) else None for layer in self.layers]
        check_read(names, self.wires())
        check_parallel(names, self.wires(), windows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the populations, given or by default."""
        last = len(self.layers)
        plain = ("output" if number == last else f"hidden{number}" for number in range(1, last + 1))
        return tuple(layer.name or name for layer, name in zip(self.layers, plain, strict=True))

    @property
    def classes(self) -> int:
        """Neurons of the last layer."""
        return math.prod(self.layers[-1].shape_after(()))

    def wires(self) -> tuple[Wires, ...]:
        """Return what each layer reads; raise UsageError, such as ``layers[1].sources``, for a name that is wrong."""
        names = self.names
        return tuple(
            at_layer(at, wire, names[:at], layer.sources, layer.shortcuts) for at, layer in enumerate(self.layers)
        )

    def shapes(self, data: Shape) -> tuple[Shape, ...]:
        """Return the shapes of the input and of each population, for samples of shape `data`.

        The input is flat in front of a dense layer, and (channels, height, width) in front of a spatial one.

        Raises:
            UsageError: a layer that does not fit; the message starts with its key, such as ``layers[1].kernel``.
        """
        flat = isinstance(self.layers[0], DenseRecipe | RecurrentRecipe)
        start = (math.prod(data),) if flat else at_layer(0, space, data)
        found: dict[str, Shape] = {INPUT: start}
        for at, (name, layer, wires) in enumerate(zip(self.names, self.layers, self.wires(), strict=True)):
            before = at_layer(at, widest, found, wires.sources)
            after = at_layer(at, layer.shape_after, before)
            if math.prod(after) > _MOST:
                raise UsageError(f"layers[{at}]: found shape {after}; expected at most {_MOST} neurons")
            at_layer(at, same_shape, found, wires.shortcuts, after)
            found[name] = after
        return tuple(found.values())


def at_layer(at: int, ask: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Return what `ask` returns; its UsageError then starts with the layer's place, such as ``layers[1].sources``."""
    try:
        return ask(*given, **named)
    except UsageError as error:
        raise UsageError(f"layers[{at}].{error}") from None


def _made(table: dict[str, Any]) -> LayerRecipe:
    return KINDS[table["kind"]](**table)
