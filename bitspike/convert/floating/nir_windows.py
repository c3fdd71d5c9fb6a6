"""Convolutions and pools of NIR: windows over (channels, height, width), as torch lays them."""

import math

import numpy as np

from bitspike.convert.floating.nir_fields import Fields, Shape
from bitspike.convert.floating.nodes import Convolution, Node, Pair, Pool, Reals, Space


def convolution_1d(fields: Fields, source: Shape | None) -> Node:
    """One dimension as a height of 1."""
    weight = fields.reals("weight")
    if weight.ndim != 3:
        raise fields.fault(f"weight of shape {weight.shape}; expected (targets, sources / groups, width)")
    length = fields.whole("input_shape", 1) if fields.has("input_shape") else (source or ())[-1:]
    stride, dilation = (fields.one(field, 1) for field in ("stride", "dilation"))
    return _convolution(fields, source, weight[:, :, None, :], (1, *length), stride=(1, stride), dilation=(1, dilation))


def convolution_2d(fields: Fields, source: Shape | None) -> Node:
    """Two dimensions, whose order is (height, width) in every field."""
    weight = fields.reals("weight")
    if weight.ndim != 4:
        raise fields.fault(f"weight of shape {weight.shape}; expected (targets, sources / groups, height, width)")
    extents = fields.whole("input_shape", 1) if fields.has("input_shape") else (source or ())[-2:]
    if len(extents) == 1 and fields.has("input_shape"):
        extents = (*extents, *extents)
    stride, dilation = fields.pair("stride", 1), fields.pair("dilation", 1)
    return _convolution(fields, source, weight, extents, stride=stride, dilation=dilation)


def pool(fields: Fields, source: Shape | None) -> Node:
    """Sum or mean over windows of what enters."""
    if source is None:
        raise fields.fault("what it pools is not known: nothing leads to it")
    shape = source
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 3:
        raise fields.fault(f"numbers of shape {source} enter; expected (channels, height, width)")
    found = Pool(
        name=fields.name,
        source_shape=_padded(fields, (shape[0], shape[1], shape[2]), fields.pair("padding")),
        window=fields.pair("kernel_size", 1),
        stride=fields.pair("stride", 1),
        padding=fields.pair("padding"),
        mean=fields.node.type == "AvgPool2d",
    )
    fields.limit(found.shape)
    return found


def _convolution(
    fields: Fields, source: Shape | None, weight: Reals, extents: Shape, *, stride: Pair, dilation: Pair
) -> Node:
    groups = fields.one("groups", 1)
    shape = (weight.shape[1] * groups, *extents)
    if len(shape) != 3:
        raise fields.fault(f"input_shape {extents}; expected the shape of one channel")
    if source is not None and math.prod(source) != math.prod(shape):
        raise fields.fault(f"{math.prod(source)} numbers of shape {source} enter; expected those of {shape}")
    padding, weight, dilation = _padding(fields, weight, stride, dilation)
    found = Convolution(
        name=fields.name,
        source_shape=_padded(fields, (shape[0], shape[1], shape[2]), padding),
        weight=weight,
        bias=fields.bias(len(weight)),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    fields.limit(found.shape)
    return found


def _padded(fields: Fields, shape: Space, padding: Pair) -> Space:
    """The shape, where it is small enough together with its padding."""
    fields.limit((shape[0], shape[1] + 2 * padding[0], shape[2] + 2 * padding[1]), "shape with padding")
    return shape


def _padding(fields: Fields, weight: Reals, stride: Pair, dilation: Pair) -> tuple[Pair, Reals, Pair]:
    """Padding in numbers, with the kernel and the dilation that go with it.

    ``same`` pads dilation * (width - 1) zeros in all. Where that is odd, torch pads one more at the end; here both ends
    are padded so, and the kernel, spread by its dilation, begins with a zero.
    """
    told = fields.node.fields.get("padding")
    flat = fields.node.type == "Conv1d"
    if not isinstance(told, str):
        return ((0, fields.one("padding")) if flat else fields.pair("padding")), weight, dilation
    if told == "valid":
        return (0, 0), weight, dilation
    if told != "same":
        raise fields.fault(f"padding {told[:40]!r}; expected numbers, same or valid")
    if stride != (1, 1):
        raise fields.fault(f"padding same with stride {stride}; expected a stride of 1")
    padding = [0, 0]
    spread = list(dilation)
    for axis in (0, 1):
        extent = weight.shape[2 + axis]
        total = dilation[axis] * (extent - 1)
        padding[axis] = (total + 1) // 2
        if total % 2:
            fields.limit((*weight.shape[:2], weight.shape[3 - axis], total + 2), "kernel, spread by its dilation,")
            shape = list(weight.shape)
            shape[2 + axis] = total + 2
            wide = np.zeros(shape)
            places = [slice(None)] * 4
            places[2 + axis] = slice(1, None, dilation[axis])
            wide[tuple(places)] = weight
            weight, spread[axis] = wide, 1
    return (padding[0], padding[1]), weight, (spread[0], spread[1])
