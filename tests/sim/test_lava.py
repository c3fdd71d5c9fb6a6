"""Lava's real runtime against the reference engine, and what happens where it fails or hangs."""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from lava_support import assert_alive, assert_same, feed_forward, needs_lava

from bitspike.errors import EngineError, UsageError
from bitspike.sim.engines import lava
from bitspike.sim.reference import run_reference
from bitspike.targets.lava.child import last_words, supervise

PROCESSES = Path("/proc")
needs_proc = pytest.mark.skipif(not (PROCESSES / "self" / "cmdline").exists(), reason="no /proc to look for processes")

#: A worker that starts a process of its own, which ignores SIGTERM, and waits for ever.
STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("child", "w").write(str(os.getpid()))
open("started", "w").close()
print("still here", flush=True)
time.sleep(600)
"""


def random_spikes(network, samples, seed=0):
    return (np.random.default_rng(seed).random((samples, network.steps, network.input.size)) < 0.4).astype(np.uint8)


def processes_of(folder):
    """Live processes whose command line names `folder`."""
    found = []
    for entry in PROCESSES.iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command:
                found.append(int(entry.name))
    return found


def is_alive(process_id):
    """Whether a process exists and is not merely waiting to be reaped."""
    try:
        state = (PROCESSES / str(process_id) / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder in which all temporary folders are made, to see what is left of them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@needs_lava
def test_a_stream_of_samples_with_biases_and_a_skip_connection(temporary):
    network = feed_forward(1, sizes=(24, 16, 12, 8), steps=12, skips=True)
    assert all(p.bias_mantissa.any() for p in network.populations)
    assert len(network.connections) > len(network.populations)
    spikes = random_spikes(network, 24)
    expected = run_reference(network, spikes)
    record = lava.run(network, spikes, time_limit_s=120)
    assert record.engine == "lava"
    assert record.latency == {"input": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    assert assert_same(expected, record) == 3 * 24 * 12 * (16 + 12 + 8)
    assert_alive(expected)
    assert list(temporary.iterdir()) == []


@needs_lava
def test_a_delay_of_its_own_runs_each_sample_alone():
    network = feed_forward(3, bias=False, delay=2, steps=8)
    spikes = random_spikes(network, 2)
    expected = run_reference(network, spikes)
    assert_same(expected, lava.run(network, spikes, time_limit_s=120))
    assert_alive(expected)


@needs_lava
@needs_proc
def test_a_time_out_ends_every_process_of_lava(temporary):
    network = feed_forward(2)
    most, done = [0], threading.Event()

    def watch():
        while not done.is_set():
            most[0] = max(most[0], len(processes_of(temporary)))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(EngineError, match=r"^lava: no result within 12 s \(give it more time or fewer samples"):
            lava.run(network, np.zeros((1, 100_000, network.input.size), np.uint8), time_limit_s=12)
    finally:
        done.set()
        watcher.join()
    assert most[0] >= 5, "Lava had not started its processes yet"
    assert [p for p in processes_of(temporary) if is_alive(p)] == []
    assert list(temporary.iterdir()) == []


@needs_proc
def test_a_worker_that_ignores_the_polite_signal_is_ended_too(tmp_path):
    begin = time.monotonic()
    with pytest.raises(EngineError, match=r"lava: no result within 2 s .*; it said: still here\)$"):
        supervise([sys.executable, "-c", STUBBORN], tmp_path, engine="lava", time_limit_s=2)
    assert time.monotonic() - begin < 10
    assert (tmp_path / "started").exists()
    assert not is_alive(int((tmp_path / "child").read_text()))


@needs_proc
def test_what_a_finished_worker_leaves_behind_is_ended(tmp_path):
    leaves = "import os, time\nif os.fork() == 0:\n open('child', 'w').write(str(os.getpid())); time.sleep(600)\n"
    wait = "while not os.path.exists('child') or not open('child').read(): time.sleep(0.01)\n"
    supervise([sys.executable, "-c", leaves + wait], tmp_path, engine="lava", time_limit_s=30)
    assert not is_alive(int((tmp_path / "child").read_text()))


@needs_proc
def test_the_worker_ends_with_its_starter(tmp_path):
    worker = "import sys, time; from bitspike.targets.lava.worker import _end_with; _end_with(int(sys.argv[1]))"
    starter = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {worker!r}, str(os.getpid())], start_new_session=True)\n"
        "open('worker', 'w').write(str(p.pid))"
    )
    supervise([sys.executable, "-c", starter], tmp_path, engine="lava", time_limit_s=30)
    worker = int((tmp_path / "worker").read_text())
    end = time.monotonic() + 10
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    alive = is_alive(worker)
    if alive:
        os.kill(worker, signal.SIGKILL)
    assert not alive


def test_a_failing_worker_is_told_in_its_own_last_line(tmp_path):
    code = "import sys; print('begin'); sys.stderr.write('layer 3 is odd\\n'); sys.exit(2)"
    with pytest.raises(EngineError, match=r"^netx: layer 3 is odd$"):
        supervise([sys.executable, "-c", code], tmp_path, engine="netx", time_limit_s=30)
    with pytest.raises(EngineError, match=r"^lava: ZeroDivisionError: division by zero$"):
        supervise([sys.executable, "-c", "1 / 0"], tmp_path, engine="lava", time_limit_s=30)
    with pytest.raises(EngineError, match=r"^lava: the worker ended with status 3 and said nothing$"):
        supervise([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, engine="lava", time_limit_s=30)


TRACEBACK = "Traceback (most recent call last):\n  File x\n    code\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        (f"{TRACEBACK}TypeError: no shift\nresource_tracker: leaked\n", "TypeError: no shift"),
        ("ValueError: first\nRuntimeError: 1 Exception(s) occurred. See output above.\n", "ValueError: first"),
        ("RuntimeError: 2 Exception(s) occurred.\n", "RuntimeError: 2 Exception(s) occurred."),
        ("one\ntwo\n\n", "two"),
    ],
)
def test_the_meaningful_line_of_a_log(log, words):
    assert last_words(log) == words


@needs_lava
def test_a_time_limit_is_positive():
    network = feed_forward(2)
    with pytest.raises(UsageError, match="time_limit_s 0; expected more than 0 seconds"):
        lava.run(network, random_spikes(network, 1), time_limit_s=0)
