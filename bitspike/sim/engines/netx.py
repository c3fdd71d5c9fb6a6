"""lava-dl's own reader of NetX files as an engine: the exported file, loaded and run as a Lava user would."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.connections import Windowed
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.netx_layers import feeding
from bitspike.convert.retime import refuse_early_spikes
from bitspike.convert.rules import check
from bitspike.convert.single_only import refuse_several
from bitspike.errors import UnsupportedError
from bitspike.files import existing_file
from bitspike.sim.engines.lava import trace
from bitspike.sim.record import Record
from bitspike.targets.lava.child import TIME_LIMIT_S, run_job
from bitspike.targets.lava.job import Job
from bitspike.targets.lava.layout import lava_shape
from bitspike.targets.lava.repair import require_lava, require_lava_dl
from bitspike.targets.lava.schedule import Schedule


def run(
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    *,
    file: str | os.PathLike[str] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> Record:
    """Run the NetX file `file` (default: one written from `network`) on `spikes`, (samples, steps, input neurons).

    The file's weights, decays, thresholds, delays and biases are what runs; `network` only names its layers. A chain of
    layers is what such files hold: layer `i`, counted from 1, answers `i` steps late. All samples run one after the
    other in one run; where a layer is recurrent or delayed, each runs alone.

    Raises:
        MissingDependencyError: where Lava or lava-dl is not installed.
        UnsupportedError: for a network that is not a chain, or a file whose layers are not those of the network.
        EngineError: where Lava fails, or has no result within `time_limit_s`.
    """
    require_lava()
    require_lava_dl()
    refuse_several(network, "lava-dl's reader")
    refuse_graded(network, "lava-dl's reader")
    chip, windowed = _layered(network)
    stream = all(c.delay == 1 and c.source != c.target for c in chip.connections)
    with tempfile.TemporaryDirectory(prefix="bitspike-netx-") as folder:
        if file is None:
            from bitspike.convert import netx_file

            path = Path(folder) / "network.net"
            netx_file.write(network, path)
        else:
            path = existing_file(file).resolve()
        populations = {p.name: (p.start, lava_shape(p.shape, in_space=p.name in windowed)) for p in chip.populations}
        samples, steps, _ = spikes.shape
        latency = max(chip.latencies().values())
        schedule = Schedule(samples=samples, steps=steps, latency=latency, gap=0 if stream else None)
        job = Job(engine="netx", schedule=schedule, file=str(path))
        windows = run_job(job, chip, spikes, populations, time_limit_s=time_limit_s)
    traces = {p.name: trace(windows[p.name], p.spike_dtype) for p in chip.populations}
    return Record(engine="netx", inputs=spikes, traces=traces, latency=chip.latencies())


def _layered(network: IntegerNetwork) -> tuple[IntegerNetwork, set[str]]:
    """The network in NetX's time, in which each layer is a step later than the one before whatever its delay is, and
    the populations that a convolution feeds.

    Raises:
        UnsupportedError: where the network is no such chain, or a bias would act before the first input.
    """
    if any(p.start for p in network.populations):
        raise UnsupportedError(f"network {network.name}: in chip time; expected it as it was trained")
    chain = feeding(network)
    latency = {name: index for index, name in enumerate([network.input.name, *(p.name for p in network.populations)])}
    refuse_early_spikes(network, latency)
    connections = tuple(replace(c, delay=c.delay + 1) if c.source != c.target else c for c in network.connections)
    populations = tuple(replace(p, start=latency[p.name]) for p in network.populations)
    chip = check(replace(network, populations=populations, connections=connections))
    return chip, {c.target for c, _ in chain if isinstance(c, Windowed)}
