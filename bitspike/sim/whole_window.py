"""An engine for searches: one population after the other over the whole window, its products in float32.

Sums of integers below 2^24 are exact in float32, and the range proof keeps every input below 2^15 and every partial
sum of one below the sum of its weights' magnitudes, which is checked here; so this engine is the reference, only
faster. It runs networks whose populations feed later ones, or themselves; any other loop goes to the reference engine.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity
from bitspike.convert.floating.nodes import Convolution
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.sim.floating_nodes import operator
from bitspike.sim.reference import run_reference, step

Spikes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
#: Float32 holds every whole number up to this.
EXACT = 1 << 24
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
    own = [(c.delay, deliver(c)) for c in connections if c.source == p.name]
    samples, steps = next(iter(sent.values())).shape[:2]
    total = np.zeros((samples, steps, p.size), np.float32)
    for c in outer:
        arrived = sent[c.source][:, : steps - c.delay].astype(np.float32)
        if arrived.shape[1]:
            summed = deliver(c)(arrived.reshape(-1, arrived.shape[2]))
            total[:, c.delay :] += summed.reshape(samples, -1, p.size)
    fired = np.zeros((samples, steps, p.size), np.uint8)
    membranes = np.zeros((samples, steps, p.size), np.int64)
    u = v = np.zeros((samples, p.size), np.int64)
    for t in range(steps):
        a = total[:, t]
        for delay, function in own:
            if t >= delay:
                a = a + function(fired[:, t - delay].astype(np.float32))
        u, v, s = step(p, u, v, a.astype(np.int64), when=t)
        fired[:, t], membranes[:, t] = s, v
    return fired, membranes


def deliver(c: Connection) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """What a connection delivers, (rows, targets), of spikes (rows, sources) in float32."""
    low, high = c.bounds()
    if max(int(-low.min(initial=0)), int(high.max(initial=0))) >= EXACT:
        return lambda spikes: c.deliver(spikes.astype(np.int64))
    if isinstance(c, Dense):
        weights = np.ascontiguousarray(c.effective().T, dtype=np.float32)
        return lambda spikes: spikes @ weights
    if isinstance(c, Identity):
        weight = np.float32(c.weight << c.exponent)
        return lambda spikes: spikes * weight
    if isinstance(c, Conv2d):
        node = Convolution(
            name="window",
            source_shape=c.source_shape,
            weight=c.kernels().astype(np.float64),
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            groups=c.groups,
        )
        return operator(node, 1, np.float32)
    return lambda spikes: c.deliver(spikes.astype(np.int64))


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
