"""The fuzzer itself: it finds what it must, goes on after it, and finds nothing in a few files of each reader."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "run.py"
STUB = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--first", type=int); parser.add_argument("--count", type=int)
first = parser.parse_known_args()[0].first
def say(number, **more):
    print(json.dumps({"number": number} | more), flush=True)
for number in range(first, 6):
    say(number)
    if number == 1:
        time.sleep(60)
    if number == 3:
        sys.exit("it fell over")
    outcome = "traceback" if number == 4 else "refused"
    say(number, outcome=outcome, said="what it said", seconds=0.5 if number == 5 else 0.0)
"""


@pytest.fixture
def run():
    spec = importlib.util.spec_from_file_location("fuzz_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path


def test_hangs_and_crashes_are_attributed_and_it_goes_on(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "run.py").write_text(STUB)
    monkeypatch.setattr(run, "HERE", tmp_path)
    assert run.main(["--reader", "nir", "--count", "6", "--seconds", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nir file 1: hang: status -9")
    assert lines[1:3] == [
        "nir file 3: crash: status 1: it fell over",
        "nir file 4: traceback: what it said",
    ]
    assert lines[3].startswith(
        "nir, seed 0, files 0 to 5: 1 crash, 1 hang, 3 refused, 1 traceback; slowest 0.50 s (file 5), "
    )
    assert len(lines) == 4


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
        assert run._outcome(Says(error), tmp_path)[0] == expected


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
