"""The time of a step and of an inference, as far as the busiest core sets it, by published times.

At each step a core works through the synapses that its messages feed and through its neurons, active ones (as counted
in :mod:`bitspike.sim.counts`) and inactive ones. The step ends by a barrier when the last core is done and the last
message has arrived:

    core = operations * synaptic_operation_ns + active * active_update_ns + inactive * inactive_update_ns
    step = largest core + longest way of a message + barrier

That is ``one after the other``. Where synapses and neurons are worked on at the same time, as different units of a core
can, ``together`` takes the larger of the two instead of their sum. The barrier of one tile and that of the whole mesh
are published, between them it is taken to grow by the tile. A synaptic operation's time is published as a maximum.
Left out: messages that wait for each other in the mesh, input and output, and what the host does; on silicon, steps of
several microseconds were measured. A message's synapses are worked on in the step in which it was sent, however long
their delays are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.sim.record import Record, run_length
from bitspike.sim.traffic import OUTSIDE, Routes, routes
from bitspike.targets.chips import Chip
from bitspike.targets.mesh import Integers
from bitspike.targets.placement import Placement
from bitspike.targets.reach import Assigned, fan_out_by_core

Times = npt.NDArray[np.float64]
#: The figures of a chip that a step's time is made of.
FIGURES = (
    "synaptic_operation_ns", "active_update_ns", "inactive_update_ns", "spike_ns", "hop_east_west_ns",
    "hop_north_south_ns", "barrier_least_ns", "barrier_most_ns",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Work:
    """What the cores do in each step of a run, from the first input to the last population's last step.

    Attributes:
        operations: synaptic operations, (samples, steps, cores).
        active: active neuron updates, (samples, steps, cores).
        neurons: of each core, (cores,).
        sent: whether a route carried a spike, (samples, steps, routes).
    """

    operations: Integers
    active: Integers
    neurons: Integers
    sent: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StepTime:
    """Bounds on the time of steps and inferences, in nanoseconds.

    Attributes:
        chip, source, grade: whose times they are, and how they are known.
        window, latency: steps of a sample's window, and how many later the last population answers.
        barrier_ns: of the tiles in use.
        busiest: the core that most often needs longest, one after the other.
        serial_ns, together_ns: of each step, (samples, steps): units one after the other, and at the same time.
    """

    chip: str
    source: str
    grade: str
    window: int
    latency: int
    barrier_ns: float
    busiest: int
    serial_ns: Times
    together_ns: Times

    @property
    def steps(self) -> int:
        """Steps from the first input to the answer."""
        return self.window + self.latency

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: means and extremes over steps, and over samples."""
        names = ("chip", "source", "grade", "window", "latency", "steps", "barrier_ns", "busiest")
        return {name: getattr(self, name) for name in names} | {
            "serial": _summary(self.serial_ns),
            "together": _summary(self.together_ns),
        }

    def __str__(self) -> str:
        low, high = _summary(self.together_ns), _summary(self.serial_ns)
        step, worst, whole, rate = (
            f"{low[key] / unit:,.{digits}f} to {high[key] / unit:,.{digits}f}"
            for key, unit, digits in (
                ("step_ns_mean", 1, 0),
                ("step_ns_worst", 1, 0),
                ("inference_ns_mean", 1000, 1),
                ("inferences_per_second", 1, 0),
            )
        )
        return "\n".join(
            [
                f"time that the busiest core (core {self.busiest}) sets, units of a core at the same time or one after "
                "the other:",
                f"  a step {step} ns on average, the longest {worst} ns, of which barrier {self.barrier_ns:,.0f} ns",
                f"  an inference of {self.window} steps and {self.latency} of latency {whole} us, {rate} a second",
                "  not included: waiting in the mesh, input and output, the host",
                f"  source: {self.source} ({self.grade})",
            ]
        )


