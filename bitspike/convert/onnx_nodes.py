"""Nodes and initialisers of an ONNX graph while it is put together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

Shape = tuple[int | str, ...]


class Nodes:
    """A graph in the making, local to the function that makes it; `prefix` begins every name."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def add(
        self, operator: str, inputs: Sequence[str], outputs: str | Sequence[str], name: str = "", **attributes: Any
    ) -> str:
        """Append a node, called `name` or else like its first output; the first output's full name.

        `inputs` are full names, `outputs` lack the prefix.
        """
        from onnx import helper

        full = [self.prefix + output for output in ([outputs] if isinstance(outputs, str) else outputs)]
        label = self.prefix + name if name else full[0]
        self._nodes.append(helper.make_node(operator, list(inputs), full, name=label, **attributes))
        return full[0]

    def cast(self, value: str, output: str, dtype: str) -> str:
        """Append a Cast of `value` to the integer type `dtype`."""
        return self.add("Cast", [value], output, to=onnx_type(dtype))

    def zeros(self, shape: str, output: str, dtype: str) -> str:
        """Append zeros of `dtype` whose shape is the value called `shape`."""
        return self.add("ConstantOfShape", [shape], output, value=tensor("", 0, dtype, shape=(1,)))

    def constant(self, name: str, values: npt.ArrayLike, dtype: str) -> str:
        """Add an initialiser, once for each name; its full name."""
        full = self.prefix + name
        if full not in self._constants:
            self._constants[full] = tensor(full, values, dtype)
        return full

    def graph(self, name: str, inputs: Sequence["ValueInfoProto"], outputs: Sequence["ValueInfoProto"]) -> "GraphProto":
        """The graph as it is now."""
        from onnx import helper

        return helper.make_graph(self._nodes, name, list(inputs), list(outputs), list(self._constants.values()))


def onnx_type(dtype: str) -> int:
    """The ONNX number of one of numpy's integer types."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def tensor(name: str, values: npt.ArrayLike, dtype: str, shape: tuple[int, ...] | None = None) -> "TensorProto":
    """A tensor with raw little-endian data; the caller has made sure that `values` fit `dtype`."""
    from onnx import helper

    array = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"))
    dims = array.shape if shape is None else shape
    return helper.make_tensor(name, onnx_type(dtype), dims, array.tobytes(), raw=True)


def typed(name: str, dtype: str, shape: Shape) -> "ValueInfoProto":
    """The declaration of an input or output."""
    from onnx import helper

    return helper.make_tensor_value_info(name, onnx_type(dtype), list(shape))
