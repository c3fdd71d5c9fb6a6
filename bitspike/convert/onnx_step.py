"""One step of a network as ONNX nodes: what both forms of :mod:`bitspike.convert.onnx_graph` share."""

from typing import NamedTuple

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Connection, IntegerNetwork, Population
from bitspike.convert.onnx_connections import current, key
from bitspike.convert.onnx_nodes import Nodes, Shape


class State(NamedTuple):
    """What is carried from step to step: its name, its ONNX type by numpy's name, its shape with ``batch`` free."""

    name: str
    dtype: str
    shape: Shape


def states(network: IntegerNetwork) -> tuple[State, ...]:
    """The states, in the order in which the graph has them."""
    found = []
    for p in network.populations:
        found += [State(f"{p.name}.{quantity}", "int32", ("batch", p.size)) for quantity in ("u", "v")]
    sizes = {node.name: node.size for node in network.nodes()}
    types = dict.fromkeys(sizes, "int8") | {p.name: spike_type(p) for p in network.populations}
    found += [State(f"{s}.past", types[s], (d, "batch", sizes[s])) for s, d in _depths(network).items()]
    if _has_clock(network):
        found.append(State("step", "int64", ()))
    return tuple(found)


def body(network: IntegerNetwork, prefix: str) -> Nodes:
    """One step of every population; `prefix` begins every name."""
    nodes = Nodes(prefix)
    nodes.constant("zero", 0, "int32")
    nodes.constant("decay_one", DECAY_ONE, "int64")
    fired = _entering(nodes, network)
    most = dict.fromkeys(network.shapes(), 1) | {p.name: p.payload_max for p in network.populations}
    for p in network.populations:
        currents = [current(nodes, c, _arriving(nodes, c, fired), most[c.source]) for c in network.incoming(p.name)]
        fired[p.name] = _population(nodes, p, currents)
    for source, depth in _depths(network).items():
        _remember(nodes, source, depth, fired[source])
    if _has_clock(network):
        nodes.add("Add", [f"{prefix}step.in", nodes.constant("one", 1, "int64")], "step")
    return nodes


def spike_type(p: Population) -> str:
    """The ONNX type of a population's spikes by numpy's name: int32 holds a payload."""
    return "int32" if p.graded else "int8"


def _depths(network: IntegerNetwork) -> dict[str, int]:
    """How many steps back each source's spikes are needed; sources without a delay are left out."""
    depths = {name: max((c.delay for c in network.outgoing(name)), default=0) for name in network.shapes()}
    return {name: depth for name, depth in depths.items() if depth}


def _entering(nodes: Nodes, network: IntegerNetwork) -> dict[str, str]:
    """The name of each input's spikes: all that enter, or where there are several inputs a part of it."""
    if len(network.inputs) == 1:
        return {network.input.name: f"{nodes.prefix}spikes"}
    sizes = nodes.constant("spikes.sizes", [entry.size for entry in network.inputs], "int64")
    names = [f"{entry.name}.spikes" for entry in network.inputs]
    nodes.add("Split", [f"{nodes.prefix}spikes", sizes], names, name="spikes.split", axis=1)
    return {entry.name: nodes.prefix + name for entry, name in zip(network.inputs, names, strict=True)}


def _has_clock(network: IntegerNetwork) -> bool:
    return any(p.start for p in network.populations)


def _arriving(nodes: Nodes, c: Connection, fired: dict[str, str]) -> str:
    """The spikes that arrive over a connection in this step: its source's own, or those kept from `delay` steps ago.

    A source that the step computes at the same place or later is never asked for its own spikes: a legal network has a
    delay there.
    """
    if not c.delay:
        return fired[c.source]
    name = key(c)
    index = nodes.constant(f"{name}.index", c.delay - 1, "int64")
    return nodes.add("Gather", [f"{nodes.prefix}{c.source}.past.in", index], f"{name}.spikes", axis=0)


