"""Why two engines part: the known mistakes, each tried as an explanation of every value that differs.

A cause is a change of the arithmetic or of the network. The reference engine runs with it, in all populations and then
in each alone, and where every spike, current and membrane is then that of the other engine, the cause is named. Nothing
is guessed: a cause that leaves one value unexplained is not told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d
from bitspike.convert.network import DECAY_ONE, STATE_MAX, STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.weights import weights_of
from bitspike.errors import BitspikeError
from bitspike.sim.record import Record, Trace
from bitspike.sim.reference import Integers, Rule, run_reference, step

#: Samples on which a cause must explain every value.
SAMPLES = 16
#: Steps by which a population may be early or late.
OFFSETS = (1, -1, 2, -2, 3, -3)

Change = Callable[[IntegerNetwork, str], IntegerNetwork]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A cause that explains every difference.

    Attributes:
        cause: its name.
        where: the population or connection that has it; empty for all.
        samples: on how many samples every value was explained.
    """

    cause: str
    where: str
    samples: int

    def __str__(self) -> str:
        place = f"in {self.where}" if self.where else "everywhere"
        count = f"{self.samples} samples" if self.samples > 1 else "1 sample"
        return f"{self.cause}, {place}, explains every value of {count}"


def find_reason(network: IntegerNetwork, left: Record, right: Record, sample: int) -> Reason | None:
    """The first known cause by which the reference engine gives all of `right`; None where none does.

    Args:
        network: the network that `left` ran.
        left, right: aligned records of the baseline and of the engine that parts from it.
        sample: one in which they differ.
    """
    many = min(SAMPLES, left.samples, right.samples)
    rows = np.array([sample, *(n for n in range(many) if n != sample)][:many])
    for cause, where, run in _explanations(network):
        if _explains(run, left, right, rows[:1]) and (many == 1 or _explains(run, left, right, rows)):
            return Reason(cause=cause, where=where, samples=many)
    return None


Run = Callable[[Record], Record]


def _explains(run: Run, left: Record, right: Record, rows: Integers) -> bool:
    """Whether the explanation, on some samples, gives what `right` has there."""
    try:
        found = run(_rows(left, rows))
    except BitspikeError:
        return False  # a change that makes no legal network, or leaves the registers, explains nothing
    expected = _rows(right, rows)
    return all(
        np.array_equal(getattr(trace, quantity), getattr(expected.traces[name], quantity))
        for name, trace in found.traces.items()
        for quantity in ("u", "v", "spikes")
    )


def _rows(record: Record, rows: Integers) -> Record:
    traces = {
        name: Trace(spikes=trace.spikes[rows], u=trace.u[rows], v=trace.v[rows])
        for name, trace in record.traces.items()
    }
    return replace(record, inputs=record.inputs[rows], traces=traces)


def _explanations(network: IntegerNetwork) -> Iterator[tuple[str, str, Run]]:
    """Every cause with its place: everywhere first, then each place alone."""
    names = [p.name for p in network.populations]
    for where in ("", *names) if len(names) > 1 else ("",):
        for cause, rule in RULES.items():
            yield cause, where, partial(_with_rule, network, rule, where)
        yield "the other reset", where, partial(_changed, network, _other_reset, where)
        for offset in OFFSETS:
            late = f"{abs(offset)} step{'s' if abs(offset) > 1 else ''} {'late' if offset > 0 else 'early'}"
            yield late, where, partial(_shifted, network, offset, where)
    connections = [c.name for c in network.connections]
    for where in ("", *connections) if len(connections) > 1 else ("",):
        for cause, change in CHANGES.items():
            yield cause, where, partial(_changed, network, change, where)


def _with_rule(network: IntegerNetwork, rule: Rule, where: str, record: Record) -> Record:
    def chosen(p: Population, *state: Integers, **options: Any) -> tuple[Integers, Integers, Integers]:
        return (rule if where in ("", p.name) else step)(p, *state, **options)

    return run_reference(network, record.inputs, rule=chosen)


def _changed(network: IntegerNetwork, change: Change, where: str, record: Record) -> Record:
    other = change(network, where)
    return record if other == network else run_reference(other, record.inputs)


def _shifted(network: IntegerNetwork, offset: int, where: str, record: Record) -> Record:
    """The record with populations that answer `offset` steps later, silent before; or earlier, with silence as input
    where it had none.
    """
    other = record if offset > 0 else run_reference(network, np.pad(record.inputs, ((0, 0), (0, -offset), (0, 0))))
    traces = {}
    for name, trace in record.traces.items():
        moved = other.traces[name] if where in ("", name) else trace
        arrays: dict[str, Any] = {"spikes": moved.spikes, "u": moved.u, "v": moved.v}
        if where in ("", name):
            arrays = {key: _moved(array, offset) for key, array in arrays.items()}
        traces[name] = Trace(**arrays)
    return replace(record, traces=traces)


