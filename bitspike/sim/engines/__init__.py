"""The engines: each runs a network on spikes and returns a :class:`~bitspike.sim.record.Record`.

An engine is a module with one function ``run``, found in the table :data:`ENGINES` and imported when it is asked for,
so that nobody pays for an engine that he does not use.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from shutil import which

from bitspike.errors import UsageError
from bitspike.sim.record import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """One row of the table.

    Attributes:
        name: as the command line takes it.
        summary: what runs, in half a sentence.
        module: the module whose `run` it is.
        needs: the distributions' import names that must be there.
        programs: commands of which one must be there; of a compiler the environment variable ``CC`` may name another.
        install: the command that brings what is missing.
        samples: how many samples a verification gives it where nobody says; None for all. Slow engines get fewer.
    """

    name: str
    summary: str
    module: str
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    install: str = ""
    samples: int | None = None

    @property
    def available(self) -> bool:
        """Whether what it needs is installed (found, not imported)."""
        named = os.environ.get("CC", "") if "cc" in self.programs else ""
        if self.programs and not any(map(which, (*self.programs, named))):
            return False
        try:
            found = [find_spec(name) for name in self.needs]
        except ModuleNotFoundError:  # a package on the way to the name is missing
            return False
        # A folder that an uninstallation left behind is found too, but has no origin.
        return all(spec is not None and spec.origin is not None for spec in found)

    def load(self) -> Callable[..., Record]:
        """Import the engine and return its `run`."""
        run: Callable[..., Record] = import_module(self.module).run
        return run


_LAVA = "bitspike doctor --install lava"
_HERE = "bitspike.sim.engines."
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(name="reference", summary="plain integers: the definition", module=_HERE + "reference"),
        Engine(name="fast", summary="the same integers, compiled, on all cores", module=_HERE + "fast"),
        Engine(
            name="torch", summary="the trained network in evaluation mode", module=_HERE + "trained",
            needs=("torch",), install="python -m pip install torch",
        ),
        Engine(
            name="onnx", summary="the integer graph in ONNX Runtime", module=_HERE + "onnx_runtime",
            needs=("onnx", "onnxruntime"), install="python -m pip install onnx onnxruntime",
        ),
        Engine(
            name="c", summary="the exported C99, compiled here", module=_HERE + "c",
            programs=("cc", "gcc", "clang"), install="apt-get install gcc (or another C compiler)",
        ),
        Engine(
            name="lava", summary="Lava's runtime, fixed-point CPU model of Loihi 2", module=_HERE + "lava",
            needs=("lava.magma.core.process.process",), install=_LAVA, samples=20,
        ),
        Engine(
            name="netx", summary="the NetX file, loaded by lava-dl, in Lava's runtime", module=_HERE + "netx",
            needs=("lava.lib.dl.netx",), install=_LAVA, samples=20,
        ),
        Engine(
            name="lava-models", summary="Lava's neuron and synapse models without its runtime",
            module=_HERE + "lava_models", needs=("lava.magma.core.process.process",), install=_LAVA,
        ),
        Engine(
            name="gpu", summary="the same integers in torch, on a CUDA device", module=_HERE + "gpu",
            needs=("torch",), programs=("nvidia-smi",), install="python -m pip install torch, with an NVIDIA driver",
        ),
    )
}  # fmt: skip


def engine(name: str) -> Engine:
    """The engine called `name`; UsageError lists those that exist."""
    if name not in ENGINES:
        raise UsageError(f"engine {name!r}; expected one of {', '.join(ENGINES)}")
    return ENGINES[name]
