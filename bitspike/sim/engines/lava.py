"""Lava's own runtime as an engine: its fixed-point CPU model of Loihi 2, one process per population and connection."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.record import Record, Trace
from bitspike.targets.lava.child import TIME_LIMIT_S, run_job
from bitspike.targets.lava.job import Job
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.program import LavaProgram
from bitspike.targets.lava.repair import require_lava
from bitspike.targets.lava.schedule import Schedule


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, time_limit_s: float = TIME_LIMIT_S) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, neurons of all inputs), in Lava's runtime.

    The network is put into chip time and lowered. All samples run one after the other in one run with staggered
    resets, over processes that are built once; where that is not possible (:attr:`LavaProgram.gap`), each runs alone.

    Raises:
        MissingDependencyError: where Lava is not installed.
        UnsupportedError: where Lava cannot hold the network exactly.
        EngineError: where Lava fails, or has no result within `time_limit_s`.
    """
    require_lava()
    network = replace(network, steps=spikes.shape[1])
    program = lower(network)
    job = Job(engine="lava", schedule=schedule_of(program, spikes))
    populations = {n.name: (n.start, n.shape) for n in program.neurons}
    wanted = {p.name: populations[p.name] for p in network.populations}
    windows = run_job(job, network, spikes, wanted, time_limit_s=time_limit_s)
    traces = {p.name: trace(windows[p.name], p.spike_dtype) for p in network.populations}
    return Record(engine="lava", inputs=spikes, traces=traces, latency=latencies(network, program))


def schedule_of(program: LavaProgram, spikes: npt.NDArray[np.uint8]) -> Schedule:
    """How the samples of `spikes`, (samples, steps, neurons), lie in runs of `program`."""
    samples, steps, _ = spikes.shape
    return Schedule(samples=samples, steps=steps, latency=program.latency, gap=program.gap, quiet=program.quiet)


def trace(quantities: tuple[npt.NDArray[np.int32], ...], spike_dtype: npt.DTypeLike) -> Trace:
    """Spikes, currents and membranes of a population, as a record holds them."""
    spikes, u, v = quantities
    return Trace(spikes=spikes.astype(spike_dtype), u=u, v=v)


def latencies(network: IntegerNetwork, program: LavaProgram) -> dict[str, int]:
    """By how much each of the network's inputs and populations is late in the program."""
    starts = {n.name: n.start for n in program.neurons}
    return {name: starts.get(name, 0) for name in network.shapes()}
