"""ONNX files: the integer graph of a network, and everything that is needed to get the network back.

Only our own files are read, and exactly. The graph is :func:`bitspike.convert.onnx_graph.build`; besides, the model's
`metadata_props` hold:

=========================  ==================================================================================
key                        value
=========================  ==================================================================================
``format``, ``version``    ``bitspike.onnx``, ``1``
``form``                   ``scan`` or ``step``
``network``                JSON: :func:`bitspike.convert.description.description_text`
``digest``                 the network's SHA-256, weights and biases included
``rounding``, ``reset``,   what the arithmetic is, for people and for other readers
``threshold``,
``decay_bits``,
``state_shift``
=========================  ==================================================================================

Weights and biases are in the graph's initialisers and nowhere else. A reader takes the network from the JSON and from
them, compares its digest with the one stated, builds the graph anew and compares it with the file's, field by field. So
a changed weight or description (digest) and a changed threshold, constant or node (graph) are refused, and named.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.description import Arrays, network_from
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.onnx_bytes import MAX_BYTES, parse
from bitspike.convert.onnx_connections import SPLIT, key_of, weights_in_graph
from bitspike.convert.onnx_graph import FORMAT, FORMS, VERSION, Form, body_of, build
from bitspike.convert.onnx_nodes import onnx_type
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import EXPONENTS, MAX_NEURONS, check
from bitspike.convert.weights import BIT_VALUES, BinaryWeights, IntegerWeights
from bitspike.errors import BitspikeError, FileError, UnsupportedError
from bitspike.files import existing_file, replacing

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

#: The types of connections that have an array of their own; the graph alone holds what the others need.
_HAS_WEIGHTS = ("dense", "conv")
#: Of the JSON: 250 bytes a population or connection.
MAX_TEXT = 1 << 24


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFile:
    """What a file holds: the network, the form of its graph, and its bytes."""

    network: IntegerNetwork
    form: Form
    data: bytes


def write(network: IntegerNetwork, path: str | os.PathLike[str], form: Form = "scan") -> None:
    """Write the graph of `network`, read it back, and compare for equality; only then does the file appear.

    Args:
        network: a legal network whose range proof holds; elsewhere the graph's integers could wrap.
        path: where to.
        form: ``scan``, a whole window, or ``step``, a single step with states in and out.

    Raises:
        NetworkError, RangeError: for an illegal network, or one that could leave the chip's registers.
        UnsupportedError: for a network of more than 2^28 bytes.
        FileError: where the file cannot be written, or does not read back as `network`.
    """
    import onnx

    check_range(check(network))
    _refuse_large(network, sum(map(weights_in_graph, network.connections)))
    model = build(network, form)
    _refuse_large(network, model.ByteSize())
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FileError(path, f"ONNX's checker refuses the graph ({_first_line(error)})") from None
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        if read(temporary) != network:
            raise FileError(path, "does not read back as the network that was written")


def read(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The network in a file that :func:`write` has written; FileError in one line for anything else."""
    return open_file(path).network


def open_file(path: str | os.PathLike[str]) -> OnnxFile:
    """The network in a file, and the file itself as it was when the network was read from it.

    Memory is bounded: about 20 times the file's size, at most 2^28 bytes of which are read. No other file is opened,
    whatever this one refers to.

    Raises:
        FileError: for anything but what :func:`write` writes.
    """
    found = existing_file(path)
    try:
        data = _bytes(found)
        return _understood(data)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})") from None
    except BitspikeError as error:
        raise FileError(path, str(error)) from None


def _refuse_large(network: IntegerNetwork, size: int) -> None:
    if size > MAX_BYTES:
        raise UnsupportedError(f"network {network.name}: {size} bytes as ONNX; the format's limit here is {MAX_BYTES}")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BitspikeError(f"is larger than {MAX_BYTES} bytes, the largest file that is read")
    return data


def _understood(data: bytes) -> OnnxFile:
    model = parse(data)
    metadata = {item.key: item.value for item in model.metadata_props}
    for key, expected in (("format", (FORMAT,)), ("version", (VERSION,)), ("form", FORMS)):
        if metadata.get(key) not in expected:
            raise BitspikeError(
                f"is not one of bitspike's ONNX files ({key} {_shown(metadata.get(key))}; "
                f"expected {' or '.join(map(repr, expected))})"
            )
    form: Form = "step" if metadata["form"] == "step" else "scan"
    try:
        network = described_network(model)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise BitspikeError("its description of the network is damaged") from None
    # A pool's ones are made, not read: a small file must not ask for more of them than it could hold.
    weights = sum(map(weights_in_graph, network.connections))
    if weights > len(data):
        raise BitspikeError(f"its network has {weights} weights; the file, of {len(data)} bytes, cannot hold them")
    _compare(model, metadata, network, form)
    return OnnxFile(network=network, form=form, data=data)


def described_network(model: "ModelProto") -> IntegerNetwork:
    """The network that the description and the initialisers of `model` tell of, whatever its graph computes."""
    metadata = {item.key: item.value for item in model.metadata_props}
    form: Form = "step" if metadata["form"] == "step" else "scan"
    text = metadata.get("network", "")
    return network_from(text, _arrays(text, _tensors(model, form), "" if form == "step" else "step/"))


