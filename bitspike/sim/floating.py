"""The float engine: a float network in discrete steps, in real numbers, as the tool computes it that made it.

What a step computes is told in :class:`bitspike.convert.floating.nodes.Neurons`. Nodes are computed in the network's
order; an edge with a delay reads what its source sent so many steps before, silence before the first step. Arithmetic
is in float64, or in float32 on request; the order of a sum of products within a matrix is that of numpy's BLAS, so that
a last bit may differ between machines. Numbers that are exact in the type, such as integers and halves, stay exact.
"""

from collections.abc import Callable, Collection, Mapping
from copy import copy
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from bitspike.convert.floating.network import Edge, FloatNetwork, entering
from bitspike.convert.floating.nodes import FloatInput, Neurons
from bitspike.errors import EngineError, UsageError
from bitspike.samples import SignalData, SpikeData
from bitspike.sim.floating_nodes import Floats, FloatType, Line, Operator, PopulationState, operator, working_bytes
from bitspike.sim.floating_record import Extent, FloatRecord, FloatTrace

Inputs = Mapping[str, npt.NDArray[Any]]
Signals = SpikeData | SignalData | npt.ArrayLike | Mapping[str, npt.ArrayLike]
TYPES: dict[str, FloatType] = {"float64": np.float64, "float32": np.float32}
#: A batch is as large as this many bytes allow: about what a cache holds, so that a step does not wait for memory.
BATCH_BYTES = 16 << 20
#: Larger records and larger single samples are refused before they are made.
MAX_BYTES = 1 << 34