def _population(nodes: Nodes, p: Population, currents: list[str]) -> str:
    """The neurons' step; the name of their spikes, (batch, neurons), of :func:`spike_type`."""
    if p.start:
        start = nodes.constant(f"{p.name}.start", p.start, "int64")
        nodes.add("Equal", [f"{nodes.prefix}step.in", start], f"{p.name}.starts")
    u = _sum(nodes, [*_carried(nodes, p, "u", p.du), *currents], f"{p.name}.u", p)
    bias = nodes.constant(f"{p.name}.bias", p.bias, "int32")
    v = _sum(nodes, [*_carried(nodes, p, "v", p.dv), u, bias], f"{p.name}.v.reached", p)
    threshold = nodes.constant(f"{p.name}.threshold", p.vth << STATE_SHIFT, "int32")
    fires = nodes.add("Greater", [v, threshold], f"{p.name}.fires")
    after = f"{nodes.prefix}zero"
    if p.reset == "subtract":
        after = nodes.add("Sub", [v, threshold], f"{p.name}.v.less")
    nodes.add("Where", [fires, after, v], f"{p.name}.v")
    if p.graded:
        # A membrane that fires is above 0, where `Div` is a shift.
        unit = nodes.constant(f"{p.name}.payload.unit", 1 << p.payload_shift, "int32")
        payload = nodes.add("Div", [v, unit], f"{p.name}.payload")
        return nodes.add("Where", [fires, payload, f"{nodes.prefix}zero"], f"{p.name}.spikes")
    return nodes.cast(fires, f"{p.name}.spikes", "int8")


def _carried(nodes: Nodes, p: Population, quantity: str, decay: int) -> list[str]:
    """What is left of a state, int32: ``trunc(state * (4096 - decay), 12)``; nothing where the decay is 4096."""
    if decay == DECAY_ONE:
        return []
    name = f"{p.name}.{quantity}"
    state = f"{nodes.prefix}{name}.in"
    if p.start:
        state = nodes.add("Where", [f"{nodes.prefix}{p.name}.starts", f"{nodes.prefix}zero", state], f"{name}.held")
    if decay == 0:
        return [state]
    keep = nodes.constant(f"{p.name}.d{quantity}.keep", DECAY_ONE - decay, "int64")
    product = nodes.add("Mul", [nodes.cast(state, f"{name}.wide", "int64"), keep], f"{name}.product")
    quotient = nodes.add("Div", [product, f"{nodes.prefix}decay_one"], f"{name}.quotient")
    return [nodes.cast(quotient, f"{name}.left", "int32")]


def _sum(nodes: Nodes, terms: list[str], name: str, p: Population) -> str:
    """The sum of int32 `terms`, called `name`; of no terms, zeros of the population's shape."""
    if not terms:
        state = f"{nodes.prefix}{p.name}.u.in"
        return nodes.add("Sub", [state, state], name)
    if len(terms) == 1:
        return nodes.add("Identity", terms, name)
    total = terms[0]
    for place, term in enumerate(terms[1:], start=1):
        total = nodes.add("Add", [total, term], name if place == len(terms) - 1 else f"{name}.sum{place}")
    return total


def _remember(nodes: Nodes, source: str, depth: int, spikes: str) -> None:
    """Put the spikes of this step in front of the `depth` - 1 latest ones before."""
    front = nodes.constant(f"{source}.past.axis", [0], "int64")
    if depth == 1:
        nodes.add("Unsqueeze", [spikes, front], f"{source}.past")
        return
    latest = nodes.add("Unsqueeze", [spikes, front], f"{source}.past.latest")
    kept = nodes.constant(f"{source}.past.kept", [depth - 1], "int64")
    older = nodes.add("Slice", [f"{nodes.prefix}{source}.past.in", front, kept, front], f"{source}.past.older")
    nodes.add("Concat", [latest, older], f"{source}.past", axis=0)
