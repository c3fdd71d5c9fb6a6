"""From a posterior over weights to bits: the most probable ones, a seeded sample, or a committee of samples.

The only module here that reads a trained model, through the protocols below; nothing after it sees torch.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Pair, Space
from bitspike.convert.network import (
    Connection,
    Conv2d,
    Dense,
    Input,
    IntegerNetwork,
    Population,
    Readout,
    ReadoutKind,
    Reset,
    Spike,
    SumPool2d,
)
from bitspike.convert.parallel import merged
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights, IntegerWeights, Weights
from bitspike.errors import UsageError

Bits = dict[str, npt.NDArray[np.int8]]
_SAMPLE = re.compile(r"sample\((\d+)\)")


class TrainedLayer(Protocol):
    """What is read off a layer: the integer parameters of its neurons, as :class:`Population` has them.

    Attributes:
        kind: of the connection that feeds it: ``dense``, ``recurrent``, ``conv`` or ``pool``. A recurrent layer also
            has a dense connection to itself, one step late, whose bits are called ``NAME.recurrent``.
        name: of the population.
        shape: of the population, flattened in C order.
    """

    kind: ClassVar[str]
    name: str
    shape: tuple[int, ...]

    @property
    def du(self) -> int:
        """Current decay, 0..4096."""

    @property
    def dv(self) -> int:
        """Membrane decay, 0..4096."""

    @property
    def vth(self) -> int:
        """Threshold in weight units."""

    @property
    def reset(self) -> Reset:
        """What a spike does to the membrane."""

    @property
    def spike(self) -> Spike:
        """What a neuron sends."""

    @property
    def shift(self) -> int:
        """0..16, of graded spikes."""

    @property
    def bias_exponent(self) -> int:
        """0..7."""

    def bias_mantissa(self) -> npt.NDArray[np.int32]:
        """One integer per neuron, -4096..4095."""


@runtime_checkable
class TrainedWindow(Protocol):
    """What is read off a layer of kind ``conv`` or ``pool`` besides: its window, in (vertical, horizontal)."""

    source_shape: Space

    @property
    def kernel(self) -> Pair:
        """Size."""

    @property
    def stride(self) -> Pair:
        """Distance from one place to the next."""

    @property
    def padding(self) -> Pair:
        """Rows and columns on each side that have no neuron."""


class TrainedWires(Protocol):
    """What a layer reads.

    Attributes:
        sources: populations, or the input, whose spikes are summed in front of the layer's weights. One with fewer
            channels than the widest has the first columns of the weights.
        shortcuts: earlier layers whose summed input, with their shortcuts, is added to this one's.
    """

    @property
    def sources(self) -> tuple[str, ...]:
        """One or more."""

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """None, or more."""


class TrainedModel(Protocol):
    """What is read off a trained network; :class:`bitspike.train.model.SpikingNetwork` is one."""

    steps: int
    input_name: str
    readout: ReadoutKind

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input, flattened in C order."""

    @property
    def populations(self) -> Sequence[TrainedLayer]:
        """The layers, from the input to the read-out."""

    @property
    def wires(self) -> Sequence[TrainedWires]:
        """What each layer reads, in the order of the layers."""

    def map_bits(self) -> Bits:
        """The most probable weights, bits of -1 and +1 or integers, (targets, sources), by layer name; of a convolution
        (channels, source channels * height * width of the kernel)."""

    def sample_bits(self, seed: int) -> Bits:
        """Weight bits drawn from the posterior; the same seed gives the same bits."""

    def record(
        self, spikes: npt.NDArray[np.uint8], bits: Bits | None = None
    ) -> Mapping[
        str, tuple[npt.NDArray[np.uint8] | npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]
    ]:
        """Spikes, currents and membranes of each layer, (samples, steps, neurons), in evaluation mode."""


@dataclass(frozen=True, slots=True)
class Committee:
    """Several collapsed networks that answer together: their integer read-outs are summed."""

    members: tuple[IntegerNetwork, ...]

    def __iter__(self) -> Iterator[IntegerNetwork]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


@overload
def collapse(
    model: TrainedModel, method: Literal["map", "sample"] = ..., *, seed: int = ..., name: str | None = ...
) -> IntegerNetwork: ...
@overload
def collapse(
    model: TrainedModel, method: Literal["committee"], *, members: int, seed: int = ..., name: str | None = ...
) -> Committee: ...
def collapse(
    model: TrainedModel,
    method: str = "map",
    *,
    members: int | None = None,
    seed: int = 0,
    name: str | None = None,
) -> IntegerNetwork | Committee:
    """Collapse the posterior of `model` to bits.

    Args:
        model: a trained network, as ``fit(...).model`` or ``load_run(...).model`` gives it.
        method: ``map`` for the most probable weights, such as the sign of each natural parameter (0 counts as +1),
            ``sample`` for one draw, ``committee`` for several.
        members: size of the committee.
        seed: of the draw, which ``map`` does not have; member `k` of a committee is the sample of ``seed + k``.
        name: of the network; default ``network``.

    Raises:
        UsageError: for no trained network, an unknown method or a committee without members.
        RangeError: where a state could leave the chip's 24 bits.
    """
    if not hasattr(model, "map_bits"):
        raise UsageError(f"collapse of {model!r}; expected a trained network, as load_run(FOLDER).model gives it")
    if method not in ("map", "sample", "committee"):
        raise UsageError(f"method {method!r}; expected map, sample or committee")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 63:
        raise UsageError(f"seed {seed!r}; expected 0..2^63 - 1")
    if method == "committee":
        if not isinstance(members, int | np.integer) or members < 1:
            raise UsageError(f"members {members!r}; expected 1 or more for a committee")
        return Committee(tuple(_network(model, f"sample({seed + k})", name) for k in range(members)))
    if members is not None:
        raise UsageError(f"members {members} with method {method!r}; expected method committee")
    return _network(model, "map" if method == "map" else f"sample({seed})", name)


