"""The proof: engines side by side, compared for equality on every neuron at every step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bitspike.convert.collapse import TrainedModel
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import BitspikeError, FileError, UsageError
from bitspike.samples import Spikes, followed_by
from bitspike.sim.adversarial import adversarial as search
from bitspike.sim.chunks import Job, Piece, Plan, pieces, run_piece, samples_of
from bitspike.sim.compare import EngineResult, joined
from bitspike.sim.count_run import chunk_size
from bitspike.sim.coverage.result import Coverage, describe, gained
from bitspike.sim.coverage.seen import expect_fit, merged
from bitspike.sim.engines import engine
from bitspike.sim.ledger import Chunk, Ledger

if TYPE_CHECKING:
    from bitspike.sim.certificate import Certificate


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The outcome of :func:`verify`; prints as a table and, where engines part, the first place.

    Attributes:
        coverage: what the baseline's run reached; None where nobody asked.
        data_coverage: the same of the data alone, where adversarial inputs came after them.
        against: label and digest of each other network.
        adversarial: how many adversarial samples there were.
    """

    network: str
    digest: str
    data: str
    data_digest: str
    baseline: str
    engines: tuple[EngineResult, ...]
    coverage: Coverage | None = None
    data_coverage: Coverage | None = None
    against: tuple[tuple[str, str], ...] = ()
    adversarial: int = 0

    @property
    def passed(self) -> bool:
        """True where every engine is equal to the baseline."""
        return all(result.equal for result in self.engines)

    def certificate(self, network: str, data: str = "", **inputs: Any) -> "Certificate":
        """The certificate, whose ``save`` writes the file that ``bitspike verify --certificate`` runs again.

        Args:
            network: the file where the network lies; other networks lie where their labels say.
            data: name of the data, as the command takes it; empty where all were adversarial.
            inputs: how the data become spikes: ``part``, ``seed`` (of encoder and search), ``encoder``, ``samples``;
                see :class:`bitspike.sim.certificate.Inputs`.

        Raises:
            UsageError: engine ``torch`` ran, whose trained model only ``bitspike verify --run`` can name.
        """
        from bitspike.sim.certificate import Hashes, Inputs, certificate

        others = dict(self.against)
        engines = tuple(result.engine for result in self.engines if result.engine not in others)
        if "torch" in engines:
            raise UsageError("certificate: engine torch ran; expected bitspike verify --run RUN --certificate-out FILE")
        asked = Inputs(
            network=network,
            data=data,
            engines=engines,
            against=tuple(others),
            coverage=self.coverage is not None and not self.adversarial,
            adversarial=self.adversarial,
            **inputs,
        )
        hashes = Hashes(network=self.digest, data=self.data_digest, against=self.against)
        return certificate(self, asked, hashes=hashes)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {key: getattr(self, key) for key in ("network", "digest", "data", "data_digest", "baseline")}
        seen = {key: getattr(self, key) for key in ("coverage", "data_coverage")}
        return {
            "passed": self.passed,
            **found,
            "engines": [asdict(result) for result in self.engines],
            **{key: None if value is None else value.as_json() for key, value in seen.items()},
        }

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
        lines = [title, head, *rows, verdict]
        lines += [str(self.coverage)] if self.coverage else []
        lines += [gained(self.data_coverage, self.coverage)] if self.coverage and self.data_coverage else []

        return "\n".join(lines)


