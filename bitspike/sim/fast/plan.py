"""What a network needs before its first tile: connections prepared, populations in groups, each with its turn.

Populations that do not lead back to each other are a group each and go through all steps at once, so that a matrix of
weights stays in the cache for many rows. Those that do - recurrent ones - share a group, which goes step by step; one
population with one dense loop does so in compiled code (:mod:`bitspike.sim.fast.loop`).
"""

from dataclasses import dataclass

from bitspike.convert.network import IntegerNetwork, Population
from bitspike.sim.fast.delivery import Deliver, prepare
from bitspike.sim.fast.layout import Layout, layouts


@dataclass(frozen=True, kw_only=True)
class Synapses:
    """A prepared connection."""

    source: str
    target: str
    delay: int
    deliver: Deliver


@dataclass(frozen=True, kw_only=True)
class Group:
    """Populations that take their turn together.

    Attributes:
        populations: in the order in which a step computes them.
        outer: connections from earlier groups and the inputs.
        inner: connections within the group; where there are some, the group goes step by step.
    """

    populations: tuple[Population, ...]
    outer: tuple[Synapses, ...]
    inner: tuple[Synapses, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A network made ready.

    Attributes:
        network: what was prepared.
        groups: in the order in which they take their turns.
        leads: of each input and population the steps for which its spikes are still read: its longest delay.
        layouts: the order in which the neurons of each are kept.
    """

    network: IntegerNetwork
    groups: tuple[Group, ...]
    leads: dict[str, int]
    layouts: dict[str, Layout]

    @property
    def widest(self) -> int:
        """Neurons of the largest population or input."""
        return max(node.size for node in self.network.nodes())


def make_plan(network: IntegerNetwork) -> Plan:
    """Prepare a legal network."""
    graded = {p.name for p in network.populations if p.graded}
    orders = layouts(network)
    found = [
        Synapses(
            source=c.source,
            target=c.target,
            delay=c.delay,
            deliver=prepare(c, c.source in graded, orders[c.source], orders[c.target]),
        )
        for c in network.connections
    ]
    groups = tuple(
        Group(
            populations=tuple(p for p in network.populations if p.name in names),
            outer=tuple(s for s in found if s.target in names and s.source not in names),
            inner=tuple(s for s in found if s.target in names and s.source in names),
        )
        for names in _turns(network)
    )
    leads = {node.name: max((s.delay for s in found if s.source == node.name), default=0) for node in network.nodes()}
    return Plan(network=network, groups=groups, leads=leads, layouts=orders)


def _turns(network: IntegerNetwork) -> list[set[str]]:
    """Names of the populations of each group, in an order in which every source comes before its targets."""
    import networkx

    graph = networkx.DiGraph()
    inputs = {one.name for one in network.inputs}
    graph.add_nodes_from(p.name for p in network.populations)
    graph.add_edges_from((c.source, c.target) for c in network.connections if c.source not in inputs)
    condensed = networkx.condensation(graph)
    return [set(condensed.nodes[one]["members"]) for one in networkx.topological_sort(condensed)]
