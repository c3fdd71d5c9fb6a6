"""The writer: a network as one C99 header and one source."""

import os
import re
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import UnsupportedError, UsageError
from bitspike.files import replacing
from bitspike.targets.c.tables import Parts

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WORD = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A generated pair of files.

    Attributes:
        name: prefix of its functions, and stem of the files.
        header, source: texts.
        rows: by input and population, how many steps `fired` keeps.
    """

    name: str
    header: str
    source: str
    rows: dict[str, int]


def write(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write `path`, ending in ``.c``, and the header beside it; the stem is the prefix of all names.

    Raises:
        UsageError: a stem that is no name in C: small letters, digits and ``_``.
        RangeError: where a state could leave 24 bits, and so an integer its type.
        UnsupportedError: several answers.
    """
    target = Path(path)
    if target.suffix != ".c":
        raise UsageError(f"{target}: ending {target.suffix!r}; expected .c")
    made = generate(network, target.stem)
    with replacing(target.with_suffix(".h")) as header, replacing(target) as source:
        header.write_text(made.header, encoding="utf-8")
        source.write_text(made.source, encoding="utf-8")


def generate(network: IntegerNetwork, name: str) -> Source:
    """Return the texts for a legal network whose range proof holds; see :func:`write`."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}; expected small letters, digits and _ (no digit first), at most 63")
    check_range(check(network))
    if len(network.answers()) != 1:
        listed = ", ".join(map(repr, network.answers()))
        raise UnsupportedError(f"network {network.name}: answers {listed}; C holds one")
    rows = {node.name: 1 + _longest(network, node.name) for node in network.nodes()}
    parts = Parts()
    context = _context(network, name, rows, parts)
    return Source(name=name, header=_print("network.h", context), source=_print("network.c", context), rows=rows)


def _longest(network: IntegerNetwork, name: str) -> int:
    return max((c.delay for c in network.outgoing(name)), default=0)


def _print(template: str, context: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
        autoescape=False,
    )  # fmt: skip
    text = files("bitspike.targets.c").joinpath(f"templates/{template}.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(context)


def _context(network: IntegerNetwork, name: str, rows: dict[str, int], parts: Parts) -> dict[str, Any]:
    populations = [_population(network, p, rows, parts) for p in network.populations]
    latest = max(network.latencies().values())
    binary = [p for p in network.populations if not p.graded]
    return {
        "name": name,
        "upper": name.upper(),
        "header": f"{name}.h",
        "title": re.sub(r"[^\w .,:()+-]", "_", network.name),
        "version": version("bitspike"),
        "digest": network.digest(),
        "steps": network.steps,
        "run_steps": network.steps + latest,
        "inputs": network.input_size,
        "input_words": -(-network.input_size // _WORD),
        "classes": sum(network.population(r.population).size for r in network.readouts),
        "populations": populations,
        "sources": [_source(node, rows) for node in network.nodes()],
        "entries": _entries(network, rows),
        "readouts": _readouts(network, rows),
        "tables": parts.tables,
        "windows": parts.windows,
        "functions": list(parts.functions.values()),
        "bits": parts.bits,
        "some_bits": bool(binary),
        "some_graded": len(binary) < len(network.populations),
        "some_decay": any(0 < d < DECAY_ONE for p in network.populations for d in (p.du, p.dv)),
    }


def _population(network: IntegerNetwork, p: Population, rows: dict[str, int], parts: Parts) -> dict[str, Any]:
    calls = [
        parts.call(network, connection, number, rows[connection.source])
        for number, connection in enumerate(network.connections)
        if connection.target == p.name
    ]
    return {
        "name": p.name,
        "size": p.size,
        "text": f"du {p.du}, dv {p.dv}, vth {p.vth}, reset {p.reset}",
        "start": p.start,
        "decay_u": _decay(f"{p.name}_u", p.size, DECAY_ONE - p.du),
        "decay_v": _decay(f"{p.name}_v", p.size, DECAY_ONE - p.dv),
        "threshold": p.vth << STATE_SHIFT,
        "zero": int(p.reset == "zero"),
        "shift": f"{p.payload_shift}, " if p.graded else "",
        "fire": "send" if p.graded else "fire",
        "bias": parts.constants(f"{p.name}_bias", p.bias),
        "rows": rows[p.name],
        "calls": calls,
    }


def _decay(state: str, size: int, keep: int) -> str:
    """The statement of a decay; empty where nothing is forgotten."""
    if keep == DECAY_ONE:
        return ""
    return f"decay(state->{state}, {size}, {keep});" if keep else f"clear(state->{state}, {size});"


def _source(node: Any, rows: dict[str, int]) -> dict[str, Any]:
    graded = isinstance(node, Population) and node.graded
    width = node.size if graded else -(-node.size // _WORD)
    return {"name": node.name, "rows": rows[node.name], "width": width, "type": "int32_t" if graded else "uint64_t"}


def _entries(network: IntegerNetwork, rows: dict[str, int]) -> list[dict[str, Any]]:
    """How the words of each input are cut out of those of all inputs."""
    found, first = [], 0
    for one in network.inputs:
        words, last = -(-one.size // _WORD), first + one.size
        word, shift = first // _WORD, first % _WORD
        text = f"input[{word} + j]" if word else "input[j]"
        if shift:
            text = f"{text} >> {shift}"
            if last > (word + 1) * _WORD:
                after = f"(j + {word + 1} < {-(-network.input_size // _WORD)} ? input[j + {word + 1}] : 0)"
                text = f"({text} | {after} << {_WORD - shift})"
        if one.size % _WORD and len(network.inputs) > 1:
            text = f"({text}) & (j == {words - 1} ? UINT64_C({(1 << one.size % _WORD) - 1:#x}) : ~UINT64_C(0))"
        found.append({"name": one.name, "rows": rows[one.name], "words": words, "word": text})
        first = last
    return found


def _readouts(network: IntegerNetwork, rows: dict[str, int]) -> list[dict[str, Any]]:
    found, at = [], 0
    for readout in network.readouts:
        p = network.population(readout.population)
        window = {"first": p.start, "last": p.start + network.steps - 1}
        found.append(
            {"population": p.name, "kind": readout.kind, "size": p.size, "rows": rows[p.name], "at": at, **window}
        )
        at += p.size
    return found