def work(assigned: Assigned, record: Record) -> Work:
    """What each core does in each step of `record`, a run of the network of `assigned`."""
    network, cores, found = assigned.network, assigned.core_count, routes(assigned)
    shape = record.samples, run_length(network, record.steps)
    operations, active = np.zeros((*shape, cores)), np.zeros((*shape, cores))
    neurons = np.zeros(cores, np.int64)
    sent = np.zeros((*shape, len(found.sources)), bool)
    starts = network.latencies()
    for name, fan in fan_out_by_core(assigned).items():
        window = slice(starts[name], starts[name] + record.steps)
        fired = np.asarray(record.spikes_of(network, name)) != 0
        # Whole numbers below 2^53 are exact in floats, whose products are many times quicker.
        operations[:, window] += fired.astype(np.float64) @ fan.synapses
        used, by_route = found.gathered(name, fired.astype(np.int64))
        sent[:, window, used] |= by_route > 0
    for p in network.populations:
        window = slice(starts[p.name], starts[p.name] + record.steps)
        trace = record.traces[p.name]
        held = (assigned.core_of(p.name)[:, None] == np.arange(cores)).astype(np.float64)
        active[:, window] += ((trace.u != 0) | (trace.v != 0) | (trace.spikes != 0)).astype(np.float64) @ held
        neurons += held.sum(axis=0).astype(np.int64)
    return Work(operations=operations.astype(np.int64), active=active.astype(np.int64), neurons=neurons, sent=sent)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CoreTimes:
    """What of the time of each step does not depend on where the cores are, (samples, steps) each.

    Attributes:
        window: steps of a sample's window.
        serial_ns, together_ns: of the core that needs longest: its units one after the other, and at the same time.
        busiest: the core that needs longest, one after the other.
        sent: whether a route carried a spike, in bits along the last axis, (samples, steps, routes / 8).
    """

    window: int
    serial_ns: Times
    together_ns: Times
    busiest: Integers
    sent: npt.NDArray[np.uint8]


def core_times(assigned: Assigned, record: Record, chip: Chip) -> CoreTimes:
    """What the cores need for each step of `record`, a run of the network of `assigned`, on `chip`.

    Raises:
        UsageError: a chip whose times are not published.
    """
    prices, done = _prices(chip), work(assigned, record)
    synapses = done.operations * prices["synaptic_operation_ns"]
    inactive = done.neurons - done.active
    neurons = done.active * prices["active_update_ns"] + inactive * prices["inactive_update_ns"]
    serial = synapses + neurons
    return CoreTimes(
        window=record.steps,
        serial_ns=serial.max(axis=2),
        together_ns=np.maximum(synapses, neurons).max(axis=2),
        busiest=serial.argmax(axis=2),
        sent=np.packbits(done.sent, axis=2),
    )


def step_time(parts: Sequence[CoreTimes], found: Routes, placement: Placement, chip: Chip) -> StepTime:
    """Bounds on the time of every step, where the cores are placed: `parts` are runs one behind the other.

    Raises:
        UsageError: a chip whose times are not published.
    """
    prices = _prices(chip)
    figures = [getattr(chip, name) for name in FIGURES]
    grown = (prices["barrier_most_ns"] - prices["barrier_least_ns"]) / max(1, placement.mesh.tiles - 1)
    barrier = prices["barrier_least_ns"] + (placement.tiles - 1) * grown
    ways = _ways(found, placement, prices)
    added = np.concatenate(
        [(np.unpackbits(part.sent, axis=2, count=len(ways)) * ways).max(axis=2) + barrier for part in parts]
    )
    return StepTime(
        chip=chip.name,
        source="; ".join(dict.fromkeys(figure.source.partition(":")[0] for figure in figures)),
        grade=", ".join(dict.fromkeys(figure.grade for figure in figures)),
        window=parts[0].window,
        latency=added.shape[1] - parts[0].window,
        barrier_ns=barrier,
        busiest=int(np.bincount(np.concatenate([part.busiest for part in parts]).ravel()).argmax()),
        serial_ns=np.concatenate([part.serial_ns for part in parts]) + added,
        together_ns=np.concatenate([part.together_ns for part in parts]) + added,
    )


def has_times(chip: Chip) -> bool:
    """Whether all figures that a step's time is made of are published."""
    return all(getattr(chip, name) is not None for name in FIGURES)


def _prices(chip: Chip) -> dict[str, float]:
    missing = [name for name in FIGURES if getattr(chip, name) is None]
    if missing:
        raise UsageError(f"chip {chip.name}: no published {', '.join(missing)}; expected them for the time of a step")
    return {name: float(getattr(chip, name).value) for name in FIGURES}


def _ways(found: Routes, placement: Placement, prices: dict[str, float]) -> Times:
    """How long the spikes of each route travel to their farthest core, (routes,); those from outside are left out."""
    east_west, north_south = placement.hops()
    times = prices["spike_ns"] + east_west * prices["hop_east_west_ns"] + north_south * prices["hop_north_south_ns"]
    inside = found.sources != OUTSIDE
    reached = (found.axons > 0) & inside[:, None]
    return np.where(reached, times[np.where(inside, found.sources, 0)], 0.0).max(axis=1)


def _summary(times: Times) -> dict[str, float]:
    whole = times.sum(axis=1)
    return {
        "step_ns_mean": float(times.mean()),
        "step_ns_worst": float(times.max()),
        "inference_ns_mean": float(whole.mean()),
        "inference_ns_sd": float(whole.std(ddof=1)) if len(whole) > 1 else 0.0,
        "inference_ns_worst": float(whole.max()),
        "inferences_per_second": float(1e9 / whole.mean()),
    }
