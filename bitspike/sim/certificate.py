"""A certificate: what was verified with what result, in a file from which anyone can run it again.

==============  =================================================================================================
key             contents
==============  =================================================================================================
``format``      ``bitspike.certificate``
``version``     2
``bitspike``    the version that wrote it
``command``     the command that makes it again
``inputs``      where network, data, trained run and other networks are, and how the data are encoded
``network``     name, and digest: SHA-256 of the network's contents, the same whatever file it lies in
``data``        name, and digest: SHA-256 of the spikes and the labels
``model``       SHA-256 of the trained model's file; null where engine ``torch`` did not run
``against``     digest of each other network
``engines``     of each engine: name, version, samples, steps, compared values, and how many of them differ
``coverage``    what the first engine's run reached, numbers by name; null where nobody asked
``passed``      whether every value of every engine was that of the first
==============  =================================================================================================

A certificate proves nothing by itself: :meth:`Certificate.differences` holds it against a new run.
:func:`bitspike.sim.certificate_file.read_certificate` reads one.
"""

import json
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from bitspike.files import replacing
from bitspike.sim.engines import ENGINES
from bitspike.sim.verify import Verification

FORMAT, VERSION = "bitspike.certificate", 2
#: Distributions of which the version of an engine is made, beside bitspike itself.
_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "reference": ("numpy",),
    "fast": ("numba",),
    "gpu": ("torch",),
    "torch": ("torch",),
    "onnx": ("onnxruntime", "onnx"),
    "lava": ("lava-nc",),
    "netx": ("lava-nc", "lava-dl"),
    "lava-models": ("lava-nc",),
}
#: What is counted of each engine.
COUNTS = ("samples", "steps", "compared", "differing_spikes", "differing_currents", "differing_membranes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a verification was asked: paths as they were given, and how data become spikes.

    Attributes:
        network: path of the network.
        data: name of the data; empty for the test part of `run`.
        engines: names, the baseline first.
        against: paths of other networks.
        run: folder of the trained run; empty for none.
        part, seed, encoder, input_layer: as the command takes them; empty where not given.
        samples: the first so many; None for all.
        coverage: whether coverage was counted.
        adversarial: how many samples were searched for, with `seed`, to run after the data.
    """

    network: str
    data: str
    engines: tuple[str, ...]
    against: tuple[str, ...] = ()
    run: str = ""
    part: str = "test"
    seed: int = 0
    encoder: str = ""
    input_layer: str = ""
    samples: int | None = None
    coverage: bool = False
    adversarial: int = 0

    def command(self) -> str:
        """The command that asks the same."""
        words = ["bitspike", "verify", self.network]
        words += [word for name in self.engines for word in ("--engine", name)]
        words += [word for path in self.against for word in ("--against", path)]
        plain = (
            ("--data", self.data), ("--run", self.run), ("--encoder", self.encoder), ("--input-layer", self.input_layer)
        )  # fmt: skip
        words += [word for option, value in plain if value for word in (option, value)]
        words += ["--part", self.part] if self.part != "test" else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--samples", str(self.samples)] if self.samples is not None else []
        words += ["--coverage"] if self.coverage else []
        words += ["--adversarial", str(self.adversarial)] if self.adversarial else []
        return shlex.join(words)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLine:
    """What a certificate says of one engine."""

    engine: str
    version: str
    samples: int
    steps: int
    compared: int
    differing_spikes: int
    differing_currents: int
    differing_membranes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashes:
    """SHA-256 of everything that went into a verification, in hexadecimal; `model` is empty where there was none."""

    network: str
    data: str
    model: str = ""
    against: tuple[tuple[str, str], ...] = ()

    def differences(self, now: "Hashes") -> tuple[str, ...]:
        """Which of them are others now, in a line each."""
        ours, theirs = dict(self.against), dict(now.against)
        pairs = [(key, getattr(self, key), getattr(now, key)) for key in ("network", "data", "model")]
        pairs += [(f"network {path}", digest, theirs.get(path, "")) for path, digest in ours.items()]
        return tuple(
            f"{what} has changed: the certificate has hash {before[:12] or 'none'}, now {after[:12] or 'none'}"
            for what, before, after in pairs
            if before != after
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What :mod:`bitspike.sim.certificate` says of the file."""

    bitspike: str
    inputs: Inputs
    names: tuple[str, str]
    hashes: Hashes
    engines: tuple[EngineLine, ...]
    passed: bool
    coverage: tuple[tuple[str, int], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the table."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "bitspike": self.bitspike,
            "command": self.inputs.command(),
            "inputs": asdict(self.inputs),
            "network": {"name": self.names[0], "digest": self.hashes.network},
            "data": {"name": self.names[1], "digest": self.hashes.data},
            "model": self.hashes.model or None,
            "against": dict(self.hashes.against),
            "engines": [asdict(line) for line in self.engines],
            "coverage": None if self.coverage is None else dict(self.coverage),
            "passed": self.passed,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")

    def differences(self, now: "Certificate") -> tuple[str, ...]:
        """What a new run gives otherwise, in a line each: hashes, counts and the result; versions are no difference."""
        found = list(self.hashes.differences(now.hashes))
        lines = {line.engine: line for line in now.engines}
        for line in self.engines:
            other = lines.get(line.engine)
            found += [
                f"engine {line.engine}: {key.replace('_', ' ')} {getattr(line, key)} in the certificate, "
                f"now {getattr(other, key) if other else 'not run'}"
                for key in COUNTS
                if other is None or getattr(line, key) != getattr(other, key)
            ]
        before, after = dict(self.coverage or ()), dict(now.coverage or ())
        found += [
            f"coverage of {name}: {before.get(name, 'none')} in the certificate, now {after.get(name, 'none')}"
            for name in dict.fromkeys([*before, *after])
            if before.get(name) != after.get(name)
        ]
        if self.passed != now.passed:
            told = {True: "equal", False: "not equal"}
            found.append(f"result: {told[self.passed]} in the certificate, now {told[now.passed]}")
        return tuple(found)

    def other_versions(self, now: "Certificate") -> tuple[str, ...]:
        """Engines that have another version now, in a line each."""
        versions = {line.engine: line.version for line in now.engines}
        return tuple(
            f"engine {line.engine} was {line.version}, now {versions[line.engine]}"
            for line in self.engines
            if versions.get(line.engine, line.version) != line.version
        )


def certificate(result: Verification, inputs: Inputs, *, hashes: Hashes | None = None) -> Certificate:
    """The certificate of a verification.

    Args:
        result: what came of it.
        inputs: what it was asked.
        hashes: of the model and of other networks too, where there were any.
    """
    lines = tuple(
        EngineLine(engine=row.engine, version=engine_version(row.engine), **{key: getattr(row, key) for key in COUNTS})
        for row in result.engines
    )
    return Certificate(
        bitspike=_version("bitspike"),
        inputs=inputs,
        names=(result.network, result.data),
        hashes=hashes or Hashes(network=result.digest, data=result.data_digest),
        engines=lines,
        passed=result.passed,
        coverage=None if result.coverage is None else tuple(result.coverage.summary().items()),
    )


def engine_version(name: str) -> str:
    """Versions of bitspike and of the packages with which an engine computes; another network's is the reference."""
    packages = ("bitspike", *_DISTRIBUTIONS.get(name, () if name in ENGINES else _DISTRIBUTIONS["reference"]))
    found = [f"{package} {_version(package)}" for package in packages]
    return ", ".join([*found, *([platform.machine()] if name == "c" else [])])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of an unknown version"
