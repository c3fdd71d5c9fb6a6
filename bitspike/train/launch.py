"""Training in many processes: started, joined and ended together by Lightning Fabric.

On one machine the processes are spawned. On several, the same command runs once on each, with ``MASTER_ADDR``,
``MASTER_PORT`` and its own ``NODE_RANK`` in the environment; under SLURM or torchrun, which start every process
themselves, each runs it. All machines see the same run folder. Communication is NCCL on GPUs and Gloo on processors.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from bitspike.errors import BitspikeError, EngineError, MissingDependencyError, UsageError
from bitspike.train.processes import Processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Accelerator = Literal["cpu", "gpu", "auto"]
_PATIENCE = timedelta(hours=6)
"""How long a process waits for the others; process 0 measures the finished network while they do."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a run trains.

    Attributes:
        devices: processes on each machine, one a GPU on GPUs.
        nodes: machines.
        accelerator: ``auto`` is ``gpu`` where there is one. Runs are equal bit for bit on one kind only, which is why
            ``cpu`` is the default.
    """

    devices: int = 1
    nodes: int = 1
    accelerator: Accelerator = "cpu"

    def __post_init__(self) -> None:
        for key in ("devices", "nodes"):
            found = getattr(self, key)
            if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= 4096:
                raise UsageError(f"{key}: found {found!r}; expected a whole number from 1 to 4096")
        if self.accelerator not in ("cpu", "gpu", "auto"):
            raise UsageError(f"accelerator: found {self.accelerator!r}; expected one of cpu, gpu, auto")
        there = torch.cuda.device_count()
        if self.accelerator == "gpu" and not there:
            raise UsageError("accelerator: found 'gpu'; expected cpu: torch sees no CUDA device here")
        if self.kind == "cuda" and self.devices > there:
            raise UsageError(
                f"devices: found {self.devices}; expected at most {there}, the CUDA devices of this machine"
            )

    @property
    def kind(self) -> str:
        """Torch's name of the devices' kind: ``cpu`` or ``cuda``."""
        wanted = self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.device_count() > 0)
        return "cuda" if wanted else "cpu"

    @property
    def count(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    def fabric(self) -> "Fabric":
        """Return Lightning Fabric for this placement, nothing started yet.

        Raises:
            MissingDependencyError: Lightning Fabric is not installed.
            UsageError: a placement that is not that of the SLURM or torchrun job.
        """
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError:
            raise MissingDependencyError(
                "training in many processes needs Lightning Fabric: pip install 'bitspike[fabric]'"
            ) from None
        started = "LOCAL_RANK" in os.environ or SLURMEnvironment.detect()
        strategy = DDPStrategy(start_method="popen" if started else "spawn", timeout=_PATIENCE)
        try:
            return Fabric(accelerator=self.kind, devices=self.devices, num_nodes=self.nodes, strategy=strategy)
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"devices and nodes: found {self.devices} and {self.nodes}; {error}") from None


@dataclass(frozen=True, kw_only=True)
class _Together(Processes):
    """One of several processes, joined by Fabric."""

    fabric: "Fabric"

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        return cast(Tensor, self.fabric.all_reduce(values, reduce_op="sum"))

    def wait(self) -> None:
        """Wait until every process is here."""
        self.fabric.barrier()


def launch(fabric: "Fabric", function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(processes, *arguments)`` in every process; come back when all have ended.

    A process that fails ends all.

    Raises:
        BitspikeError: the one that a process raised first.
        EngineError: a process that failed otherwise, or was ended.
    """
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    with _ended_together():
        try:
            # A partial hides the arguments from Fabric, which looks into dataclasses and refuses frozen ones.
            fabric.launch(partial(_enter, failures=failures, function=function, arguments=arguments))
        except ProcessExitedException as error:
            how = signal.Signals(-error.exit_code).name if error.exit_code < 0 else f"exit code {error.exit_code}"
            raise EngineError(f"process {error.error_index} ended with {how}; all processes were stopped") from error
        except ProcessRaisedException as error:
            told = f"process {error.error_index} failed: {str(error).strip().splitlines()[-1]}"
            first = told if failures.empty() else failures.get()
            if isinstance(first, BitspikeError):
                raise first from None
            raise EngineError(f"{first}; all processes were stopped") from error


def _enter(fabric: "Fabric", failures: Any, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run in one process; tell the first failure to whoever launched it."""
    processes = _Together(rank=fabric.global_rank, count=fabric.world_size, device=fabric.device, fabric=fabric)
    try:
        function(processes, *arguments)
    except BitspikeError as error:
        failures.put(error)
        raise
    except Exception as error:
        # Whatever it was goes on; the launching process, which cannot see it, is told in one line.
        failures.put(f"process {processes.rank} failed: {type(error).__name__}: {error}")
        raise
    torch.distributed.destroy_process_group()


@contextmanager
def _ended_together() -> Iterator[None]:
    """Leave no process behind that was started in this block, however it ends."""
    before = set(multiprocessing.active_children())
    # It logs each process that it ends, after the error that ends them.
    log = logging.getLogger("torch.multiprocessing.spawn")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
            process.join()
