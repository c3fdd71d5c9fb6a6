"""From a posterior over weights to bits: the most probable ones, a seeded sample, or a committee of samples.

The only module here that reads a trained model, through the two protocols below; nothing after it sees torch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, overload

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout, ReadoutKind, Reset
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UsageError

Bits = dict[str, npt.NDArray[np.int8]]
_SAMPLE = re.compile(r"sample\((\d+)\)")


class TrainedLayer(Protocol):
    """What is read off a layer: the integer parameters of its neurons, as :class:`Population` has them."""

    name: str

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
    def bias_exponent(self) -> int:
        """0..7."""

    def bias_mantissa(self) -> npt.NDArray[np.int32]:
        """One integer per neuron, -4096..4095."""


class TrainedModel(Protocol):
    """What is read off a trained network; :class:`bitspike.train.model.SpikingNetwork` is one."""

    steps: int
    input_name: str
    readout: ReadoutKind

    @property
    def input_size(self) -> int:
        """Neurons of the input."""

    @property
    def dense(self) -> Sequence[TrainedLayer]:
        """The layers, from the input to the read-out."""

    def map_bits(self) -> Bits:
        """The most probable weight bits, -1 or +1, (targets, sources), by layer name."""

    def sample_bits(self, seed: int) -> Bits:
        """Weight bits drawn from the posterior; the same seed gives the same bits."""

    def record(
        self, spikes: npt.NDArray[np.uint8], bits: Bits | None = None
    ) -> Mapping[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
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
        method: ``map`` for the sign of each natural parameter (0 counts as +1), ``sample`` for one draw, ``committee``
            for several.
        members: size of the committee.
        seed: of the draw; member `k` of a committee is the sample of ``seed + k``.
        name: of the network; default ``network``.

    Raises:
        UsageError: for an unknown method or a committee without members.
        RangeError: where a state could leave the chip's 24 bits.
    """
    if method not in ("map", "sample", "committee"):
        raise UsageError(f"method {method!r}; expected map, sample or committee")
    if not 0 <= seed < 1 << 63:
        raise UsageError(f"seed {seed}; expected 0..2^63 - 1")
    if method == "committee":
        if members is None or members < 1:
            raise UsageError(f"members {members}; expected 1 or more for a committee")
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
    populations, connections = [], []
    source = model.input_name
    for layer in model.dense:
        mantissa = np.asarray(layer.bias_mantissa())
        populations.append(
            Population(
                name=layer.name,
                shape=(len(mantissa),),
                du=layer.du,
                dv=layer.dv,
                vth=layer.vth,
                reset=layer.reset,
                bias_mantissa=mantissa,
                bias_exponent=layer.bias_exponent,
            )
        )
        connections.append(Dense(source=source, target=layer.name, weights=BinaryWeights.pack(bits[layer.name])))
        source = layer.name
    network = IntegerNetwork(
        name=name or "network",
        steps=model.steps,
        input=Input(name=model.input_name, shape=(model.input_size,)),
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=source, kind=model.readout),
        collapse=label,
    )
    check_range(check(network))
    return network
