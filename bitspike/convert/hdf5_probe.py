"""A first look at an HDF5 file in a process of its own.

The HDF5 library can go round in circles, or end the whole process, on a damaged or malicious file: a heap whose objects
have no size is enough. Nothing within a process can stop that. So a helper process reads a file first, all that our
readers would read; where it does not come back, or ends, the file is refused, and the helper is started anew.

The helper is started with the first file and kept: a start takes a quarter of a second, a look a few milliseconds.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from bitspike.errors import BitspikeError

#: Seconds of processor time for a file, and for each of its bytes; a good file takes a hundredth of a second.
CPU_SECONDS, CPU_SECONDS_PER_BYTE = 0.5, 1e-6
#: Seconds on the clock, for systems that do not count the processor's, and for disks that do not answer.
SECONDS, SECONDS_PER_BYTE = 20.0, 1e-6
_SECONDS_TO_START = 60.0
#: Seconds after which a helper ends by itself, beyond those in which whoever asked would have ended it.
_GRACE = 10.0
#: With which the system ends a process that has used its processor time.
_USED_UP = getattr(signal, "SIGPROF", 0)


class Probe:
    """The helper process, at most one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def look(self, path: Path, max_depth: int) -> None:
        """Let the helper read `path`.

        Raises:
            BitspikeError: where it ends, or takes too long.
        """
        size = path.stat().st_size
        limit, cpu = SECONDS + SECONDS_PER_BYTE * size, CPU_SECONDS + CPU_SECONDS_PER_BYTE * size
        question = json.dumps([str(path.absolute()), max_depth, limit + _GRACE, cpu])
        with self._lock:
            answer: bytes | None = b""
            for _ in range(2):  # a helper that has ended before has not said anything of this file
                process = self._started()
                if process is None:
                    return
                answer = _asked(process, question, limit)
                if answer == b"done":
                    return
                used_up = answer is not None and _status(process) == -_USED_UP
                self.stop()
                if answer is None or used_up:
                    said = f"{cpu:.1f} s of processor time" if used_up else f"{limit:.0f} s"
                    raise BitspikeError(f"HDF5 does not come to an end with it within {said}")
        raise BitspikeError("HDF5 itself breaks down on it")

    def stop(self) -> None:
        """End the helper where there is one, and this process started it."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _started(self) -> "subprocess.Popen[bytes] | None":
        """The helper; None where no process can be started here, and the file is then read without."""
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if self._owner == os.getpid():
            self.stop()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)}
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bitspike.convert.hdf5_probe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError:
            return None
        self._process, self._owner = process, os.getpid()
        if _asked(process, "", _SECONDS_TO_START) != b"ready":
            self.stop()
            return None
        return process


PROBE = Probe()
atexit.register(PROBE.stop)


def _asked(process: "subprocess.Popen[bytes]", question: str, seconds: float) -> bytes | None:
    """The helper's answer to a line; empty where it has ended, None where it took longer than `seconds`."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        if process.stdin is None or process.stdout is None:
            return b""
        if question:
            process.stdin.write(question.encode() + b"\n")
            process.stdin.flush()
        answer = process.stdout.readline().strip()
    except OSError:
        answer = b""
    finally:
        timer.cancel()
    return None if late.is_set() else answer


def _status(process: "subprocess.Popen[bytes]") -> int | None:
    """With what the helper ended, if it did; a moment may lie between its last word and its end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    return process.returncode


def serve() -> None:
    """Read files by the lines of standard input, and say ``done`` after each, whatever is in it."""
    import h5py  # noqa: F401 - its import is not to count for the first file

    from bitspike.convert.hdf5_file import DAMAGE, walk

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    answers.write(b"ready\n")
    for line in sys.stdin:
        path, max_depth, seconds, cpu_seconds = json.loads(line)
        _end_after(seconds, cpu_seconds)
        # What is wrong with a file is told by the reader, which sees the same.
        with contextlib.suppress(BitspikeError, MemoryError, *DAMAGE), walk(Path(path), max_depth) as entries:
            for dataset in entries.values():
                # The reader may take them in another order: one that fails hides none that would not come to an end.
                with contextlib.suppress(MemoryError, *DAMAGE):
                    dataset[()]
        _end_after(0, 0)
        answers.write(b"done\n")


def _end_after(seconds: float, cpu_seconds: float) -> None:
    """Let the system end this process in so many seconds, or seconds of processor time; 0 takes that back.

    Processor time refuses an endless file soon and spares a good one on a busy machine. The clock is for whoever asked
    and has been killed: nobody else would end a helper that waits for ever.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


if __name__ == "__main__":
    serve()
