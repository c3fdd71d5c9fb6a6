"""Mutations of an ONNX file: of any field of its message, of what a graph consists of, and of the network described."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from bitspike.convert import onnx_file
from bitspike.errors import BitspikeError

TEXTS = (
    "",
    "a",
    "steps",
    "Scan",
    "Loop",
    "ai.onnx.ml",
    "step/output.bias",
    "../../x",
    "a\x1b[31mb",
    "n\nm",
    "x" * 70000,
)
EXTENTS = (0, 1, -1, 2, 3, 7, 64, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)
OPERATORS = (
    "Add",
    "Sub",
    "Mul",
    "MatMul",
    "Cast",
    "Where",
    "Greater",
    "Identity",
    "Scan",
    "Loop",
    "If",
    "Conv",
    "Gather",
)
ATTRIBUTES: tuple[Any, ...] = (
    0,
    1,
    -1,
    1 << 62,
    0.5,
    float("nan"),
    "a",
    b"\xff",
    [1, 2],
    [0.5],
    ["a", "b"],
    [1 << 40] * 9,
)
Random = np.random.Generator


def change(random: Random, model: ModelProto, mutated_text: Callable[[Random, str], str]) -> None:
    """Change `model` in one to three places; a part of the files keeps a digest that fits what it then describes."""
    share = random.random()
    if share < 0.3:
        _description(random, model, mutated_text)
    elif share < 0.55:
        for _ in range(int(random.integers(1, 4))):
            _field(random, model)
    else:
        for _ in range(int(random.integers(1, 4))):
            # An earlier change left nothing to change, or graphs that protobuf does not nest any deeper.
            with contextlib.suppress(IndexError, TypeError, ValueError, DecodeError):
                _structure(random, model)
    if random.random() < 0.4:
        _sign_again(model)


def _description(random: Random, model: ModelProto, mutated_text: Callable[[Random, str], str]) -> None:
    """A value of the metadata, most often of the JSON that describes the network."""
    entries = list(model.metadata_props)
    described = [entry for entry in entries if entry.key == "network"]
    entry = _one(random, described if described and random.random() < 0.8 else entries)
    if random.random() < 0.1:
        entry.key = _one(random, TEXTS)
    else:
        entry.value = mutated_text(random, entry.value).encode("utf-8", "replace").decode("utf-8", "replace")


def _sign_again(model: ModelProto) -> None:
    """Write the digest of the network that the file now describes: a check sum is no secret, and less stops there."""
    metadata = {entry.key: entry for entry in model.metadata_props}
    with contextlib.suppress(BitspikeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        metadata["digest"].value = onnx_file.described_network(model).digest()


def _structure(random: Random, model: ModelProto) -> None:
    """One thing of one graph: a node, an edge, an attribute, a tensor, a type or a shape."""
    graph = _one(random, _graphs(model.graph))
    _one(random, (_attribute, _attribute, _type, _tensor, _tensor, _name, _edge, _edge, _operator, _order, _whole))(
        random, model, graph
    )


def _attribute(random: Random, model: ModelProto, graph: GraphProto) -> None:
    node = _one(random, [node for node in graph.node if node.attribute] or graph.node)
    how = int(random.integers(5))
    if how == 0 and node.attribute:
        del node.attribute[int(random.integers(len(node.attribute)))]
    elif how == 1 and node.attribute:
        node.attribute.add().CopyFrom(_one(random, node.attribute))
    elif how == 2 and node.attribute:
        attribute = _one(random, node.attribute)
        attribute.type = _one(random, AttributeProto.AttributeType.values())
    elif how == 3 and node.attribute:
        attribute = _one(random, node.attribute)
        attribute.CopyFrom(helper.make_attribute(attribute.name, _one(random, ATTRIBUTES)))
    else:
        node.attribute.add().CopyFrom(
            helper.make_attribute(_one(random, ("to", "axis", "x")), _one(random, ATTRIBUTES))
        )


def _type(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """Of an input or output of a graph: its element type, or its shape."""
    value = _one(random, [*graph.input, *graph.output, *graph.value_info])
    tensor = value.type.tensor_type
    how = int(random.integers(4))
    if how == 0:
        tensor.elem_type = _one(random, TensorProto.DataType.values())
    elif how == 1:
        tensor.shape.dim.add().dim_value = _one(random, EXTENTS)
    elif how == 2 and tensor.shape.dim:
        _one(random, tensor.shape.dim).dim_value = _one(random, EXTENTS)
    else:
        value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def _tensor(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """Its type, shape, numbers, or where they lie."""
    tensor = _one(random, [*graph.initializer, *(a.t for n in graph.node for a in n.attribute if a.HasField("t"))])
    how = int(random.integers(8))
    if how == 0:
        tensor.data_type = _one(random, TensorProto.DataType.values())
    elif how == 1:
        tensor.dims[int(random.integers(len(tensor.dims)))] = _one(random, EXTENTS)
    elif how == 2:
        dims = list(tensor.dims)
        tensor.dims[:] = dims[::-1] if random.random() < 0.5 else [int(np.prod(dims)), *([1] * int(random.integers(4)))]
    elif how == 3:
        tensor.raw_data = tensor.raw_data[: int(random.integers(len(tensor.raw_data) + 1))]
    elif how == 4:
        place = int(random.integers(len(tensor.raw_data)))
        tensor.raw_data = tensor.raw_data[:place] + random.bytes(1) + tensor.raw_data[place + 1 :]
    elif how == 5:
        tensor.int32_data.extend([1, 2, 3])
        tensor.ClearField("raw_data")
    elif how == 6:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", _one(random, ("../x", "/etc/passwd", "a"))), ("length", "99")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    else:
        graph.initializer.add().CopyFrom(tensor)


def _name(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """Of a node, a tensor or a value; of a value everywhere in its graph, or in one place."""
    name = _one(random, TEXTS) + ("" if random.random() < 0.5 else _one(random, graph.node).name)
    old = _one(random, [entry for node in graph.node for entry in (*node.input, *node.output)])
    how = int(random.integers(3))
    if how == 0:
        _one(random, [*graph.node, *graph.initializer, *graph.input, *graph.output, graph]).name = name
        return
    for node in graph.node:
        for side in (node.input, node.output):
            for place, entry in enumerate(side):
                if entry == old and (how == 1 or random.random() < 0.5):
                    side[place] = name
    if how == 1:
        for item in (*graph.initializer, *graph.input, *graph.output):
            item.name = name if item.name == old else item.name


def _edge(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """Another source for an input, which may close a circle; two exchanged; one more or less."""
    node, other = _one(random, graph.node), _one(random, graph.node)
    values = [*(entry for item in graph.node for entry in item.output), *(item.name for item in graph.input)]
    how = int(random.integers(5))
    if how == 0:
        node.input[int(random.integers(len(node.input)))] = _one(random, values)
    elif how == 1:
        one, two = int(random.integers(len(node.input))), int(random.integers(len(other.input)))
        node.input[one], other.input[two] = other.input[two], node.input[one]
    elif how == 2:
        node.input.append(_one(random, values))
    elif how == 3:
        side = node.input if random.random() < 0.5 else node.output
        del side[int(random.integers(len(side)))]
    else:
        node.output[int(random.integers(len(node.output)))] = _one(random, values)


def _operator(random: Random, model: ModelProto, graph: GraphProto) -> None:
    node: NodeProto = _one(random, graph.node)
    if random.random() < 0.8:
        node.op_type = _one(random, OPERATORS)
    else:
        node.domain = _one(random, TEXTS)


def _order(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """Nodes, or inputs and outputs, in another order; one twice; one less."""
    items: Any = _one(random, (graph.node, graph.node, graph.input, graph.output, graph.initializer))
    one, two, how = int(random.integers(len(items))), int(random.integers(len(items))), int(random.integers(3))
    if how == 0:
        kept = type(items[one])()
        kept.CopyFrom(items[one])
        items[one].CopyFrom(items[two])
        items[two].CopyFrom(kept)
    elif how == 1:
        items.add().CopyFrom(items[one])
    else:
        del items[one]


def _whole(random: Random, model: ModelProto, graph: GraphProto) -> None:
    """What belongs to the model, and graphs within graphs."""
    how = int(random.integers(5))
    if how == 0:
        imported = _one(random, model.opset_import)
        imported.version = _one(random, EXTENTS)
    elif how == 1:
        model.opset_import.add().domain = _one(random, TEXTS)
    elif how == 2:
        model.ir_version = _one(random, EXTENTS)
    elif how == 3:
        function = model.functions.add()
        function.name, function.domain = _one(random, OPERATORS), _one(random, TEXTS)
        function.node.add().CopyFrom(_one(random, graph.node))
    else:
        inner = GraphProto()
        inner.CopyFrom(graph)
        # Three messages a turn; protobuf itself writes and reads no more than a hundred.
        for _ in range(int(random.integers(1, 29))):
            outer = GraphProto(name="g")
            outer.node.add().CopyFrom(helper.make_node("Scan", [], [], name="steps", body=inner))
            inner = outer
        graph.CopyFrom(inner)


def _field(random: Random, message: Any) -> None:
    """A field anywhere in the message."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = fields[int(random.integers(len(fields)))]
    repeated = not isinstance(value, str | bytes | int | float) and hasattr(value, "__len__")
    if field.message_type is not None:
        inner = value
        if repeated:
            place = int(random.integers(len(value)))
            how = int(random.integers(6))
            if how == 0:
                del value[place]
                return
            if how == 1:
                value.add().CopyFrom(value[place])
                return
            inner = value[place]
        if random.random() < 0.08:
            message.ClearField(field.name)
        else:
            _field(random, inner)
        return
    if repeated:
        if random.random() < 0.3:
            del value[int(random.integers(len(value)))]
        else:
            value.append(value[int(random.integers(len(value)))] if random.random() < 0.5 else _scalar(random, field))
    else:
        setattr(message, field.name, _scalar(random, field))


def _scalar(random: Random, field: Any) -> Any:
    if field.type == field.TYPE_STRING:
        return TEXTS[int(random.integers(len(TEXTS)))]
    if field.type == field.TYPE_BYTES:
        return random.bytes(int(random.integers(0, 40)))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return float(random.choice([0.0, -1.0, np.inf, np.nan, 1e30]))
    if field.type == field.TYPE_ENUM:
        values = [value.number for value in field.enum_type.values]
        return int(random.choice(values))
    return int(random.choice([0, 1, 2, 7, 21, 1 << 20, (1 << 31) - 1]))


def _graphs(graph: GraphProto) -> list[GraphProto]:
    """The graph and those within it."""
    return [graph, *(a.g for node in graph.node for a in node.attribute if a.HasField("g"))]


def _one(random: Random, items: Any) -> Any:
    return items[int(random.integers(len(items)))]
