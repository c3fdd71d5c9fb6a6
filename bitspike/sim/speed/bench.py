"""Speed of the engines and frameworks side by side: alternating runs, medians, and the machine's own bound."""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.sim.speed.bound import bytes_per_second, words_per_second
from bitspike.sim.speed.cases import NETWORKS, STEPS, make, spikes_for, words
from bitspike.sim.speed.sides import NEEDS, SIDES, Ready, available, threads

Notify = Callable[[str, int, int], None]
#: A run that takes less than this many seconds is repeated, and the mean counts as one run.
LEAST_S = 0.5
#: Before each run: threads of the library that ran before, which wait for more work without sleeping, have given up.
PAUSE_S = 0.1
BOUND = "bound"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One engine on one network, activity and batch.

    Attributes:
        engine: a name of :data:`~bitspike.sim.speed.sides.SIDES`, or ``bound``.
        network, steps: what ran.
        activity: asked for, the input's; `measured_activity` is the mean of the spiking layers.
        batch: samples that are given together; `samples` of them were run.
        seconds: of one sample, in each run.
        samples_per_second: the median.
        ratio: samples a second of our fast engine over this one's.
    """

    engine: str
    network: str
    steps: int
    activity: float
    measured_activity: float
    batch: int
    samples: int
    seconds: tuple[float, ...]
    samples_per_second: float
    ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedBench:
    """What was measured.

    Attributes:
        cases: one an engine, network, activity and batch.
        threads: cores that every engine could use.
        runs: alternating runs, of which the median counts.
        words_per_second, bytes_per_second: AND and popcount of 64-bit words, and reading of memory, on all cores.
    """

    cases: tuple[Case, ...]
    threads: int
    runs: int
    words_per_second: float
    bytes_per_second: float

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "cases": [{**asdict(c), "seconds": list(c.seconds)} for c in self.cases]}

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(box=box.SIMPLE, padding=(0, 1), title=f"{self.threads} threads, median of {self.runs} runs")
        for heading in ("network", "input %", "layers %", "batch", "engine", "samples/s", "us/step", "fast over it"):
            table.add_column(heading, justify="left" if heading in {"network", "engine"} else "right", no_wrap=True)
        for c in self.cases:
            table.add_row(
                c.network, f"{100 * c.activity:g}", f"{100 * c.measured_activity:.1f}", str(c.batch), c.engine,
                f"{c.samples_per_second:,.1f}", f"{1e6 / (c.samples_per_second * c.steps):,.2f}", f"{c.ratio:,.2f}",
            )  # fmt: skip
        console = Console(file=io.StringIO(), width=110, color_system=None)
        with console.capture() as printed:
            console.print(table)
        bound = (
            f"bound: {self.words_per_second / 1e9:.2f} thousand million words of 64 bits ANDed and counted a second, "
            f"{self.bytes_per_second / 1e9:.1f} GB/s read"
        )
        return printed.get().rstrip() + "\n" + bound


def bench_sim(
    *,
    networks: Sequence[str] = NETWORKS,
    activities: Sequence[float] = (0.01, 0.05, 0.1, 0.3),
    batches: Sequence[int] = (1, 256),
    engines: Sequence[str] | None = None,
    runs: int = 5,
    steps: int = STEPS,
    notify: Notify | None = None,
) -> SpeedBench:
    """Time the engines side by side.

    Args:
        networks, activities, batches: all combinations are run; see :mod:`bitspike.sim.speed.cases`.
        engines: names of :data:`~bitspike.sim.speed.sides.SIDES`; those that are installed by default. ``fast`` is
            always among them.
        runs: of each, alternating.
        steps: of a sample's window.
        notify: told what is being run, how many cases are done, and of how many.

    Raises:
        UsageError: for an unknown engine, one that is not installed, or fewer than one run or sample.
        EngineError: where a side fails.
    """
    chosen = _chosen(engines)
    if runs < 1 or min(batches, default=0) < 1 or steps < 1:
        raise UsageError(f"runs {runs}, batches {list(batches)}, steps {steps}; expected 1 or more of each")
    rates = words_per_second(), bytes_per_second()
    combinations = [(n, a, b) for n in networks for a in activities for b in batches]
    cases: list[Case] = []
    for done, (name, activity, batch) in enumerate(combinations):
        if notify:
            notify(f"{name}, {100 * activity:g} %, batch {batch}", done, len(combinations))
        network, measured = make(name, activity, steps=steps)
        times, samples = _measure(network, activity, batch, chosen, runs)
        times[BOUND], samples[BOUND] = (_bound(network, rates),), batch
        ours = statistics.median(times["fast"])
        cases += [
            Case(
                engine=engine,
                network=network.name,
                steps=steps,
                activity=activity,
                measured_activity=measured,
                batch=batch,
                samples=samples[engine],
                seconds=seconds,
                samples_per_second=1 / statistics.median(seconds),
                ratio=statistics.median(seconds) / ours,
            )
            for engine, seconds in times.items()
        ]
    return SpeedBench(
        cases=tuple(cases), threads=threads(), runs=runs, words_per_second=rates[0], bytes_per_second=rates[1]
    )


def _chosen(engines: Sequence[str] | None) -> list[str]:
    here = available()
    if engines is None:
        return list(here)
    for name in engines:
        if name not in SIDES:
            raise UsageError(f"engine {name!r}; expected one of {', '.join(SIDES)}")
        if name not in here:
            install = "lava" if name == "lava" else NEEDS[name]
            raise UsageError(f"engine {name!r} is not installed; run: bitspike doctor --install {install}")
    return ["fast", *(name for name in engines if name != "fast")]


def _measure(
    network: IntegerNetwork, activity: float, batch: int, engines: list[str], runs: int
) -> tuple[dict[str, tuple[float, ...]], dict[str, int]]:
    """Return seconds of one sample in each run by engine, and how many samples each ran."""
    spikes = spikes_for(network, batch, activity, seed=7)
    found: dict[str, list[float]] = {name: [] for name in engines}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(SIDES[name](network, spikes)) for name in engines}
        for _ in range(runs):
            for name, side in sides.items():
                time.sleep(PAUSE_S)
                found[name].append(_mean(side) / side.samples)
        samples = {name: side.samples for name, side in sides.items()}
    return {name: tuple(times) for name, times in found.items()}, samples


def _mean(side: Ready) -> float:
    """Seconds of a run; the mean of several where one is too short to be timed alone."""
    times = [side.run()]
    while sum(times) < LEAST_S:
        times.append(side.run())
    return statistics.fmean(times)


def _bound(network: IntegerNetwork, rates: tuple[float, float]) -> float:
    """Seconds of one sample where all words are counted, or the input's bits are read, whichever is longer."""
    counted = words(network) * network.steps / rates[0]
    read = network.input_size * network.steps / 8 / rates[1]
    return max(counted, read)
