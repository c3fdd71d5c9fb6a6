"""Lava's own runtime as an engine: its fixed-point CPU model of Loihi 2, one process per population and connection."""

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.retime import retime
from bitspike.sim.record import Record, Trace
from bitspike.targets.lava.child import TIME_LIMIT_S, run_job
from bitspike.targets.lava.job import Job
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.repair import require_lava


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, time_limit_s: float = TIME_LIMIT_S) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, input neurons), in Lava's runtime.

    The network is put into chip time and lowered. All samples run one after the other in one run with staggered
    resets; where a connection has a delay of its own, each sample runs alone.

    Raises:
        MissingDependencyError: where Lava is not installed.
        UnsupportedError: where Lava cannot hold the network exactly.
        EngineError: where Lava fails, or has no result within `time_limit_s`.
    """
    require_lava()
    chip = retime(network)
    job = Job(engine="lava", stream=lower(chip).streams)
    windows = run_job(job, chip, spikes, time_limit_s=time_limit_s)
    traces = {name: Trace(spikes=s, u=u, v=v) for name, (s, u, v) in windows.items()}
    return Record(engine="lava", inputs=spikes, traces=traces, latency=chip.latencies())
