"""The command that verifies: engines side by side, or a certificate run again."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.cli.console import Json, progress, show
from bitspike.cli.proof import Encoder, InputLayer, Part, Samples, Seed
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData, SpikeParts
from bitspike.sim.certificate import Certificate, Hashes, Inputs, certificate
from bitspike.sim.verify import Verification

if TYPE_CHECKING:
    from bitspike.train.run import Run

_Net = Annotated[
    str | None,
    typer.Argument(
        metavar="NET",
        help="A network file: .safetensors, .nir, .onnx or .net; or a committee's folder, without --run; "
        "default: the certificate's.",
    ),
]
_Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Run a certificate again; NET, --data and --run may say where its files are now.",
    ),
]
_CertificateOut = Annotated[
    Path | None, typer.Option("--certificate-out", metavar="FILE", help="Write a certificate, JSON, here.")
]
_Coverage = Annotated[
    bool,
    typer.Option("--coverage", help="Also tell which neurons, synapses and paths of the arithmetic the data reached."),
]
_Adversarial = Annotated[
    int,
    typer.Option(
        "--adversarial",
        metavar="N",
        help="Search for N inputs, with --seed, that drive the network where data do not go; run them too, on all "
        "engines, and tell the coverage. --data may be left out.",
    ),
]
_Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Run on the workers of this Dask scheduler: tcp://HOST:8786."),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the FILE.partial that a stopped --certificate-out FILE left.")
]
_Engines = Annotated[
    list[str] | None, typer.Option("--engine", help="An engine; again for more. The first is the baseline.")
]
_Data = Annotated[str | None, typer.Option("--data", help="As for simulate; default: the test part of --run.")]
_Run = Annotated[Path | None, typer.Option("--run", help="The run folder of the trained network (engine torch).")]
_Against = Annotated[
    list[Path] | None, typer.Option("--against", help="Another network file to compare with; again for more.")
]
_Chunk = Annotated[
    int | None, typer.Option("--chunk", help="Samples that run together; default: as many as take 128 MiB.")
]


def verify(
    net: _Net = None,
    data: _Data = None,
    engine: _Engines = None,
    run: _Run = None,
    against: _Against = None,
    part: Part = "test",
    seed: Seed = 0,
    samples: Samples = None,
    encoder: Encoder = None,
    input_layer: InputLayer = None,
    chunk: _Chunk = None,
    certificate_file: _Certificate = None,
    certificate_out: _CertificateOut = None,
    coverage: _Coverage = False,
    adversarial: _Adversarial = 0,
    scheduler: _Scheduler = None,
    resume: _Resume = False,
    as_json: Json = False,
) -> None:
    """Run engines side by side: equal, or the first divergence and exit code 1."""
    if resume and certificate_out is None:
        raise UsageError("--resume: goes on with what --certificate-out had begun; expected that option too")
    if certificate_file is not None:
        others = (engine, against, samples, encoder, input_layer, certificate_out, coverage, adversarial, seed)
        if any(others) or part != "test":
            raise UsageError("--certificate: says all but where files are; expected only NET, --data and --run beside")
        _again(certificate_file, net, data, run, chunk=chunk, scheduler=scheduler, as_json=as_json)
        return
    inputs = _inputs(
        net,
        data,
        run,
        engines=engine,
        against=against,
        part=part,
        seed=seed,
        samples=samples,
        encoder=encoder,
        input_layer=input_layer,
        coverage=coverage,
        adversarial=adversarial,
    )
    if Path(inputs.network).is_dir():
        _committee(inputs, certificate_out, chunk=chunk, scheduler=scheduler, as_json=as_json)
        return
    asked = _opened(inputs)
    result = asked.verify(chunk=chunk, scheduler=scheduler, ledger=certificate_out, resume=resume)
    if certificate_out is not None:
        certificate(result, inputs, hashes=asked.hashes(result)).save(certificate_out)
        _partial(certificate_out).unlink(missing_ok=True)
    show(result, result.as_json(), as_json)
    if not result.passed:
        raise typer.Exit(1)


def _inputs(
    net: str | None,
    data: str | None,
    run: Path | None,
    *,
    engines: list[str] | None,
    against: list[Path] | None,
    part: Part,
    seed: int,
    samples: int | None,
    encoder: str | None,
    input_layer: Path | None,
    coverage: bool,
    adversarial: int,
) -> Inputs:
    """What is asked for, where it is enough and not too much."""
    if net is None:
        raise UsageError("NET: missing; expected a network file, or --certificate")
    if data is None and run is None and not adversarial:
        raise UsageError("--data: missing; expected a data set, or --run whose test part is then taken")
    if adversarial < 0:
        raise UsageError(f"--adversarial: {adversarial}; expected 0 or more")
    if encoder is not None and input_layer is not None:
        raise UsageError("--encoder and --input-layer exclude each other; expected one of them")
    return Inputs(
        network=net,
        data=data or "",
        engines=tuple(engines or (["reference"] if against or run else ["reference", "onnx"])),
        against=tuple(map(str, against or ())),
        run="" if run is None else str(run),
        part=part,
        seed=seed,
        encoder=encoder or "",
        input_layer="" if input_layer is None else str(input_layer),
        samples=samples,
        coverage=coverage,
        adversarial=adversarial,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """The inputs of a verification, loaded."""

    inputs: Inputs
    network: IntegerNetwork
    data: SpikeData | SpikeParts | None
    against: dict[str, IntegerNetwork]
    trained: "Run | None"

    def verify(
        self, *, chunk: int | None, scheduler: str | None, ledger: Path | None = None, resume: bool = False
    ) -> Verification:
        """Run the engines."""
        from bitspike.sim.ledger import Ledger
        from bitspike.sim.verify import verify as verify_network

        with progress("verify") as notify:
            return verify_network(
                self.network,
                self.trained.model if self.trained else None,
                data=self.data,
                engines=self.inputs.engines,
                against=self.against,
                samples=self.inputs.samples,
                notify=notify,
                chunk=chunk,
                scheduler=scheduler,
                coverage=self.inputs.coverage,
                adversarial=self.inputs.adversarial,
                seed=self.inputs.seed,
                ledger=None if ledger is None else Ledger(_partial(ledger), resume=resume),
            )

    def hashes(self, result: Verification | None = None) -> Hashes:
        """Of all that was loaded; those of network and data are taken from `result` where it is there.

        Without it, the hash of data with adversarial samples is not known yet, and empty.
        """
        known = self.data.digest() if result is None and self.data is not None and not self.inputs.adversarial else ""
        return Hashes(
            network=result.digest if result else self.network.digest(),
            data=result.data_digest if result else known,
            model=self.trained.model_digest() if self.trained else "",
            against=tuple((path, other.digest()) for path, other in self.against.items()),
        )


def _committee(
    inputs: Inputs, certificate_out: Path | None, *, chunk: int | None, scheduler: str | None, as_json: bool
) -> None:
    """Verify every member of a committee; exit code 1 where one of them differs."""
    from bitspike.convert.committee_files import load_members

    if certificate_out or inputs.run or inputs.against:
        options = "--certificate-out, --run or --against"
        raise UsageError(f"{inputs.network}: a committee's folder; expected no {options} beside it")
    members = load_members(inputs.network)
    asked = _opened(inputs, next(iter(members.values())))
    results = {
        name: replace(asked, network=member).verify(chunk=chunk, scheduler=scheduler)
        for name, member in members.items()
    }
    failed = [name for name, result in results.items() if not result.passed]
    said = [f"{name}: {result}" for name, result in results.items()]
    said.append(f"{len(results) - len(failed)} of {len(results)} members are equal on all engines")
    found = {name: result.as_json() for name, result in results.items()}
    show("\n".join(said), {"passed": not failed, "members": found}, as_json)
    if failed:
        raise typer.Exit(1)


def _opened(inputs: Inputs, member: IntegerNetwork | None = None) -> _Asked:
    """Load what the inputs name; `member` in place of the network."""
    from bitspike.api import encode, load_parts
    from bitspike.convert.formats import load

    network = load(inputs.network) if member is None else member
    trained = None
    if inputs.run:
        from bitspike.train import load_run

        trained = load_run(inputs.run)
    data: SpikeData | SpikeParts | None
    if not inputs.data:
        if trained is None and not inputs.adversarial:
            raise UsageError("--data: missing; expected a data set, or --run whose test part is then taken")
        data = trained.test if trained else None
    elif inputs.input_layer:
        data = encode(inputs.data, inputs.input_layer, steps=network.steps)
    else:
        options = {"encoder": inputs.encoder} if inputs.encoder else {}
        data = load_parts(inputs.data, part=inputs.part, steps=network.steps, seed=inputs.seed, **options)
    return _Asked(
        inputs=inputs,
        network=network,
        data=data if inputs.samples is None or data is None else data.first(inputs.samples),
        against={path: load(path) for path in inputs.against},
        trained=trained,
    )


def _again(
    path: Path,
    net: str | None,
    data: str | None,
    run: Path | None,
    *,
    chunk: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Run a certificate again; exit code 1 where a hash, a count or the result is another."""
    from bitspike.sim.certificate_file import read_certificate

    before = read_certificate(path)
    inputs = replace(
        before.inputs,
        network=net or before.inputs.network,
        data=data or before.inputs.data,
        run=before.inputs.run if run is None else str(run),
    )
    asked = _opened(inputs)
    early = asked.hashes()
    early = replace(early, data=early.data or before.hashes.data)  # that of adversarial samples follows from the search
    different = before.hashes.differences(early)
    if different:
        _tell(path, different, (), {}, as_json=as_json)
    result = asked.verify(chunk=chunk, scheduler=scheduler)
    now: Certificate = certificate(result, inputs, hashes=asked.hashes(result))
    _tell(path, before.differences(now), before.other_versions(now), result.as_json(), result, as_json=as_json)


def _tell(
    path: Path,
    different: tuple[str, ...],
    versions: tuple[str, ...],
    more: dict[str, Any],
    result: Verification | None = None,
    *,
    as_json: bool,
) -> None:
    """Say what came of a certificate; leave with exit code 1 where it does not hold."""
    verdict = f"{path}: does not hold" if different else f"{path}: holds, every hash and count is the same"
    lines = [*([str(result)] if result else []), *(f"note: {line}" for line in versions), verdict]
    lines += [f"  {line}" for line in different]
    answer = {"holds": not different, "differences": list(different), "versions": list(versions), **more}
    show("\n".join(lines), answer, as_json)
    if different:
        raise typer.Exit(1)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")
