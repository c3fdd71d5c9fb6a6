"""Fuzz a reader: ``python tests/fuzz/run.py --reader nir --count 100000 --seed 0``.

Each file is a valid one with random changes, a function of the seed and of the file's number alone. A worker process
with limits on memory, and on the time of each file, reads it. The outcome must be a legal network, or one line that a
person can act on; anything else is a finding: another exception, a line that is not one printable line, a file that
takes too long, or the end of the process. Findings are counted, kept where ``--keep`` says, and make the exit code 1.
``--only NUMBER`` reads one file again and shows what happens.
"""

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

#: Outcomes that are no findings.
FINE = {"network", "refused", "stopped"}
NAMES = ("safetensors", "nir", "nir-foreign", "onnx", "netx", "lavadl")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where there was no finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", required=True, choices=NAMES)
    parser.add_argument("--count", type=int, default=1000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--memory-mb", type=int, default=3000, help="address space of the worker")
    parser.add_argument("--seconds", type=float, default=10.0, help="for one file")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read this file here, without limits")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return _worker(options)
    if options.only is not None:
        return _once(options)
    return _supervise(options)


def _supervise(options: argparse.Namespace) -> int:
    """Start workers, one after the other where one ends early, and count what they say."""
    outcomes: Counter[str] = Counter()
    slowest, begun = (0.0, 0), time.monotonic()
    number, end = options.first, options.first + options.count
    while number < end:
        for message in _messages(options, number, end):
            number = message["number"]
            outcomes[message["outcome"]] += 1
            slowest = max(slowest, (message["seconds"], number))
            if message["outcome"] not in FINE:
                sys.stdout.write(f"{options.reader} file {number}: {message['outcome']}: {message['said']}\n")
                sys.stdout.flush()
                _keep(options, number)
        number += 1
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    sys.stdout.write(
        f"{options.reader}, seed {options.seed}, files {options.first} to {end - 1}: {counts}; "
        f"slowest {slowest[0]:.2f} s (file {slowest[1]}), {time.monotonic() - begun:.0f} s in all\n"
    )
    return 1 if set(outcomes) - FINE else 0


def _messages(options: argparse.Namespace, number: int, end: int) -> Iterator[dict[str, Any]]:
    """What a worker says of the files from `number` on, and at last of its own end where that came early."""
    command = [
        sys.executable, str(HERE / "run.py"), "--worker", "--reader", options.reader, "--seed", str(options.seed),
        "--first", str(number), "--count", str(end - number), "--memory-mb", str(options.memory_mb),
        "--seconds", str(options.seconds),
    ]  # fmt: skip
    # Without a buffer: what it holds, select does not see.
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        current, started = number, False
        while number <= end:
            # Imports come before the first file and take longer than a file may.
            ready, _, _ = select.select([process.stdout], [], [], options.seconds if started else 120)
            line = process.stdout.readline() if ready else b""
            if line:
                message = json.loads(line)
                started = True
                if "outcome" in message:
                    yield message
                else:
                    current = message["number"]
                continue
            if not ready:
                process.kill()
            status = process.wait()
            assert process.stderr is not None
            said = (process.stderr.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            if status == 0:
                return
            outcome = "crash" if ready else "hang"
            yield {"number": current, "outcome": outcome, "said": f"status {status}: {said}", "seconds": 0.0}
            return


def _worker(options: argparse.Namespace) -> int:
    """Read files and say what came of each, a line of JSON before and after it."""
    import mutate
    import seeds

    from bitspike.convert import hdf5_probe

    hdf5_probe.SECONDS = options.seconds / 3
    reader = seeds.reader(options.reader)
    files = reader.files()
    _read(reader, files[0], Path(_scratch()) / f"first{os.getpid()}{reader.ending}")  # what it imports is not counted
    limit = options.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(dir=_scratch(), prefix="bitspike-fuzz-") as folder:
        path = Path(folder) / f"file{reader.ending}"
        for number in range(options.first, options.first + options.count):
            mutate.mutated(_random(options.seed, number), reader.kind, files, path)
            _say({"number": number})
            begun = time.monotonic()
            outcome, said = _outcome(reader, path)
            _say({"number": number, "outcome": outcome, "said": said, "seconds": time.monotonic() - begun})
    return 0


def _outcome(reader: Any, path: Path) -> tuple[str, str]:
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
    import mutate
    import seeds

    reader = seeds.reader(options.reader)
    path = (options.keep or Path(tempfile.mkdtemp())) / f"{options.only}{reader.ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    how = mutate.mutated(_random(options.seed, options.only), reader.kind, reader.files(), path)
    sys.stdout.write(f"{path} ({how})\n")
    sys.stdout.flush()
    sys.stdout.write(f"{reader.read(path)}\n")
    return 0


def _keep(options: argparse.Namespace, number: int) -> None:
    if options.keep is not None:
        import mutate
        import seeds

        reader = seeds.reader(options.reader)
        options.keep.mkdir(parents=True, exist_ok=True)
        path = options.keep / f"{options.reader}-{options.seed}-{number}{reader.ending}"
        mutate.mutated(_random(options.seed, number), reader.kind, reader.files(), path)


def _read(reader: Any, data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        reader.read(path)
    finally:
        path.unlink()


def _random(seed: int, number: int) -> Any:
    import numpy as np

    return np.random.default_rng([seed, number])


def _scratch() -> str:
    """Memory rather than disk, where there is such a folder."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
