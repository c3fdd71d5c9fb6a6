"""Reading a chip from TOML, strictly: every fault is found, and told with its place, what was found and expected.

The form: ``name`` and ``title``, and a table ``figures`` in which each figure of
:class:`bitspike.targets.chips.figures.Chip` is a table of ``value``, ``source`` and ``grade``. What is not published is
left out.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bitspike.errors import ChipError, FileError
from bitspike.targets.chips.figures import GRADES, NEEDS, TOGETHER, Chip, Figure, Kind

#: A chip is a page of figures.
MAX_BYTES = 1 << 18
_MAX_LETTERS = 200


def read_chip(path: Path) -> Chip:
    """The chip in the file `path`.

    Raises:
        FileError: the file is missing, too long or no TOML.
        ChipError: with every fault.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(path, error.strerror or "cannot be read") from None
    if len(content) > MAX_BYTES:
        raise FileError(path, f"more than {MAX_BYTES} bytes; expected a chip in TOML")
    try:
        return chip_from(tomllib.loads(content.decode("utf-8")), where=str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(path, f"no TOML: {error}") from None


def chip_from(table: Mapping[str, Any], *, where: str = "chip") -> Chip:
    """The chip that `table` describes; ChipError with every fault, where it describes none."""
    kinds = {f.name: f.metadata["kind"] for f in fields(Chip) if "kind" in f.metadata}
    faults = list(_faults(table, kinds))
    if faults:
        raise ChipError(where, faults)
    values = {key: Figure(**{**found, "value": _value(found["value"])}) for key, found in table["figures"].items()}
    return Chip(name=table["name"], title=table["title"], **values)


def _value(found: object) -> object:
    return tuple(found) if isinstance(found, list) else found


def _faults(table: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Iterator[str]:
    for key in table:
        if key not in ("name", "title", "figures"):
            yield f"{key}: found an unknown key; expected name, title, figures"
    for key in ("name", "title"):
        yield from _text_faults(key, table.get(key), _printable, f"1..{_MAX_LETTERS} printable letters")
    found = table.get("figures")
    if not isinstance(found, Mapping):
        yield f"figures: found {_told(found)}; expected a table of figures"
        return
    for key, figure in found.items():
        if key in kinds:
            yield from _figure_faults(f"figures.{key}", figure, kinds[key])
        else:
            yield f"figures.{key}: found an unknown key; expected one of {', '.join(kinds)}"
    for field in fields(Chip):
        if field.name in kinds and field.default is not None and field.name not in found:
            yield f"figures.{field.name}: found nothing; expected {kinds[field.name].expected}"
    yield from _missing(found)


def _missing(found: Mapping[str, Any]) -> Iterator[str]:
    """Figures that others need beside them."""
    for group in TOGETHER:
        given = [name for name in group if name in found]
        for name in group:
            if given and name not in found:
                yield f"figures.{name}: found nothing; expected it beside {given[0]}"
    for name, needed in NEEDS.items():
        if name in found and needed not in found:
            yield f"figures.{needed}: found nothing; expected it beside {name}"


def _figure_faults(where: str, found: object, kind: Kind) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield f"{where}: found {_told(found)}; expected a table of value, source, grade"
        return
    for key in found:
        if key not in ("value", "source", "grade"):
            yield f"{where}.{key}: found an unknown key; expected value, source, grade"
    if "value" not in found or not kind.accepts(_value(found["value"])):
        yield f"{where}.value: found {_told(found.get('value'))}; expected {kind.expected}"
    yield from _text_faults(f"{where}.source", found.get("source"), _printable, f"1..{_MAX_LETTERS} printable letters")
    yield from _text_faults(f"{where}.grade", found.get("grade"), GRADES.__contains__, f"one of {', '.join(GRADES)}")


def _text_faults(where: str, found: object, accepts: Any, expected: str) -> Iterator[str]:
    if not isinstance(found, str) or not accepts(found):
        yield f"{where}: found {_told(found)}; expected {expected}"


def _printable(text: str) -> bool:
    return 0 < len(text) <= _MAX_LETTERS and text.isprintable()


def _told(found: object) -> str:
    return "nothing" if found is None else repr(found)[:80]
