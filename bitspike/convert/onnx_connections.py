"""Connections as ONNX nodes: each kind in integers, exact on ONNX Runtime's CPU.

A population's values lie flat, (batch, neurons); a window reads them as (batch, channels, height, width).

============  =======================================================================================
kind          operators
============  =======================================================================================
``dense``     `MatMulInteger` of int8; `MatMul` of int32 where a weight is beyond -127..127
``conv``      `ConvInteger` of int8 between two `Reshape`; where a weight is beyond -127..127 two of them, for the two
              parts ``128 * high + low`` of each weight (`MatMul` has an int32 form there, `Conv` has none)
``pool``      `ConvInteger` with ones, a group for each channel
``identity``  `Cast` alone: its weight is part of the gain
============  =======================================================================================

Neither operator has a zero point: it is 0, and so is what the padding of a window holds.

Payloads of graded spikes are int32. A dense connection takes them as they are, by `MatMul` of int32; a window takes
them in digits of 7 bits, as many as the source's payload can have, each by the operators above:
``payload = digit0 + 128 * digit1 + 128^2 * digit2``.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.network import STATE_SHIFT
from bitspike.convert.onnx_nodes import Nodes
from bitspike.errors import UnsupportedError

#: ONNX Runtime's product of int8 with int8 saturates a pair of -128 on processors without VNNI; -127 is safe.
_NARROW = 127
#: A wide weight is ``128 * high + low``, low in 0..127 and high in -2..1.
SPLIT = 128
#: Bits of a payload that an int8 holds.
_DIGIT = 7


def key(connection: Connection) -> str:
    """The name under which the graph has a connection; names of populations have no dots, so it is unique."""
    return key_of(connection.source, connection.target, connection.delay)


def key_of(source: object, target: object, delay: object) -> str:
    """:func:`key` of the connection that these describe."""
    return f"{source}.to.{target}.delay{delay}"


def weights_in_graph(connection: Connection) -> int:
    """How many weights the graph's initialisers hold for a connection."""
    if isinstance(connection, Dense | Conv2d):
        rows, columns = connection.weights.shape
        return rows * columns
    if isinstance(connection, SumPool2d):
        return connection.target_channels * connection.kernel[0] * connection.kernel[1]
    return 1


def current(nodes: Nodes, c: Connection, spikes: str, payload_max: int = 1) -> str:
    """``64 * weight * 2^exponent * spike`` summed over the sources, int32 (batch, targets).

    Args:
        nodes: the graph.
        c: any connection.
        spikes: the name of what arrives in this step, (batch, sources), int8, or int32 where it may be above 1.
        payload_max: the most that a spike can be; 1 for binary spikes.

    Raises:
        UnsupportedError: for a kind of connection that is not in the table above.
    """
    name = key(c)
    gain = 1 << (STATE_SHIFT + c.exponent)
    if isinstance(c, Dense):
        total = _dense(nodes, c, spikes, payload_max)
    elif isinstance(c, Conv2d | SumPool2d):
        total = _windowed(nodes, c, spikes, payload_max)
    elif isinstance(c, Identity):
        total = nodes.cast(spikes, f"{name}.sum", "int32")
        gain *= c.weight
    else:
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; the ONNX writer has no operators for it")
    return nodes.add("Mul", [total, nodes.constant(f"{name}.gain", gain, "int32")], f"{name}.current")


def _narrow(weights: npt.NDArray[np.int64]) -> bool:
    return int(weights.min(initial=0)) >= -_NARROW and int(weights.max(initial=0)) <= _NARROW


def _dense(nodes: Nodes, c: Dense, spikes: str, payload_max: int) -> str:
    name, matrix = key(c), c.weights.matrix().T
    narrow = _narrow(matrix) and payload_max == 1
    weights = nodes.constant(f"{name}.weights", matrix, "int8" if narrow else "int32")
    if narrow:
        return nodes.add("MatMulInteger", [spikes, weights], f"{name}.sum")
    wide = nodes.cast(spikes, f"{name}.spikes.wide", "int32") if payload_max == 1 else spikes
    return nodes.add("MatMul", [wide, weights], f"{name}.sum")


