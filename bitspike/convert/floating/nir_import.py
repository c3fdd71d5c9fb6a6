"""NIR from anywhere as a float network.

NIR describes a network in continuous time and leaves open how long a step is, in which order a step computes, when a
loop closes, where states begin, and whether a reset subtracts. Here a step is forward Euler with the synapse first, as
Norse and SpikingJelly do it (:mod:`bitspike.convert.floating.nir_nodes`); its length is given or found
(:mod:`bitspike.convert.floating.nir_time`); a loop closes one step later (:mod:`bitspike.convert.floating.nir_flat`);
states begin at 0. What was chosen stands in the network's `notes`.
"""

import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nir_fields import MAX_SIZE, Fields, Shape
from bitspike.convert.floating.nir_flat import PORT, FlatGraph, arrange, flatten
from bitspike.convert.floating.nir_nodes import Reading, Start, node_of, whole_steps
from bitspike.convert.floating.nir_raw import SPIKING, RawGraph, RawNode, raw_of, read_raw
from bitspike.convert.floating.nir_time import find_step
from bitspike.convert.floating.nodes import Neurons, Node, Reshape
from bitspike.convert.hdf5_file import in_one_line
from bitspike.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    import nir

Reset = Literal["value", "subtract"]
#: Different delays of one Delay node.
MAX_DELAYS = 64


def from_nir(
    source: "str | os.PathLike[str] | RawGraph | nir.NIRGraph",
    *,
    dt: float | None = None,
    reset: Reset | None = None,
    start: Start = "zero",
) -> FloatNetwork:
    """Read a NIR file, or a graph in memory, as a float network.

    Args:
        source: the file, or the graph.
        dt: length of a step in the unit of the graph's time constants; None to have it found, or to be told.
        reset: ``value`` resets to v_reset as NIR says; ``subtract`` takes the threshold off the membrane, for a network
            that was trained so, which NIR cannot say; None for what the metadata say, ``value`` where they say nothing.
        start: membranes begin at ``zero``, or at ``rest``, which is v_leak, as in Norse.

    Raises:
        FileError: in one line, for a file that is no NIR, is damaged, or says what cannot be read: node, field, found,
            expected. For a graph in memory the same as UsageError or UnsupportedError.
    """
    if not isinstance(source, str | os.PathLike):
        graph = source if isinstance(source, RawGraph) else raw_of(source)
        return _network(graph, dt=dt, reset=reset, start=start)
    graph = read_raw(source)
    with in_one_line(source, "NIR"):
        return _network(replace(graph, name=Path(source).stem), dt=dt, reset=reset, start=start)


def _network(graph: RawGraph, *, dt: float | None, reset: Reset | None, start: Start) -> FloatNetwork:
    if reset not in (None, "value", "subtract") or start not in ("zero", "rest"):
        raise UsageError(f"reset {reset!r}, start {start!r}; expected value or subtract, and zero or rest")
    for name, node in graph.walk():
        Fields(name=name, node=node).check()
    step, notes = find_step(graph, dt)
    subtract, told = _reset(graph, reset)
    reading = Reading(dt=step.dt, subtract=subtract, start=start)
    flat = _delays_apart(flatten(graph), step.dt)
    inputs = [name for name, node in flat.nodes.items() if node.type == "Input"]
    if not inputs or not flat.outputs:
        raise UsageError(
            f"graph {graph.name}: {len(inputs)} Input and {len(flat.outputs)} Output; expected one or more"
        )
    order, back = arrange(flat.nodes, flat.edges, inputs=inputs)
    nodes = _built(flat, order, back, reading)
    notes = (*notes, *told, *_told(flat, nodes, back, reading))
    return _joined(graph, flat, nodes, back, notes=notes, dt_s=step.dt if step.seconds else 0.0)


def _reset(graph: RawGraph, reset: Reset | None) -> tuple[bool, list[str]]:
    if not any(node.type in SPIKING for _, node in graph.walk()):
        return False, []
    told = graph.metadata.get("reset")
    meant = {"subtract": "subtract", "zero": "value"}.get(told) if isinstance(told, str) else None
    if reset is None:
        if meant is not None:
            return meant == "subtract", [f"reset {told!r} by the file's metadata"]
        return False, ["reset to v_reset, as NIR says; a network that was trained with another reset cannot say it"]
    notes = [f"reset by {reset!r} was asked for"] if reset == "subtract" else []
    if meant is not None and meant != reset:
        notes.append(f"but the file's metadata say reset {told!r}")
    return reset == "subtract", notes


