"""Reading a file of prices: TOML, every key known, every fault told with its line.

| key | of | says |
|---|---|---|
| ``chip``, ``title`` | file | whose prices they are |
| ``grade`` | file or price | how they were obtained: one of :data:`bitspike.targets.prices.GRADES` |
| ``source`` | file or price | where they were published |
| ``node_nm``, ``voltage_v``, ``precision`` | file or price | of what was priced; the first two may be left out |
| ``covers`` | file | groups (:data:`bitspike.targets.prices.GROUPS`) that the prices include |
| ``[[price]]`` | file | one table a price |
| ``event`` | price | a name of :data:`bitspike.targets.prices.EVENTS` |
| ``value``, or ``low``, ``nominal`` and ``high`` | price | in ``unit``, 0 or more |
| ``unit`` | price | of energy, time or power, as pJ, ns or mW |
| ``note`` | price | what else has to be known |
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitspike.errors import FileError
from bitspike.files import existing_file
from bitspike.targets.prices import EVENTS, GRADES, GROUPS, UNITS, Price, PriceList

#: A list of prices is a page; a larger file is something else.
MAX_BYTES = 1 << 20
MAX_PRICES = 1000
_SHARED = ("grade", "source", "node_nm", "voltage_v", "precision")
_FILE_KEYS = ("chip", "title", *_SHARED, "covers", "price")
_NUMBERS = ("value", "low", "nominal", "high")
_PRICE_KEYS = ("event", *_NUMBERS, "unit", "note", *_SHARED)
_HEADER = re.compile(r"\s*\[\[\s*price\s*\]\]")


def read_price_list(path: str | os.PathLike[str]) -> PriceList:
    """Read and check a file of prices.

    Raises:
        FileError: with the line and the key of the first fault.
    """
    return _Reader(existing_file(path)).read()


class _Reader:
    """One file, with the lines that faults are told by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise FileError(path, f"has {len(data)} bytes; expected a list of prices of at most {MAX_BYTES}")
        try:
            text = data.decode("utf-8")
            self.table: dict[str, Any] = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise FileError(path, f"is not TOML ({error})") from None
        self.lines = text.splitlines()
        self.starts = [number for number, line in enumerate(self.lines, 1) if _HEADER.match(line)]

    def read(self) -> PriceList:
        self._known(self.table, _FILE_KEYS, None)
        chip = self._text(self.table, "chip", None)
        entries = self.table.get("price", [])
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_PRICES:
            raise self._fault("price", "missing; expected [[price]] tables", None)
        covers = self.table.get("covers", [])
        if not isinstance(covers, list) or any(group not in GROUPS for group in covers):
            raise self._fault("covers", f"found {covers!r}; expected some of {', '.join(GROUPS)}", None)
        prices: dict[tuple[str, str], Price] = {}
        for number, entry in enumerate(entries):
            price = self._price(entry, number)
            if (price.event, price.quantity) in prices:
                raise self._fault("event", f"{price.event} is priced twice", number)
            prices[price.event, price.quantity] = price
        return PriceList(
            name=self.path.stem,
            chip=chip,
            title=self._text(self.table, "title", None, default=chip),
            prices=tuple(prices.values()),
            covers=tuple(covers),
        )

    def _price(self, entry: object, number: int) -> Price:
        if not isinstance(entry, dict):
            raise self._fault("price", f"found {entry!r}; expected a table", number)
        self._known(entry, _PRICE_KEYS, number)
        merged = {key: self.table[key] for key in _SHARED if key in self.table} | entry
        event = self._text(merged, "event", number)
        if event not in EVENTS:
            raise self._fault("event", f"found {event!r}; expected one of {', '.join(EVENTS)}", number)
        quantity, factor = self._unit(merged, event, number)
        low, nominal, high = self._range(merged, number)
        grade = self._text(merged, "grade", number)
        if grade not in GRADES:
            raise self._fault("grade", f"found {grade!r}; expected one of {', '.join(GRADES)}", number)
        return Price(
            event=event,
            quantity=quantity,
            low=low * factor,
            nominal=nominal * factor,
            high=high * factor,
            grade=grade,
            source=self._text(merged, "source", number),
            prices=self.path.stem,
            node_nm=self._number(merged, "node_nm", number) if "node_nm" in merged else None,
            voltage_v=self._number(merged, "voltage_v", number) if "voltage_v" in merged else None,
            precision=self._text(merged, "precision", number, default=""),
            note=self._text(merged, "note", number, default=""),
        )

    def _unit(self, merged: Mapping[str, Any], event: str, number: int) -> tuple[str, float]:
        allowed = {unit: (q, factor) for q in EVENTS[event].quantities for unit, factor in UNITS[q].items()}
        if "unit" not in merged:
            raise self._fault("unit", f"missing; expected one of {', '.join(allowed)}", number)
        unit = self._text(merged, "unit", number)
        if unit not in allowed:
            raise self._fault("unit", f"found {unit!r} for {event}; expected one of {', '.join(allowed)}", number)
        return allowed[unit]

    def _range(self, merged: Mapping[str, Any], number: int) -> tuple[float, float, float]:
        given = tuple(key for key in _NUMBERS if key in merged)
        if given == ("value",):
            value = self._number(merged, "value", number)
            return value, value, value
        if given != ("low", "nominal", "high"):
            found = ", ".join(given) or "none"
            raise self._fault("value", f"found {found}; expected value, or low, nominal and high", number)
        low, nominal, high = (self._number(merged, key, number) for key in given)
        if not low <= nominal <= high:
            raise self._fault(
                "nominal", f"found {low:g}, {nominal:g}, {high:g}; expected low <= nominal <= high", number
            )
        return low, nominal, high

    def _number(self, table: Mapping[str, Any], key: str, number: int | None) -> float:
        value = table[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise self._fault(key, f"found {value!r}; expected a finite number of 0 or more", number)
        return float(value)

    def _text(self, table: Mapping[str, Any], key: str, number: int | None, *, default: str | None = None) -> str:
        if key not in table:
            if default is None:
                raise self._fault(key, "missing; expected a text", number)
            return default
        value = table[key]
        if not isinstance(value, str) or not value.strip():
            raise self._fault(key, f"found {value!r}; expected a text", number)
        return value

    def _known(self, table: Mapping[str, Any], keys: tuple[str, ...], number: int | None) -> None:
        for key in table:
            if key not in keys:
                raise self._fault(key, f"unknown; expected one of {', '.join(keys)}", number)

    def _fault(self, key: str, problem: str, number: int | None) -> FileError:
        where = "" if number is None else f"price {number + 1}, "
        return FileError(self.path, f"line {self._line(key, number)}: {where}{key}: {problem}")

    def _line(self, key: str, number: int | None) -> int:
        """The line of `key` in price `number` or at the head; where it is not there, the first line of that part."""
        first = 1
        last = self.starts[0] - 1 if self.starts else len(self.lines)
        if number is not None and number < len(self.starts):
            first = self.starts[number]
            last = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.lines)
        wanted = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
        return next((n for n in range(first, last + 1) if wanted.match(self.lines[n - 1])), first)
