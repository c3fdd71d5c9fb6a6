"""The time and the memory of training, beside the same layer sizes in snnTorch, on the CPU or on a GPU.

Both train 784-512-512-10 over 25 steps in batches of 128 on the same synthetic spikes, independent and of MNIST's mean
rate, with Adam and the cross-entropy of the summed membrane of the last population:

    bitspike            one-bit weights, the means of a Bernoulli posterior: each layer over all steps at once, the
                        arctangent's surrogate gradient and no noise, as the recipe's part [estimator] has it with
                        name surrogate, noise none and width floor; at the precision that is asked for, as the key
                        `training.precision` does it
    bitspike_posterior  the same with posterior noise: mean and variance of each summed input by one product of twice
                        the size, a random decision for each bit, straight-through gradients (alpha = p)
    snntorch            weights of full precision in float32: Leaky neurons in the usual loop over the steps, the same
                        surrogate gradient
    snntorch_bfloat16   the same, torch rounding the factors of its float32 products to bfloat16

They share the layer sizes, decay, reset and optimiser; weights and rates differ. `ratio` is the time of snntorch over
that of bitspike, `ratio_posterior` over that of bitspike_posterior, `ratio_bfloat16` the time of snntorch_bfloat16 over
that of bitspike. In float32 our products with bits take less time the fewer bits are set, which those of torch do not;
`rates` are the means of the bits of each spiking layer after the last run. `products` is the time of the products of
bitspike alone, in the same run, at its precision and rates: with everything else free, an epoch could take no less.

A run trains a few batches; runs alternate after one unmeasured batch of each, and the median counts. Seconds of an
epoch are extrapolated to the 469 updates of 60 000 samples, and do not include encoding. Peak memory is measured apart,
each in a process of its own: the most it held in residence (Linux's VmHWM) less what it held after imports and data. On
a GPU it is the most that torch had allocated there, less what it had before a side was made; spikes lie there from the
start, and a time ends when all that was asked of the GPU is done. Updates of bitspike are recorded and played there, as
in training; `products` asks for each product, which can take longer.
"""

import io
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bitspike.errors import EngineError, UsageError
from bitspike.train.bench_sides import (
    BATCH,
    CPU,
    EPOCH,
    SIDES,
    SIZES,
    STEPS,
    UPDATES,
    Batches,
    Side,
    Step,
    check_snntorch,
    products_alone,
    settled,
    synthetic,
)
from bitspike.train.products import Precision, chosen_precision
from bitspike.train.threads import torch_threads

Notify = Callable[[str, int, int], None]
_WARM = 3
"""Updates on a GPU that are not measured: ours is made, recorded, and played."""
_KERNELS = ("backward", "events", "forward", "silent")
"""Modules that training imports at their first use, Numba with them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBench:
    """What was measured; see the module's docstring.

    Attributes:
        measured: seconds of an update in each run, in the order of the runs, by name.
        products_alone: seconds of bitspike's matrix products in an update, one of each run.
        rates: means of the bits of each spiking layer, by name.
        peak_mib: by name; None where the system does not tell.
        precision: of our spikes and matrix products.
        device: what it ran on: ``cpu``, or the name of a GPU.
    """

    measured: dict[str, tuple[float, ...]]
    products_alone: tuple[float, ...]
    rates: dict[str, tuple[float, ...]]
    peak_mib: dict[str, float | None]
    batches: int
    threads: int
    precision: Precision
    device: str = "cpu"

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of an epoch by name, extrapolated from the median."""
        return {name: statistics.median(times) * UPDATES for name, times in self.measured.items()}

    @property
    def products_seconds(self) -> float:
        """Seconds of the matrix products alone in an epoch of bitspike, extrapolated from the median."""
        return statistics.median(self.products_alone) * UPDATES

    @property
    def ratio(self) -> float:
        """snnTorch's seconds over ours; above 1 we are faster."""
        return self.seconds["snntorch"] / self.seconds["bitspike"]

    @property
    def ratio_posterior(self) -> float:
        """The same for our network with posterior noise."""
        return self.seconds["snntorch"] / self.seconds["bitspike_posterior"]

    @property
    def ratio_bfloat16(self) -> float:
        """The same where snnTorch's products are rounded to bfloat16."""
        return self.seconds["snntorch_bfloat16"] / self.seconds["bitspike"]

    @property
    def runs(self) -> int:
        """Measured runs of each."""
        return len(self.products_alone)

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(title="one epoch of 60 000 samples, extrapolated", box=box.SIMPLE, padding=(0, 1))
        for heading in ("", "seconds", "fastest and slowest run", "peak MiB", "% of bits set"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for name, times in self.measured.items():
            peak = self.peak_mib[name]
            spread = f"{min(times) * UPDATES:.1f} to {max(times) * UPDATES:.1f}"
            rates = ", ".join(f"{100 * rate:.1f}" for rate in self.rates[name])
            table.add_row(name, f"{self.seconds[name]:.1f}", spread, "-" if peak is None else f"{peak:.0f}", rates)
        table.add_row("matrix products of bitspike alone", f"{self.products_seconds:.1f}", "", "", "")
        console = Console(file=io.StringIO(), width=100, color_system=None)
        with console.capture() as printed:
            console.print(table)
        network = f"{'-'.join(map(str, SIZES))}, {STEPS} steps, batch {BATCH}, ours in {self.precision}"
        counted = f"medians of {self.runs} alternating runs of {self.batches} batches, "
        counted += f"{self.threads} threads" if self.device == "cpu" else f"on {self.device}"
        ratio = (
            f"ratio {self.ratio:.2f}: snnTorch's time over bitspike's; {self.ratio_posterior:.2f} with posterior "
            f"noise; "
            f"{self.ratio_bfloat16:.2f} where snnTorch's products are in bfloat16"
        )
        return "\n".join([printed.get().rstrip(), network, counted, ratio])

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "ratio": self.ratio,
            "ratio_posterior": self.ratio_posterior,
            "ratio_bfloat16": self.ratio_bfloat16,
            "seconds": self.seconds,
            "seconds_are": f"an epoch of {EPOCH} samples, extrapolated from {self.batches} of {UPDATES} updates a run",
            "products_seconds": self.products_seconds,
            "peak_mib": self.peak_mib,
            "rates": {name: list(rates) for name, rates in self.rates.items()},
            "runs": self.runs,
            "batches": self.batches,
            "threads": self.threads,
            "precision": self.precision,
            "device": self.device,
            "network": list(SIZES),
            "steps": STEPS,
            "batch": BATCH,
            "update_seconds": {name: list(times) for name, times in self.measured.items()},
        }


