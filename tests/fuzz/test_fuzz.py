"""The fuzzer itself: it finds what it must, goes on after it, and finds nothing in a few files of each reader."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "run.py"
STUB = """
import os, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
import run, seeds
from bitspike.errors import BitspikeError

def read(path):
    number = int(path.read_text())
    if number < 0:
        return "a network"
    while number == 1:
        pass
    if number == 3:
        os.abort()
    if number == 4:
        raise ValueError("what it said")
    if number == 5 and looks():
        os.abort()
    raise BitspikeError("a.nir: no")

def looks():
    from bitspike.convert.hdf5_probe import Probe
    return Probe.look.__name__ == "<lambda>"  # as the run replaces it

run.damaged = lambda options, reader, files, number, path: path.write_text(str(number))
seeds.reader = lambda name: SimpleNamespace(read=read, files=lambda: [b"-1"], ending=".nir")
sys.exit(run.main(["--reader", "nir", "--count", "7", "--seconds", "1", "--reasons", "2"]))
"""


@pytest.fixture
def run():
    spec = importlib.util.spec_from_file_location("fuzz_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path


def test_hangs_and_crashes_are_attributed_and_it_goes_on():
    """File 5 breaks the process only without the helper's look, as a file does at which HDF5 breaks down."""
    command = [sys.executable, "-c", STUB, str(SCRIPT.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "nir file 1: hang: the process ended with status -27"
    assert lines[1] == "nir file 3: crash: the process ended with status -6"
    assert lines[2].startswith("nir file 4: traceback: ")
    assert lines[2].endswith("ValueError: what it said")
    assert lines[3] == " 57.14%  no"
    assert lines[4].startswith("nir, seed 0, files 0 to 6: 1 crash, 1 hang, 4 refused, 1 traceback; slowest ")
    assert len(lines) == 5


def test_outcomes(run, tmp_path):
    from bitspike.errors import BitspikeError

    class Says:
        def __init__(self, error):
            self.error = error

        def read(self, path):
            if self.error is not None:
                raise self.error
            return "a network"

    class UnprintableError(BitspikeError):
        def __str__(self):
            return "\x1b[2J"

    for error, expected in [
        (None, "network"), (BitspikeError("one line"), "refused"), (UnprintableError(), "no line"),
        (ValueError("x"), "traceback"), (MemoryError(), "traceback"),
        (BitspikeError("a.nir: HDF5 itself breaks down on it"), "stopped"),
    ]:  # fmt: skip
        assert run.outcome_of(Says(error), tmp_path)[0] == expected


def fuzzed(reader, count):
    command = [sys.executable, str(SCRIPT), "--reader", reader, "--count", str(count), "--seconds", "60"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)


def test_a_few_files():
    done = fuzzed("lavadl", 60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files 0 to 59: " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["safetensors", "nir", "nir-foreign", "onnx", "netx", "lavadl"])
def test_more_files_of_each_reader(reader):
    done = fuzzed(reader, 1000)
    assert done.returncode == 0, done.stdout + done.stderr
