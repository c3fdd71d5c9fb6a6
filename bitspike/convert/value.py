"""Immutable values that hold arrays: equality and hash by content."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from operator import index
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError


class Value:
    """Base of the frozen dataclasses of the integer network.

    Two values are equal when they have the same type and all their fields are equal; arrays are equal when dtype,
    shape and every element are.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return all(
            _same(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)  # type: ignore[arg-type]
        )

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """SHA-256 over type and contents, in hexadecimal; equal values have equal digests."""
        state = hashlib.sha256()
        _feed(state, self)
        return state.hexdigest()


#: Metadata of a field that came later: where it has its default it is left out of the digest, so that what was written
#: before the field was there keeps its digest.
LATER: Mapping[str, bool] = MappingProxyType({"later": True})


def alone(name: str) -> Mapping[str, str]:
    """Metadata of a tuple that was once a single value called `name`: a tuple of one is fed to the digest as that."""
    return MappingProxyType({"alone": name})


def read_only(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A contiguous read-only copy of `array` as `dtype`."""
    copy = np.array(array, dtype=dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def make_integers(value: Value, where: str, *names: str) -> None:
    """Turn the named fields of a frozen value, still under construction, into plain integers.

    Raises:
        UsageError: for anything that is not a whole number by type, such as 0.5 or 4.0.
    """
    for name in names:
        found = getattr(value, name)
        try:
            object.__setattr__(value, name, index(found))
        except TypeError:
            raise UsageError(f"{where}: {name} {found!r}; expected an integer") from None


def make_shape(value: Value, where: str, name: str = "shape") -> None:
    """Turn a field of a frozen value, still under construction, into a tuple of plain integers."""
    found = getattr(value, name)
    try:
        object.__setattr__(value, name, tuple(index(extent) for extent in found))
    except TypeError:
        raise UsageError(f"{where}: {name} {found!r}; expected integers") from None


def make_pair(value: Value, where: str, name: str, length: int = 2) -> None:
    """Turn a field into a tuple of `length` plain integers."""
    make_shape(value, where, name)
    if len(getattr(value, name)) != length:
        raise UsageError(f"{where}: {name} {getattr(value, name)}; expected {length} integers")


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and bool(np.array_equal(left, right))
    return type(left) is type(right) and left == right


def _feed(state: "hashlib._Hash", item: object) -> None:
    if isinstance(item, Value):
        state.update(f"{type(item).__name__}(".encode())
        for field in fields(item):  # type: ignore[arg-type]
            if field.metadata.get("later") and getattr(item, field.name) == field.default:
                continue
            name, value = field.name, getattr(item, field.name)
            if field.metadata.get("alone") and len(value) == 1:
                name, value = field.metadata["alone"], value[0]
            state.update(f"{name}=".encode())
            _feed(state, value)
        state.update(b")")
    elif isinstance(item, np.ndarray):
        state.update(f"array {item.dtype.str} {item.shape}:".encode())
        state.update(item.tobytes())
    elif isinstance(item, tuple):
        state.update(f"tuple {len(item)}:".encode())
        for part in item:
            _feed(state, part)
    else:
        state.update(f"{type(item).__name__} {item!r};".encode())
