"""A network as canonical JSON plus named arrays: what every file of ours carries.

:mod:`bitspike.convert.store` puts both in a safetensors file; the NIR, ONNX and NetX writers put the JSON in their
format's metadata. A reader refuses whatever the writer would not write.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.weights import BIT_VALUES, BinaryWeights, IntegerWeights, Weights
from bitspike.errors import BitspikeError

Arrays = dict[str, npt.NDArray[Any]]

_NETWORK_KEYS = {"name", "steps", "input", "populations", "connections", "readout", "collapse"}
_POPULATION_KEYS = {"name", "shape", "du", "dv", "vth", "reset", "bias_exponent", "start"}
_CONNECTION_KEYS = {"source", "target", "kind", "columns", "exponent", "delay"}


def describe(network: IntegerNetwork) -> dict[str, Any]:
    """Everything but the arrays, as plain JSON values.

    A connection's `kind` is ``pm1`` or ``01`` for one-bit weights and ``int`` for wider ones.
    """
    return {
        "name": network.name,
        "steps": network.steps,
        "collapse": network.collapse,
        "input": {"name": network.input.name, "shape": list(network.input.shape)},
        "populations": [
            {
                "name": p.name, "shape": list(p.shape), "du": p.du, "dv": p.dv, "vth": p.vth, "reset": p.reset,
                "bias_exponent": p.bias_exponent, "start": p.start,
            }
            for p in network.populations
        ],
        "connections": [
            {
                "source": c.source, "target": c.target, "kind": _kind(c.weights), "columns": c.weights.shape[1],
                "exponent": c.exponent, "delay": c.delay,
            }
            for c in network.connections
        ],
        "readout": {"population": network.readout.population, "kind": network.readout.kind},
    }  # fmt: skip


def description_text(network: IntegerNetwork) -> str:
    """:func:`describe` as canonical JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(describe(network), sort_keys=True, separators=(",", ":"))


def arrays_of(network: IntegerNetwork) -> Arrays:
    """The arrays of the file, by entry name."""
    arrays: Arrays = {f"{p.name}.bias": p.bias_mantissa for p in network.populations}
    for index, connection in enumerate(network.connections):
        weights = connection.weights
        if isinstance(weights, BinaryWeights):
            arrays[f"{index}.words"] = weights.words
        else:
            arrays[f"{index}.values"] = weights.values
    return arrays


def network_from(text: str, arrays: Arrays) -> IntegerNetwork:
    """The network that :func:`description_text` and :func:`arrays_of` describe.

    Raises:
        BitspikeError: naming the first key, entry or rule that does not fit.
    """
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        raise BitspikeError("the network's description is not JSON") from None
    _keys("network", description, _NETWORK_KEYS)
    remaining = dict(arrays)
    network = IntegerNetwork(
        name=_typed("network", description, "name", str),
        steps=_typed("network", description, "steps", int),
        collapse=_typed("network", description, "collapse", str),
        input=_input(description["input"]),
        populations=tuple(_population(item, remaining) for item in _items(description, "populations")),
        connections=tuple(
            _connection(index, item, remaining) for index, item in enumerate(_items(description, "connections"))
        ),
        readout=_readout(description["readout"]),
    )
    if remaining:
        raise BitspikeError(f"unexpected entry {sorted(remaining)[0]!r}")
    return check(network)


def _kind(weights: Weights) -> str:
    if isinstance(weights, IntegerWeights):
        return "int"
    return next(kind for kind, values in BIT_VALUES.items() if values == (weights.low, weights.high))


def _keys(where: str, item: object, expected: set[str]) -> None:
    if not isinstance(item, dict) or set(item) != expected:
        found = ", ".join(sorted(map(str, item))) if isinstance(item, dict) else type(item).__name__
        raise BitspikeError(f"{where}: keys {found}; expected {', '.join(sorted(expected))}")


def _items(description: dict[str, Any], key: str) -> list[Any]:
    items = description[key]
    if not isinstance(items, list):
        raise BitspikeError(f"network: {key} is {type(items).__name__}; expected a list")
    return items


def _typed(where: str, item: dict[str, Any], key: str, kind: type) -> Any:
    value = item[key]
    if type(value) is not kind:
        raise BitspikeError(f"{where}: {key} is {value!r}; expected {kind.__name__}")
    return value


def _shape(where: str, item: dict[str, Any]) -> tuple[int, ...]:
    shape = item["shape"]
    if not isinstance(shape, list) or not all(type(extent) is int for extent in shape):
        raise BitspikeError(f"{where}: shape is {shape!r}; expected a list of integers")
    return tuple(shape)


def _input(item: Any) -> Input:
    _keys("input", item, {"name", "shape"})
    return Input(name=_typed("input", item, "name", str), shape=_shape("input", item))


def _population(item: Any, arrays: Arrays) -> Population:
    _keys("population", item, _POPULATION_KEYS)
    name = _typed("population", item, "name", str)
    where = f"population {name}"
    number = {key: _typed(where, item, key, int) for key in ("du", "dv", "vth", "bias_exponent", "start")}
    bias = _array(arrays, f"{name}.bias", np.int32)
    return Population(
        name=name, shape=_shape(where, item), reset=_typed(where, item, "reset", str), bias_mantissa=bias, **number
    )


def _connection(index: int, item: Any, arrays: Arrays) -> Dense:
    _keys(f"connection {index}", item, _CONNECTION_KEYS)
    where = f"connection {index}"
    kind = _typed(where, item, "kind", str)
    columns = _typed(where, item, "columns", int)
    weights: Weights
    if kind == "int":
        weights = IntegerWeights(values=_array(arrays, f"{index}.values", np.int16))
    elif kind in BIT_VALUES:
        low, high = BIT_VALUES[kind]
        weights = BinaryWeights(words=_array(arrays, f"{index}.words", np.uint64), columns=columns, low=low, high=high)
    else:
        raise BitspikeError(f"{where}: kind {kind!r}; expected {', '.join([*BIT_VALUES, 'int'])}")
    if weights.shape[1] != columns:
        raise BitspikeError(f"{where}: weights of {weights.shape[1]} columns; expected {columns}")
    return Dense(
        source=_typed(where, item, "source", str),
        target=_typed(where, item, "target", str),
        weights=weights,
        exponent=_typed(where, item, "exponent", int),
        delay=_typed(where, item, "delay", int),
    )


def _readout(item: Any) -> Readout:
    where = "readout"
    _keys(where, item, {"population", "kind"})
    return Readout(population=_typed(where, item, "population", str), kind=_typed(where, item, "kind", str))


def _array(arrays: Arrays, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    if name not in arrays:
        raise BitspikeError(f"no entry {name!r}")
    array = arrays.pop(name)
    if array.dtype != np.dtype(dtype):
        raise BitspikeError(f"entry {name!r} is {array.dtype}; expected {np.dtype(dtype)}")
    return array