def _moved(array: npt.NDArray[Any], offset: int) -> npt.NDArray[Any]:
    """Later by `offset` steps in as many steps; or, of an array that has as many more, its last steps."""
    if offset < 0:
        return array[:, -offset:]
    moved = np.zeros_like(array)
    moved[:, offset:] = array[:, : max(0, array.shape[1] - offset)]
    return moved


def _rule(
    p: Population,
    u: Integers,
    v: Integers,
    a: Integers,
    *,
    decay: Callable[[Integers, int], Integers] | None = None,
    at_threshold: bool = False,
    membrane_first: bool = False,
    wrap: bool = False,
    clip: bool = False,
    **_: object,
) -> tuple[Integers, Integers, Integers]:
    """One step of the reference with one thing done otherwise."""
    kept = decay or _truncated
    before = u
    u = kept(u, DECAY_ONE - p.du) + (a << STATE_SHIFT)
    v = kept(v, DECAY_ONE - p.dv) + (before if membrane_first else u) + p.bias
    if wrap:
        u, v = (((x + STATE_MAX + 1) & (2 * STATE_MAX + 1)) - STATE_MAX - 1 for x in (u, v))
    if clip:
        u, v = (np.clip(x, -STATE_MAX, STATE_MAX) for x in (u, v))
    threshold = p.vth << STATE_SHIFT
    s = v >= threshold if at_threshold else v > threshold
    sent = np.where(s, v >> p.payload_shift, 0) if p.graded else s.astype(np.int64)
    v = np.where(s, 0 if p.reset == "zero" else v - threshold, v)
    return u, v, sent


def _truncated(x: Integers, keep: int) -> Integers:
    return np.sign(x) * (np.abs(x) * keep >> 12)


def _floored(x: Integers, keep: int) -> Integers:
    return x * keep >> 12


def _nearest(x: Integers, keep: int) -> Integers:
    return np.rint(x * keep / DECAY_ONE).astype(np.int64)


def _single(x: Integers, keep: int) -> Integers:
    """Truncation of a product in single precision, whose 24 bits do not hold it."""
    return np.trunc(x.astype(np.float32) * np.float32(keep / DECAY_ONE)).astype(np.int64)


#: Other arithmetic, by what is told of it.
RULES: dict[str, Rule] = {
    "floor instead of truncation": partial(_rule, decay=_floored),
    "rounding to the nearest instead of truncation": partial(_rule, decay=_nearest),
    "a decay in single-precision floating point": partial(_rule, decay=_single),
    ">= instead of > at the threshold": partial(_rule, at_threshold=True),
    "the membrane before the current": partial(_rule, membrane_first=True),
    "a state that wraps around 24 bits": partial(_rule, wrap=True),
    "a state that is clipped at 24 bits": partial(_rule, clip=True),
}


def _other_reset(network: IntegerNetwork, where: str) -> IntegerNetwork:
    def turned(p: Population) -> Population:
        return replace(p, reset="subtract" if p.reset == "zero" else "zero") if where in ("", p.name) else p

    return network.with_populations(tuple(map(turned, network.populations)))


def _on_connections(change: Callable[[Connection], Connection], network: IntegerNetwork, where: str) -> IntegerNetwork:
    changed = tuple(change(c) if where in ("", c.name) else c for c in network.connections)
    return network if changed == network.connections else replace(network, connections=changed)


def _flipped(connection: Connection) -> Connection:
    """A true convolution: the kernel turned by half."""
    return _with_kernels(connection, lambda kernels: kernels[..., ::-1, ::-1])


def _transposed(connection: Connection) -> Connection:
    """Rows of the kernel for columns, where it is square."""
    square = isinstance(connection, Conv2d) and connection.kernel[0] == connection.kernel[1]
    return _with_kernels(connection, lambda kernels: kernels.swapaxes(-1, -2)) if square else connection


def _with_kernels(connection: Connection, change: Callable[[Integers], Integers]) -> Connection:
    if not isinstance(connection, Conv2d):
        return connection
    kernels = connection.weights.matrix().reshape(len(connection.weights.matrix()), -1, *connection.kernel)
    return replace(connection, weights=weights_of(change(kernels).reshape(len(kernels), -1)))


def _later(connection: Connection) -> Connection:
    return replace(connection, delay=connection.delay + 1)


def _sooner(connection: Connection) -> Connection:
    return replace(connection, delay=max(0, connection.delay - 1))


#: Other connections, by what is told of them.
CHANGES: dict[str, Change] = {
    "a flipped kernel": partial(_on_connections, _flipped),
    "a transposed kernel": partial(_on_connections, _transposed),
    "a delay of one step more": partial(_on_connections, _later),
    "a delay of one step less": partial(_on_connections, _sooner),
}