def bench_train(
    *,
    runs: int = 5,
    batches: int = 4,
    threads: int = 1,
    precision: Precision | None = None,
    device: torch.device = CPU,
    notify: Notify | None = None,
) -> TrainBench:
    """Measure all sides; see the module's docstring.

    Args:
        runs: measured runs of each, 1 or more.
        batches: updates in a run, 1 or more.
        threads: of torch's operations, of all.
        precision: of our sides; bfloat16 by default where the device multiplies it, else float32.
        device: where all sides train.
        notify: called with a label, the number of the run from 0, and the number of runs.

    Raises:
        UsageError: an impossible number.
        MissingDependencyError: snnTorch is not installed.
        EngineError: a process that measured memory failed.
    """
    for name, value in (("runs", runs), ("batches", batches), ("threads", threads)):
        if value < 1:
            raise UsageError(f"{name}: found {value}; expected 1 or more")
    check_snntorch()
    wanted = chosen_precision(precision or "auto", device)
    peaks: dict[str, float | None] = {}
    with torch_threads(threads):
        data = synthetic(batches, device)
        sides: dict[str, Side] = {}
        for name, make in SIDES.items():
            begun = _allocated(device)
            sides[name] = make(wanted, device)
            for _ in range(1 if device.type == "cpu" else _WARM):
                sides[name].step(*data[0])
            peaks[name] = _most_allocated(device, begun)
        found: dict[str, list[float]] = {name: [] for name in sides}
        alone: list[float] = []
        for run in range(runs):
            for name, side in sides.items():
                if notify is not None:
                    notify(name, run, runs)
                found[name].append(_timed(side.step, data, device))
            alone.append(products_alone(data[0][0], wanted, sides["bitspike"].rates(data[0][0])))
        rates = {name: tuple(side.rates(data[0][0])) for name, side in sides.items()}
    return TrainBench(
        measured={name: tuple(times) for name, times in found.items()},
        products_alone=tuple(alone),
        rates=rates,
        peak_mib={name: _peak_in_child(name, threads, wanted) for name in SIDES} if device.type == "cpu" else peaks,
        batches=batches,
        threads=threads,
        precision=wanted,
        device="cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
    )


def measure_peak(name: str, threads: int, precision: Precision) -> None:
    """Train two batches of one side in this process, and write its peak memory in MiB to standard output, or null."""
    with torch_threads(threads):
        data = synthetic(2)
        check_snntorch()
        for kernels in _KERNELS:
            import_module(f"bitspike.train.kernels.{kernels}")
        before = _resident("VmRSS")
        side = SIDES[name](precision, CPU)
        for spikes, labels in data:
            side.step(spikes, labels)
        after = _resident("VmHWM")
    sys.stdout.write(json.dumps(None if before is None or after is None else (after - before) / 1024))


def _peak_in_child(name: str, threads: int, precision: Precision) -> float | None:
    code = f"from bitspike.train.bench_train import measure_peak as m; m({name!r}, {threads}, {precision!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EngineError(f"memory of {name} was not measured: {last[0]}")
    found: float | None = json.loads(done.stdout)
    return found


def _resident(key: str) -> int | None:
    """Return a line of Linux's own account in KiB; getrusage is not used, since its peak includes the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return int(lines[key].split()[0])


def _allocated(device: torch.device) -> int:
    """Return the bytes that torch has allocated on a GPU, and start its maximum anew; 0 on a CPU."""
    if device.type == "cpu":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _most_allocated(device: torch.device, before: int) -> float | None:
    """Return the most since then in MiB, less what was there before; None on a CPU."""
    return None if device.type == "cpu" else (torch.cuda.max_memory_allocated(device) - before) / 2**20


def _timed(step: Step, data: Batches, device: torch.device) -> float:
    """Return the mean seconds of an update."""
    begun = settled(device)
    for spikes, labels in data:
        step(spikes, labels)
    return (settled(device) - begun) / len(data)
