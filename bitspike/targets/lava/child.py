"""The worker's other side: start it in a session of its own, wait, and leave nothing of it behind."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import EngineError, UsageError
from bitspike.targets.lava.job import Job, Windows, read_windows
from bitspike.targets.lava.layout import Shape

#: Seconds that a run may take where nobody says; ten thousand steps of a small network take about one minute.
TIME_LIMIT_S = 300.0
WORKER = ("-m", "bitspike.targets.lava.worker")
#: Seconds for a session's processes to end on a signal.
_GRACE_S = 2.0
#: What Lava says of a failure elsewhere, after the failure itself.
_HOLLOW = re.compile(r"RuntimeError: \d+ Exception\(s\) occurred")


def run_job(
    job: Job,
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    populations: Mapping[str, tuple[int, Shape]],
    *,
    time_limit_s: float = TIME_LIMIT_S,
) -> Windows:
    """Run `job` on a network and on `spikes`, (samples, steps, input neurons), in a worker.

    Returns the windows of `populations`: by how much each is late, and its shape in Lava.

    Raises:
        EngineError: in one line, where the worker fails or takes longer than `time_limit_s`.
    """
    if not time_limit_s > 0:
        raise UsageError(f"time_limit_s {time_limit_s}; expected more than 0 seconds")
    with tempfile.TemporaryDirectory(prefix="bitspike-lava-") as name:
        folder = Path(name)
        job.write(folder, network, spikes)
        command = [sys.executable, *WORKER, name, str(os.getpid())]
        supervise(command, folder, engine=job.engine, time_limit_s=time_limit_s)
        return read_windows(folder, job.schedule, populations)


def supervise(command: Sequence[str], folder: Path, *, engine: str, time_limit_s: float) -> None:
    """Run `command` in `folder`, in a session of its own, until it ends or `time_limit_s` have passed.

    Whatever the outcome, every process of the session is ended. Output goes to ``log.txt`` in `folder`.

    Raises:
        EngineError: on time-out, or with the last meaningful line of the log where the command fails.
    """
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end_session(process)
    words = last_words(log.read_text(encoding="utf-8", errors="replace"))
    if status is None:
        said = f"; it said: {words}" if words else ""
        raise EngineError(
            f"{engine}: no result within {time_limit_s:g} s (give it more time or fewer samples or steps{said})"
        )
    if status != 0:
        raise EngineError(f"{engine}: {words or f'the worker ended with status {status} and said nothing'}")


def environment() -> dict[str, str]:
    """The environment for a Python process of ours: the same module path, and one thread for each Lava process."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}


def last_words(log: str) -> str:
    """The last line of a log that names an error, else the last that is not empty; a traceback's frames are neither."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    meaningful = [line for line in lines if not _HOLLOW.match(line)]
    errors = [line for line in meaningful if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or meaningful or lines or [""])[-1][:300]


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End every process of the session that `process` leads.

    SIGTERM first: it ends Python's processes at once, but for the one that then removes their shared memory.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signal_group(process.pid, number):
            break
        _wait_for_end(process)
    process.wait()


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until nobody of the session runs, at most for the grace period."""
    end = time.monotonic() + _GRACE_S
    while time.monotonic() < end:
        process.poll()
        if not _signal_group(process.pid, 0) or set(_states(process.pid)) == {"Z"}:
            return
        time.sleep(0.01)


def _states(group: int) -> Iterator[str]:
    """The state letters of a group's processes, as Linux shows them; nothing elsewhere.

    Orphans that have ended stay in the group as ``Z`` until the machine's first process takes note, which can be never.
    """
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of, *_ = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(member_of) == group:
            yield state


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False where nobody is left in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
