"""A verification cut into chunks of samples: which there are, and what comes of one of them.

A chunk depends on nothing but its own samples, so that chunks run one after the other here, or anywhere in any order
(:mod:`bitspike.sim.shards`), with the same counts.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData, Spikes
from bitspike.sim.compare import compare
from bitspike.sim.coverage.seen import see
from bitspike.sim.ledger import Chunk
from bitspike.sim.record import Record
from bitspike.sim.run import simulate


class Job(NamedTuple):
    """One run of each chunk: the label, the network, the engine with its options, and how many samples it gets."""

    label: str
    network: IntegerNetwork
    engine: str
    options: dict[str, Any]
    samples: int | None


class Piece(NamedTuple):
    """The samples of one chunk: from `first` to before `last` of those that run.

    `extra` where every job gets them, whatever its limit; `skip` samples of the data lie before them that nobody runs.
    """

    first: int
    last: int
    extra: bool = False
    skip: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is done with every chunk.

    Attributes:
        network: whose populations are compared.
        jobs: what runs, the baseline first.
        coverage: whether what the baseline reached is noted.
    """

    network: IntegerNetwork
    jobs: tuple[Job, ...] = field(repr=False)
    coverage: bool = False

    def jobs_of(self, piece: Piece) -> list[Job]:
        """The jobs that run on `piece`; a slow one may have had all its samples."""
        others = [job for job in self.jobs[1:] if piece.extra or job.samples is None or piece.first < job.samples]
        return [self.jobs[0], *others]


def pieces(plan: Plan, samples: int, extra: int, size: int) -> list[Piece]:
    """The chunks of `samples` samples of data and of `extra` ones after them, of at most `size` samples each.

    Raises:
        UsageError: where a size makes no sense, or nothing is left to do.
    """
    if size < 1:
        raise UsageError(f"chunk: {size}; expected 1 or more")
    limits = [samples if job.samples is None else min(job.samples, samples) for job in plan.jobs]
    for job in plan.jobs:
        if job.samples is not None and job.samples < 1:
            raise UsageError(f"samples: {job.samples}; expected 1 or more")
    total = min(limits[0], max(limits[1:]))
    found = [Piece(first, min(first + size, total)) for first in range(0, total, size)]
    end = total + extra
    return found + [Piece(n, min(n + size, end), True, samples - total) for n in range(total, end, size)]


def samples_of(data: Spikes, piece: Piece) -> SpikeData:
    """The samples of a chunk."""
    return data.part(piece.first + piece.skip, piece.last + piece.skip)


def run_piece(
    plan: Plan,
    piece: Piece,
    data: SpikeData,
    tell: Callable[[str, int], None] | None = None,
    *,
    parted: Collection[str] = (),
) -> Chunk:
    """Run the jobs on the samples `data` of `piece`, compare each with the first, and see what the first one reached.

    Args:
        plan: what is done.
        piece: where in the data the samples lie.
        data: the samples.
        tell: called before each run with its label and its number within the piece.
        parted: labels of jobs that differed in an earlier chunk, whose reason is looked for no more.
    """
    results = []
    baseline, *others = plan.jobs_of(piece)
    said = tell or _silent
    said(baseline.label, 0)
    record, seconds = _timed(baseline, data)
    for number, job in enumerate(others, start=1):
        said(job.label, number)
        limit = len(data) if piece.extra or job.samples is None else job.samples - piece.first
        other, other_seconds = _timed(job, data.part(0, limit) if limit < len(data) else data)
        names = baseline.label, job.label
        result = compare(plan.network, record, other, names, offset=piece.first, explain=job.label not in parted)
        results.append(replace(result, latency=_late(other), seconds=other_seconds))
    return Chunk(
        first=piece.first,
        last=piece.last,
        latency=_late(record),
        seconds=seconds,
        results=tuple(results),
        seen=see(plan.network, record) if plan.coverage else None,
    )


def _timed(job: Job, data: SpikeData) -> tuple[Record, float]:
    begin = time.perf_counter()
    record = simulate(job.network, data, engine_name=job.engine, **job.options)
    return record, round(time.perf_counter() - begin, 3)


def _late(record: Record) -> int:
    return max(record.latency.values())


def _silent(label: str, number: int) -> None:
    """What `tell` is where nobody wants to know."""
