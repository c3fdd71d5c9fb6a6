"""What NIR cannot say exactly, and what its readers do not share: refused by name, before anything is written."""

from collections.abc import Iterator

import numpy as np

from bitspike.convert.network import DECAY_ONE, IntegerNetwork, Population
from bitspike.convert.nir_form import NirForm
from bitspike.convert.nir_neurons import is_soft
from bitspike.errors import UnsupportedError

_NEVER = 1 << 62


def refuse(network: IntegerNetwork, form: NirForm) -> None:
    """UnsupportedError for the first thing that NIR, or a portable file, cannot say exactly.

    1. Reset by subtraction, in a population that can spike: NIR has a reset potential only. Where it is to be encoded,
       the current must not decay over steps (du 4096), or the feedback would go through it.
    2. A current that never decays (du 0), or a current that decays into a membrane that does not (dv 0, du below
       4096): a time constant would be infinite.
    3. A population that nothing leads to within the order of a step: NIR would take it for an input.
    4. A `start` that clears something: NIR has no such event. It is allowed where the state is zero by then anyway, as
       in a retimed network without biases; before retiming, every start is 0.
    5. An input that leads nowhere: NIR would take it for an output.
    6. In a portable file also: a delay of its own; a bias beside a current that decays; a second input or output.
    """
    for entry in network.inputs:
        if not network.outgoing(entry.name):
            raise UnsupportedError(f"input {entry.name}: leads nowhere; NIR takes such a node for an output")
    busy = _busy(network)
    place = {name: index for index, name in enumerate(network.shapes())}
    for p in network.populations:
        where = f"population {p.name}"
        if is_soft(network, p):
            _refuse_soft(p, form)
        if p.du == 0:
            raise UnsupportedError(f"{where}: du 0, a current that never decays; NIR has no infinite time constant")
        if p.dv == 0 and p.du < DECAY_ONE:
            raise UnsupportedError(
                f"{where}: dv 0 with du {p.du}, a membrane that never decays behind a current that does; "
                "NIR has no infinite time constant"
            )
        if not any(place[c.source] < place[p.name] for c in network.incoming(p.name)):
            raise UnsupportedError(f"{where}: no connection leads to it; NIR takes such a node for an input")
        if p.start > busy[p.name]:
            raise UnsupportedError(
                f"{where}: its state is cleared at step {p.start} and may be other than zero from step {busy[p.name]} "
                "on (a bias, or an early spike); NIR has no such event: export the network before it is retimed"
            )
    if form.portable:
        for fault in _not_shared(network):
            raise UnsupportedError(f"{fault}; the exact form can hold it")


def closing_loops(network: IntegerNetwork) -> frozenset[tuple[str, str, int]]:
    """The connections, as (source, target, delay), that every reader takes for the one that closes a loop a step later.

    They have delay 1, and their target dominates their source: every path from an input to the source goes through it.
    """
    import networkx as nx

    graph = nx.DiGraph((c.source, c.target) for c in network.connections)
    graph.add_edges_from(("", entry.name) for entry in network.inputs)  # no population has an empty name
    above = nx.immediate_dominators(graph, "")
    found = set()
    for c in network.connections:
        name = c.source
        while name not in ("", c.target):
            name = above.get(name, "")
        if c.delay == 1 and name:
            found.add((c.source, c.target, c.delay))
    return frozenset(found)


def outputs(network: IntegerNetwork) -> tuple[Population, ...]:
    """The populations that are read, in the order of the read-outs, and then others that feed nothing."""
    read = list(dict.fromkeys(r.population for r in network.readouts))
    idle = [p.name for p in network.populations if p.name not in read and not network.outgoing(p.name)]
    return tuple(network.population(name) for name in (*read, *idle))


def _refuse_soft(p: Population, form: NirForm) -> None:
    where = f"population {p.name}: reset 'subtract'"
    if not form.soft_reset:
        raise UnsupportedError(
            f"{where}; NIR has only a reset to a fixed potential (it can be encoded as a threshold with a feedback, "
            "which few readers know: soft_reset, --encode-soft-reset)"
        )
    if p.du < DECAY_ONE:
        raise UnsupportedError(
            f"{where} with du {p.du}: the feedback that encodes it would be filtered by the current; expected du 4096"
        )


def _busy(network: IntegerNetwork) -> dict[str, int]:
    """The first step in which a state may be other than zero, with input from step 0 on."""
    busy = {entry.name: 0 for entry in network.inputs}
    busy |= {p.name: 0 if np.any(p.bias_mantissa) else _NEVER for p in network.populations}
    changed = True
    while changed:
        changed = False
        for c in network.connections:
            arrival = busy[c.source] + c.delay
            if arrival < busy[c.target]:
                busy[c.target] = arrival
                changed = True
    return busy


def _not_shared(network: IntegerNetwork) -> Iterator[str]:
    """Rule 6."""
    closing = closing_loops(network)
    for p in network.populations:
        if p.du < DECAY_ONE and np.any(p.bias_mantissa):
            yield (
                f"population {p.name}: a bias beside a current that decays (du {p.du}); Norse adds it twice, "
                "SpikingJelly and snnTorch refuse it"
            )
    for c in network.connections:
        if c.delay and (c.source, c.target, c.delay) not in closing:
            yield (
                f"connection {c.name}: a delay of {c.delay}, other than the one step of a loop with one entry; Norse, "
                "SpikingJelly and snnTorch have no Delay"
            )
    for entry in network.inputs[1:]:
        yield f"input {entry.name}: a second input; Norse and SpikingJelly take one only"
    for p in outputs(network)[1:]:
        why = "a second output, for it is read too or feeds nothing"
        yield f"population {p.name}: {why}; Norse and SpikingJelly take one only"
