"""The length of a step, which NIR does not say: given, told by metadata, or inferred from a convention, never guessed.

The conventions, tried in this order; each must hold for every neuron of the graph to `TOLERANCE`:

1. Metadata ``dt`` of the graph or of its nodes.
2. ``r = 1 / dt`` of I and IF, so that a step adds the input itself: SpikingJelly, bitspike; with r = 1 the step is the
   unit of time, as in Sinabs.
3. ``r = tau / dt`` of LI, LIF, CubaLI and CubaLIF, and ``w_in = tau_syn / dt`` where w_in is not 1: snnTorch,
   SpikingJelly and bitspike. Where all neurons have one and the same tau and r, any r would give some dt; then only one
   that is 1, 2 or 5 times a power of ten is taken for meant.

Nodes that a convention says nothing of (r = 1 of a neuron that leaks) give no answer.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nir_raw import TIMED, RawGraph, RawNode
from bitspike.errors import UsageError

#: Of time constants in 32-bit floats, and of quotients of two of them.
TOLERANCE = 1e-5
#: What two roundings to 32 bits can have moved.
ROUNDING = 2.0**-22
#: Steps in seconds, or in whatever unit the time constants of the file have.
DT_RANGE = (1e-12, 1e6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A length of a step, in the unit of the file's time constants, how it is known, and whether it says anything."""

    dt: float
    source: str
    seconds: bool = True


def find_step(graph: RawGraph, dt: float | None) -> tuple[Step, tuple[str, ...]]:
    """The length of a step of `graph`, and what a person should know about it.

    Raises:
        UsageError: where `dt` is out of range, or None and no convention gives it.
    """
    nodes = [(name, node) for name, node in graph.walk() if node.type in TIMED]
    if dt is not None:
        if not (math.isfinite(dt) and DT_RANGE[0] <= dt <= DT_RANGE[1]):
            raise UsageError(f"dt {dt}; expected {DT_RANGE[0]:g} to {DT_RANGE[1]:g}")
        others = [step for step in conventions(graph) if not _same([step.dt, dt])]
        notes = [f"dt {dt:g} was given, but the file says {step.dt:g} ({step.source})" for step in others]
        return Step(dt=dt, source="given"), tuple(notes)
    if not nodes:
        return Step(dt=0.0, source="no node needs it"), ()
    found = list(conventions(graph))
    if not found:
        raise UsageError(
            "the file does not say how long a step is, nor do its parameters; give dt (--dt), such as 1e-4"
        )
    notes = [f"dt {found[0].dt:g} is inferred from {found[0].source}"]
    others = [step for step in found[1:] if not _same([step.dt, found[0].dt])]
    notes += [f"but the file also says dt {step.dt:g} ({step.source})" for step in others]
    return found[0], tuple(notes)


def conventions(graph: RawGraph) -> Iterator[Step]:
    """Each convention that holds, the most explicit first."""
    nodes = [(name, node) for name, node in graph.walk() if node.type in TIMED]
    told = [value for metadata in _metadata(graph) if (value := _number(metadata.get("dt"))) is not None]
    if told and _same(told) and DT_RANGE[0] <= told[0] <= DT_RANGE[1]:
        yield Step(dt=told[0], source="metadata dt")
    integrators = [node for _, node in nodes if node.type in ("I", "IF")]
    leaky = [node for _, node in nodes if node.type in ("LI", "LIF", "CubaLI", "CubaLIF")]
    if integrators and (steps := _steps(("one", "r", node) for node in integrators)):
        unit = ", the step being the unit of time" if steps[0] == 1 else ""
        if not leaky or steps[0] != 1:
            source = f"r = 1/dt of {integrators[0].type}{unit}"
            yield Step(dt=_rounded(steps[0]), source=source, seconds=not unit)
    if not leaky:
        return
    pairs = [("tau" if node.type in ("LI", "LIF") else "tau_mem", "r", node) for node in leaky]
    pairs += [("tau_syn", "w_in", node) for node in leaky if not _ones(node, "w_in")]
    steps = _steps(pairs)
    several = len({(float(a), float(b)) for t, g, n in pairs for a, b in _quotients(t, g, n)}) > 1 if steps else False
    if steps and (several or _plain(steps[0])):
        source = "r = tau/dt" + (", w_in = tau_syn/dt" if len(pairs) > len(leaky) else "")
        yield Step(dt=_rounded(steps[0]), source=source)


def _metadata(graph: RawGraph) -> Iterator[dict[str, object]]:
    yield dict(graph.metadata)
    for _, node in graph.walk():
        yield dict(node.metadata)


def _number(value: object) -> float | None:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        return None
    number = float(array.reshape(-1)[0])
    return number if math.isfinite(number) else None


def _quotients(time: str, gain: str, node: RawNode) -> list[tuple[float, float]]:
    """All different (time constant, gain) of a node; none where they are not positive numbers of one shape."""
    times = np.ones(1) if time == "one" else np.asarray(node.fields.get(time, 0))
    gains = np.asarray(node.fields.get(gain, 0))
    if times.dtype.kind not in "iuf" or gains.dtype.kind not in "iuf" or not times.size or not gains.size:
        return []
    if times.size not in (1, gains.size) and gains.size != 1:
        return []
    size = max(times.size, gains.size)
    both = np.unique(np.stack([np.broadcast_to(a.reshape(-1).astype(float), (size,)) for a in (times, gains)]), axis=1)
    if not (np.isfinite(both).all() and (both > 0).all()):
        return []
    return [(float(a), float(b)) for a, b in both.T]


def _steps(pairs: Iterable[tuple[str, str, RawNode]]) -> list[float]:
    """The steps that all pairs agree on; none where one of them is a gain of 1, or they differ."""
    steps: list[float] = []
    for time, gain, node in pairs:
        found = _quotients(time, gain, node)
        if not found or (time != "one" and any(_same([b, 1.0]) for _, b in found)):
            return []
        steps += [a / b for a, b in found]
    return steps if steps and _same(steps) and DT_RANGE[0] <= steps[0] <= DT_RANGE[1] else []


def _ones(node: RawNode, name: str) -> bool:
    values = np.asarray(node.fields.get(name, 1.0))
    return values.dtype.kind in "iuf" and bool((values == 1).all())


def _same(values: Iterable[float] | npt.NDArray[np.float64]) -> bool:
    array = np.asarray(values, float)
    return bool(np.isfinite(array).all() and np.abs(array - array[0]).max() <= TOLERANCE * abs(array[0]))


def _plain(step: float) -> bool:
    """Whether a step is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step) + 1e-9)
    return any(_same([step, factor * power]) for factor in (1, 2, 5, 10))


def _rounded(step: float) -> float:
    """The step without what 32-bit floats made of it: 1e-4 and not 9.99999974e-05."""
    short = float(f"{step:.6g}")
    return short if abs(short - step) <= ROUNDING * step else step
