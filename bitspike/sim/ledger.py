"""What a long verification has done so far, chunk by chunk, in a file: a run that was killed loses one chunk.

A line of JSON each: first what is verified, then the chunks in order. A line is written whole when its chunk is done;
where the last one is not whole, the run was killed while it was written, and the line is ignored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitspike.convert.json_values import expect_keys, parse_json, typed
from bitspike.errors import BitspikeError, FileError, UsageError
from bitspike.files import existing_file, replacing
from bitspike.sim.causes import Reason
from bitspike.sim.compare import Divergence, EngineResult
from bitspike.sim.coverage.seen import Seen, seen_from

FORMAT, VERSION = "bitspike.ledger", 2
_COUNTS = (
    "samples", "steps", "compared", "differing_spikes", "differing_currents", "differing_membranes", "latency"
)  # fmt: skip
_PLACE = {"sample": int, "step": int, "population": str, "neuron": int, "quantity": str}
_WRONG = (BitspikeError, KeyError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What came of the samples from `first` to before `last`.

    Attributes:
        latency, seconds: of the baseline.
        results: of each other engine that ran on them.
        seen: what the baseline's run reached; None where nobody asked.
    """

    first: int
    last: int
    latency: int
    seconds: float
    results: tuple[EngineResult, ...]
    seen: Seen | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, from which :func:`chunk_from` makes it again."""
        numbers = {key: getattr(self, key) for key in ("first", "last", "latency", "seconds")}
        results = [asdict(result) for result in self.results]
        return {**numbers, "results": results, "seen": None if self.seen is None else self.seen.as_json()}


class Ledger:
    """A file of chunks that are done.

    Args:
        path: of the file.
        resume: take up what a file there has noted, which must be of the same verification; without it a file that is
            there is refused, since somebody may want to go on with it.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False) -> None:
        self.path = Path(path)
        self.resume = resume

    def opened(self, about: Mapping[str, Any]) -> tuple[Chunk, ...]:
        """Begin the file of the verification that `about` tells of; the chunks that it has already.

        Raises:
            UsageError: there is a file, and nobody said `resume`.
            FileError: it is of another verification, damaged, or cannot be written.
        """
        head = {"format": FORMAT, "version": VERSION, **about}
        if not self.path.exists():
            self._write(head, ())
            return ()
        if not self.resume:
            raise UsageError(f"{self.path}: is there already; resume it, or remove it")
        text = existing_file(self.path).read_text(encoding="utf-8", errors="replace")
        lines = text.split("\n")[:-1]  # what follows the last line break was not written whole
        try:
            found = parse_json(lines[0]) if lines else None
            if not isinstance(found, dict):
                raise BitspikeError("is not a ledger of a verification")
            for key, value in head.items():
                if found.get(key) != value:
                    raise BitspikeError(f"is of another verification: {key} {found.get(key)!r}; expected {value!r}")
            chunks = tuple(map(chunk_from, map(parse_json, lines[1:])))
            _expect_order(chunks, int(about["samples"]))
        except _WRONG as error:
            raise FileError(self.path, str(error)) from None
        self._write(head, chunks)
        return chunks

    def note(self, chunk: Chunk) -> None:
        """Add a chunk that is done."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(chunk.as_json()) + "\n")
        except OSError as error:
            raise FileError(self.path, f"cannot be written ({error.strerror})") from None

    def _write(self, head: Mapping[str, Any], chunks: tuple[Chunk, ...]) -> None:
        lines = [json.dumps(head), *(json.dumps(chunk.as_json()) for chunk in chunks)]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def chunk_from(item: Any) -> Chunk:
    """The chunk that JSON tells of; BitspikeError, KeyError or TypeError for anything else."""
    expect_keys("chunk", item, {"first", "last", "latency", "seconds", "results", "seen"})
    numbers = {key: typed("chunk", item, key, int) for key in ("first", "last", "latency")}
    results = tuple(map(result_from, typed("chunk", item, "results", list)))
    seen = None if item["seen"] is None else seen_from(item["seen"])
    return Chunk(**numbers, seconds=typed("chunk", item, "seconds", float), results=results, seen=seen)


def result_from(item: Any) -> EngineResult:
    """The result that JSON tells of; BitspikeError, KeyError or TypeError for anything else."""
    expect_keys("result", item, {"engine", "against", "seconds", "first", "reason", *_COUNTS})
    counts = {key: typed("result", item, key, int) for key in _COUNTS}
    if min(counts.values()) < 0:
        raise BitspikeError("result: a count is negative; expected 0 or more")
    return EngineResult(
        engine=typed("result", item, "engine", str),
        against=typed("result", item, "against", str),
        seconds=typed("result", item, "seconds", float),
        first=None if item["first"] is None else _divergence(item["first"]),
        reason=None if item["reason"] is None else _reason(item["reason"]),
        **counts,
    )


def _divergence(item: Any) -> Divergence:
    expect_keys("first", item, {"engines", "values", "inputs", *_PLACE})
    one, two = (_text(name) for name in item["engines"])
    left, right = map(_whole, item["values"])
    inputs = tuple((_text(source), _whole(neuron), _whole(weight)) for source, neuron, weight in item["inputs"])
    place = {key: typed("first", item, key, kind) for key, kind in _PLACE.items()}
    return Divergence(engines=(one, two), values=(left, right), inputs=inputs, **place)


def _reason(item: Any) -> Reason:
    expect_keys("reason", item, {"cause", "where", "samples"})
    return Reason(
        cause=typed("reason", item, "cause", str),
        where=typed("reason", item, "where", str),
        samples=typed("reason", item, "samples", int),
    )


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"found {value!r}; expected a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"found {value!r}; expected a whole number")
    return value


def _expect_order(chunks: tuple[Chunk, ...], samples: int) -> None:
    """Chunks follow each other from sample 0 and have what they say."""
    place = 0
    for chunk in chunks:
        if chunk.first != place or not chunk.first < chunk.last <= samples or not chunk.results:
            raise BitspikeError(f"has samples {chunk.first} to {chunk.last} after {place}; expected consecutive chunks")
        place = chunk.last
