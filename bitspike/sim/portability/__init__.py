"""Re-read a NIR file with every framework that is installed, and count the spikes that differ."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.hdf5_file import datasets, text_of
from bitspike.convert.network import DECAY_ONE, IntegerNetwork
from bitspike.convert.nir_file import read, write
from bitspike.convert.nir_form import spatial_places
from bitspike.errors import BitspikeError, UsageError
from bitspike.samples import SpikeData, are_bits
from bitspike.sim.portability.frameworks import FRAMEWORKS, Framework, select
from bitspike.sim.portability.report import FLOATS, Place, Portability, Reading
from bitspike.sim.record import Record
from bitspike.sim.run import simulate

__all__ = ["FLOATS", "FRAMEWORKS", "Place", "Portability", "Reading", "portability"]

Outputs = dict[str, npt.NDArray[Any]]
Notify = Callable[[str, int, int], None]
WORKER = ("-W", "ignore", "-m", "bitspike.sim.portability.worker")
TIME_LIMIT_S = 300.0
SAMPLES = 20


def portability(
    source: IntegerNetwork | str | os.PathLike[str],
    *,
    data: SpikeData | None = None,
    samples: int = SAMPLES,
    names: Sequence[str] | None = None,
    portable: bool = True,
    time_limit_s: float = TIME_LIMIT_S,
    notify: Notify | None = None,
) -> Portability:
    """Read a NIR file with Norse, SpikingJelly and snnTorch, each by its own importer, and compare every spike.

    Args:
        source: a NIR file that bitspike wrote; or a network, which is written for the purpose.
        data: encoded samples; random spikes of seed 0 where there are none.
        samples: how many of them.
        names: of the frameworks; all by default. One that is not installed is told with the command that installs it.
        portable: how a network is written.
        time_limit_s: for each framework.
        notify: called before each reader with its name, its number from 0, and how many there are.

    Returns:
        For each reader the spikes that differ from the integer network's; never raises because of a framework.
    """
    chosen = select(None if names is None else tuple(names))
    if samples < 1:
        raise UsageError(f"samples {samples}; expected 1 or more")
    with tempfile.TemporaryDirectory(prefix="bitspike-nir-") as name:
        file = Path(name) / "network.nir" if isinstance(source, IntegerNetwork) else Path(source)
        if isinstance(source, IntegerNetwork):
            write(source, file, portable=portable)
        network = read(file)
        fed = (data or _random(network, samples)).first(samples)
        run = _Run(network, file.absolute(), fed, time_limit_s)
        readings = []
        for number, framework in enumerate([None, *chosen]):
            if notify is not None:
                notify(FLOATS if framework is None else framework.name, number, len(chosen) + 1)
            readings.append(run.floats() if framework is None else run.framework(framework))
    return Portability(
        network=network.name,
        digest=network.digest(),
        form=run.form,
        data=fed.name,
        samples=len(fed),
        steps=fed.steps,
        truncating=_truncating(network),
        readings=tuple(readings),
    )


class _Run:
    """One file on one set of spikes: what the integers say, and then what each reader says."""

    def __init__(self, network: IntegerNetwork, file: Path, data: SpikeData, time_limit_s: float) -> None:
        self.network, self.file, self.time_limit_s = network, file, time_limit_s
        with datasets(file) as entries:
            self.form = text_of(entries["node/metadata/form"])
            self.dt = float(entries["node/metadata/dt"][()])
        self.record: Record = simulate(network, data)
        late = max(p.start for p in network.populations)
        self.steps = data.steps
        self.spikes = np.pad(data.spikes, ((0, 0), (0, late), (0, 0)))
        self.names = [p.name for p in network.populations]
        self.float_outputs: Outputs | None = None

    def floats(self) -> Reading:
        """Our own float engine."""
        from bitspike.convert.floating.nir_import import from_nir
        from bitspike.sim.floating import simulate_float

        begun = time.perf_counter()
        blank = Reading(reader=FLOATS, version=None, outcome="ran", differing={})
        try:
            network = from_nir(self.file, dt=self.dt)
            record = simulate_float(network, self.network.input_spikes(self.spikes), record="all")
        except BitspikeError as error:
            return replace(blank, outcome="refused", reason=str(error))
        self.float_outputs = {name: trace.spikes for name, trace in record.traces.items() if name in self.names}
        return self._compared(blank, self.float_outputs, time.perf_counter() - begun)

    def framework(self, framework: Framework) -> Reading:
        """A framework, in a process of its own."""
        blank = Reading(reader=framework.name, version=framework.version, outcome="missing", differing={})
        if not framework.available:
            pip = "; ".join(f"pip install {' '.join(command)}" for command in framework.commands)
            return replace(blank, reason=f"not installed; run: {framework.install} ({pip})")
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="bitspike-nir-") as name:
            folder = Path(name)
            np.save(folder / "spikes.npy", self.spikes.reshape(*self.spikes.shape[:2], *self._shape()))
            (folder / "names.json").write_text(json.dumps(self.names), encoding="utf-8")
            command = [sys.executable, *WORKER, framework.name, str(self.file), name]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=self.time_limit_s, check=False
                )
            except subprocess.TimeoutExpired:
                return replace(blank, outcome="failed", reason=f"longer than {self.time_limit_s:g} s")
            if (folder / "refused.json").exists():
                node, reason = json.loads((folder / "refused.json").read_text(encoding="utf-8"))
                return replace(blank, outcome="refused", node=node, reason=reason)
            if done.returncode or not (folder / "out.npz").exists():
                said = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
                return replace(blank, outcome="failed", reason=said[-1][:300])
            with np.load(folder / "out.npz", allow_pickle=False) as archive:
                outputs = {key: archive[key] for key in archive.files}
            note, node, warning = folder / "note.json", "", ""
            if note.exists():
                node, warning = json.loads(note.read_text(encoding="utf-8"))
        if framework.fixed_dt and not math.isclose(framework.fixed_dt, self.dt):
            warning = f"takes every file for a step of {framework.fixed_dt:g} s; this one has {self.dt:g} s"
        ran = replace(blank, outcome="ran", node=node, reason=warning)
        return self._compared(ran, outputs, time.perf_counter() - begun)

    def _shape(self) -> tuple[int, ...]:
        """In which the spikes enter; of several inputs, which no framework takes, those of all."""
        entry = self.network.inputs[0]
        single = len(self.network.inputs) == 1 and entry.name in spatial_places(self.network)
        return entry.shape if single else (self.network.input_size,)

    def _compared(self, reading: Reading, outputs: Outputs, seconds: float) -> Reading:
        differing, compared = {}, 0
        first: Place | None = None
        beyond = 0 if self.float_outputs is not None else None
        for p in self.network.populations:
            if p.name not in outputs:  # a population without a threshold has no spikes to compare
                continue
            expected = self.record.traces[p.name].spikes
            found = outputs[p.name][:, p.start : p.start + self.steps].reshape(expected.shape)
            if not p.spiking and not are_bits(found):  # a reader gives the membrane of a node without a threshold
                continue
            compared += expected.size
            unequal = found != expected
            differing[p.name] = int(unequal.sum())
            if beyond is not None and self.float_outputs is not None:
                floats = self.float_outputs[p.name][:, p.start : p.start + self.steps]
                beyond += int((found != floats.reshape(expected.shape)).sum())
            if differing[p.name]:
                sample, step, neuron = (int(index[0]) for index in np.nonzero(unequal))
                place = Place(
                    sample=sample,
                    step=step,
                    population=p.name,
                    neuron=neuron,
                    expected=int(expected[sample, step, neuron]),
                    found=float(found[sample, step, neuron]),
                )
                if first is None or (sample, step) < (first.sample, first.step):
                    first = place
        return replace(
            reading,
            compared=compared,
            differing=differing,
            beyond_floats=beyond,
            first=first,
            seconds=round(seconds, 3),
        )


def _random(network: IntegerNetwork, samples: int) -> SpikeData:
    shape = samples, network.steps, network.input_size
    spikes = np.random.default_rng(0).random(shape) < 0.3
    return SpikeData(name="random spikes", spikes=spikes.astype(np.uint8), labels=np.zeros(samples, np.int64))


def _truncating(network: IntegerNetwork) -> dict[str, str]:
    found = {}
    for p in network.populations:
        decays = [f"{name} {value}" for name, value in (("du", p.du), ("dv", p.dv)) if 0 < value < DECAY_ONE]
        if decays:
            found[p.name] = ", ".join(decays)
    return found
