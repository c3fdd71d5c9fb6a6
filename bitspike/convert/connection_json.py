"""Connections as JSON values and arrays.

Every connection has ``type``, ``source``, ``target``, ``exponent`` and ``delay``; by type also:

============  ======================================================================================
type          keys
============  ======================================================================================
``dense``     ``kind``, ``columns``: the weights
``conv``      ``kind``, ``columns``, ``source_shape``, ``kernel``, ``stride``, ``padding``, ``dilation``, ``groups``
``pool``      ``source_shape``, ``kernel``, ``stride``, ``padding``, ``dilation``
``identity``  ``size``, ``weight``
============  ======================================================================================

The `kind` of weights is ``pm1`` or ``01`` for one bit, in the array ``<index>.words``, and ``int`` for more, in the
array ``<index>.values``.
"""

from typing import Any

import numpy as np

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.json_values import Arrays, expect_keys, shape_of, take_array, typed
from bitspike.convert.weights import BIT_VALUES, BinaryWeights, IntegerWeights, Weights
from bitspike.errors import BitspikeError

_COMMON = ("source", "target", "exponent", "delay")
_WEIGHTS = ("kind", "columns")
_WINDOW = ("source_shape", "kernel", "stride", "padding", "dilation")
_KEYS: dict[str, tuple[str, ...]] = {
    "dense": _WEIGHTS,
    "conv": (*_WEIGHTS, *_WINDOW, "groups"),
    "pool": _WINDOW,
    "identity": ("size", "weight"),
}


def describe_connection(connection: Connection) -> dict[str, Any]:
    """Everything but the arrays, as plain JSON values."""
    description: dict[str, Any] = {"type": connection.kind}
    for key in (*_COMMON, *_KEYS[connection.kind]):
        if key not in _WEIGHTS:
            value = getattr(connection, key)
            description[key] = list(value) if isinstance(value, tuple) else value
    if isinstance(connection, Dense | Conv2d):
        description |= {"kind": _kind(connection.weights), "columns": connection.weights.shape[1]}
    return description


def arrays_of_connection(index: int, connection: Connection) -> Arrays:
    """The weights of connection number `index`, by entry name; none for a connection that has no array."""
    if not isinstance(connection, Dense | Conv2d):
        return {}
    weights = connection.weights
    if isinstance(weights, BinaryWeights):
        return {f"{index}.words": weights.words}
    return {f"{index}.values": weights.values}


def connection_from(index: int, item: Any, arrays: Arrays) -> Connection:
    """The connection that `item` describes; its array is taken out of `arrays`.

    Raises:
        BitspikeError: naming the key or entry that does not fit.
    """
    where = f"connection {index}"
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise BitspikeError(f"{where}: type {kind!r}; expected one of {', '.join(_KEYS)}")
    expect_keys(where, item, {"type", *_COMMON, *_KEYS[kind]})
    common: dict[str, Any] = {key: typed(where, item, key, str) for key in ("source", "target")}
    common |= {key: typed(where, item, key, int) for key in ("exponent", "delay")}
    if kind == "identity":
        return Identity(size=typed(where, item, "size", int), weight=typed(where, item, "weight", int), **common)
    window = {key: shape_of(where, item, key) for key in _WINDOW if key in _KEYS[kind]}
    if kind == "pool":
        return SumPool2d(**window, **common)  # type: ignore[arg-type]
    weights = _weights(index, item, arrays)
    if kind == "conv":
        return Conv2d(weights=weights, groups=typed(where, item, "groups", int), **window, **common)  # type: ignore[arg-type]
    return Dense(weights=weights, **common)


def _kind(weights: Weights) -> str:
    if isinstance(weights, IntegerWeights):
        return "int"
    return next(kind for kind, values in BIT_VALUES.items() if values == (weights.low, weights.high))


def _weights(index: int, item: dict[str, Any], arrays: Arrays) -> Weights:
    where = f"connection {index}"
    kind, columns = typed(where, item, "kind", str), typed(where, item, "columns", int)
    weights: Weights
    if kind == "int":
        weights = IntegerWeights(values=take_array(arrays, f"{index}.values", np.int16))
    elif kind in BIT_VALUES:
        low, high = BIT_VALUES[kind]
        words = take_array(arrays, f"{index}.words", np.uint64)
        weights = BinaryWeights(words=words, columns=columns, low=low, high=high)
    else:
        raise BitspikeError(f"{where}: kind {kind!r}; expected {', '.join([*BIT_VALUES, 'int'])}")
    if weights.shape[1] != columns:
        raise BitspikeError(f"{where}: weights of {weights.shape[1]} columns; expected {columns}")
    return weights