def bits_of(model: TrainedModel, label: str) -> Bits:
    """The bits that `model` has under a network's `collapse` label: ``map`` or ``sample(SEED)``; by layer name."""
    if label == "map":
        return model.map_bits()
    drawn = _SAMPLE.fullmatch(label)
    if drawn is None:
        raise UsageError(f"collapse label {label!r}; expected map or sample(SEED)")
    return model.sample_bits(int(drawn[1]))


def _network(model: TrainedModel, label: str, name: str | None) -> IntegerNetwork:
    bits = bits_of(model, label)
    populations: list[Population] = []
    shapes = {model.input_name: model.input_shape}
    for layer in model.populations:
        mantissa = np.asarray(layer.bias_mantissa())
        populations.append(
            Population(
                name=layer.name,
                shape=layer.shape,
                du=layer.du,
                dv=layer.dv,
                vth=layer.vth,
                reset=layer.reset,
                bias_mantissa=mantissa,
                bias_exponent=layer.bias_exponent,
                spike=layer.spike,
                shift=layer.shift,
            )
        )
        shapes[layer.name] = layer.shape
    network = IntegerNetwork(
        name=name or "network",
        steps=model.steps,
        inputs=(Input(name=model.input_name, shape=model.input_shape),),
        populations=tuple(populations),
        connections=tuple(_connections(model, shapes, bits)),
        readouts=(Readout(population=populations[-1].name, kind=model.readout),),
        collapse=label,
    )
    check_range(check(network))
    return network


def _connections(model: TrainedModel, shapes: Mapping[str, tuple[int, ...]], bits: Bits) -> Iterator[Connection]:
    """All connections; those between the same two populations within a step are one."""
    found: dict[str, list[Connection]] = {}
    for layer, wires in zip(model.populations, model.wires, strict=True):
        feeding = [one for source in wires.sources for one in _feeding(layer, source, shapes[source], bits)]
        for shortcut in wires.shortcuts:
            feeding.extend(replace(one, target=layer.name) for one in found[shortcut])
        found[layer.name] = list(merged(feeding))
        yield from found[layer.name]
        if layer.kind == "recurrent":
            weights = _packed(bits[f"{layer.name}.recurrent"])
            yield Dense(source=layer.name, target=layer.name, weights=weights, delay=1)


def _feeding(layer: TrainedLayer, source: str, shape: tuple[int, ...], bits: Bits) -> Iterator[Connection]:
    """The connection from one source to the population of `layer`."""
    if isinstance(layer, TrainedWindow):
        yield _window(layer, source, layer.name, shape, bits[layer.name] if layer.kind == "conv" else None)
        return
    if layer.kind not in ("dense", "recurrent"):
        raise UsageError(f"layer {layer.name}: kind {layer.kind!r}; expected dense, recurrent, conv or pool")
    columns = bits[layer.name][:, : math.prod(shape)]
    yield Dense(source=source, target=layer.name, weights=_packed(columns))


def _packed(matrix: npt.NDArray[np.int8]) -> Weights:
    """One bit a weight where all are -1 or +1, else integers; those of 0 and 1 too."""
    binary = np.isin(matrix, (-1, 1)).all()
    return BinaryWeights.pack(matrix) if binary else IntegerWeights(values=matrix.astype(np.int16))


def _window(
    layer: TrainedWindow, source: str, target: str, shape: tuple[int, ...], bits: npt.NDArray[np.int8] | None
) -> Connection:
    """A convolution, or a pool where there are no weights; of as many source channels as the source has."""
    channels, height, width = (1, *shape)[-3:]
    window: dict[str, Any] = {
        "source": source,
        "target": target,
        "source_shape": (channels, height, width),
        "stride": layer.stride,
        "padding": layer.padding,
    }
    if bits is not None:
        columns = bits[:, : channels * math.prod(layer.kernel)]
        return Conv2d(kernel=layer.kernel, weights=_packed(columns), **window)
    if channels == layer.source_shape[0]:
        return SumPool2d(kernel=layer.kernel, **window)
    ones = np.repeat(np.eye(layer.source_shape[0], channels, dtype=np.int8), math.prod(layer.kernel), axis=1)
    return Conv2d(kernel=layer.kernel, weights=BinaryWeights.pack(ones, low=0), **window)
