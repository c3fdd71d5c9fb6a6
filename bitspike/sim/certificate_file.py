"""Reads certificates, which come from strangers: each value is checked, and what is wrong told in one line."""

import os
from dataclasses import fields
from typing import Any

from bitspike.convert.json_values import expect_keys, parse_json, typed
from bitspike.errors import BitspikeError, FileError
from bitspike.files import existing_file
from bitspike.sim.certificate import COUNTS, FORMAT, VERSION, Certificate, EngineLine, Hashes, Inputs

MAX_BYTES = 1 << 20
MAX_ENGINES = 64
_KEYS = {
    "format", "version", "bitspike", "command", "inputs", "network", "data", "model", "against", "engines", "coverage",
    "passed",
}  # fmt: skip


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Read a certificate.

    Raises:
        FileError: in one line, for anything but what :meth:`Certificate.save` writes.
    """
    found = existing_file(path)
    try:
        with found.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BitspikeError(f"is larger than {MAX_BYTES} bytes")
        return _certificate_from(parse_json(data.decode("utf-8")))
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})") from None
    except BitspikeError as error:
        raise FileError(path, str(error)) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileError(path, f"is not a certificate ({str(error).splitlines()[0][:100]})") from None


def _certificate_from(item: Any) -> Certificate:
    if not isinstance(item, dict) or item.get("format") != FORMAT:
        raise BitspikeError("is not a certificate of bitspike")
    if type(item.get("version")) is not int or item["version"] != VERSION:
        raise BitspikeError(f"version {item.get('version')!r}; this bitspike reads {VERSION}")
    expect_keys("certificate", item, _KEYS)
    for key in ("network", "data"):
        expect_keys(key, item[key], {"name", "digest"})
    against = typed("certificate", item, "against", dict)
    lines = typed("certificate", item, "engines", list)
    if not 2 <= len(lines) <= MAX_ENGINES:
        raise BitspikeError(f"engines: {len(lines)}; expected 2 to {MAX_ENGINES}")
    inputs = _inputs_from(item["inputs"])
    if item["command"] != inputs.command():
        raise BitspikeError("command: is not that of the inputs")
    return Certificate(
        bitspike=typed("certificate", item, "bitspike", str),
        inputs=inputs,
        names=(typed("network", item["network"], "name", str), typed("data", item["data"], "name", str)),
        hashes=Hashes(
            network=_hash("network", item["network"]["digest"]),
            data=_hash("data", item["data"]["digest"]),
            model="" if item["model"] is None else _hash("model", item["model"]),
            against=tuple((label, _hash(f"against {label}", digest)) for label, digest in against.items()),
        ),
        engines=tuple(map(_line_from, lines)),
        passed=typed("certificate", item, "passed", bool),
        coverage=None if item["coverage"] is None else _numbers(item["coverage"]),
    )


def _inputs_from(item: Any) -> Inputs:
    expect_keys("inputs", item, {field.name for field in fields(Inputs)})
    names = ("network", "data", "run", "part", "encoder", "input_layer")
    texts = {key: typed("inputs", item, key, str) for key in names}
    samples = None if item["samples"] is None else _count("inputs", item, "samples")
    return Inputs(
        **texts,
        engines=_texts("engines", item["engines"]),
        against=_texts("against", item["against"]),
        seed=_count("inputs", item, "seed"),
        samples=samples,
        coverage=typed("inputs", item, "coverage", bool),
        adversarial=_count("inputs", item, "adversarial"),
    )


def _line_from(item: Any) -> EngineLine:
    expect_keys("engine", item, {field.name for field in fields(EngineLine)})
    counts = {key: _count("engine", item, key) for key in COUNTS}
    return EngineLine(
        engine=typed("engine", item, "engine", str), version=typed("engine", item, "version", str), **counts
    )


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_ENGINES or not all(type(entry) is str for entry in value):
        raise BitspikeError(f"inputs: {where} is {value!r}; expected a list of at most {MAX_ENGINES} texts")
    return tuple(value)


def _numbers(item: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(item, dict):
        raise BitspikeError(f"coverage: {type(item).__name__}; expected numbers by name")
    return tuple((name, _count("coverage", item, name)) for name in item)


def _count(where: str, item: dict[str, Any], key: str) -> int:
    value: int = typed(where, item, key, int)
    if value < 0:
        raise BitspikeError(f"{where}: {key} is {value}; expected 0 or more")
    return value


def _hash(where: str, value: Any) -> str:
    if type(value) is not str or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise BitspikeError(f"{where}: {value!r} is no SHA-256 in hexadecimal")
    return value
