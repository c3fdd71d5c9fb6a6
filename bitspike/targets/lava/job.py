"""A job for the worker: a folder that holds a network, its input and, at the end, what each population did."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.store import load, save

#: Spikes (uint8), currents and membranes (int32), each (samples, steps, neurons), by population.
Windows = dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run of Lava, in plain values; its folder holds ``job.json``, ``network.safetensors`` and ``spikes.npy``.

    Attributes:
        engine: ``lava`` or ``netx``.
        stream: all samples one after the other in one run; else a run for each.
        file: the NetX file that ``netx`` loads.
    """

    engine: str
    stream: bool
    file: str | None = None

    def write(self, folder: Path, network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> None:
        """Fill `folder`; `network` is in chip time, `spikes` have shape (samples, steps, input neurons)."""
        save(network, folder / "network.safetensors")
        np.save(folder / "spikes.npy", spikes)
        (folder / "job.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_job(folder: Path) -> tuple[Job, IntegerNetwork, npt.NDArray[np.uint8]]:
    """What :meth:`Job.write` wrote."""
    job = Job(**json.loads((folder / "job.json").read_text(encoding="utf-8")))
    return job, load(folder / "network.safetensors"), np.load(folder / "spikes.npy")


def runs_of(stream: bool, spikes: npt.NDArray[np.uint8], latency: int) -> list[npt.NDArray[np.uint8]]:
    """The input of each run, (steps of the run, input neurons): its samples, then silence for the latency.

    With `stream` all samples are one run, else each is one.
    """
    groups = [spikes] if stream else list(spikes[:, None])
    return [np.pad(group.reshape(-1, group.shape[-1]), ((0, latency), (0, 0))) for group in groups]


def run_folder(folder: Path, index: int) -> Path:
    """Where run `index` leaves its records."""
    return folder / f"run{index}"


def read_windows(folder: Path, job: Job, network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> Windows:
    """The windows of all samples.

    A population's answer to sample `k` of a run begins ``k * steps + latency`` steps after the run, so the windows of
    a run lie side by side.
    """
    samples, steps, _ = spikes.shape
    runs = 1 if job.stream else samples
    each = samples // runs
    latency = network.latencies()
    windows: Windows = {}
    for p in network.populations:
        quantities = []
        for quantity in ("spikes", "u", "v"):
            parts = [np.load(run_folder(folder, run) / f"{p.name}.{quantity}.npy") for run in range(runs)]
            begin = latency[p.name]
            quantities.append(np.stack([part[begin : begin + each * steps] for part in parts]))
        shape = (samples, steps, p.size)
        fired, u, v = (quantity.reshape(shape) for quantity in quantities)
        windows[p.name] = fired, u, v
    return windows
