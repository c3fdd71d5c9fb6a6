"""The process in which Lava's runtime runs: ``python -m bitspike.targets.lava.worker JOB_FOLDER STARTER``.

Lava starts an operating-system process for each of its processes, forks, and hangs where one of them fails. So it gets
a process with a session of its own, which :mod:`bitspike.targets.lava.child` starts, watches and ends. Where the
starter itself dies, the worker ends its session. Errors go to standard error, the last line says what was wrong.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import BitspikeError, UnsupportedError
from bitspike.targets.lava.job import Job, read_job, run_folder
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.processes import attach_recorder, build_processes
from bitspike.targets.lava.repair import import_lava, import_netx

#: The fixed-point models: without this tag Lava silently takes floating-point ones.
FIXED_POINT = "fixed_pt"


def main(arguments: list[str]) -> int:
    """Run the job in a folder for the process whose number follows; 0, or 2 for an error that one line tells."""
    folder, starter = Path(arguments[0]), int(arguments[1])
    if os.getpid() == os.getpgrp():
        threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    job, network, spikes = read_job(folder)
    try:
        import_lava()
        # Lava's processes are started by forking and hold what cannot be pickled.
        multiprocessing.set_start_method("fork", force=True)
        for index, stream in enumerate(job.schedule.inputs(spikes)):
            recordings = run_folder(folder, index)
            recordings.mkdir()
            _run(job, network, stream, recordings)
    except BitspikeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _run(job: Job, network: IntegerNetwork, stream: npt.NDArray[np.uint8], recordings: Path) -> None:
    """One run of Lava's runtime over `stream`, (steps of the run, neurons of all inputs)."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    interval = job.schedule.reset_interval
    if job.file is None:
        neurons = build_processes(lower(network), stream, reset_interval=interval).neurons
    else:
        neurons = _netx(job.file, network, stream, interval)
    for p in network.populations:
        attach_recorder(neurons[p.name], recordings, p.name, len(stream))
    for neuron in neurons.values():
        # Lava compiles what is connected with a process: parts that nothing connects need a run each.
        if not neuron.is_compiled:
            neuron.run(condition=RunSteps(num_steps=len(stream)), run_cfg=Loihi2SimCfg(select_tag=FIXED_POINT))
            neuron.stop()


def _netx(file: str, network: IntegerNetwork, stream: npt.NDArray[np.uint8], interval: int) -> dict[str, Any]:
    """lava-dl's own reader and processes of a NetX file: its layers' neurons by population.

    Its reset offset is 1: lava-dl counts an input layer that our files do not have.
    """
    hdf5 = import_netx()
    from lava.proc.io.source import RingBuffer

    loaded = hdf5.Network(net_config=file, reset_interval=interval, reset_offset=1)
    sizes = [int(np.prod(layer.neuron.u.shape)) for layer in loaded.layers]
    expected = [p.size for p in network.populations]
    if sizes != expected:
        raise UnsupportedError(f"{file}: layers of {sizes} neurons; network {network.name} has {expected}")
    data = stream.T
    if len(loaded.inp.shape) == 3:  # Lava has (width, height, channels)
        data = data.reshape(*loaded.inp.shape[::-1], -1).transpose(2, 1, 0, 3)
    source = RingBuffer(data=np.ascontiguousarray(data, dtype=np.int32))
    source.s_out.connect(loaded.inp)
    return {p.name: layer.neuron for p, layer in zip(network.populations, loaded.layers, strict=True)}


def _fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what went wrong and leave at once: an ordinary exit would wait for Lava's processes, which wait too."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def _end_with(starter: int) -> None:
    """Wait for the starter's end, which gives this process another parent, then end this session; a thread's work."""
    while os.getppid() == starter:
        time.sleep(0.5)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.excepthook = _fail
    sys.exit(main(sys.argv[1:]))
