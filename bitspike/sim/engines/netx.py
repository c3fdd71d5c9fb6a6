"""lava-dl's own reader of NetX files as an engine: the exported file, loaded and run as a Lava user would."""

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.retime import retime
from bitspike.convert.single_only import refuse_several
from bitspike.errors import UnsupportedError
from bitspike.files import existing_file
from bitspike.sim.record import Record, Trace
from bitspike.targets.lava.child import TIME_LIMIT_S, run_job
from bitspike.targets.lava.job import Job
from bitspike.targets.lava.repair import require_lava, require_lava_dl


def run(
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    *,
    file: str | os.PathLike[str] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> Record:
    """Run the NetX file `file` (default: one written from `network`) on `spikes`, (samples, steps, input neurons).

    The file's weights, decays, thresholds and biases are what runs; `network` only names its layers. A chain of
    layers is what such files hold: layer `i`, counted from 1, answers `i` steps late.

    Raises:
        MissingDependencyError: where Lava or lava-dl is not installed.
        UnsupportedError: for a network that is not a chain, or a file whose layers are not those of the network.
        EngineError: where Lava fails, or has no result within `time_limit_s`.
    """
    require_lava()
    require_lava_dl()
    refuse_several(network, "lava-dl's reader")
    chip = retime(network)
    _refuse_branches(chip)
    refuse_graded(chip, "lava-dl's reader")
    with tempfile.TemporaryDirectory(prefix="bitspike-netx-") as folder:
        if file is None:
            from bitspike.convert import netx_file

            path = Path(folder) / "network.net"
            netx_file.write(network, path)
        else:
            path = existing_file(file).resolve()
        windows = run_job(Job(engine="netx", stream=True, file=str(path)), chip, spikes, time_limit_s=time_limit_s)
    traces = {name: Trace(spikes=s, u=u, v=v) for name, (s, u, v) in windows.items()}
    return Record(engine="netx", inputs=spikes, traces=traces, latency=chip.latencies())


def _refuse_branches(chip: IntegerNetwork) -> None:
    names = [chip.input.name, *(p.name for p in chip.populations)]
    links = [(c.source, c.target, c.delay) for c in chip.connections]
    if sorted(links) != sorted((a, b, 1) for a, b in pairwise(names)):
        raise UnsupportedError(f"network {chip.name}: not a chain of layers; lava-dl's reader loads chains only")
