"""What is timed: one function a side, that makes a network and spikes ready and yields a function which runs them once.

A side may run fewer samples than it is given, where each takes long and none makes another quicker; it says how many.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.store import save
from bitspike.errors import EngineError
from bitspike.sim.engines import ENGINES
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.reference import run_reference

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A side that can be run.

    Attributes:
        run: runs all samples once and returns the seconds that it took.
        samples: how many.
    """

    run: Callable[[], float]
    samples: int


Side = Callable[[IntegerNetwork, Spikes], AbstractContextManager[Ready]]
#: Steps of one sample that are compared with the reference before anything is timed.
_CHECKED = 10
_FEW = {"reference": 1, "onnx": 16, "lava": 3}


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


@contextmanager
def _fast(network: IntegerNetwork, spikes: Spikes) -> Iterator[Ready]:
    engine = FastEngine(network)
    wanted = tuple(r.population for r in network.readouts)
    few = spikes[:1, :_CHECKED]
    found = engine.run(few, record=wanted).scores(network)
    if not np.array_equal(found, run_reference(network, few).scores(network)):
        raise EngineError("engine fast: other scores than the reference; nothing was timed")
    yield Ready(run=_timed(lambda: engine.run(spikes, record=wanted)), samples=len(spikes))


@contextmanager
def _reference(network: IntegerNetwork, spikes: Spikes) -> Iterator[Ready]:
    few = spikes[: _FEW["reference"]]
    yield Ready(run=_timed(lambda: run_reference(network, few)), samples=len(few))


@contextmanager
def _onnx(network: IntegerNetwork, spikes: Spikes) -> Iterator[Ready]:
    """ONNX Runtime on the exported graph; only the membranes that are read out leave it."""
    from bitspike.convert.onnx_graph import build
    from bitspike.sim.engines.onnx_runtime import session

    few = spikes[: _FEW["onnx"]]
    running = session(build(network).SerializeToString(deterministic=True))
    feed = {"spikes": np.ascontiguousarray(few.transpose(1, 0, 2)).astype(np.int8)}
    names = [f"{r.population}.v" for r in network.readouts]
    running.run(names, feed)
    yield Ready(run=_timed(lambda: running.run(names, feed)), samples=len(few))


@contextmanager
def _lava(network: IntegerNetwork, spikes: Spikes) -> Iterator[Ready]:
    """Lava's runtime, several samples in one run less one sample in a run, so that its start does not count."""
    run = ENGINES["lava"].load()
    most = _FEW["lava"]
    three = np.concatenate([spikes] * most)[:most]
    one, several = _timed(lambda: run(network, three[:1])), _timed(lambda: run(network, three))
    yield Ready(run=lambda: max(several() - one(), 1e-9), samples=most - 1)


def _framework(name: str) -> Side:
    @contextmanager
    def side(network: IntegerNetwork, spikes: Spikes) -> Iterator[Ready]:
        with tempfile.TemporaryDirectory(prefix="bitspike-speed-") as folder:
            save(network, Path(folder) / "network.safetensors")
            np.save(Path(folder) / "spikes.npy", spikes)
            command = [sys.executable, "-m", "bitspike.sim.speed.worker", name, folder]
            log = Path(folder) / "log.txt"
            with (
                log.open("w") as errors,
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
                ) as child,
            ):
                try:
                    _answer(name, child, log)
                    yield Ready(run=lambda: _ask(name, child, log), samples=len(spikes))
                finally:
                    child.kill()

    return side


def _ask(name: str, child: "subprocess.Popen[str]", log: Path) -> float:
    if child.stdin is None:
        raise EngineError(f"{name}: its process has no input")
    child.stdin.write("run\n")
    child.stdin.flush()
    return float(json.loads(_answer(name, child, log)))


def _answer(name: str, child: "subprocess.Popen[str]", log: Path) -> str:
    line = child.stdout.readline() if child.stdout else ""
    if not line:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise EngineError(f"{name}: {lines[-1] if lines else 'its process ended'}")
    return line


#: By name; what a side needs besides this package, by import name, is in :data:`NEEDS`.
SIDES: dict[str, Side] = {
    "fast": _fast,
    "reference": _reference,
    "onnx": _onnx,
    "lava": _lava,
    "snntorch": _framework("snntorch"),
    "norse": _framework("norse"),
    "spikingjelly": _framework("spikingjelly"),
}
NEEDS = {
    "onnx": "onnxruntime",
    "lava": "lava",
    "snntorch": "snntorch",
    "norse": "norse",
    "spikingjelly": "spikingjelly",
}


def available() -> tuple[str, ...]:
    """The sides that are installed here, in the order of the table."""
    return tuple(name for name in SIDES if name not in NEEDS or find_spec(NEEDS[name]) is not None)


def threads() -> int:
    """Cores that each side may use."""
    return os.cpu_count() or 1
