"""What the tests that need Lava share: the line with which they skip, and random networks that Lava can hold."""

from dataclasses import replace

import numpy as np
import pytest

from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.targets.lava.repair import INSTALL, has_lava, has_lava_dl

needs_lava = pytest.mark.skipif(not has_lava(), reason=f"run: {INSTALL}")
needs_lava_dl = pytest.mark.skipif(not (has_lava() and has_lava_dl()), reason=f"run: {INSTALL}")

QUANTITIES = ("spikes", "u", "v")


def population(random, name, size, *, bias=True, **fixed):
    """A population with random decays, a low threshold and strong biases of both signs."""
    chosen = {
        "du": int(random.choice([4096, 4095, 3000, 700])),
        "dv": int(random.choice([4096, 900, 300, 20])),
        "vth": int(random.integers(1, 9)),
        "bias_mantissa": random.integers(-40, 160, size) if bias else np.zeros(size, np.int64),
        "bias_exponent": int(random.integers(0, 4)),
    }
    return Population(name=name, shape=(size,), **{**chosen, **fixed})


def weights(random, targets, sources):
    """One-bit weights of both kinds, or wide ones that Lava can hold."""
    low, high = [(-1, 1), (0, 1), (-4, 4), (-128, 127), (0, 255)][int(random.integers(0, 5))]
    if high == 1:
        return weights_of(random.choice([low, high], (targets, sources)))
    return weights_of(random.integers(low, high + 1, (targets, sources)))


def feed_forward(seed, *, sizes=(14, 11, 9, 6), steps=9, skips=False, bias=True, delay=0):
    """A random feed-forward network whose range proof holds; `delay` is one that its second connection has itself."""
    random = np.random.default_rng(seed)
    names = ["input", *(f"layer{k}" for k in range(1, len(sizes)))]
    populations = [population(random, n, s, bias=bias) for n, s in zip(names[1:], sizes[1:], strict=True)]
    pairs = [(k, k + 1) for k in range(len(sizes) - 1)]
    if skips:
        pairs += [(a, b) for a in range(len(sizes)) for b in range(a + 2, len(sizes)) if random.random() < 0.7]
        pairs += [(0, len(sizes) - 1)] if (0, len(sizes) - 1) not in pairs else []
    connections = tuple(
        Dense(
            source=names[a],
            target=names[b],
            weights=weights(random, sizes[b], sizes[a]),
            exponent=int(random.integers(0, 2)),
            delay=delay if (a, b) == (1, 2) else 0,
        )
        for a, b in pairs
    )
    last = replace(populations[-1], vth=VTH_MAX) if random.random() < 0.5 else populations[-1]
    network = IntegerNetwork(
        name=f"random{seed}",
        steps=steps,
        inputs=(Input(name="input", shape=(sizes[0],)),),
        populations=(*populations[:-1], last),
        connections=connections,
        readouts=(Readout(population=names[-1], kind="spike_count"),),
    )
    check_range(check(network))
    return network


def assert_same(left, right):
    """Every spike, current and membrane of two records is the same; returns the number of values compared."""
    assert set(left.traces) == set(right.traces)
    compared = 0
    for name, trace in left.traces.items():
        for quantity in QUANTITIES:
            a, b = getattr(trace, quantity), getattr(right.traces[name], quantity)
            assert a.shape == b.shape, (name, quantity)
            assert a.dtype == b.dtype, (name, quantity)
            different = int(np.count_nonzero(a != b))
            assert different == 0, f"{different} of {a.size} differ in {quantity} of {name}"
            compared += a.size
    return compared


def assert_alive(record):
    """Some neuron spikes, and some does not: an equality of silent networks would say little."""
    rates = [float(trace.spikes.mean()) for trace in record.traces.values()]
    assert any(0 < rate < 1 for rate in rates), rates
