"""Fuzz a reader: ``python tests/fuzz/run.py --reader nir --count 100000 --seed 0``.

Each file is a valid one with random changes, a function of the seed and of the file's number alone. A process with
limits on memory and on the processor time of each file reads one after the other. The outcome must be a legal network,
or one line that a person can act on; anything else is a finding: another exception, a numeric warning, a line that is
not one printable line, a file that takes too long, or the end of the process. Findings are counted, kept where
``--keep`` says, and make the exit code 1. ``--only NUMBER`` reads one file again and shows what happens.

Our readers have a helper process look at HDF5 first, since the HDF5 library hangs or breaks down on some files. Here
the process that reads can be lost, so it reads without that look, which takes most of the time; a file that ends it is
then read again with the look, as a user would read it, and what comes of that counts.
"""

import argparse
import contextlib
import gc
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

#: Outcomes that are no findings.
FINE = {"network", "refused", "stopped"}
NAMES = ("safetensors", "nir", "nir-foreign", "onnx", "netx", "lavadl")
#: Seconds of processor time for a file without the look; most take a hundredth.
FIRST_LIMIT = 0.3
#: What of a refusal differs from file to file.
CHANGING = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+(\.[0-9]+)?|\S*[/_.]\S*")


class Task(NamedTuple):
    """What to read with what, and where to write the files."""

    options: argparse.Namespace
    reader: Any
    files: list[bytes]
    path: Path


class Said(NamedTuple):
    """What came of a file."""

    number: int
    outcome: str
    line: str
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where there was no finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", required=True, choices=NAMES)
    parser.add_argument("--count", type=int, default=1000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--memory-mb", type=int, default=3000, help="address space of the process that reads")
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time for one file")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--reasons", type=int, default=0, metavar="N", help="show the N most frequent refusals")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read this file here, without limits")
    options = parser.parse_args(arguments)
    # Threads of a numeric library do not outlive a fork, and nothing here is large enough for them.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return _once(options) if options.only is not None else _supervise(options)


def damaged(options: argparse.Namespace, reader: Any, files: list[bytes], number: int, path: Path) -> str:
    """Write the file with this number; the name of the mutation."""
    import mutate
    import numpy as np

    return mutate.mutated(np.random.default_rng([options.seed, number]), reader.kind, files, path)


def _supervise(options: argparse.Namespace) -> int:
    """Read all files in processes, one after the other where one ends early, and count what they say."""
    import seeds

    reader = seeds.reader(options.reader)
    files = reader.files()
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    slowest, begun = Said(0, "", "", 0.0), time.monotonic()
    for said in _all(options, reader, files):
        outcomes[said.outcome] += 1
        slowest = max(slowest, said, key=lambda one: one.seconds)
        if said.outcome == "refused":
            reasons[CHANGING.sub("*", said.line.partition(": ")[2])[:90]] += 1
        if said.outcome not in FINE:
            sys.stdout.write(f"{options.reader} file {said.number}: {said.outcome}: {said.line}\n")
            sys.stdout.flush()
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                path = options.keep / f"{options.reader}-{options.seed}-{said.number}{reader.ending}"
                damaged(options, reader, files, said.number, path)
    for reason, count in reasons.most_common(options.reasons):
        sys.stdout.write(f"{count / options.count:7.2%}  {reason}\n")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    last = options.first + options.count - 1
    sys.stdout.write(
        f"{options.reader}, seed {options.seed}, files {options.first} to {last}: {counts}; "
        f"slowest {slowest.seconds:.2f} s (file {slowest.number}), {time.monotonic() - begun:.0f} s in all\n"
    )
    return 1 if set(outcomes) - FINE else 0


def _all(options: argparse.Namespace, reader: Any, files: list[bytes]) -> Iterator[Said]:
    """What came of each file; one that ends the process or takes long is read again, with the helper's look."""
    with tempfile.TemporaryDirectory(dir=_scratch(), prefix="bitspike-fuzz-") as folder:
        task = Task(options, reader, files, Path(folder) / f"file{reader.ending}")
        task.path.write_bytes(files[0])
        reader.read(task.path)  # whatever it imports, it imports once
        _stop_helper()
        gc.freeze()
        number, end = options.first, options.first + options.count
        while number < end:
            for said in _forked(task, range(number, end)):
                number = said.number + 1
                if said.outcome in ("crash", "hang"):
                    yield from _forked(task, range(said.number, number), look=True)
                else:
                    yield said


def _forked(task: Task, numbers: range, *, look: bool = False) -> Iterator[Said]:
    """What a process says of the files, and at last of its own end where that came early."""
    incoming, outgoing = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.close(incoming)
            _read_all(task, numbers, outgoing, look=look)
            status = 0
        os._exit(status)
    os.close(outgoing)
    number, patience = numbers.start, 60 + 20 * task.options.seconds
    with os.fdopen(incoming, "rb", buffering=0) as answers:  # what a buffer holds, select does not see
        while (ready := select.select([answers], [], [], patience)[0]) and (line := answers.readline()):
            said = Said(*json.loads(line))
            number = said.number + 1
            yield said
    if not ready:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status != 0:
        outcome = "crash" if ready and status != -signal.SIGPROF else "hang"
        yield Said(number, outcome, f"the process ended with status {status}", 0.0)


def _read_all(task: Task, numbers: range, outgoing: int, *, look: bool) -> None:
    """Read the files and say what came of each."""
    from bitspike.convert import hdf5_probe

    options, reader, files, path = task
    if not look:
        hdf5_probe.Probe.look = lambda self, path, max_depth: None  # type: ignore[method-assign]
    limit = options.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error", RuntimeWarning)  # NumPy's: infinite, not a number, divided by zero
    for number in numbers:
        signal.setitimer(signal.ITIMER_PROF, options.seconds if look else FIRST_LIMIT)
        damaged(options, reader, files, number, path)
        begun = time.monotonic()
        outcome, line = outcome_of(reader, path)
        answer = json.dumps(Said(number, outcome, line, time.monotonic() - begun)) + "\n"
        os.write(outgoing, answer.encode())
    _stop_helper()


def outcome_of(reader: Any, path: Path) -> tuple[str, str]:
    """What came of a file, and the line that told it."""
    from bitspike.errors import BitspikeError

    try:
        network = reader.read(path)
        str(network)
    except BitspikeError as error:
        line = str(error)
        # The HDF5 library hung or fell over in the helper that looks at files first, and the file was refused.
        if ": HDF5 does not come to an end" in line or ": HDF5 itself breaks down" in line:
            return "stopped", line
        return ("refused", line) if line.isprintable() and len(line) < 3000 else ("no line", repr(line)[:500])
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        return "traceback", " | ".join(traceback.format_exc().splitlines()[-3:])[:500]
    return "network", ""


def _once(options: argparse.Namespace) -> int:
    import seeds

    reader = seeds.reader(options.reader)
    path = (options.keep or Path(tempfile.mkdtemp())) / f"{options.only}{reader.ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    how = damaged(options, reader, reader.files(), options.only, path)
    sys.stdout.write(f"{path} ({how})\n")
    sys.stdout.flush()
    sys.stdout.write(f"{reader.read(path)}\n")
    return 0


def _stop_helper() -> None:
    from bitspike.convert import hdf5_probe

    hdf5_probe.PROBE.stop()


def _scratch() -> str:
    """Memory rather than disk, where there is such a folder."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()


if __name__ == "__main__":
    sys.exit(main())