def simulate_float(
    network: FloatNetwork,
    data: Signals,
    *,
    record: Literal["none", "all"] | Collection[str] = "none",
    dtype: Literal["float64", "float32"] = "float64",
    batch: int | None = None,
    notify: Callable[[str, int, int], None] | None = None,
) -> FloatRecord:
    """Run `network` on `data`.

    Args:
        network: any float network.
        data: spikes, counts of spikes or real numbers of shape (samples, steps, numbers), or (samples, steps, *shape of
            the input), or encoded samples; where the network has several inputs, one such array for each, by name.
        record: the populations of which every step is kept; outputs, counts and extents always are.
        dtype: of the arithmetic.
        batch: samples that are computed together; chosen by memory where it is None.
        notify: called with the network's name, samples done, and all samples.

    Raises:
        UsageError: data that do not fit the network, or a record that does not fit into memory.
        EngineError: where a state is no longer a finite number.
    """
    if dtype not in TYPES:
        raise UsageError(f"dtype {dtype!r}; expected float64 or float32")
    inputs = _inputs(network, data)
    traced = _traced(network, record)
    samples, steps = next(iter(inputs.values())).shape[:2]
    itemsize = np.dtype(dtype).itemsize
    parts = sum(working_bytes(node, itemsize) for node in network.nodes)
    parts += sum((edge.delay + 1) * itemsize * network.node(edge.source).size for edge in network.edges)
    recorded = sum(network.node(name).size * (1 + 2 * itemsize) for name in traced)
    recorded += sum(network.node(name).size * itemsize for name in network.outputs)
    recorded *= samples * steps
    if max(parts, recorded) > MAX_BYTES:
        raise UsageError(
            f"network {network.name}: {parts:,} bytes a sample and {recorded:,} bytes of record; "
            f"expected at most {MAX_BYTES:,} of each: record fewer populations, or give fewer samples"
        )
    size = batch or max(1, min(samples, BATCH_BYTES // parts))
    if size < 1:
        raise UsageError(f"batch {batch}; expected 1 or more")
    kept = _Kept(network, samples, steps, traced, TYPES[dtype])
    for start in range(0, samples, size):
        if notify is not None:
            notify(network.name, start, samples)
        rows = slice(start, start + size)
        _Run(network, {name: array[rows] for name, array in inputs.items()}, kept.rows(rows)).finish()
    return kept.record(network, dtype)


class _Kept:
    """What is kept of a run, of all samples or of some rows; rows are views, so that writing there fills the whole."""

    def __init__(
        self, network: FloatNetwork, samples: int, steps: int, traced: Collection[str], dtype: FloatType
    ) -> None:
        sizes = {node.name: node.size for node in network.nodes}
        binary = {p.name for p in network.populations if p.spiking}

        def empty(name: str, kind: Any) -> npt.NDArray[Any]:
            return np.zeros((samples, steps, sizes[name]), kind)

        self.dtype = dtype
        self.steps = steps
        self.outputs = {name: empty(name, np.uint8 if name in binary else dtype) for name in network.outputs}
        self.counts = {p.name: np.zeros((samples, p.size), np.int64) for p in network.populations}
        self.traces = {
            name: FloatTrace(spikes=empty(name, np.uint8), i=empty(name, dtype), v=empty(name, dtype))
            for name in traced
        }
        self.extents = {p.name: Extent(peak_i=0.0, low_v=0.0, high_v=0.0) for p in network.populations}

    def rows(self, rows: slice) -> "_Kept":
        """A view of some samples."""
        view = copy(self)
        view.outputs = {name: array[rows] for name, array in self.outputs.items()}
        view.counts = {name: array[rows] for name, array in self.counts.items()}
        view.traces = {
            name: FloatTrace(spikes=trace.spikes[rows], i=trace.i[rows], v=trace.v[rows])
            for name, trace in self.traces.items()
        }
        return view

    def record(self, network: FloatNetwork, dtype: str) -> FloatRecord:
        """The record of all of it."""
        return FloatRecord(
            network=network.name,
            dtype=dtype,
            steps=self.steps,
            outputs=self.outputs,
            counts=self.counts,
            extents=self.extents,
            traces=self.traces,
        )


class _Run:
    """One batch: the operators and states of all nodes, and where what is kept of them goes."""

    def __init__(self, network: FloatNetwork, inputs: Inputs, kept: _Kept) -> None:
        self.network = network
        self.inputs = inputs
        self.kept = kept
        self.dtype = kept.dtype
        self.samples = len(next(iter(inputs.values())))
        self.states = {p.name: PopulationState(p, self.samples, self.dtype) for p in network.populations}
        plain = (node for node in network.nodes if not isinstance(node, FloatInput | Neurons))
        self.operators: dict[str, Operator] = {node.name: operator(node, self.samples, self.dtype) for node in plain}
        self.incoming = {node.name: network.incoming(node.name) for node in network.nodes}
        self.entering = {node.name: entering(node) or 0 for node in network.nodes}
        late: dict[str, int] = {}
        for edge in network.edges:
            late[edge.source] = max(edge.delay, late.get(edge.source, 0))
        sizes = {node.name: node.size for node in network.nodes}
        self.lines = {
            name: Line(delay - 1, self.samples, sizes[name], self.dtype) for name, delay in late.items() if delay
        }

    def finish(self) -> None:
        """Compute all steps."""
        # Matrices of a step are small: threads of BLAS gain little, and cost a hundredfold where a machine is busy.
        with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1, "blas"):
            for t in range(self.kept.steps):
                try:
                    self._step(t)
                except EngineError as error:
                    raise EngineError(f"{error}, from step {t} on") from None
        for name, state in self.states.items():
            before = self.kept.extents[name]
            self.kept.extents[name] = Extent(
                peak_i=max(before.peak_i, state.peak_i),
                low_v=min(before.low_v, state.low_v),
                high_v=max(before.high_v, state.high_v),
            )

    def _step(self, t: int) -> None:
        sent: dict[str, Floats] = {}
        for node in self.network.nodes:
            name = node.name
            if isinstance(node, FloatInput):
                sent[name] = self.inputs[name][:, t].astype(self.dtype)
                continue
            x = self._summed(self.incoming[name], self.entering[name], sent)
            state = self.states.get(name)
            sent[name] = self.operators[name](x) if state is None else state.step(x)
        for name, line in self.lines.items():
            line.push(sent[name])
        for name, kept in self.kept.outputs.items():
            kept[:, t] = sent[name]
        for name, counts in self.kept.counts.items():
            np.add(counts, self.states[name].spikes, out=counts)
        for name, trace in self.kept.traces.items():
            state = self.states[name]
            trace.spikes[:, t], trace.i[:, t], trace.v[:, t] = state.spikes, state.i, state.v

    def _summed(self, edges: tuple[Edge, ...], size: int, sent: dict[str, Floats]) -> Floats:
        """The sum of what arrives, in the order of the edges; the lines still end with the step before."""
        total: Floats | None = None
        for edge in edges:
            signal = self.lines[edge.source].ago(edge.delay - 1) if edge.delay else sent[edge.source]
            total = signal if total is None else total + signal
        return np.zeros((self.samples, size), self.dtype) if total is None else total


def _inputs(network: FloatNetwork, data: Signals) -> dict[str, npt.NDArray[Any]]:
    if isinstance(data, SpikeData | SignalData):
        data = data.spikes if isinstance(data, SpikeData) else data.values
    names = [node.name for node in network.inputs]
    if not isinstance(data, Mapping):
        if len(names) != 1:
            raise UsageError(f"one array of data; the network has inputs {', '.join(names)}: expected one for each")
        data = {names[0]: data}
    if set(data) != set(names):
        raise UsageError(f"data for {', '.join(map(str, data))}; expected one array for each of {', '.join(names)}")
    found = {node.name: _signal(node, data[node.name]) for node in network.inputs}
    lengths = {array.shape[:2] for array in found.values()}
    if len(lengths) != 1:
        raise UsageError(f"inputs of {sorted(lengths)} samples and steps; expected the same of all")
    return found


def _signal(node: FloatInput, values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim < 3 or array.dtype.kind not in "biuf" or 0 in array.shape:
        raise UsageError(
            f"input {node.name}: data of shape {array.shape}, {array.dtype}; expected numbers (samples, steps, "
            f"{node.size}), at least one sample and one step"
        )
    flat = array.reshape(*array.shape[:2], -1)
    if array.shape[2:] not in (node.shape, (node.size,)):
        raise UsageError(f"input {node.name}: data of shape {array.shape[2:]} a step; expected {node.shape}")
    if array.dtype.kind == "f" and not np.isfinite(flat).all():
        raise UsageError(f"input {node.name}: data that are not finite; expected finite numbers")
    return flat


def _traced(network: FloatNetwork, record: str | Collection[str]) -> tuple[str, ...]:
    names = tuple(p.name for p in network.populations)
    if isinstance(record, str):
        if record not in ("none", "all"):
            raise UsageError(f"record {record!r}; expected none, all, or a list of populations")
        return names if record == "all" else ()
    for name in record:
        if name not in names:
            raise UsageError(f"record: no population {name!r}; there are {', '.join(names)}")
    return tuple(record)
