"""JSON and arrays that strangers wrote: each value is checked before it is used, and named where it is wrong."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import BitspikeError

Arrays = dict[str, npt.NDArray[Any]]


def parse_json(text: str | bytes) -> Any:
    """The value of a text; ValueError where it is no JSON, or an object has a key twice, and readers choose one."""
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def expect_keys(where: str, item: object, expected: set[str]) -> None:
    """Refuse anything but a JSON object with exactly the keys `expected`."""
    if not isinstance(item, dict) or set(item) != expected:
        found = ", ".join(sorted(map(str, item))) if isinstance(item, dict) else type(item).__name__
        raise BitspikeError(f"{where}: keys {found}; expected {', '.join(sorted(expected))}")


def items(description: dict[str, Any], key: str) -> list[Any]:
    """The list under `key`."""
    items = description[key]
    if not isinstance(items, list):
        raise BitspikeError(f"network: {key} is {type(items).__name__}; expected a list")
    return items


def typed(where: str, item: dict[str, Any], key: str, kind: type) -> Any:
    """The value under `key`, of exactly the type `kind` (a bool is no int)."""
    value = item[key]
    if type(value) is not kind:
        raise BitspikeError(f"{where}: {key} is {value!r}; expected {kind.__name__}")
    return value


def shape_of(where: str, item: dict[str, Any], key: str = "shape") -> tuple[int, ...]:
    """The list of integers under `key`, as a tuple."""
    shape = item[key]
    if not isinstance(shape, list) or not all(type(extent) is int for extent in shape):
        raise BitspikeError(f"{where}: {key} is {shape!r}; expected a list of integers")
    return tuple(shape)


def take_array(arrays: Arrays, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Take the array called `name` out of `arrays`; it must be of `dtype`."""
    if name not in arrays:
        raise BitspikeError(f"no entry {name!r}")
    array = arrays.pop(name)
    if array.dtype != np.dtype(dtype):
        raise BitspikeError(f"entry {name!r} is {array.dtype}; expected {np.dtype(dtype)}")
    return array
