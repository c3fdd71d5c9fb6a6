"""A job for the worker: a folder that holds a network, its input and, at the end, what each population did."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.store import load, save
from bitspike.targets.lava.layout import Shape, from_lava
from bitspike.targets.lava.schedule import Schedule

#: Spikes, currents and membranes (int32), each (samples, steps, neurons), by population.
Windows = dict[str, tuple[npt.NDArray[np.int32], ...]]
QUANTITIES = ("spikes", "u", "v")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job of Lava, in plain values; its folder holds ``job.json``, ``network.safetensors`` and ``spikes.npy``.

    Attributes:
        engine: ``lava`` or ``netx``.
        schedule: of its runs.
        file: the NetX file that ``netx`` loads.
    """

    engine: str
    schedule: Schedule
    file: str | None = None

    def write(self, folder: Path, network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> None:
        """Fill `folder`; `spikes` have shape (samples, steps, input neurons)."""
        save(network, folder / "network.safetensors")
        np.save(folder / "spikes.npy", spikes)
        (folder / "job.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_job(folder: Path) -> tuple[Job, IntegerNetwork, npt.NDArray[np.uint8]]:
    """What :meth:`Job.write` wrote."""
    fields: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    job = Job(**fields | {"schedule": Schedule(**fields["schedule"])})
    return job, load(folder / "network.safetensors"), np.load(folder / "spikes.npy")


def run_folder(folder: Path, index: int) -> Path:
    """Where run `index` leaves its records."""
    return folder / f"run{index}"


def read_windows(folder: Path, schedule: Schedule, populations: Mapping[str, tuple[int, Shape]]) -> Windows:
    """The windows of all samples, of `populations`: by how much each is late, and its shape in Lava."""
    windows: Windows = {}
    for name, (start, shape) in populations.items():
        quantities = []
        for quantity in QUANTITIES:
            runs = [np.load(run_folder(folder, run) / f"{name}.{quantity}.npy") for run in range(schedule.runs)]
            quantities.append(from_lava(schedule.answers(runs, start), shape))
        windows[name] = tuple(quantities)
    return windows
