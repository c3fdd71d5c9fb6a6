"""The integer graph of a network in ONNX: opset 21, IR 10, standard operators that ONNX Runtime's CPU runs.

The graph computes what :mod:`bitspike.sim.reference` defines, in integers of known width. It is exact where the range
proof (:func:`bitspike.convert.ranges.check_range`) holds: no value then leaves its type. ONNX's integer `Div` truncates
toward zero, as the chip does; products with a decay are formed in int64; a sum over synapses, in int32.

Two forms share one body:

``step``
    One step. Inputs: `spikes`, int8 (batch, neurons), and each state as ``<state>.in``. Outputs: each state, and
    ``<population>.spikes``. The caller begins with zeros.
``scan``
    A whole window: a Scan over the body, whose names begin with ``step/``. Input: `spikes`, int8 (time, batch,
    neurons), time and batch free; the neurons of several inputs lie one after the other. Where a population has a
    latency, the graph itself appends that much silence: a run has ``time + latency`` steps. Outputs: `scores`, int64
    (batch, classes), the read-out over the window of `time` steps that begins at the read-out's `start`, or
    ``scores/NAME`` of an answer that has a name; of each population ``<population>.spikes`` (int8, or int32 where they
    are graded), ``.u`` and ``.v`` (int32), (run, batch, neurons), not aligned: row 0 is the first step of the run; each
    state after the run as ``<state>.final``.

States: ``<population>.u`` and ``.v``, int32 (batch, neurons); ``<source>.past``, (delay, batch, neurons) of the type of
the source's spikes, which it holds of the steps before, the latest first, where a connection has a delay, as each
recurrent one has; `step`, int64 scalar, the number of the step from 0, where a population has a `start`.

Initialisers; ``*`` stands for ``<source>.to.<target>.delay<d>``:

============================================  =========================================================================
name                                          values
============================================  =========================================================================
``*.weights`` of ``dense``                    (sources, targets), int8, or int32 where a weight is beyond -127..127 or
                                              the source sends graded spikes
``*.weights`` of ``conv``                     (target channels, source channels / groups, height, width), int8
``*.weights.high``, ``*.weights.low``         instead, where a weight is beyond -127..127: int8 parts of the same shape;
of ``conv``                                   each weight is ``128 * high + low``, `low` in 0..127
``*.ones`` of ``pool``                        (channels, 1, height, width), int8
``*.gain``                                    int32, ``64 << exponent``; of ``identity`` times its weight
``<population>.bias``                         int32, ``mantissa << exponent``
``<population>.threshold``                    int32, ``64 * vth``
``<population>.payload.unit``                 int32, ``2^(6 + shift)``, of graded spikes only
``<population>.du.keep``, ``.dv.keep``        int64, 4096 less the decay
============================================  =========================================================================

The operators of each kind of connection are in :mod:`bitspike.convert.onnx_connections`. A graph of dense feed-forward
connections is what it was before the other kinds and graded spikes came, so the version is still 1. A node has the
name of what it computes. Names of populations have no dots and every name made from one has, so that none is used
twice.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from bitspike.convert.description import description_text
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_nodes import Nodes, typed
from bitspike.convert.onnx_step import State, body, spike_type, states
from bitspike.errors import UsageError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

Form = Literal["scan", "step"]
FORMS = ("scan", "step")
FORMAT = "bitspike.onnx"
VERSION = "1"
OPSET, IR_VERSION = 21, 10
_BODY = "step/"
_END = np.iinfo(np.int64).max


def build(network: IntegerNetwork, form: Form = "scan") -> "ModelProto":
    """The ONNX model of a legal network; the same network gives the same bytes.

    Raises:
        UsageError: for an unknown form.
        UnsupportedError: for a kind of connection that :mod:`bitspike.convert.onnx_connections` does not list.
    """
    from onnx import helper

    if form not in FORMS:
        raise UsageError(f"form {form!r}; expected {' or '.join(FORMS)}")
    model = helper.make_model(
        _scan_graph(network) if form == "scan" else _step_graph(network),
        producer_name="bitspike",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, _metadata(network, form))
    return model


def scores_name(answer: str) -> str:
    """The output that holds the scores of an answer: ``scores``, or ``scores/NAME`` of one that has a name."""
    return f"scores/{answer}" if answer else "scores"


def body_of(model: "ModelProto", form: str) -> "GraphProto | None":
    """The graph of one step, which holds all weights: the whole graph, or the body of its Scan; None if it has none."""
    if form == "step":
        return model.graph
    bodies = [a.g for node in model.graph.node if node.op_type == "Scan" for a in node.attribute if a.name == "body"]
    return bodies[0] if bodies else None


def _metadata(network: IntegerNetwork, form: str) -> dict[str, str]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "form": form,
        "network": description_text(network),
        "digest": network.digest(),
        "rounding": "toward zero",
        "threshold": "strict: a spike where v > 64 * vth",
        "reset": ",".join(f"{p.name}={p.reset}" for p in network.populations),
        "decay_bits": str(DECAY_ONE.bit_length() - 1),
        "state_shift": str(STATE_SHIFT),
    }


def _step_graph(network: IntegerNetwork) -> "GraphProto":
    nodes = body(network, "")
    inputs = [typed("spikes", "int8", ("batch", network.input_size))]
    inputs += [typed(f"{s.name}.in", s.dtype, s.shape) for s in states(network)]
    outputs = [typed(*s) for s in states(network)]
    outputs += [typed(f"{p.name}.spikes", spike_type(p), ("batch", p.size)) for p in network.populations]
    return nodes.graph("step", inputs, outputs)


def _scan_graph(network: IntegerNetwork) -> "GraphProto":
    nodes = Nodes()
    carried, late = states(network), max(network.latencies().values())
    spikes = "spikes"
    if late:
        spikes = nodes.add("Pad", ["spikes", nodes.constant("silence", [0, 0, 0, late, 0, 0], "int64")], "spikes_run")
    traces = [(f"{p.name}.{q}", t, p.size) for p in network.populations for q, t in _traced(p)]
    nodes.add(
        "Scan",
        [*_zeros(nodes, carried), spikes],
        [*(f"{s.name}.final" for s in carried), *(name for name, _, _ in traces)],
        name="steps",
        num_scan_inputs=1,
        body=_scan_body(network),
    )
    for parts in network.answers().values():
        _scores(nodes, network, parts, late)
    run = "run" if late else "time"
    classes = {
        answer: sum(network.population(r.population).size for r in parts) for answer, parts in network.answers().items()
    }
    outputs = [typed(scores_name(answer), "int64", ("batch", size)) for answer, size in classes.items()]
    outputs += [typed(name, dtype, (run, "batch", size)) for name, dtype, size in traces]
    outputs += [typed(f"{s.name}.final", s.dtype, s.shape) for s in carried]
    return nodes.graph("window", [typed("spikes", "int8", ("time", "batch", network.input_size))], outputs)


def _scan_body(network: IntegerNetwork) -> "GraphProto":
    nodes = body(network, _BODY)
    carried = states(network)
    inputs = [typed(f"{_BODY}{s.name}.in", s.dtype, s.shape) for s in carried]
    inputs.append(typed(f"{_BODY}spikes", "int8", ("batch", network.input_size)))
    outputs: list[ValueInfoProto] = [typed(_BODY + s.name, s.dtype, s.shape) for s in carried]
    for p in network.populations:
        for quantity, dtype in _traced(p):
            name = f"{p.name}.{quantity}"
            # A graph may not name the same value twice among its outputs, once as a state and once as a trace.
            trace = nodes.add("Identity", [_BODY + name], f"{name}.trace")
            outputs.append(typed(trace, dtype, ("batch", p.size)))
    return nodes.graph("step", inputs, outputs)


def _traced(p: Population) -> tuple[tuple[str, str], ...]:
    """What the scan form tells of a population at every step, with the types."""
    return ("spikes", spike_type(p)), ("u", "int32"), ("v", "int32")


def _zeros(nodes: Nodes, carried: tuple[State, ...]) -> list[str]:
    """The states before the first step: zeros as large as the batch."""
    batch = nodes.add("Shape", ["spikes"], "batch", start=1, end=2)
    names = []
    for state in carried:
        if not state.shape:
            names.append(nodes.constant(f"{state.name}.first", 0, state.dtype))
            continue
        extents = [
            batch if extent == "batch" else nodes.constant(f"{state.name}.extent{place}", [extent], "int64")
            for place, extent in enumerate(state.shape)
        ]
        shape = nodes.add("Concat", extents, f"{state.name}.shape", axis=0)
        names.append(nodes.zeros(shape, f"{state.name}.first", state.dtype))
    return names


def _scores(nodes: Nodes, network: IntegerNetwork, parts: tuple[Readout, ...], late: int) -> None:
    """The scores of one answer: those of its read-outs, one after the other."""
    total = scores_name(parts[0].answer)
    if len(parts) == 1:
        _read(nodes, network, parts[0], total, late)
        return
    names = [f"part/{part.answer}/{part.population}" for part in parts]
    for part, name in zip(parts, names, strict=True):
        _read(nodes, network, part, name, late)
    nodes.add("Concat", names, total, axis=1)


def _read(nodes: Nodes, network: IntegerNetwork, readout: Readout, scores: str, late: int) -> None:
    """A read-out, called `scores`, over its window: `late` steps follow the input, `start` of them precede it."""
    own = f"{scores}/" if "/" in scores else f"{scores}_"
    start = network.population(readout.population).start
    trace = f"{readout.population}.{'spikes' if readout.kind == 'spike_count' else 'v'}"
    if readout.kind == "membrane_last":
        place = nodes.constant(f"{own}place", start - late - 1, "int64")
        nodes.cast(nodes.add("Gather", [trace, place], f"{own}v", axis=0), scores, "int64")
        return
    end = start - late if start < late else _END
    bounds = [nodes.constant(f"{own}{n}", [x], "int64") for n, x in (("start", start), ("end", end), ("axis", 0))]
    window = nodes.cast(nodes.add("Slice", [trace, *bounds], f"{own}narrow"), f"{own}window", "int64")
    nodes.add("ReduceSum", [window, bounds[2]], scores, keepdims=0)