def verify(
    network: IntegerNetwork,
    model: TrainedModel | None = None,
    *,
    data: Spikes | None = None,
    engines: Sequence[str] = ("reference", "onnx"),
    against: Mapping[str, IntegerNetwork] | None = None,
    samples: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    notify: Callable[[str, int, int], None] | None = None,
    chunk: int | None = None,
    ledger: Ledger | None = None,
    coverage: bool = False,
    adversarial: int = 0,
    seed: int = 0,
    scheduler: str | None = None,
) -> Verification:
    """Run `network` on several engines and compare each with the first on every spike, current and membrane.

    Samples run in chunks, so that memory does not grow with the data.

    Args:
        network: the network, trained or in chip time; latencies are taken out.
        model: the trained model, for engine ``torch``; where it is given, ``torch`` is added to `engines`.
        data: encoded samples, or samples that are encoded part by part; none where `adversarial` ones are enough.
        engines: names of engines; the first is the baseline.
        against: other networks by a label, each run on the reference engine and compared too.
        samples: how many samples each engine gets; default: all, and the engine's own default for slow ones.
        options: extra arguments of an engine, by its name.
        notify: called before each run with what runs, its number from 0, and how many there are.
        chunk: samples that run together; chosen by size by default. No count depends on it.
        ledger: where each chunk is noted when it is done; those that are noted already are not run again.
        coverage: whether to tell which neurons, synapses and paths of the arithmetic the baseline's run reached.
        adversarial: how many samples to search for that drive the network where data do not go, and to run after the
            data, on all engines (:func:`bitspike.sim.adversarial.adversarial`); their coverage is told too.
        seed: of that search.
        scheduler: the address of a Dask cluster on whose workers the chunks run (:mod:`bitspike.sim.shards`); default:
            here. Nothing but the seconds depends on it.

    Returns:
        Counts of compared and differing values; never raises because of a difference.
    """
    jobs = _jobs(network, model, engines, against=against or {}, samples=samples, options=options or {})
    plan = Plan(network=network, jobs=jobs, coverage=coverage or adversarial > 0)
    feed = _feed(network, data, adversarial, seed)
    size = chunk if chunk is not None else max(1, chunk_size(network, feed.steps) // 2)
    parts = pieces(plan, len(feed) - adversarial, adversarial, size)
    digests = network.digest(), feed.digest()
    about = _about(plan, digests, samples=parts[-1].last, chunk=size, adversarial=adversarial)
    chunks = list(_noted(ledger, about, plan)) if ledger is not None else []
    for done in _coming(plan, feed, parts, tuple(chunks), notify=notify or _silent, scheduler=scheduler):
        chunks.append(done)
        if ledger is not None:
            ledger.note(done)
    of_data = [done for done, piece in zip(chunks, parts, strict=True) if not piece.extra]
    return Verification(
        network=network.name,
        digest=digests[0],
        data=feed.name,
        data_digest=digests[1],
        baseline=jobs[0].label,
        engines=_results(plan, chunks),
        coverage=_covered(plan, chunks, feed.steps),
        data_coverage=_covered(plan, of_data, feed.steps) if adversarial else None,
        against=tuple((label, other.digest()) for label, other in (against or {}).items()),
        adversarial=adversarial,
    )


def _about(plan: Plan, digests: tuple[str, str], *, samples: int, chunk: int, adversarial: int) -> dict[str, Any]:
    """What must be the same where a ledger's chunks are taken over."""
    named = [[job.label, job.engine, job.samples, job.network.digest()] for job in plan.jobs]
    about = {"network": digests[0], "data": digests[1], "jobs": named, "samples": samples, "chunk": chunk}
    return about | {"coverage": plan.coverage, "adversarial": adversarial}


def _coming(
    plan: Plan,
    feed: Spikes,
    parts: Sequence[Piece],
    chunks: tuple[Chunk, ...],
    *,
    notify: Callable[[str, int, int], None],
    scheduler: str | None,
) -> Iterator[Chunk]:
    """The chunks after those that are there, run here or on a cluster."""
    if scheduler is None:
        return _run(plan, feed, parts, chunks, notify)
    from bitspike.sim.shards import run_shards

    return run_shards(scheduler, plan, feed, parts[len(chunks) :], notify)


def _feed(network: IntegerNetwork, data: Spikes | None, adversarial: int, seed: int) -> Spikes:
    """The data, and the adversarial samples after them."""
    if data is not None and (len(data) < 1 or data.steps < 1):
        raise UsageError(f"data {data.name}: {len(data)} samples of {data.steps} steps; expected at least one of each")
    if adversarial < 0:
        raise UsageError(f"adversarial: {adversarial} samples; expected 0 or more")
    if not adversarial:
        if data is None:
            raise UsageError("data: none; expected samples, or how many adversarial ones to search for")
        return data
    more = search(network, adversarial, steps=None if data is None else data.steps, seed=seed)
    return more if data is None else followed_by(data, more)


def _run(
    plan: Plan, data: Spikes, parts: Sequence[Piece], done: Sequence[Chunk], tell: Callable[[str, int, int], None]
) -> Iterator[Chunk]:
    """Run the chunks after those that are `done`, one after the other."""
    runs = [len(plan.jobs_of(piece)) for piece in parts]
    parted = {result.engine for chunk in done for result in chunk.results if not result.equal}
    for number, piece in enumerate(parts[len(done) :], start=len(done)):

        def say(label: str, job: int, before: int = sum(runs[:number])) -> None:
            tell(label, before + job, sum(runs))

        chunk = run_piece(plan, piece, samples_of(data, piece), say, parted=parted)
        parted |= {result.engine for result in chunk.results if not result.equal}
        yield chunk


def _noted(ledger: Ledger, about: Mapping[str, Any], plan: Plan) -> tuple[Chunk, ...]:
    """The chunks that a ledger has; FileError where they are not of this network."""
    chunks = ledger.opened(about)
    for chunk in chunks:
        try:
            expect_fit(chunk.seen, plan.network if plan.coverage else None)
        except BitspikeError as error:
            raise FileError(ledger.path, str(error)) from None
    return chunks


def _results(plan: Plan, chunks: Sequence[Chunk]) -> tuple[EngineResult, ...]:
    """Of every engine over all chunks, the baseline first."""
    others = [[one for part in chunks for one in part.results if one.engine == job.label] for job in plan.jobs[1:]]
    results = tuple(map(joined, others))
    baseline = replace(
        results[0],
        engine=plan.jobs[0].label,
        against=plan.jobs[1].label,
        latency=max(one.latency for one in chunks),
        seconds=round(sum(one.seconds for one in chunks), 3),
    )
    return baseline, *results


def _covered(plan: Plan, chunks: Sequence[Chunk], steps: int) -> Coverage | None:
    """What the baseline reached in some chunks; None where it was not noted."""
    found = [chunk.seen for chunk in chunks if chunk.seen is not None]
    return describe(plan.network, merged(found), engine=plan.jobs[0].label, steps=steps) if found else None


def _jobs(
    network: IntegerNetwork,
    model: TrainedModel | None,
    engines: Sequence[str],
    *,
    against: Mapping[str, IntegerNetwork],
    samples: int | None,
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[Job, ...]:
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
    return tuple(jobs)


def _told(result: EngineResult) -> str:
    """The first place, and the reason where one is known."""
    known = f"{result.reason}" if result.reason else "none of the known causes explains all of it"
    return f"{result.first}\n  reason: {known}"


def _silent(label: str, number: int, total: int) -> None:
    """What `notify` is where nobody wants to know."""