def _tensors(model: "ModelProto", form: Form) -> dict[str, "TensorProto"]:
    """The initialisers of the body by name; any in another file is refused, unread."""
    body = body_of(model, form)
    if body is None:
        raise BitspikeError("its graph has no Scan; expected one")
    tensors: dict[str, TensorProto] = {}
    graphs: list[GraphProto] = [model.graph, body]
    for graph in graphs:
        for tensor in graph.initializer:
            if tensor.data_location != tensor.DEFAULT or tensor.external_data:
                raise BitspikeError(
                    f"initialiser {_shown(tensor.name)} lies in another file; expected all data in this one"
                )
            tensors[tensor.name] = tensor
    return tensors


def _arrays(text: str, tensors: Mapping[str, "TensorProto"], prefix: str) -> Arrays:
    """The arrays that the description `text` asks for, as :func:`~bitspike.convert.description.arrays_of` names them.

    What is wrong with the description itself is left to :func:`~bitspike.convert.description.network_from`.
    """
    if len(text) > MAX_TEXT:
        raise BitspikeError(f"its description of the network is longer than {MAX_TEXT} characters")
    description = json.loads(text)
    arrays: Arrays = {}
    for item in description["populations"]:
        exponent = item["bias_exponent"] if item["bias_exponent"] in EXPONENTS else 0
        arrays[f"{item['name']}.bias"] = _values(tensors, f"{prefix}{item['name']}.bias", 1) >> exponent
    for index, item in enumerate(description["connections"]):
        if item["type"] not in _HAS_WEIGHTS:
            continue
        matrix = _matrix(tensors, f"{prefix}{key_of(item['source'], item['target'], item['delay'])}", item["type"])
        if item["kind"] in BIT_VALUES:
            low, high = BIT_VALUES[item["kind"]]
            arrays[f"{index}.words"] = BinaryWeights.pack(matrix, low=low, high=high).words
        else:
            arrays[f"{index}.values"] = IntegerWeights(values=matrix).values
    return arrays


def _matrix(tensors: Mapping[str, "TensorProto"], name: str, kind: str) -> npt.NDArray[Any]:
    """The weights of the connection called `name`, (targets, columns); of wide kernels, from both parts."""
    if kind == "dense":
        return _values(tensors, f"{name}.weights", 2).T
    if f"{name}.weights.high" not in tensors:
        kernels = _values(tensors, f"{name}.weights", 4)
    else:
        high, low = (_values(tensors, f"{name}.weights.{part}", 4).astype(np.int64) for part in ("high", "low"))
        if high.shape != low.shape:
            raise BitspikeError(f"initialiser {_shown(name)}.weights has parts of shapes {high.shape} and {low.shape}")
        kernels = SPLIT * high + low
    return kernels.reshape(len(kernels), -1)


def _values(tensors: Mapping[str, "TensorProto"], name: str, dimensions: int) -> npt.NDArray[Any]:
    """The integers of an initialiser, int8 or int32, of so many dimensions."""
    if name not in tensors:
        raise BitspikeError(f"no initialiser {_shown(name)}")
    tensor = tensors[name]
    dtypes: dict[int, np.dtype[Any]] = {onnx_type("int8"): np.dtype("<i1"), onnx_type("int32"): np.dtype("<i4")}
    dtype = dtypes.get(tensor.data_type)
    shape = tuple(tensor.dims)
    if dtype is None or len(shape) != dimensions or not all(0 < extent <= MAX_NEURONS for extent in shape):
        raise BitspikeError(
            f"initialiser {_shown(name)} of type {tensor.data_type}, shape {shape}, is not what a network has"
        )
    if len(tensor.raw_data) != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise BitspikeError(
            f"initialiser {_shown(name)} has {len(tensor.raw_data)} bytes; its shape is {shape}, {dtype}"
        )
    return np.frombuffer(tensor.raw_data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _compare(model: "ModelProto", metadata: Mapping[str, str], network: IntegerNetwork, form: Form) -> None:
    """Refuse a file that is not what :func:`write` would write for `network`."""
    if metadata.get("digest") != network.digest():
        raise BitspikeError(
            f"a weight, a bias or the description was changed: the network has digest {network.digest()[:12]}, "
            f"the file says {_shown(metadata.get('digest'))[:13]}"
        )
    try:
        expected = build(network, form)
    except OverflowError:
        raise BitspikeError("its network has a number that no graph can hold") from None
    if model != expected:
        raise BitspikeError(f"differs from the graph of its network: {_difference(model, expected)}")


def _difference(found: Any, expected: Any) -> str:
    """The first place where two protobuf messages of the same type differ."""
    for field in expected.DESCRIPTOR.fields:
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if left == right:
            continue
        if hasattr(right, "DESCRIPTOR"):  # one message; of a repeated field, a container without one
            return f"{field.name}: {_difference(left, right)}"
        if field.message_type is None:
            values = "" if isinstance(right, bytes) else f" {_shown(left)}; expected {_shown(right)}"
            return f"{field.name}{values or ' differs'}"
        if len(left) != len(right):
            return f"{len(left)} of {field.name}; expected {len(right)}"
        place = next(k for k, (x, y) in enumerate(zip(left, right, strict=True)) if x != y)
        label = getattr(right[place], "name", "") or getattr(right[place], "key", "") or str(place)
        return f"{field.name} {label}: {_difference(left[place], right[place])}"
    return "it holds something that bitspike does not write"


def _shown(value: object) -> str:
    """`value` in one short line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
