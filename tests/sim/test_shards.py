"""Chunks on a cluster: what one machine gives, also where a worker is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import chain, planted_faults, spikes_for

from bitspike.cli import main
from bitspike.convert import store
from bitspike.errors import EngineError, MissingDependencyError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim import shards
from bitspike.sim.ledger import Ledger
from bitspike.sim.verify import verify

NETWORK = chain((12, 9, 7, 4), steps=10)
FAULT = planted_faults(NETWORK)["threshold"][0]
DATA = SpikeData(name="random", spikes=spikes_for(NETWORK, samples=10), labels=np.arange(10))
distributed = pytest.importorskip("distributed", reason="Dask distributed is not installed: pip install distributed")

#: A worker in a process of its own. Where a file of the given name exists, its tasks wait, until it is gone.
WORKER = """
import os, sys, time
from dask import config
config.set({"distributed.admin.system-monitor.gil.enabled": False})
from bitspike.sim import shards
real, gate = shards.run_piece, sys.argv[2]
def run_piece(*arguments):
    with open(f"{gate}.{os.getpid()}", "a") as file:
        file.write(f"{arguments[1].first}\\n")
    while os.path.exists(gate):
        time.sleep(0.01)
    return real(*arguments)
shards.run_piece = run_piece
import asyncio
from distributed import Worker
async def serve():
    async with Worker(sys.argv[1], nthreads=1, dashboard=False) as worker:
        await worker.finished()
asyncio.run(serve())
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler in this process; yields its address and a function that starts a worker process with a gate file."""
    folder = tmp_path_factory.mktemp("cluster")
    started = []

    def start(gate):
        command = [sys.executable, "-c", WORKER, local.scheduler_address, str(gate)]
        started.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
        return started[-1]

    local = distributed.LocalCluster(n_workers=0, dashboard_address=":0", protocol="tcp", silence_logs=50)
    try:
        yield local.scheduler_address, start
    finally:
        for process in started:
            process.kill()
            process.wait()
        local.close()


def log_of(gate, process):
    """Numbers of the first samples of the tasks that a worker began."""
    path = gate.with_name(f"{gate.name}.{process.pid}")
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def counted(result):
    """Everything but times."""
    return replace(result, engines=tuple(replace(row, seconds=0.0) for row in result.engines))


def proof(**options):
    asked = {"engines": ["reference"], "against": {"copy": FAULT}, "chunk": 2, "adversarial": 4}
    return verify(NETWORK, data=DATA, **(asked | options))


def test_a_cluster_without_workers(cluster, monkeypatch):
    monkeypatch.setattr(shards, "PATIENCE_S", 0.3)
    with pytest.raises(EngineError, match=r"has no worker; run: dask worker tcp://"):
        proof(scheduler=cluster[0])


def test_a_worker_that_is_killed_loses_and_doubles_nothing(cluster, tmp_path):
    """The second worker holds one chunk back until the first, which has later ones in its memory, is killed."""
    address, start = cluster
    gates = [tmp_path / "one", tmp_path / "two"]
    gates[1].touch()
    workers = [start(gate) for gate in gates]
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
    ledger = Ledger(tmp_path / "a.partial")
    calls = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(proof, scheduler=address, ledger=ledger, notify=lambda *call: calls.append(call))
        wait_for(
            lambda: max(log_of(gates[0], workers[0]), default=0) > min(log_of(gates[1], workers[1]), default=99),
            "no chunk was done that comes after the one that is held back",
        )
        os.kill(workers[0].pid, signal.SIGKILL)
        gates[1].unlink()
        result = running.result(timeout=120)
    assert counted(result) == counted(proof())
    first, second = (log_of(gate, worker) for gate, worker in zip(gates, workers, strict=True))
    assert set(first) | set(second) == set(range(0, 14, 2))
    assert set(first) & set(second)  # what only the dead one knew ran again
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()[1:]]
    assert [line["first"] for line in lines] == list(range(0, 14, 2))
    assert calls == [("chunks", number, 7) for number in range(7)]
    again = proof(ledger=Ledger(ledger.path, resume=True))
    assert counted(again) == counted(result)

    the_command_gives_the_same_certificate(address, tmp_path)
    errors_of_a_task_are_those_of_here(address)


def the_command_gives_the_same_certificate(address, folder):
    store.save(NETWORK, folder / "net.safetensors")
    np.savez(folder / "data.npz", spikes=DATA.spikes, labels=DATA.labels)
    command = ["verify", str(folder / "net.safetensors"), "--data", str(folder / "data.npz"), "--coverage"]
    command += ["--against", str(folder / "net.safetensors")]
    assert main([*command, "--certificate-out", str(folder / "here.json")]) == 0
    assert main([*command, "--certificate-out", str(folder / "there.json"), "--scheduler", address]) == 0
    assert (folder / "here.json").read_bytes() == (folder / "there.json").read_bytes()
    assert main(["verify", "--certificate", str(folder / "here.json"), "--scheduler", address]) == 0


def errors_of_a_task_are_those_of_here(address):
    with pytest.raises(UsageError, match="data has 12 neurons; the network's input has 3"):
        verify(chain((3, 2, 2)), data=DATA, engines=["reference", "onnx"], scheduler=address)


def test_a_cluster_that_is_not_there(monkeypatch):
    monkeypatch.setattr(shards, "PATIENCE_S", 0.3)
    with pytest.raises(EngineError, match=r"scheduler tcp://127.0.0.1:9: does not answer"):
        proof(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"scheduler nonsense://x: .*expected an address such as tcp://HOST:8786"):
        proof(scheduler="nonsense://x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match="Dask distributed is not installed; run: python -m pip install"):
        proof(scheduler="tcp://127.0.0.1:9")


def test_a_worker_with_another_bitspike_is_named(cluster, monkeypatch):
    address, start = cluster
    start(Path("no gate"))
    monkeypatch.setattr("bitspike.__version__", "0.0")
    with pytest.raises(EngineError, match=r"worker tcp://.* has bitspike 0\.1\.0; expected 0\.0"):
        proof(scheduler=address)
