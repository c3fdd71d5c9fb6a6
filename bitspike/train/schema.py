"""Frozen dataclasses whose fields know what they accept, read from TOML and written back.

A field carries a rule. An instance checks itself when it is made, so a value from a file and one from Python meet the
same message: the key, what was found, and what was expected.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from bitspike.errors import UsageError

T = TypeVar("T")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a field accepts, in words and as a test.

    Attributes:
        expected: in words.
        accepts: as a test.
        kind: the dataclass that stands for a table; None for a plain value.
        many: whether the field holds a tuple of `kind`, or without one a tuple of plain values.
        variants: the subclasses of `kind` that may stand for a table, by what its ``kind`` says; the first by default.
    """

    expected: str
    accepts: Callable[[object], bool]
    kind: type | None = None
    many: bool = False
    variants: Mapping[str, type] | None = None


def whole(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
    )


def real(low: float, high: float, *, above: bool = False) -> Rule:
    """A finite number from `low` to `high`; above `low` where `above` is set."""

    def accepts(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (low < value if above else low <= value) and value <= high

    return Rule(f"a number {'above' if above else 'from'} {low:g} {'and up to' if above else 'to'} {high:g}", accepts)


def choice(*options: str) -> Rule:
    """One of the given words."""
    return Rule("one of " + ", ".join(options), lambda value: isinstance(value, str) and value in options)


def flag() -> Rule:
    """True or false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def either(first: Rule, second: Rule) -> Rule:
    """What one of two rules accepts."""
    return Rule(f"{first.expected}, or {second.expected}", lambda value: first.accepts(value) or second.accepts(value))


def name() -> Rule:
    """A word that can name a folder."""
    return Rule(
        "letters, digits, '-', '_' and '.', not starting with '.'",
        lambda value: (
            isinstance(value, str)
            and value != ""
            and not value.startswith(".")
            and all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in value)
        ),
    )


def label(*, empty: bool = False) -> Rule:
    """A word that can name a population; or none at all."""
    return Rule(
        "letters, digits and '_', no digit first, at most 64" + (", or nothing" if empty else ""),
        lambda value: isinstance(value, str) and ((empty and value == "") or _LABEL.fullmatch(value) is not None),
    )


def labels() -> Rule:
    """An array of words that can name populations, as a tuple; it may be empty."""
    one = label()
    return Rule(
        f"an array of words of {one.expected}",
        lambda value: isinstance(value, tuple) and all(map(one.accepts, value)),
        many=True,
    )


def pairing() -> Rule:
    """An array that says for each number from 0 what it is exchanged for, as a tuple; it may be empty."""

    def accepts(value: object) -> bool:
        if not isinstance(value, tuple) or not all(type(one) is int and 0 <= one < len(value) for one in value):
            return False
        return all(value[value[at]] == at for at in range(len(value)))

    return Rule("an array that exchanges 0, 1, 2, ... in pairs or leaves them as they are", accepts, many=True)


def instance(kind: type) -> Rule:
    """A table, as the dataclass that stands for it."""
    return Rule(f"a table ({kind.__name__})", lambda value: isinstance(value, kind), kind)


def several(kind: type, variants: Mapping[str, type] | None = None) -> Rule:
    """An array of tables, one or more, as a tuple of the dataclass that stands for each, or of its variants."""
    return Rule(
        f"one or more tables ({kind.__name__})",
        lambda value: isinstance(value, tuple) and len(value) > 0 and all(isinstance(one, kind) for one in value),
        kind,
        many=True,
        variants=variants,
    )


def ruled(rule: Rule, default: object = dataclasses.MISSING) -> Any:
    """Declare a field that accepts what `rule` does."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"rule": rule})
    return dataclasses.field(default=default, metadata={"rule": rule})


class Checked:
    """A dataclass that checks its fields' rules when it is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check(self)

    def expect_default(self, key: str, message: str) -> None:
        """Refuse a field, which nothing uses, unless it has its default; `message` goes on after what was found."""
        found = getattr(self, key)
        if found != getattr(type(self), key):
            raise UsageError(f"{key}: found {found!r} {message}")


def check(value: object) -> None:
    """Raise UsageError at the first field of a dataclass instance that breaks its rule."""
    for field in dataclasses.fields(cast(Any, value)):
        rule: Rule = field.metadata["rule"]
        found = getattr(value, field.name)
        if not rule.accepts(found):
            raise UsageError(f"{field.name}: found {found!r}; expected {rule.expected}")


def from_table(kind: type[T], found: object, *, where: str = "") -> T:
    """Make a dataclass from a TOML table.

    Raises:
        UsageError: an unknown or missing key, or a value that breaks its rule; the message starts with the dotted key.
    """
    if not isinstance(found, Mapping):
        raise UsageError(f"{where.rstrip('.')}: found {found!r}; expected a table")
    fields = {field.name: field for field in dataclasses.fields(cast(Any, kind))}
    values: dict[str, object] = {}
    for key, value in found.items():
        if key not in fields:
            raise UsageError(f"{where}{key}: found an unknown key; expected one of {', '.join(fields)}")
        values[key] = _value(fields[key], value, f"{where}{key}")
    for key, field in fields.items():
        if key not in values and field.default is dataclasses.MISSING:
            raise UsageError(f"{where}{key}: found nothing; expected {field.metadata['rule'].expected}")
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}{error}") from None


def _value(field: "dataclasses.Field[Any]", found: object, where: str) -> object:
    rule: Rule = field.metadata["rule"]
    if rule.kind is None:
        return tuple(found) if rule.many and isinstance(found, list) else found
    if not rule.many:
        return from_table(rule.kind, found, where=f"{where}.")
    if not isinstance(found, list):
        raise UsageError(f"{where}: found {found!r}; expected {rule.expected}")
    places = [(f"{where}[{at}].", one) for at, one in enumerate(found)]
    return tuple(from_table(_variant(rule, one, where=place), one, where=place) for place, one in places)


def _variant(rule: Rule, found: object, *, where: str) -> Any:
    """Return the dataclass that stands for one table of an array."""
    if rule.variants is None or not isinstance(found, Mapping):
        return rule.kind
    kind = found.get("kind", next(iter(rule.variants)))
    if not isinstance(kind, str) or kind not in rule.variants:
        raise UsageError(f"{where}kind: found {kind!r}; expected one of {', '.join(rule.variants)}")
    return rule.variants[kind]


def to_toml(value: object, *, prefix: str = "") -> str:
    """Return a dataclass instance as TOML text; reading it back gives an equal instance."""
    plain: list[str] = []
    nested: list[str] = []
    for field in dataclasses.fields(cast(Any, value)):
        found = getattr(value, field.name)
        path = f"{prefix}{field.name}"
        rule: Rule = field.metadata["rule"]
        if rule.kind is None:
            plain.append(f"{field.name} = {_scalar(found)}\n")
        elif rule.many:
            nested.extend(f"\n[[{path}]]\n{to_toml(one, prefix=f'{path}.')}" for one in found)
        else:
            nested.append(f"\n[{path}]\n{to_toml(found, prefix=f'{path}.')}")
    return "".join(plain + nested)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    # Words that pass a rule hold no quotes, backslashes or control characters.
    if isinstance(value, str):
        return f'"{value}"'
    # Numbers of other libraries are floats too, and have a repr of their own.
    return repr(float(value)) if isinstance(value, float) else repr(value)


def differences(one: object, other: object, *, where: str = "") -> list[tuple[str, object, object]]:
    """Return the dotted keys in which two instances of a dataclass differ, with both values."""
    found: list[tuple[str, object, object]] = []
    for field in dataclasses.fields(cast(Any, one)):
        left, right = getattr(one, field.name), getattr(other, field.name)
        key = f"{where}{field.name}"
        if left == right:
            continue
        rule: Rule = field.metadata["rule"]
        if rule.kind is None:
            found.append((key, left, right))
        elif not rule.many:
            found.extend(differences(left, right, where=f"{key}."))
        elif len(left) != len(right):
            found.append((f"the number of {key}", len(left), len(right)))
        else:
            for at, (a, b) in enumerate(zip(left, right, strict=True)):
                place = f"{key}[{at}]."
                found.extend(
                    differences(a, b, where=place) if type(a) is type(b) else [(f"{place}kind", a.kind, b.kind)]
                )
    return found
