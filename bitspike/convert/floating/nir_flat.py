"""A NIR graph without graphs in it: nested ones dissolved, ports contracted, nodes in an order that can be computed.

1. A graph within the graph is replaced by its nodes, called ``<graph>.<node>``; an edge to it leads to its Input, an
   edge from it comes from its Output.
2. An inner port with one edge on either side is left out; one with several on both stays, as a node that sums.
3. Nodes are sorted so that each comes after what it needs in the same step. An edge that closes a loop acts one step
   later: NIR has no word for it, and Norse, SpikingJelly and snnTorch do so. Which edge of a loop that is, is chosen as
   a reader would: the loop is entered at the node that is nearest to an input, and the edges back to it are late. A
   Delay in a loop comes on top of that step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import networkx as nx

from bitspike.convert.floating.nir_raw import RawGraph, RawNode
from bitspike.errors import UnsupportedError, UsageError

MAX_EDGES = 1 << 13
MAX_PORTS = 1 << 9
#: Loops within loops that are unravelled, one after the other.
MAX_ROUNDS = 50
PORT = "port"

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatGraph:
    """What is left.

    Attributes:
        nodes: by name, without Outputs; inner ports that sum have the type `PORT`.
        edges: between them.
        outputs: for each Output of the graph its name and the nodes that lead to it.
    """

    nodes: Mapping[str, RawNode]
    edges: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, tuple[str, ...]], ...]


def flatten(graph: RawGraph) -> FlatGraph:
    """Dissolve what is nested.

    Raises:
        UsageError: for an edge to or from a node that is not there, a doubled edge, two nodes of one name.
        UnsupportedError: for an edge to a graph with several Inputs or from one with several Outputs, and for a loop
            in which there is no node.
    """
    nodes: dict[str, RawNode] = {}
    edges: Pairs = []
    _gather(graph, "", nodes, edges)
    if len(edges) > MAX_EDGES:
        raise UsageError(f"graph {graph.name}: {len(edges)} edges; expected at most {MAX_EDGES}")
    edges = _contracted(nodes, edges)
    outputs = []
    for name in [name for name, node in nodes.items() if node.type == "Output"]:
        del nodes[name]
        outputs.append((name, tuple(source for source, target in edges if target == name)))
    names = {name for name, _ in outputs}
    for source, target in edges:
        if source in names:
            raise UsageError(f"edge {source} -> {target}: an Output leads nowhere")
        if target in nodes and nodes[target].type == "Input":
            raise UsageError(f"edge {source} -> {target}: an Input cannot be a target")
    return FlatGraph(nodes=nodes, edges=tuple(edge for edge in edges if edge[1] not in names), outputs=tuple(outputs))


def _gather(graph: RawGraph, prefix: str, nodes: dict[str, RawNode], edges: Pairs) -> None:
    own = {node.name: node for node in graph.nodes}
    if len(own) != len(graph.nodes):
        raise UsageError(f"graph {graph.name}: two nodes share a name")
    for (source, target), times in Counter(graph.edges).items():
        if times > 1:
            raise UsageError(f"edge {prefix}{source} -> {prefix}{target} is there {times} times; expected once")
    for node in graph.nodes:
        name = prefix + node.name
        if node.graph is not None:
            _gather(node.graph, f"{name}.", nodes, edges)
            continue
        if name in nodes:
            raise UsageError(f"two nodes are called {name} when graphs within the graph are dissolved")
        inner = prefix and node.type in ("Input", "Output")
        nodes[name] = replace(node, type=PORT) if inner else node
    for source, target in graph.edges:
        missing = [end for end in (source, target) if end not in own]
        if missing:
            raise UsageError(f"edge {prefix}{source} -> {prefix}{target}: no node {missing[0]!r}")
        edges.append((_port(own[source], prefix, "Output"), _port(own[target], prefix, "Input")))


def _port(node: RawNode, prefix: str, kind: str) -> str:
    """The name of the node that an edge means: of a graph its only port of that kind, and so on inwards."""
    name = prefix + node.name
    if node.graph is None:
        return name
    ports = [inner.name for inner in node.graph.nodes if inner.type == kind]
    if len(ports) != 1:
        raise UnsupportedError(f"graph {name}: {len(ports)} {kind} nodes; expected one where an edge meets the graph")
    return f"{name}.{ports[0]}"


def _contracted(nodes: dict[str, RawNode], edges: Pairs) -> Pairs:
    into: dict[str, list[str]] = {name: [] for name in nodes}
    out: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        into[target].append(source)
        out[source].append(target)
    ports = [name for name, node in nodes.items() if node.type == PORT]
    if len(ports) > MAX_PORTS:
        raise UnsupportedError(f"{len(ports)} ports of graphs within the graph; expected at most {MAX_PORTS}")
    for name in ports:
        sources, targets = into[name], out[name]
        if name in targets:
            raise UnsupportedError(f"port {name}: a loop in which there is no node")
        if len(sources) > 1 and len(targets) > 1:
            continue
        for source in sources:
            at = out[source].index(name)
            out[source][at : at + 1] = targets
        for target in targets:
            at = into[target].index(name)
            into[target][at : at + 1] = sources
        del nodes[name], into[name], out[name]
    return [(source, target) for target, sources in into.items() for source in sources]


def arrange(
    names: Iterable[str], edges: Iterable[tuple[str, str]], *, inputs: Iterable[str]
) -> tuple[tuple[str, ...], frozenset[tuple[str, str]]]:
    """An order of the nodes, and the edges that must act a step later for it.

    Args:
        names: of the nodes; where nothing else decides they come in this order.
        edges: between them.
        inputs: where signals enter; they come first.

    Raises:
        UnsupportedError: for a graph of more loops within loops than a person draws.
    """
    place = {name: number for number, name in enumerate(names)}
    whole = nx.DiGraph(list(edges))
    whole.add_nodes_from(place)
    first = set(inputs)
    distance: dict[str, int] = dict.fromkeys(place, len(place))
    for number, layer in enumerate(nx.bfs_layers(whole, sorted(first, key=place.__getitem__))):
        distance.update(dict.fromkeys(layer, number))
    rank = {name: (name not in first, distance[name], place[name]) for name in place}
    bound = whole.copy()
    back: set[tuple[str, str]] = set()
    for _ in range(MAX_ROUNDS):
        loops = [part for part in nx.strongly_connected_components(bound) if len(part) > 1]
        loops += [{name} for name in nx.nodes_with_selfloops(bound)]
        if not loops:
            order = nx.lexicographical_topological_sort(bound, key=rank.__getitem__)
            return tuple(order), frozenset(back)
        for loop in loops:
            head = min(loop, key=rank.__getitem__)
            closing = [(source, head) for source in bound.predecessors(head) if source in loop]
            back.update(closing)
            bound.remove_edges_from(closing)
    raise UnsupportedError(f"more than {MAX_ROUNDS} loops, one within the other")
