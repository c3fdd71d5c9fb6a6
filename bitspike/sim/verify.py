"""The proof: engines side by side, compared for equality on every neuron at every step."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from bitspike.convert.collapse import TrainedModel
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import Spikes
from bitspike.sim.compare import EngineResult, compare, joined
from bitspike.sim.count_run import chunk_size
from bitspike.sim.engines import engine
from bitspike.sim.ledger import Chunk, Ledger
from bitspike.sim.record import Record
from bitspike.sim.run import simulate


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The outcome of :func:`verify`; prints as a table and, where engines part, the first place."""

    network: str
    digest: str
    data: str
    data_digest: str
    baseline: str
    engines: tuple[EngineResult, ...]

    @property
    def passed(self) -> bool:
        """True where every engine is equal to the baseline."""
        return all(result.equal for result in self.engines)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        head = f"{'engine':<12} {'samples':>7} {'compared':>12} {'spikes':>8} {'currents':>8} {'membranes':>9} {'s':>7}"
        rows = [
            f"{r.engine:<12} {r.samples:>7} {r.compared:>12,} {r.differing_spikes:>8} {r.differing_currents:>8} "
            f"{r.differing_membranes:>9} {r.seconds:>7.2f}"
            for r in self.engines
        ]
        verdict = (
            f"equal: every compared value of every engine is that of {self.baseline}"
            if self.passed
            else "\n".join(_told(r) for r in self.engines[1:] if r.first)
        )
        title = f"network {self.network} on {self.data}, differences from {self.baseline}:"
        return "\n".join([title, head, *rows, verdict])


class Job(NamedTuple):
    """One run of each chunk: the label, the network, the engine with its options, and how many samples it gets."""

    label: str
    network: IntegerNetwork
    engine: str
    options: dict[str, Any]
    samples: int | None


def verify(
    network: IntegerNetwork,
    model: TrainedModel | None = None,
    *,
    data: Spikes,
    engines: Sequence[str] = ("reference", "onnx"),
    against: Mapping[str, IntegerNetwork] | None = None,
    samples: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    notify: Callable[[str, int, int], None] | None = None,
    chunk: int | None = None,
    ledger: Ledger | None = None,
) -> Verification:
    """Run `network` on several engines and compare each with the first on every spike, current and membrane.

    Samples run in chunks, so that memory does not grow with the data.

    Args:
        network: the network, trained or in chip time; latencies are taken out.
        model: the trained model, for engine ``torch``; where it is given, ``torch`` is added to `engines`.
        data: encoded samples, or samples that are encoded part by part.
        engines: names of engines; the first is the baseline.
        against: other networks by a label, each run on the reference engine and compared too.
        samples: how many samples each engine gets; default: all, and the engine's own default for slow ones.
        options: extra arguments of an engine, by its name.
        notify: called before each run with what runs, its number from 0, and how many there are.
        chunk: samples that run together; chosen by size by default. No count depends on it.
        ledger: where each chunk is noted when it is done; those that are noted already are not run again.

    Returns:
        Counts of compared and differing values; never raises because of a difference.
    """
    jobs = _jobs(network, model, engines, against=against or {}, samples=samples, options=options or {})
    digests = network.digest(), data.digest()
    chunks = _chunks(network, jobs, data, digests, chunk=chunk, ledger=ledger, tell=notify or _silent)
    others = [[one for part in chunks for one in part.results if one.engine == job.label] for job in jobs[1:]]
    results = tuple(map(joined, others))
    baseline = replace(
        results[0],
        engine=jobs[0].label,
        against=jobs[1].label,
        latency=max(one.latency for one in chunks),
        seconds=round(sum(one.seconds for one in chunks), 3),
    )
    return Verification(
        network=network.name,
        digest=digests[0],
        data=data.name,
        data_digest=digests[1],
        baseline=jobs[0].label,
        engines=(baseline, *results),
    )


