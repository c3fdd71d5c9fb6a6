"""Fields of a NIR node, checked: numbers that are finite, whole, positive, of a shape that fits."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nir_raw import NODES, RawNode
from bitspike.convert.floating.nodes import Pair, Reals
from bitspike.errors import UnsupportedError, UsageError

#: Numbers that leave a node; a population of so many takes a quarter of a gigabyte.
MAX_SIZE = 1 << 22
MAX_WHOLE = 1 << 31
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """The fields of a node under its full name; each method raises UsageError naming node, field, found, expected."""

    name: str
    node: RawNode

    def fault(self, problem: str) -> UsageError:
        """An error that begins with the node."""
        return UsageError(f"node {self.name} ({self.node.type}): {problem}")

    def check(self) -> None:
        """Refuse an unknown type, a field that is missing, and one that the type does not have.

        Raises:
            UnsupportedError: for a type that NIR 1.0.8 does not have.
        """
        kind = self.node.type
        if kind not in NODES:
            raise UnsupportedError(f"node {self.name}: type {kind[:40]!r}; NIR 1.0.8 has {', '.join(NODES)}")
        needed, optional = NODES[kind]
        missing = [field for field in needed if field not in self.node.fields]
        foreign = [field for field in self.node.fields if field not in (*needed, *optional)]
        if missing:
            raise self.fault(f"lacks {', '.join(missing)}")
        if foreign:
            raise self.fault(f"has {', '.join(foreign)[:80]}, which NIR does not know")

    def has(self, field: str) -> bool:
        """Whether the field is there."""
        return field in self.node.fields

    def reals(self, field: str, default: float | None = None) -> Reals:
        """Finite numbers of any shape."""
        found = np.asarray(self.node.fields.get(field, default))
        if found.dtype.kind not in "biuf" or not found.size:
            raise self.fault(f"{field} of type {found.dtype}, shape {found.shape}; expected numbers")
        values = _doubles(found)
        if not np.isfinite(values).all():
            raise self.fault(f"{field} is not finite everywhere; expected finite numbers")
        return values

    def positive(self, field: str) -> Reals:
        """Numbers above 0."""
        values = self.reals(field)
        if not (values > 0).all():
            raise self.fault(f"{field} reaches {values.min():g}; expected above 0")
        return values

    def precise(self, field: str) -> float:
        """How far, as a part of itself, a number of this field may be from what was meant: some roundings."""
        dtype = np.asarray(self.node.fields.get(field, 0.0)).dtype
        return 2.0**-40 if dtype == np.float64 or dtype.kind in "iu" else 2.0**-21

    def whole(self, field: str, least: int = 0) -> tuple[int, ...]:
        """Whole numbers of `least` or more, flat."""
        found = np.asarray(self.node.fields.get(field))
        # The bounds below are beyond a number of 16 bits, to which NumPy would round them.
        values = _doubles(found).reshape(-1) if found.dtype.kind == "f" else found.reshape(-1)
        if found.dtype.kind not in "iuf" or not found.size or not np.isfinite(values).all():
            raise self.fault(f"{field} {_shown(found)}; expected whole numbers")
        if not (values == np.rint(values)).all() or values.min() < least or values.max() >= MAX_WHOLE:
            raise self.fault(f"{field} {_shown(found)}; expected whole numbers, {least} or more")
        return tuple(int(value) for value in values)

    def pair(self, field: str, least: int = 0) -> Pair:
        """(vertical, horizontal), of one number or two."""
        found = self.whole(field, least)
        if len(found) > 2:
            raise self.fault(f"{field} {found[:6]}; expected one or two numbers")
        return found[0], found[-1]

    def one(self, field: str, least: int = 0) -> int:
        """One whole number."""
        found = self.whole(field, least)
        if len(found) != 1:
            raise self.fault(f"{field} {found[:6]}; expected one number")
        return found[0]

    def shape(self, field: str) -> Shape:
        """Extents of a signal."""
        found = self.whole(field, 1)
        self.limit(found, field)
        return found

    def limit(self, shape: Iterable[int], what: str = "shape") -> Shape:
        """The shape, where it has few enough numbers."""
        extents = tuple(shape)
        if len(extents) > 16 or math.prod(extents) > MAX_SIZE:
            raise self.fault(f"{what} {extents[:16]}; expected at most {MAX_SIZE:,} numbers")
        return extents

    def bias(self, targets: int) -> Reals:
        """One number a target; NIR writes zeros where there is none."""
        bias = self.reals("bias")
        if bias.size != targets:
            raise self.fault(f"bias of shape {bias.shape}; expected ({targets},)")
        return bias.reshape(-1)


def _doubles(found: npt.NDArray[Any]) -> Reals:
    """Numbers in 64 bits; a wider one that does not fit becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return found.astype(np.float64)


def _shown(found: Any) -> str:
    return f"of type {found.dtype}, shape {found.shape}" if found.size > 6 else str(found.tolist())[:80]
