"""How the fast engine's time grows with neurons, activity, batch and threads, and where that is linear.

One quantity is varied at a time; all points of all series are run in turn, several times, and medians count. Between
two neighbours the time grows as ``x ** k``, ``k = log(t2 / t1) / log(x2 / x1)``: 1 is linear.
"""

import io
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from bitspike.errors import UsageError
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.speed.cases import STEPS, calibrated, dense_network, spikes_for

Notify = Callable[[str, int, int], None]
#: What each series varies, and what theory says of the time.
SERIES = {
    "layers": "linear: each layer has the same work",
    "width": "neurons linear, synapses of a layer square: between 1 and 2, towards 2",
    "activity": "a constant, the neurons, and a linear part, the spikes: between 0 and 1, towards 1",
    "batch": "linear, once all cores have samples",
    "threads": "inverse, -1, up to the number of cores",
}
#: Exponents within so much of 1, or of -1 for threads, count as linear.
TOLERANCE = 0.2
#: A run that takes less than this many seconds is repeated, and the mean counts as one run.
LEAST_S = 0.1
_WIDTH, _LAYERS, _BATCH, _ACTIVITY = 1024, 2, 64, 0.05
_CLASSES, _INPUT = 10, 784


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        series: a name of :data:`SERIES`.
        layers, width: of the hidden part of 784-width-...-width-10.
        neurons: of all populations.
        activity: asked for, part of the bits that are set; `measured_activity` is the mean of the spiking layers.
        batch: samples that are given together.
        threads: of the engine.
        seconds: of the whole batch, in each run.
        exponent: how the median grows from the series' point before it; None for the first one.
    """

    series: str
    layers: int
    width: int
    neurons: int
    activity: float
    measured_activity: float
    batch: int
    threads: int
    seconds: tuple[float, ...]
    exponent: float | None = None

    @property
    def value(self) -> float:
        """What the series varies."""
        return float(getattr(self, self.series))

    @property
    def median(self) -> float:
        """Seconds of the whole batch."""
        return statistics.median(self.seconds)

    @property
    def linear(self) -> bool:
        """Whether the time grew, or fell with threads, in proportion."""
        goal = -1 if self.series == "threads" else 1
        return self.exponent is not None and abs(self.exponent - goal) <= TOLERANCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """The points, series by series: medians of `runs` runs with windows of `steps` steps, on so many cores."""

    points: tuple[Point, ...]
    runs: int
    steps: int
    cores: int

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        points = [
            {**asdict(p), "seconds": list(p.seconds), "value": p.value, "median_s": p.median, "linear": p.linear}
            for p in self.points
        ]
        return {**asdict(self), "points": points, "theory": SERIES}

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        title = f"fast engine, {self.cores} cores, {self.steps} steps, median of {self.runs} runs"
        table = Table(box=box.SIMPLE, padding=(0, 1), title=title)
        for heading in ("varied", "value", "neurons", "layers %", "batch", "threads", "ms", "us/step", "grows as", ""):
            table.add_column(heading, justify="left" if heading in {"varied", ""} else "right", no_wrap=True)
        for p in self.points:
            table.add_row(
                p.series, f"{p.value:g}", f"{p.neurons:,}", f"{100 * p.measured_activity:.1f}", str(p.batch),
                str(p.threads), f"{1e3 * p.median:,.1f}", f"{1e6 * p.median / p.batch / self.steps:,.2f}",
                "" if p.exponent is None else f"x^{p.exponent:.2f}", "linear" if p.linear else "",
            )  # fmt: skip
        console = Console(file=io.StringIO(), width=110, color_system=None)
        with console.capture() as printed:
            console.print(table)
        here = dict.fromkeys(p.series for p in self.points)
        return "\n".join([printed.get().rstrip(), *(f"{name}: {SERIES[name]}" for name in here)])


def bench_scaling(
    *,
    series: Sequence[str] = tuple(SERIES),
    runs: int = 3,
    steps: int = STEPS,
    small: bool = False,
    notify: Notify | None = None,
) -> Scaling:
    """Time the fast engine on 784-width-...-width-10, one quantity varied at a time.

    Args:
        series: names of :data:`SERIES`.
        runs: of each point, alternating.
        steps: of a sample's window.
        small: the first two points of each series, on small networks: for a try.
        notify: told what is being run, how many points are done, and of how many.

    Raises:
        UsageError: for an unknown series, or fewer than one run or step.
    """
    for name in series:
        if name not in SERIES:
            raise UsageError(f"series {name!r}; expected one of {', '.join(SERIES)}")
    if runs < 1 or steps < 1:
        raise UsageError(f"runs {runs}, steps {steps}; expected 1 or more of each")
    plans = [p for name in series for p in _plans(name, small)]
    sides = []
    for done, plan in enumerate(plans):
        if notify:
            notify(f"{plan.series} {plan.value:g}: made ready", done, 2 * len(plans))
        sides.append(_side(plan, steps))
    for done, index in enumerate(i for _ in range(runs) for i in range(len(plans))):
        if notify:
            notify(f"{plans[index].series} {plans[index].value:g}", len(plans) + done // runs, 2 * len(plans))
        point, run = sides[index]
        sides[index] = replace(point, seconds=(*point.seconds, _mean(run))), run
    return Scaling(points=_with_exponents([p for p, _ in sides]), runs=runs, steps=steps, cores=_cores())


def _plans(name: str, small: bool) -> list[Point]:
    """Return the points of a series, nothing measured yet."""
    values: dict[str, tuple[float, ...]] = {
        "layers": (1, 2, 4, 8, 16),
        "width": (256, 512, 1024, 2048, 4096),
        "activity": (0.01, 0.03, 0.1, 0.3),
        "batch": (1, 4, 16, 64, 256),
        "threads": tuple(sorted({*(1 << k for k in range(_cores().bit_length())), _cores()})),
    }
    base = Point(
        series=name, layers=1 if small else _LAYERS, width=64 if small else _WIDTH, neurons=0, activity=_ACTIVITY,
        measured_activity=0, batch=4 if small else _BATCH, threads=_cores(), seconds=(),
    )  # fmt: skip
    chosen = values[name][:2] if small else values[name]
    plans = [_with(base, name, value) for value in chosen]
    return [replace(p, neurons=p.layers * p.width + _CLASSES) for p in plans]


def _with(point: Point, name: str, value: float) -> Point:
    changed: Any = {name: value if name == "activity" else int(value)}
    return replace(point, **changed)


def _side(point: Point, steps: int) -> tuple[Point, Callable[[], object]]:
    """Return the point with its measured activity, and the function that runs its batch once."""
    sizes = (_INPUT, *[point.width] * point.layers, _CLASSES)
    network = dense_network(np.random.default_rng(0), sizes, steps)
    network, measured = calibrated(network, point.activity, seed=1)
    spikes = spikes_for(network, point.batch, point.activity, seed=7)
    engine, wanted = FastEngine(network), tuple(r.population for r in network.readouts)
    engine.run(spikes[:1], record=wanted)
    return replace(point, measured_activity=measured), lambda: engine.run(spikes, record=wanted, threads=point.threads)


def _mean(run: Callable[[], object]) -> float:
    """Seconds of a run; the mean of several where one is too short to be timed alone."""
    times: list[float] = []
    while sum(times) < LEAST_S:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.fmean(times)


def _with_exponents(points: list[Point]) -> tuple[Point, ...]:
    found = points[:1]
    for before, point in pairwise(points):
        if before.series == point.series:
            exponent = math.log(point.median / before.median) / math.log(point.value / before.value)
            found.append(replace(point, exponent=exponent))
        else:
            found.append(point)
    return tuple(found)


def _cores() -> int:
    return os.cpu_count() or 1