def _chunks(
    network: IntegerNetwork,
    jobs: Sequence[Job],
    data: Spikes,
    digests: tuple[str, str],
    *,
    chunk: int | None,
    ledger: Ledger | None,
    tell: Callable[[str, int, int], None],
) -> list[Chunk]:
    """What came of all chunks: those that the ledger has, and the others."""
    size = chunk if chunk is not None else max(1, chunk_size(network, data.steps) // 2)
    total = min(max(_limit(job, data) for job in jobs[1:]), _limit(jobs[0], data))
    if size < 1:
        raise UsageError(f"chunk: {size}; expected 1 or more")
    if total < 1 or data.steps < 1:
        raise UsageError(f"data {data.name}: {len(data)} samples of {data.steps} steps; expected at least one of each")
    named = [[job.label, job.engine, job.samples, job.network.digest()] for job in jobs]
    about = {"network": digests[0], "data": digests[1], "jobs": named, "samples": total, "chunk": size}
    chunks = list(ledger.opened(about)) if ledger is not None else []
    first = chunks[-1].last if chunks else 0
    for done in _run(network, jobs, data, range(first, total, size), tell):
        chunks.append(done)
        if ledger is not None:
            ledger.note(done)
    return chunks


def _jobs(
    network: IntegerNetwork,
    model: TrainedModel | None,
    engines: Sequence[str],
    *,
    against: Mapping[str, IntegerNetwork],
    samples: int | None,
    options: Mapping[str, Mapping[str, Any]],
) -> list[Job]:
    """What runs, the baseline first."""
    chosen = list(dict.fromkeys([*engines, *(["torch"] if model is not None else [])]))
    if not chosen:
        raise UsageError("engines: none given; expected one or more")
    extra = {name: dict(options.get(name, {})) for name in chosen}
    if model is not None:
        extra["torch"]["model"] = model
    limits = {name: samples if samples is not None else engine(name).samples for name in chosen}
    jobs = [Job(name, network, name, extra[name], limits[name]) for name in chosen]
    jobs += [Job(label, other, "reference", {}, samples) for label, other in against.items()]
    twice = {label for label in against if label in chosen}
    if twice:
        raise UsageError(f"against: {', '.join(sorted(twice))} is the name of an engine; expected another label")
    if len(jobs) < 2:
        raise UsageError(f"engines: only {chosen[0]}; expected two or more, or a network to compare with")
    return jobs


def _run(
    network: IntegerNetwork,
    jobs: Sequence[Job],
    data: Spikes,
    starts: range,
    tell: Callable[[str, int, int], None],
) -> Iterator[Chunk]:
    """Run the jobs on chunk after chunk and compare each with the first."""
    number = starts.start // starts.step * len(jobs)
    runs = number + len(starts) * len(jobs)
    for first in starts:
        last = min(first + starts.step, starts.stop)
        tell(jobs[0].label, number, runs)
        record, seconds = _timed(jobs[0], data, first, last)
        results = []
        for position, job in enumerate(jobs[1:], start=1):
            if first and first >= _limit(job, data):
                continue
            tell(job.label, number + position, runs)
            other, other_seconds = _timed(job, data, first, min(last, _limit(job, data)))
            result = compare(network, record, other, (jobs[0].label, job.label), offset=first)
            results.append(replace(result, latency=_late(other), seconds=other_seconds))
        number += len(jobs)
        yield Chunk(first=first, last=last, latency=_late(record), seconds=seconds, results=tuple(results))


def _timed(job: Job, data: Spikes, first: int, last: int) -> tuple[Record, float]:
    part = data.part(first, last)
    begin = time.perf_counter()
    record = simulate(job.network, part, engine_name=job.engine, **job.options)
    return record, round(time.perf_counter() - begin, 3)


def _limit(job: Job, data: Spikes) -> int:
    """Samples that a job gets; UsageError where that makes no sense."""
    if job.samples is not None and job.samples < 1:
        raise UsageError(f"samples: {job.samples}; expected 1 or more")
    return len(data) if job.samples is None else min(job.samples, len(data))


def _told(result: EngineResult) -> str:
    """The first place, and the reason where one is known."""
    known = f"{result.reason}" if result.reason else "none of the known causes explains all of it"
    return f"{result.first}\n  reason: {known}"


def _silent(label: str, number: int, total: int) -> None:
    """What `notify` is where nobody wants to know."""


def _late(record: Record) -> int:
    return max(record.latency.values())
