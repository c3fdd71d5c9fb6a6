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


def current(nodes: Nodes, c: Connection, spikes: str) -> str:
    """``64 * weight * 2^exponent * spike`` summed over the sources, int32 (batch, targets).

    Args:
        nodes: the graph.
        c: any connection.
        spikes: the name of what arrives in this step, int8 (batch, sources).

    Raises:
        UnsupportedError: for a kind of connection that is not in the table above.
    """
    name = key(c)
    gain = 1 << (STATE_SHIFT + c.exponent)
    if isinstance(c, Dense):
        total = _dense(nodes, c, spikes)
    elif isinstance(c, Conv2d):
        total = _conv(nodes, c, spikes)
    elif isinstance(c, SumPool2d):
        total = _pool(nodes, c, spikes)
    elif isinstance(c, Identity):
        total = nodes.cast(spikes, f"{name}.sum", "int32")
        gain *= c.weight
    else:
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; the ONNX writer has no operators for it")
    return nodes.add("Mul", [total, nodes.constant(f"{name}.gain", gain, "int32")], f"{name}.current")


def _narrow(weights: npt.NDArray[np.int64]) -> bool:
    return int(weights.min(initial=0)) >= -_NARROW and int(weights.max(initial=0)) <= _NARROW


def _dense(nodes: Nodes, c: Dense, spikes: str) -> str:
    name, matrix = key(c), c.weights.matrix().T
    narrow = _narrow(matrix)
    weights = nodes.constant(f"{name}.weights", matrix, "int8" if narrow else "int32")
    if narrow:
        return nodes.add("MatMulInteger", [spikes, weights], f"{name}.sum")
    return nodes.add("MatMul", [nodes.cast(spikes, f"{name}.spikes.wide", "int32"), weights], f"{name}.sum")


def _conv(nodes: Nodes, c: Conv2d, spikes: str) -> str:
    name, image = key(c), _image(nodes, c, spikes)
    kernels = c.weights.matrix().reshape(c.target_channels, -1, *c.kernel)
    window = {"group": c.groups, **_window(c)}
    if _narrow(kernels):
        weights = nodes.constant(f"{name}.weights", kernels, "int8")
        return _flat(nodes, c, nodes.add("ConvInteger", [image, weights], f"{name}.maps", **window))
    parts = []
    for label, values in (("high", kernels // SPLIT), ("low", kernels % SPLIT)):
        weights = nodes.constant(f"{name}.weights.{label}", values, "int8")
        parts.append(nodes.add("ConvInteger", [image, weights], f"{name}.maps.{label}", **window))
    split = nodes.constant(f"{name}.weights.split", SPLIT, "int32")
    high = nodes.add("Mul", [parts[0], split], f"{name}.maps.shifted")
    return _flat(nodes, c, nodes.add("Add", [high, parts[1]], f"{name}.maps"))


def _pool(nodes: Nodes, c: SumPool2d, spikes: str) -> str:
    name, image = key(c), _image(nodes, c, spikes)
    ones = nodes.constant(f"{name}.ones", np.ones((c.target_channels, 1, *c.kernel), np.int8), "int8")
    return _flat(
        nodes, c, nodes.add("ConvInteger", [image, ones], f"{name}.maps", group=c.target_channels, **_window(c))
    )


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
