"""An engine for searches: one population after the other over the whole window, the input of all steps at once.

The integers are those of the reference engine, only faster. It runs networks whose populations feed later ones, or
themselves; any other loop goes to the reference engine.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.products import prepared
from bitspike.sim.reference import run_reference, step

Spikes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
_CHUNK_BYTES = 1 << 27


def run_window(network: IntegerNetwork, spikes: Spikes) -> tuple[dict[str, Spikes], dict[str, Integers]]:
    """Spikes of all populations and inputs, and membranes of those that do not spike; as the reference engine's."""
    position = {node.name: place for place, node in enumerate(network.nodes())}
    layered = all(position[c.source] <= position[c.target] for c in network.connections)
    parts = []
    for start in range(0, len(spikes), size := _chunk(network, spikes.shape[1])):
        rows = spikes[start : start + size]
        parts.append(_layers(network, rows) if layered else _reference(network, rows))
    fired = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    membranes = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    return fired, membranes


def run_population(
    p: Population, connections: tuple[Connection, ...], sent: Mapping[str, Spikes]
) -> tuple[Spikes, Integers]:
    """One population over the whole window, given what its sources sent, (samples, steps, neurons).

    Returns spikes, and membranes after the reset. Where a connection comes from the population itself it sees the
    spikes of this run.
    """
    outer = [c for c in connections if c.source != p.name]
    own = [(c.delay, prepared(c)) for c in connections if c.source == p.name]
    samples, steps = next(iter(sent.values())).shape[:2]
    total = np.zeros((samples, steps, p.size), np.int64)
    for c in outer:
        arrived = sent[c.source][:, : steps - c.delay]
        if arrived.shape[1]:
            summed = prepared(c)(arrived.reshape(-1, arrived.shape[2]))
            total[:, c.delay :] += summed.reshape(samples, -1, p.size)
    fired = np.zeros((samples, steps, p.size), np.uint8)
    membranes = np.zeros((samples, steps, p.size), np.int64)
    u = v = np.zeros((samples, p.size), np.int64)
    for t in range(steps):
        a = total[:, t]
        for delay, function in own:
            if t >= delay:
                a = a + function(fired[:, t - delay])
        u, v, s = step(p, u, v, a, when=t)
        fired[:, t], membranes[:, t] = s, v
    return fired, membranes


def _layers(network: IntegerNetwork, spikes: Spikes) -> tuple[dict[str, Spikes], dict[str, Integers]]:
    fired: dict[str, Spikes] = dict(network.input_spikes(spikes))
    membranes = {}
    for p in network.populations:
        fired[p.name], v = run_population(p, network.incoming(p.name), fired)
        if not p.spiking:
            membranes[p.name] = v
    return fired, membranes


def _reference(network: IntegerNetwork, spikes: Spikes) -> tuple[dict[str, Spikes], dict[str, Integers]]:
    record = run_reference(network, spikes)
    fired: dict[str, Spikes] = dict(network.input_spikes(spikes))
    fired |= {name: trace.spikes.astype(np.uint8) for name, trace in record.traces.items()}
    quiet = [p.name for p in network.populations if not p.spiking]
    return fired, {name: record.traces[name].v.astype(np.int64) for name in quiet}


def _chunk(network: IntegerNetwork, steps: int) -> int:
    widest = max(node.size for node in network.nodes())
    return max(1, _CHUNK_BYTES // (16 * steps * widest))
