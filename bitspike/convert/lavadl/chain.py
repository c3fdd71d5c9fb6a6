"""A network of lava-dl as far as it has been read: a chain of layers, each of one population or of several."""

from dataclasses import dataclass, field

import numpy as np

from bitspike.convert.connections import Connection
from bitspike.convert.lavadl import neurons
from bitspike.convert.lavadl.layer import Integers, Layer
from bitspike.convert.lavadl.neurons import Group
from bitspike.convert.network import STATE_SHIFT, Population
from bitspike.convert.rules import EXPONENTS, MAX_NEURONS
from bitspike.convert.weights import Weights, weights_of
from bitspike.errors import BitspikeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some channels of what a layer sends: a population (or the input), and which channels its neurons are."""

    name: str
    channels: Integers


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """What the next layer reads: neurons in `shape`, in one or several parts."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    flat: bool

    def places(self, part: Part) -> Integers:
        """Where the neurons of `part` are in the flattened whole, in C order."""
        return np.arange(np.prod(self.shape)).reshape(self.shape)[part.channels].ravel()


@dataclass(kw_only=True, slots=True)
class Chain:
    """The network as far as it has been read."""

    input_shape: tuple[int, ...] | None
    populations: list[Population] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signal: Signal | None = None
    layers: int = 0
    size: int = 0
    summed: bool = False

    def begin(self, shape: tuple[int, ...]) -> Signal:
        """The input, of `shape`, is what the next layer reads."""
        self.input_shape = shape
        part = Part(name="input", channels=np.arange(shape[0]))
        self.signal = Signal(shape=shape, parts=(part,), flat=len(shape) == 1)
        return self.signal

    def populate(self, layer: Layer, groups: list[Group], shape: tuple[int, ...]) -> list[Part]:
        """Append a population for each group of channels; what the next layer reads is theirs."""
        self.layers += 1
        self.size += int(np.prod(shape))
        if self.size > MAX_NEURONS:
            raise BitspikeError(f"{layer.where}: {self.size} neurons so far; expected at most {MAX_NEURONS}")
        mantissas = _bias(layer, shape)
        parts = []
        for index, group in enumerate(groups):
            name = f"layer{self.layers}" + (f"_{index}" if len(groups) > 1 else "")
            mantissa = mantissas[group.channels].ravel().astype(np.int32)
            self.populations.append(
                Population(
                    name=name,
                    shape=(len(group.channels), *shape[1:]),
                    du=group.du,
                    dv=group.dv,
                    vth=group.vth,
                    bias_mantissa=mantissa,
                    bias_exponent=STATE_SHIFT if np.any(mantissa) else 0,
                )
            )
            parts.append(Part(name=name, channels=group.channels))
        self.signal = Signal(shape=shape, parts=tuple(parts), flat=len(shape) == 1)
        self.notes += neurons.notes(layer) if layer.type != "average" else ()
        self.summed = not layer.has_neuron
        return parts


def scaled(layer: Layer, matrix: Integers) -> tuple[Weights, int]:
    """The matrix as weights of at most 8 bits and sign, and an exponent, which is 0 wherever they fit without."""
    exponent = 0
    while matrix.size and (matrix.min() < -256 or matrix.max() > 255):
        exponent += 1
        if exponent not in EXPONENTS or np.any(matrix % 2):
            raise BitspikeError(f"{layer.where}: weights of more than 8 bits and sign; expected -256..255")
        matrix = matrix >> 1
    return weights_of(matrix), exponent


def _bias(layer: Layer, shape: tuple[int, ...]) -> Integers:
    """Bias mantissas in `shape`: one a neuron, or one a channel; lava-dl has them in (width, height, channels)."""
    if "bias" not in layer:
        return np.zeros(shape, np.int64)
    bias = layer.integers("bias")
    if len(shape) == 3 and bias.shape == shape[::-1]:
        return bias.transpose(2, 1, 0)
    if bias.size == shape[0]:
        return np.broadcast_to(bias.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    raise BitspikeError(f"{layer.where}: bias of shape {bias.shape}; expected one for each of {shape[0]} channels")
