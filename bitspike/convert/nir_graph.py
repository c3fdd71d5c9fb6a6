"""The integer network as a NIR graph: its nodes, its edges, and what NIR cannot say.

Populations are described in :mod:`bitspike.convert.nir_neurons`, connections in :mod:`bitspike.convert.nir_synapses`.
A connection's node is called ``<source>_to_<target>``, with the delay in steps appended where there is one, and with
``_delay`` and ``_flatten`` for the nodes before it. Where `du` is 4096 the bias, in weight units, is part of the first
connection that leads to the population within the order of a step. Nodes stand in the order in which a step computes
them. Output ``output`` follows the read-out; of several read-outs each has an ``output_<population>``, and so have
other populations that feed nothing.

A delay is a Delay node, with one exception. Few readers know Delay, and all give one step to the connection that closes
a loop. So a connection of delay 1 that leads back to its own population, or to one through which every path to its
source goes, has no Delay; where spikes enter a loop in several places readers would not agree on which connection
closes it, and it has one.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.connections import Connection, Conv2d, Dense
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.nir_form import NirForm, spatial_places
from bitspike.convert.nir_neurons import entry_of, neurons
from bitspike.convert.nir_refusals import closing_loops, outputs, refuse
from bitspike.convert.nir_synapses import synapses, weights_in_node

if TYPE_CHECKING:
    import nir

Bias = npt.NDArray[np.float64]


def nodes_and_edges(network: IntegerNetwork, form: NirForm) -> tuple[dict[str, "nir.NIRNode"], list[tuple[str, str]]]:
    """All nodes by name, and the edges between them, of a legal network.

    Raises:
        UnsupportedError: naming the first population or connection that NIR, or a portable file, cannot say.
    """
    import nir

    refuse_graded(network, "the NIR writer")
    refuse(network, form)
    kept = spatial_places(network)
    shapes = {name: shape if name in kept else (math.prod(shape),) for name, shape in network.shapes().items()}
    closing = closing_loops(network)
    holder = {p.name: _holder(network, p) for p in network.populations}
    names = _names_of_connections(network)
    place = {name: index for index, name in enumerate(shapes)}
    nodes: dict[str, Any] = {entry.name: nir.Input(np.array(shapes[entry.name])) for entry in network.inputs}
    edges: list[tuple[str, str]] = []
    loops: list[tuple[str, str]] = []
    for p in network.populations:
        own, inner = neurons(network, p, form, shapes[p.name])
        back: dict[str, Any] = {}
        for c in network.incoming(p.name):
            leads_back = place[c.source] >= place[p.name]
            bias = _bias(p) if c is holder[p.name] else None
            ends = {"source": shapes[c.source], "target": shapes[p.name]}
            path = synapses(c, form, **ends, bias=bias, delay=0 if _key(c) in closing else c.delay)
            made = {names[_key(c)] + ending: node for ending, node in path}
            (back if leads_back else nodes).update(made)
            (loops if leads_back else edges).extend(pairwise([c.source, *made, entry_of(network, p)]))
        nodes |= own | back
        edges += inner
    for p in outputs(network):
        alone = len(network.readouts) == 1 and p.name == network.readout.population
        name = _unused("output" if alone else f"output_{p.name}", {*nodes, *names.values()})
        nodes[name] = nir.Output(np.array(shapes[p.name]))
        edges.append((p.name, name))
    return nodes, [*edges, *loops]


def numbers_in_nodes(network: IntegerNetwork, form: NirForm) -> int:
    """At least so many numbers the nodes of :func:`nodes_and_edges` hold, without making any."""
    kept = spatial_places(network)
    holder = {p.name: _holder(network, p) for p in network.populations}
    return sum(p.size for p in network.populations) + sum(
        weights_in_node(c, form, flat=c.target not in kept, biased=c is holder[c.target]) for c in network.connections
    )


def fields_of(node: Any) -> dict[str, Any]:
    """The fields of a NIR node as it is stored, with its type; arrays are not copied.

    NIR's nodes compare by identity, so their fields are what can be compared.
    """
    import nir

    fields = {key: v for key, v in vars(node).items() if key not in ("input_type", "output_type", "metadata")}
    if isinstance(node, nir.Input | nir.Output | nir.Flatten):
        key = "input_type" if isinstance(node, nir.Flatten) else "shape"
        fields[key] = np.asarray(next(iter((node.input_type or {}).values()), None))
    return fields | {"type": type(node).__name__}


def _key(c: Connection) -> tuple[str, str, int]:
    return c.source, c.target, c.delay


def _names_of_connections(network: IntegerNetwork) -> dict[tuple[str, str, int], str]:
    """A name for each connection, in order, which no other node has, with any ending."""
    used = set(network.shapes())
    used |= {f"{p.name}{ending}" for p in network.populations for ending in ("_membrane", "_reset")}
    names = {}
    for c in network.connections:
        name = _unused(f"{c.source}_to_{c.target}" + (f"_{c.delay}" if c.delay else ""), used)
        used |= {name + ending for ending in ("", "_delay", "_flatten")}
        names[_key(c)] = name
    return names


def _unused(name: str, taken: Iterable[str]) -> str:
    while any(name + ending in taken for ending in ("", "_delay", "_flatten")):
        name += "_"
    return name


def _holder(network: IntegerNetwork, p: Population) -> Connection | None:
    """The connection that carries the bias of `p`; None where the bias is zero or part of the population's own node."""
    if p.du < DECAY_ONE or not np.any(p.bias_mantissa):
        return None
    place = list(network.shapes())
    ahead = [c for c in network.incoming(p.name) if place.index(c.source) < place.index(p.name)]
    return next((c for c in ahead if isinstance(c, Dense | Conv2d)), ahead[0] if ahead else None)


def _bias(p: Population) -> Bias:
    return p.bias / (1 << STATE_SHIFT)