def _delays_apart(flat: FlatGraph, dt: float) -> FlatGraph:
    """Delays that differ from number to number, as one node a delay: masked, delayed, and summed again."""
    nodes = dict(flat.nodes)
    edges = list(flat.edges)
    for name, node in flat.nodes.items():
        if node.type != "Delay":
            continue
        steps = whole_steps(Fields(name=name, node=node), dt)
        different = np.unique(steps)
        if len(different) == 1:
            continue
        if len(different) > MAX_DELAYS or steps.size * len(different) > MAX_SIZE:
            raise UnsupportedError(f"node {name}: {len(different)} different delays; expected at most {MAX_DELAYS}")
        sources = [source for source, target in edges if target == name]
        edges = [edge for edge in edges if edge[1] != name]
        nodes[name] = RawNode(name=name, type=PORT, fields={"shape": np.array(steps.shape)})
        for count in different.tolist():
            mask, delay = f"{name}.mask_{count}", f"{name}.delay_{count}"
            if mask in nodes or delay in nodes:
                raise UsageError(f"node {name}: there are nodes called {mask} or {delay} already")
            chosen = (steps == count).astype(np.float64)
            nodes[mask] = RawNode(name=mask, type="Scale", fields={"scale": chosen})
            nodes[delay] = RawNode(name=delay, type="Delay", fields={"delay": np.float64(count * dt)})
            edges += [*((source, mask) for source in sources), (mask, delay), (delay, name)]
    return replace(flat, nodes=nodes, edges=tuple(edges))


def _built(
    flat: FlatGraph, order: tuple[str, ...], back: frozenset[tuple[str, str]], reading: Reading
) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    shapes: dict[str, Shape] = {}
    sources: dict[str, list[str]] = {name: [] for name in order}
    for source, target in flat.edges:
        if (source, target) not in back:
            sources[target].append(source)
    room = 2 * MAX_SIZE
    for name in order:
        known = [shapes[source] for source in sources[name] if source in shapes]
        fields = Fields(name=name, node=flat.nodes[name])
        for shape in known[1:]:
            if math.prod(shape) != math.prod(known[0]):
                raise fields.fault(f"numbers of shapes {known[0]} and {shape} are summed; expected the same of both")
        node = node_of(fields, max(known, key=len) if known else None, reading)
        room -= node.size
        if room < 0:
            raise UsageError(f"node {name}: more than {2 * MAX_SIZE:,} numbers in all nodes; expected fewer")
        nodes[name] = node
        shapes[name] = node.shape[::2] if flat.nodes[name].type == "Conv1d" else node.shape
    return nodes


def _joined(
    graph: RawGraph,
    flat: FlatGraph,
    nodes: dict[str, Node],
    back: frozenset[tuple[str, str]],
    *,
    notes: tuple[str, ...],
    dt_s: float,
) -> FloatNetwork:
    """The network; an Output that several nodes lead to is a node that sums."""
    edges = [Edge(source=source, target=target, delay=int((source, target) in back)) for source, target in flat.edges]
    outputs = []
    for name, sources in flat.outputs:
        if not sources:
            raise UsageError(f"node {name} (Output): no edge leads to it")
        if len(sources) == 1:
            outputs.append(sources[0])
            continue
        nodes[name] = Reshape(name=name, extents=nodes[sources[0]].shape)
        edges += [Edge(source=source, target=name) for source in sources]
        outputs.append(name)
    return FloatNetwork(
        name=graph.name,
        nodes=tuple(nodes.values()),
        edges=tuple(edges),
        outputs=tuple(dict.fromkeys(outputs)),
        dt_s=dt_s,
        notes=notes,
    )


def _told(flat: FlatGraph, nodes: dict[str, Node], back: frozenset[tuple[str, str]], reading: Reading) -> list[str]:
    """What else was chosen: loops, signs of wrong units, where states begin."""
    notes = [f"edge {source} -> {target} closes a loop and acts one step later" for source, target in sorted(back)[:8]]
    notes += [f"and {len(back) - 8} edges more close loops"] if len(back) > 8 else []
    populations = [node for node in nodes.values() if isinstance(node, Neurons)]
    swinging = [p.name for p in populations if min(p.beta.min(), p.alpha.min()) < 0]
    if swinging:
        notes.append(f"dt is longer than a time constant of {', '.join(swinging[:4])}: are both in the same unit?")
    if any(p.drift.any() for p in populations):
        where = "at v_leak" if reading.start == "rest" else "at 0, where Norse begins at v_leak"
        notes.append(f"v_leak is not 0: membranes begin {where}")
    double = [name for name, count in Counter(s for _, sources in flat.outputs for s in sources).items() if count > 1]
    if double:
        notes.append(f"{', '.join(double[:4])} is read out by more than one Output")
    return notes