def _windowed(nodes: Nodes, c: Conv2d | SumPool2d, spikes: str, payload_max: int) -> str:
    """The summed input of a window's targets, int32 (batch, targets)."""
    name, image = key(c), _image(nodes, c, spikes)
    maps_of = _conv if isinstance(c, Conv2d) else _pool
    if payload_max == 1:
        return _flat(nodes, c, maps_of(nodes, c, image, f"{name}.maps"))  # type: ignore[arg-type]
    total, rest = "", image
    base = nodes.constant(f"{name}.digit.base", 1 << _DIGIT, "int32")
    digits = -(-payload_max.bit_length() // _DIGIT)
    for place in range(digits):
        label = f"{name}.digit{place}"
        lowest = rest if place == digits - 1 else nodes.add("Mod", [rest, base], f"{label}.wide")
        maps = maps_of(nodes, c, nodes.cast(lowest, label, "int8"), f"{label}.maps")  # type: ignore[arg-type]
        if place == 0:
            total = maps
        else:
            value = nodes.constant(f"{label}.value", 1 << _DIGIT * place, "int32")
            total = nodes.add("Add", [total, nodes.add("Mul", [maps, value], f"{label}.shifted")], f"{label}.total")
        if place < digits - 1:
            rest = nodes.add("Div", [rest, base], f"{label}.rest")
    return _flat(nodes, c, total)


def _conv(nodes: Nodes, c: Conv2d, image: str, maps: str) -> str:
    """The convolution of `image`, int8, called `maps`."""
    name = key(c)
    kernels = c.weights.matrix().reshape(c.target_channels, -1, *c.kernel)
    window = {"group": c.groups, **_window(c)}
    if _narrow(kernels):
        weights = nodes.constant(f"{name}.weights", kernels, "int8")
        return nodes.add("ConvInteger", [image, weights], maps, **window)
    parts = []
    for label, values in (("high", kernels // SPLIT), ("low", kernels % SPLIT)):
        weights = nodes.constant(f"{name}.weights.{label}", values, "int8")
        parts.append(nodes.add("ConvInteger", [image, weights], f"{maps}.{label}", **window))
    split = nodes.constant(f"{name}.weights.split", SPLIT, "int32")
    high = nodes.add("Mul", [parts[0], split], f"{maps}.shifted")
    return nodes.add("Add", [high, parts[1]], maps)


def _pool(nodes: Nodes, c: SumPool2d, image: str, maps: str) -> str:
    """The sums over the windows of `image`, int8, called `maps`."""
    name = key(c)
    ones = nodes.constant(f"{name}.ones", np.ones((c.target_channels, 1, *c.kernel), np.int8), "int8")
    return nodes.add("ConvInteger", [image, ones], maps, group=c.target_channels, **_window(c))


def _window(c: Windowed) -> dict[str, Any]:
    """The attributes that say where the window goes; ONNX lists the padding before each axis, then after each."""
    return {
        "kernel_shape": list(c.window),
        "strides": list(c.stride),
        "pads": [*c.padding, *c.padding],
        "dilations": list(c.dilation),
    }


def _image(nodes: Nodes, c: Windowed, spikes: str) -> str:
    """(batch, sources) as (batch, channels, height, width); an extent of 0 keeps the batch, be it empty."""
    shape = nodes.constant(f"{key(c)}.image.shape", [0, *c.source_shape], "int64")
    return nodes.add("Reshape", [spikes, shape], f"{key(c)}.image")


def _flat(nodes: Nodes, c: Windowed, maps: str) -> str:
    """(batch, channels, height, width) as (batch, targets)."""
    shape = nodes.constant(f"{key(c)}.sum.shape", [0, c.shape[0]], "int64")
    return nodes.add("Reshape", [maps, shape], f"{key(c)}.sum")
