"""The float network: the value between what other tools train or store and the chip's lattice.

It says in discrete steps what a file or a model computes, with the conventions of whoever made it: which current the
membrane sees, when a reset acts, what a spike is. Nothing is rounded here; :mod:`bitspike.convert.floating.lattice`
does that, and says what it moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bitspike.convert.floating.nodes import FloatInput, Neurons, Node
from bitspike.convert.value import Value, make_integers
from bitspike.errors import NetworkError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edge(Value):
    """What leaves `source` enters `target`, `delay` steps later; signals that meet in a node are summed."""

    source: str
    target: str
    delay: int = 0

    def __post_init__(self) -> None:
        make_integers(self, f"edge {self.source} -> {self.target}", "delay")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatNetwork(Value):
    """A network in real numbers.

    Attributes:
        name: for people.
        nodes: inputs first, then in the order in which a step computes them; an edge against this order has a delay of
            1 or more.
        edges: between nodes.
        outputs: names of the nodes that are read out, in order.
        dt_s: length of a step in seconds, as the source says; 0 where nobody said.
        notes: what was read off, inferred or chosen while it was imported, one sentence each, for people.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    outputs: tuple[str, ...]
    dt_s: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = list(find_faults(self))
        if faults:
            raise NetworkError(faults)

    def node(self, name: str) -> Node:
        """The node called `name`."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NetworkError([f"no node {name!r}; there are {', '.join(n.name for n in self.nodes)}"])

    @property
    def inputs(self) -> tuple[FloatInput, ...]:
        """Where signals enter."""
        return tuple(node for node in self.nodes if isinstance(node, FloatInput))

    @property
    def populations(self) -> tuple[Neurons, ...]:
        """The nodes with a state."""
        return tuple(node for node in self.nodes if isinstance(node, Neurons))

    def incoming(self, name: str) -> tuple[Edge, ...]:
        """Edges that end in `name`, in the network's order."""
        return tuple(edge for edge in self.edges if edge.target == name)

    def __str__(self) -> str:
        lines = [f"float network {self.name} dt={self.dt_s:g} s"]
        for node in self.nodes:
            sources = " + ".join(e.source + (f"[t-{e.delay}]" if e.delay else "") for e in self.incoming(node.name))
            shape = "x".join(map(str, node.shape))
            lines.append(f"{node.kind:<8}{node.name} shape={shape}" + (f" <- {sources}" if sources else ""))
        return "\n".join([*lines, f"outputs {', '.join(self.outputs)}", *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<FloatNetwork {self.name} {self.digest()[:12]}>"


def find_faults(network: FloatNetwork) -> Iterator[str]:
    """Every broken rule, one sentence each."""
    position = {node.name: place for place, node in enumerate(network.nodes)}
    if len(position) != len(network.nodes):
        yield f"network {network.name}: two nodes share a name"
        return
    if not network.inputs:
        yield f"network {network.name}: no input; expected one or more"
    named = {node.name: node for node in network.nodes}
    for edge in network.edges:
        label = f"edge {edge.source} -> {edge.target}"
        missing = [end for end in (edge.source, edge.target) if end not in position]
        if missing:
            yield f"{label}: no node {missing[0]!r}"
            continue
        if isinstance(named[edge.target], FloatInput):
            yield f"{label}: an input cannot be a target"
        if edge.delay < 0 or (edge.delay == 0 and position[edge.source] >= position[edge.target]):
            yield f"{label}: delay {edge.delay} against the order of the nodes; expected 1 or more"
        expected = entering(named[edge.target])
        if expected is not None and named[edge.source].size != expected:
            yield f"{label}: {named[edge.source].size} numbers into {expected}"
    for name in network.outputs:
        if name not in position:
            yield f"output {name!r}: no such node"


def entering(node: Node) -> int | None:
    """How many numbers enter a node; None for an input."""
    if isinstance(node, FloatInput):
        return None
    source_shape = getattr(node, "source_shape", None)
    if source_shape is not None:
        return int(source_shape[0] * source_shape[1] * source_shape[2])
    weight = getattr(node, "weight", None)
    return int(weight.shape[1]) if weight is not None else node.size
