"""The networks that are timed: one-bit weights drawn at random, thresholds that make the layers as active as asked.

784-1024-1024-10, and the convolutions of ``examples/nmnist.toml``; both for windows of 100 steps, with membranes that
keep nine tenths from step to step and are reset to zero.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense
from bitspike.convert.network import VTH_MAX, Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import UsageError
from bitspike.sim.fast.run import FastEngine

STEPS = 100
DV = 410
NETWORKS = ("mlp", "conv")
_PROBES = 4


def make(name: str, activity: float, *, steps: int = STEPS, seed: int = 0) -> tuple[IntegerNetwork, float]:
    """Return a network and the mean activity that its spiking layers then have.

    Args:
        name: of :data:`NETWORKS`.
        activity: part of the input's bits that are set; thresholds bring each layer as near to it as integers can.
        steps: of the window.
        seed: of weights and probe.

    Raises:
        UsageError: for an unknown name, or an activity outside 0 to 1.
    """
    if name not in NETWORKS:
        raise UsageError(f"network {name!r}; expected one of {', '.join(NETWORKS)}")
    if not 0 < activity < 1:
        raise UsageError(f"activity {activity}; expected more than 0 and less than 1")
    random = np.random.default_rng(seed)
    network = dense_network(random, (784, 1024, 1024, 10), steps) if name == "mlp" else _conv(random, steps)
    return calibrated(network, activity, seed=seed + 1)


def calibrated(network: IntegerNetwork, activity: float, *, seed: int) -> tuple[IntegerNetwork, float]:
    """Set the thresholds of a chain of layers as :func:`make` does; return it and the mean activity that they have."""
    probe = spikes_for(network, _PROBES, activity, seed)
    rates = []
    for p in network.populations[:-1]:
        network, rate = _set_threshold(network, p.name, probe, activity)
        rates.append(rate)
    return network, float(np.mean(rates))


def spikes_for(network: IntegerNetwork, samples: int, activity: float, seed: int) -> npt.NDArray[np.uint8]:
    """Return independent bits, shape (samples, steps, neurons), of which `activity` are set."""
    random = np.random.default_rng(seed)
    return (random.random((samples, network.steps, network.input_size), np.float32) < activity).astype(np.uint8)


def words(network: IntegerNetwork) -> int:
    """Words of 64 weights that a step reads where every target counts ``popcount(w & s)`` over all its sources."""
    total = 0
    for connection in network.connections:
        if isinstance(connection, Conv2d):
            fan_in = connection.source_shape[0] // connection.groups * math.prod(connection.window)
        else:
            fan_in = connection.shape[1]
        total += connection.shape[0] * -(-fan_in // 64)
    return total


def _set_threshold(
    network: IntegerNetwork, name: str, probe: npt.NDArray[np.uint8], activity: float
) -> tuple[IntegerNetwork, float]:
    """Bisect the threshold of one population: activity falls as it rises."""
    low, high = 0, 255
    while high - low > 1:
        middle = (low + high) // 2
        if _rate(_with_threshold(network, name, middle), name, probe) > activity:
            low = middle
        else:
            high = middle
    choices = {vth: _rate(_with_threshold(network, name, vth), name, probe) for vth in (low, high)}
    best = min(choices, key=lambda vth: abs(choices[vth] - activity))
    return _with_threshold(network, name, best), choices[best]


def _with_threshold(network: IntegerNetwork, name: str, vth: int) -> IntegerNetwork:
    return network.with_populations(tuple(replace(p, vth=vth) if p.name == name else p for p in network.populations))


def _rate(network: IntegerNetwork, name: str, probe: npt.NDArray[np.uint8]) -> float:
    return float(FastEngine(network).run(probe, record=(name,)).traces[name].spikes.mean())


def _population(name: str, shape: tuple[int, ...], last: bool) -> Population:
    """Neurons whose threshold will be set; the last ones never spike, and forget as the others do."""
    size = math.prod(shape)
    vth = VTH_MAX if last else 64
    return Population(name=name, shape=shape, dv=DV, vth=vth, bias_mantissa=np.zeros(size, np.int32))


def _dense(random: np.random.Generator, source: str, target: str, shape: tuple[int, int]) -> Dense:
    return Dense(source=source, target=target, weights=weights_of(random.choice([-1, 1], shape)))


def _network(
    name: str, steps: int, shape: tuple[int, ...], populations: list[Population], connections: list[Connection]
) -> IntegerNetwork:
    return IntegerNetwork(
        name=name,
        steps=steps,
        inputs=(Input(name="input", shape=shape),),
        populations=tuple(populations),
        connections=tuple(connections),
        readouts=(Readout(population=populations[-1].name, kind="membrane_sum"),),
    )


def dense_network(random: np.random.Generator, sizes: tuple[int, ...], steps: int) -> IntegerNetwork:
    """Return a chain of dense layers, its thresholds not yet set; the last one never spikes."""
    hidden = len(sizes) - 2
    names = ("input", *(f"hidden{i + 1}" for i in range(hidden)), "output")
    populations = [_population(names[i], (sizes[i],), i == hidden + 1) for i in range(1, len(sizes))]
    connections: list[Connection] = [
        _dense(random, names[i - 1], names[i], (sizes[i], sizes[i - 1])) for i in range(1, len(sizes))
    ]
    return _network("-".join(map(str, sizes)), steps, (sizes[0],), populations, connections)


def _conv(random: np.random.Generator, steps: int) -> IntegerNetwork:
    one = _convolution(random, "input", "conv1", (4, 17, 17), 32, 5, 2)
    two = _convolution(random, "conv1", "conv2", one.target_shape, 64, 3, 1)
    flat = math.prod(two.target_shape)
    populations = [
        _population("conv1", one.target_shape, last=False),
        _population("conv2", two.target_shape, last=False),
        _population("hidden", (256,), last=False),
        _population("output", (10,), last=True),
    ]
    connections: list[Connection] = [
        one,
        two,
        _dense(random, "conv2", "hidden", (256, flat)),
        _dense(random, "hidden", "output", (10, 256)),
    ]
    return _network("conv 4x17x17", steps, (4, 17, 17), populations, connections)


def _convolution(  # noqa: PLR0917
    random: np.random.Generator,
    source: str,
    target: str,
    shape: tuple[int, int, int],
    out: int,
    kernel: int,
    stride: int,
) -> Conv2d:
    weights = random.choice([-1, 1], (out, shape[0] * kernel * kernel))
    return Conv2d(
        source=source, target=target, source_shape=shape, kernel=(kernel, kernel), stride=(stride, stride),
        weights=weights_of(weights),
    )  # fmt: skip
