"""Layers of lava-dl that slide a window: convolution and pooling, both without the flip that Lava's own has."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bitspike.convert.connections import Conv2d, Pair, Space, SumPool2d
from bitspike.convert.lavadl import neurons
from bitspike.convert.lavadl.chain import Chain, Signal, scaled
from bitspike.convert.lavadl.layer import Integers, Layer
from bitspike.convert.rules import EXPONENTS
from bitspike.errors import BitspikeError

#: Weights that a convolution in groups may have when it is written as one without.
MAX_SPREAD = 1 << 26


class Geometry(NamedTuple):
    """How a window slides, (vertical, horizontal) each, and in how many groups of channels."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def read_conv(chain: Chain, layer: Layer) -> None:
    kernels = layer.integers("weight")
    if kernels.ndim == 5 and kernels.shape[4] == 1:
        kernels = kernels[..., 0]
    if kernels.ndim != 4 or 0 in kernels.shape:
        found = layer.integers("weight").shape
        raise BitspikeError(f"{layer.where}: weight of shape {found}; expected (channels, sources, height, width)")
    groups = layer.number("groups") if "groups" in layer else 1
    _convolve(chain, layer, kernels, groups, stride=layer.pair("stride", 1))


def read_pool(chain: Chain, layer: Layer) -> None:
    """A pool of lava-dl is a convolution of each channel with itself, by one kernel for all."""
    signal = _space(chain, layer)
    kernel = layer.integers("weight")
    if kernel.ndim not in (4, 5) or kernel.shape[:2] != (1, 1) or kernel.size != np.prod(kernel.shape[2:4]):
        raise BitspikeError(f"{layer.where}: weight of shape {kernel.shape}; expected (1, 1, height, width)")
    window = kernel.shape[2], kernel.shape[3]
    kernels = np.tile(kernel.reshape(1, 1, *window), (signal.shape[0], 1, 1, 1))
    stride = layer.pair("stride", 1) if "stride" in layer else window
    _convolve(chain, layer, kernels, signal.shape[0], stride=stride)


def _convolve(chain: Chain, layer: Layer, kernels: Integers, groups: int, *, stride: tuple[int, int]) -> None:
    signal = _space(chain, layer)
    source_shape: Space = signal.shape  # type: ignore[assignment]
    if "delay" in layer and np.any(layer.numbers("delay")):
        raise BitspikeError(f"{layer.where}: delays of a convolution, which lava-dl's loader leaves out; expected none")
    outputs, inputs = kernels.shape[:2]
    if groups < 1 or outputs % groups or inputs * groups != source_shape[0]:
        raise BitspikeError(
            f"{layer.where}: kernels {kernels.shape} in {groups} groups on {source_shape[0]} channels; "
            "expected the channels of a group in each"
        )
    geometry = Geometry(stride, layer.pair("padding", 0), layer.pair("dilation", 1), groups)
    if min(*geometry.stride, *geometry.dilation) < 1 or min(geometry.padding) < 0:
        raise BitspikeError(f"{layer.where}: {geometry}; expected stride and dilation from 1, padding from 0")
    whole = _conv(layer, ("input", "layer"), kernels, source_shape, geometry)
    shape = whole.target_shape
    if min(shape) < 1 or layer.shape() != shape:
        raise BitspikeError(f"{layer.where}: shape {layer.shape()}; its windows on {source_shape} give {shape}")
    parts = chain.populate(layer, neurons.groups(layer, shape[0]), shape)
    if len(parts) == len(signal.parts) == 1:
        chain.connections.append(_pooled(replace(whole, source=signal.parts[0].name, target=parts[0].name)))
        return
    spread, alone = _spread(layer, kernels, groups), geometry._replace(groups=1)
    for target in parts:
        for source in signal.parts:
            block = spread[np.ix_(target.channels, source.channels)]
            if np.any(block) or len(signal.parts) == 1:
                there = (len(source.channels), source_shape[1], source_shape[2])
                chain.connections.append(_conv(layer, (source.name, target.name), block, there, alone))


def _conv(layer: Layer, ends: tuple[str, str], kernels: Integers, shape: Space, geometry: Geometry) -> Conv2d:
    weights, exponent = scaled(layer, kernels.reshape(len(kernels), -1))
    return Conv2d(
        source=ends[0],
        target=ends[1],
        weights=weights,
        exponent=exponent,
        source_shape=shape,
        kernel=(kernels.shape[2], kernels.shape[3]),
        groups=geometry.groups,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )


def _pooled(c: Conv2d) -> Conv2d | SumPool2d:
    """The same as a sum pool, where it is one."""
    channels, value = c.source_shape[0], int(c.kernels().flat[0])
    power = value > 0 and value & (value - 1) == 0 and value.bit_length() - 1 in EXPONENTS
    if not power or c.groups != channels or c.target_channels != channels or np.any(c.kernels() != value):
        return c
    return SumPool2d(
        source=c.source,
        target=c.target,
        source_shape=c.source_shape,
        kernel=c.kernel,
        stride=c.stride,
        padding=c.padding,
        dilation=c.dilation,
        exponent=value.bit_length() - 1,
    )


def _spread(layer: Layer, kernels: Integers, groups: int) -> Integers:
    """Kernels (channels, sources, height, width) of one group, zero where the groups had no synapse."""
    outputs, inputs = kernels.shape[:2]
    if kernels.size * groups > MAX_SPREAD:
        raise BitspikeError(f"{layer.where}: {groups} groups between layers of several kinds of neurons; too many")
    each = outputs // groups
    spread = np.zeros((outputs, inputs * groups, *kernels.shape[2:]), np.int64)
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        spread[rows, group * inputs : (group + 1) * inputs] = kernels[rows]
    return spread


def _space(chain: Chain, layer: Layer) -> Signal:
    """What a layer with a window reads: (channels, height, width)."""
    signal = chain.signal
    if signal is None:
        if chain.input_shape is None:
            raise BitspikeError(f"{layer.where}: {layer.type} without an input before it; give input_shape")
        signal = chain.begin(chain.input_shape)
    if signal.flat or len(signal.shape) != 3:
        raise BitspikeError(f"{layer.where}: {layer.type} after a shape {signal.shape}; expected three dimensions")
    return signal
