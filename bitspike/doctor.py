"""What works on this machine: engines, targets, accelerators, and the command that adds what is missing."""

import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from bitspike.sim.engines import ENGINES
from bitspike.sim.portability.frameworks import FRAMEWORKS
from bitspike.sim.shards import INSTALL as CLUSTER

_PACKAGES = (
    "numpy", "torch", "triton", "safetensors", "nir", "h5py", "onnx", "onnxruntime", "scikit-learn", "lava-nc",
    "lava-dl", "distributed",
)  # fmt: skip
_TORCH = (
    "import torch; "
    "print(torch.cuda.get_device_name(0) if torch.cuda.is_available() "
    "else 'Apple MPS' if torch.backends.mps.is_available() else '')"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """What was found; prints as a table.

    Attributes:
        versions: of Python and of each package; None where it is not installed.
        engines: for each engine what it is, whether it works here, and the command that adds it.
        readers: the frameworks that `export --check` runs, likewise.
        cluster: Dask, which `verify --scheduler` needs, likewise.
        accelerator: the name of the GPU that torch can use; empty where there is none.
    """

    versions: dict[str, str | None]
    engines: tuple[dict[str, Any], ...]
    readers: tuple[dict[str, Any], ...]
    cluster: dict[str, Any]
    accelerator: str

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "versions": self.versions,
            "engines": list(self.engines),
            "readers": list(self.readers),
            "cluster": self.cluster,
            "accelerator": self.accelerator or None,
        }

    def __str__(self) -> str:
        versions = [f"  {name:<14} {version or 'not installed'}" for name, version in self.versions.items()]
        engines = []
        for row in self.engines:
            state = "works" if row["works"] else f"add it with: {row['install']}"
            engines.append(f"  {row['engine']:<14} {state:<44} {row['summary']}")
        readers = [f"  {row['reader']:<14} {_state(row)}" for row in self.readers]
        return "\n".join(
            [
                "versions:",
                *versions,
                "engines:",
                *engines,
                "readers of NIR, for export --check:",
                *readers,
                f"cluster of machines, for verify --scheduler: Dask distributed {_state(self.cluster)}",
                f"accelerator: {self.accelerator or 'none that torch can use'}",
            ]
        )


def examine() -> Examination:
    """Look at what is installed; torch is asked for an accelerator in a process of its own."""
    from bitspike.targets.lava.install import lava_status

    lava = lava_status()
    rows = []
    for engine in ENGINES.values():
        works = engine.available and (bool(lava["importable"]) or "lava" not in " ".join(engine.needs))
        rows.append({"engine": engine.name, "summary": engine.summary, "works": works, "install": engine.install})
    readers = [
        {"reader": f.name, "version": f.version, "works": f.available, "install": f.install}
        for f in FRAMEWORKS.values()
    ]
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES}
    dask = versions["distributed"]
    return Examination(
        versions=versions,
        engines=tuple(rows),
        readers=tuple(readers),
        cluster={"version": dask, "works": dask is not None, "install": CLUSTER},
        accelerator=_accelerator(versions["torch"]),
    )


def _state(row: dict[str, Any]) -> str:
    return str(row["version"]) if row["works"] else f"add it with: {row['install']}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _accelerator(torch: str | None) -> str:
    if torch is None:
        return ""
    try:
        done = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
