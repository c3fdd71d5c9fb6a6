"""The whole path on the digits, with nothing faked: what ``bitspike demo`` runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitspike.convert.collapse import collapse
from bitspike.convert.formats import FORMATS, export
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import MissingDependencyError
from bitspike.files import replacing
from bitspike.sim.energy import Energy, energy
from bitspike.sim.engines import ENGINES
from bitspike.sim.run import simulate
from bitspike.sim.verify import Verification, verify

if TYPE_CHECKING:
    from bitspike.train import Run

#: The baseline first; the others are compared with it.
DEMO_ENGINES = ("reference", "torch", "onnx", "lava-models", "lava", "netx")
RECIPE = Path(__file__).parent / "train" / "recipes" / "digits.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """What the demo made and found; prints as the table that ends it.

    Attributes:
        folder: holds everything that was made.
        network: the MAP bits.
        accuracy: shares of the test part, by ``posterior``, ``map``, ``noisy``; ``map`` is counted in the integer run.
        calibration: expected calibration error, NLL and Brier score of each.
        files: written and read back: format, path, bytes.
        skipped: engines that are not installed, with the command that adds them.
        estimate: counts and energy of one inference.
        report: the page about all of it, or how to get what it needs.
    """

    folder: Path
    network: IntegerNetwork
    accuracy: dict[str, float]
    calibration: dict[str, dict[str, float]]
    files: tuple[dict[str, Any], ...]
    verification: Verification
    skipped: dict[str, str]
    estimate: Energy
    report: str

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        proof = self.verification.as_json()
        return {
            "folder": str(self.folder),
            "network": {"name": self.network.name, "digest": self.network.digest(), "text": str(self.network)},
            "accuracy": self.accuracy,
            "calibration": self.calibration,
            "files": list(self.files),
            "passed": proof["passed"],
            "data": {"name": proof["data"], "digest": proof["data_digest"]},
            "baseline": proof["baseline"],
            "engines": proof["engines"],
            "skipped": self.skipped,
            "operations": self.estimate.counts.as_json(),
            "energy": self.estimate.as_json(),
            "report": self.report,
        }

    def __str__(self) -> str:
        shares = ", ".join(f"{kind} {share:.2%}" for kind, share in self.accuracy.items())
        errors = ", ".join(f"{kind} {scores['ece']:.4f}" for kind, scores in self.calibration.items())
        skipped = [f"{name}: not installed; run: {command}" for name, command in self.skipped.items()]
        files = [f"  {row['format']:<12} {row['bytes']:>9,} bytes  {row['path']}" for row in self.files]
        return "\n".join(
            [
                str(self.network),
                "",
                f"accuracy on the test part: {shares}",
                f"expected calibration error: {errors}",
                "",
                "files, each read back and equal:",
                *files,
                "",
                str(self.verification),
                *skipped,
                "",
                str(self.estimate),
                "",
                f"everything lies in {self.folder}",
                f"report: {self.report}",
            ]
        )


def fresh_folder(base: Path = Path("runs/demo")) -> Path:
    """The first of `base`, ``base-2``, ``base-3``, ... that does not exist."""
    number = 1
    folder = base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def demonstrate(run: "Run", folder: Path, notify: Callable[[str, int, int], None] | None = None) -> Demonstration:
    """Collapse, export, verify and price a trained run; everything goes to `folder`.

    `notify` is called as :func:`bitspike.sim.verify.verify` calls it.
    """
    network = collapse(run.model, "map", name=run.recipe.name)
    files = []
    for form in FORMATS.values():
        path = folder / f"{run.recipe.name}{form.endings[0]}"
        export(network, path, form.name)
        files.append({"format": form.name, "path": str(path), "bytes": path.stat().st_size, "read_back": "equal"})
    onnx, netx = (folder / f"{run.recipe.name}{FORMATS[name].endings[0]}" for name in ("onnx", "netx"))
    missing = {name: ENGINES[name].install for name in DEMO_ENGINES if not ENGINES[name].available}
    verification = verify(
        network,
        run.model,
        data=run.test,
        engines=[name for name in DEMO_ENGINES if name not in missing],
        options={name: {"file": path} for name, path in (("onnx", onnx), ("netx", netx)) if name not in missing},
        notify=notify,
    )
    record = simulate(network, run.test)
    estimate = energy(network, data=run.test)
    measured = run.result["test"]
    accuracy = {kind: measured[kind] for kind in ("posterior", "map", "noisy")}
    accuracy["map"] = record.accuracy(network, run.test.labels)
    result = Demonstration(
        folder=folder,
        network=network,
        accuracy=accuracy,
        calibration={
            kind: {name: scores[name] for name in ("ece", "nll", "brier")}
            for kind, scores in measured["calibration"].items()
        },
        files=tuple(files),
        verification=verification,
        skipped=missing,
        estimate=estimate,
        report=_report(run, folder, verification),
    )
    _write_summary(result)
    return result


def _report(run: "Run", folder: Path, verification: Verification) -> str:
    """Where the page lies; or, since matplotlib is optional, the command that installs it."""
    from bitspike.reports.build import report

    path = folder / "report.html"
    try:
        report(run, path, verification=verification)
    except MissingDependencyError as error:
        return f"none: {error}"
    return str(path)


def _write_summary(result: Demonstration) -> None:
    import json

    with replacing(result.folder / "demo.json") as temporary:
        temporary.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
    with replacing(result.folder / "demo.txt") as temporary:
        temporary.write_text(f"{result}\n", encoding="utf-8")
