"""The constant tables and the calls of a generated source: what the template prints, in Python's terms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import STATE_SHIFT, IntegerNetwork
from bitspike.convert.weights import BinaryWeights
from bitspike.errors import UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Table:
    """An array of constants: C type, name, and its values as C writes them."""

    type: str
    name: str
    values: Sequence[str]

    @property
    def per_line(self) -> int:
        """Values that a line of 120 columns holds."""
        return max(1, 110 // (max(map(len, self.values)) + 2))


@dataclass(frozen=True, kw_only=True)
class Window:
    """The numbers of a sliding window, in the order of the C structure."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Function:
    """A C function that adds the input of one kind of connection from one kind of spikes."""

    name: str
    kind: str
    graded: bool
    weight: str = ""

    @property
    def fired(self) -> str:
        """C type of the spikes."""
        return "int32_t" if self.graded else "uint64_t"

    @property
    def weights(self) -> str:
        """The parameter of a function that slides a window, where it has weights."""
        return f" const {self.weight} *weights," if self.weight else ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One connection in the step function."""

    function: str
    source: str
    delay: int
    rows: int
    arguments: str
    rest: str

    @property
    def guard(self) -> str:
        """Nothing arrives before the first spike could have."""
        return f"if (t >= {self.delay}) " if self.delay else ""

    @property
    def row(self) -> str:
        """Where the spikes of `delay` steps ago are."""
        return f"(t - {self.delay}) % {self.rows}" if self.rows > 1 else "0"


@dataclass(kw_only=True)
class Parts:
    """What the connections of a network need, gathered while they are read."""

    tables: list[Table] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    bits: bool = False

    def call(self, network: IntegerNetwork, connection: Connection, number: int, rows: int) -> Call:
        """Return the call of a connection; `number` makes the names of its tables unique."""
        graded = any(p.name == connection.source and p.graded for p in network.populations)
        label = f"{connection.source}_to_{connection.target}_{number}"
        scale = 1 << (STATE_SHIFT + connection.exponent)
        common: dict[str, Any] = {"source": connection.source, "delay": connection.delay, "rows": rows}
        targets, sources = connection.shape
        if isinstance(connection, Dense) and isinstance(connection.weights, BinaryWeights) and not graded:
            self.bits = True
            words = connection.weights.words
            self.tables.append(Table(type="uint64_t", name=label, values=[f"UINT64_C({w:#x})" for w in words.flat]))
            start = f"{targets}, {words.shape[1]}, {label},"
            return Call(function="add_bits", arguments=start, rest=f", {connection.weights.low}, {scale}", **common)
        if isinstance(connection, Identity):
            name = self._function("identity", graded, "")
            return Call(function=name, arguments=f"{sources},", rest=f", {scale * connection.weight}", **common)
        if isinstance(connection, Dense):
            weight = self._weights(label, connection.weights.matrix().T)
            name = self._function("dense", graded, weight)
            return Call(function=name, arguments=f"{targets}, {sources}, {label},", rest=f", {scale}", **common)
        if isinstance(connection, Conv2d | SumPool2d):
            return self._windowed(connection, label, graded, scale, common)
        raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; C has no such kind")

    def constants(self, name: str, values: npt.NDArray[np.integer]) -> str:
        """Add a table of int32_t and return its name; a null pointer where all values are 0."""
        if not values.any():
            return "0"
        self.tables.append(Table(type="int32_t", name=name, values=[str(v) for v in values.ravel().tolist()]))
        return name

    def _windowed(
        self, connection: Conv2d | SumPool2d, label: str, graded: bool, scale: int, common: dict[str, Any]
    ) -> Call:
        _, height, width = connection.source_shape
        channels, rows, columns = connection.target_shape
        groups = connection.groups if isinstance(connection, Conv2d) else 1
        geometry = (height, width, *connection.window, *connection.stride, *connection.padding, *connection.dilation)
        inner, outer = connection.source_shape[0] // groups, channels // groups
        self.windows.append(Window(name=f"{label}_window", values=(*geometry, rows, columns, inner, outer)))
        arguments = f"{connection.shape[1]}, &{label}_window,"
        if isinstance(connection, SumPool2d):
            return Call(function=self._function("pool", graded, ""), arguments=arguments, rest=f", {scale}", **common)
        kernels = connection.weights.matrix().reshape(groups, outer, inner, *connection.kernel)
        by_channel = kernels.transpose(0, 2, 3, 4, 1).reshape(-1, outer)
        name = self._function("conv", graded, self._weights(label, by_channel))
        return Call(function=name, arguments=f"{arguments} {label},", rest=f", {scale}", **common)

    def _weights(self, label: str, weights: npt.NDArray[np.int64]) -> str:
        """Add a table of weights in the narrowest type, and return that type."""
        narrow = weights.min(initial=0) >= -128 and weights.max(initial=0) <= 127
        kind = "int8_t" if narrow else "int16_t"
        self.tables.append(Table(type=kind, name=label, values=[str(w) for w in weights.ravel().tolist()]))
        return kind

    def _function(self, kind: str, graded: bool, weight: str) -> str:
        parts = ("add", kind, {"int8_t": "8", "int16_t": "16", "": ""}[weight], "payloads" if graded else "spikes")
        name = "_".join(part for part in parts if part)
        self.functions[name] = Function(name=name, kind=kind, graded=graded, weight=weight)
        return name
