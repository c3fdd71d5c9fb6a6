"""The network's part of a recipe: layers of each kind, and the shapes that follow from the data. No torch here.

A layer's table has ``kind``, ``dense`` by default, the neurons' keys, and the keys of its own kind; the shape of each
population follows from the one before.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Literal

from bitspike.errors import UsageError
from bitspike.train.registers import FORGETS, MAX_SHIFT, NEVER, check_spike
from bitspike.train.schema import Checked, choice, flag, real, ruled, several, whole
from bitspike.train.windows import CHANNELS, KERNEL, PADDING, STRIDE, Space, Window

Shape = tuple[int, ...]
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
    """

    kind: str = ruled(choice("dense", "recurrent", "conv", "pool"))
    vth: int = ruled(whole(0, NEVER), NEVER)
    du: int = ruled(whole(0, FORGETS), FORGETS)
    dv: int = ruled(whole(0, FORGETS), 0)
    reset: Literal["zero", "subtract"] = ruled(choice("zero", "subtract"), "zero")
    spike: Literal["binary", "graded"] = ruled(choice("binary", "graded"), "binary")
    shift: int = ruled(whole(0, MAX_SHIFT), 0)

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
    """

    kind: Literal["pool"] = ruled(choice("pool"), "pool")
    kernel: int = ruled(whole(1, KERNEL), 2)
    stride: int = ruled(whole(1, STRIDE), 2)

    @property
    def window(self) -> Window:
        """What slides."""
        return Window(kernel=self.kernel, stride=self.stride)

    def shape_after(self, before: Shape) -> Space:
        """Return (channels, height, width)."""
        channels, *_ = shape = space(before)
        return (channels, *self.window.fit(shape))


KINDS: dict[str, type[LayerRecipe]] = {
    "dense": DenseRecipe,
    "recurrent": RecurrentRecipe,
    "conv": ConvRecipe,
    "pool": PoolRecipe,
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
        layers: first to last; the last is dense, or recurrent with spike_count, and has one neuron a class.
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

    @property
    def classes(self) -> int:
        """Neurons of the last layer."""
        return math.prod(self.layers[-1].shape_after(()))

    def shapes(self, data: Shape) -> tuple[Shape, ...]:
        """Return the shapes of the input and of each population, for samples of shape `data`.

        The input is flat in front of a dense layer, and (channels, height, width) in front of a spatial one.

        Raises:
            UsageError: a layer that does not fit; the message starts with its key, such as ``layers[1].kernel``.
        """
        found: list[Shape] = [data]
        for at, layer in enumerate(self.layers):
            try:
                after = layer.shape_after(found[-1])
            except UsageError as error:
                raise UsageError(f"layers[{at}].{error}") from None
            if math.prod(after) > _MOST:
                raise UsageError(f"layers[{at}]: found shape {after}; expected at most {_MOST} neurons")
            found.append(after)
        flat = isinstance(self.layers[0], DenseRecipe | RecurrentRecipe)
        return ((math.prod(data),) if flat else space(data), *found[1:])
