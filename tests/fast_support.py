"""What tests of the fast engine share: equality with the reference on every value, and windows of every shape."""

import numpy as np

from bitspike.convert.connections import Dense, Identity
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.sim.fast.run import run_fast
from bitspike.sim.reference import run_reference

GEOMETRIES = {
    "whole vectors": {"out": 64, "kernel": (3, 3)},
    "a vector and a half": {"out": 48, "kernel": (3, 2), "padding": (1, 2)},
    "few channels, a stride": {"out": 5, "kernel": (5, 4), "stride": (2, 3), "padding": (2, 0)},
    "a stride and a dilation": {"out": 32, "kernel": (3, 3), "stride": (2, 2), "dilation": (3, 2), "padding": (3, 3)},
    "a stride longer than the window": {"out": 33, "kernel": (1, 2), "stride": (2, 3)},
    "groups": {"out": 12, "kernel": (3, 3), "groups": 2, "padding": (1, 1)},
    "depthwise": {"out": 4, "kernel": (2, 2), "groups": 4, "stride": (2, 1)},
    "groups of whole vectors": {"out": 128, "kernel": (2, 3), "groups": 2},
}


def assert_same_traces(expected, found):
    assert list(found.traces) == list(expected.traces)
    for name, trace in expected.traces.items():
        for quantity in ("spikes", "u", "v"):
            one, other = getattr(trace, quantity), getattr(found.traces[name], quantity)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other), (name, quantity)


def assert_equal(network, spikes, **options):
    expected, found = run_reference(network, spikes), run_fast(network, spikes, **options)
    assert_same_traces(expected, found)
    assert dict(found.latency) == dict(expected.latency)
    # Where states are not recorded they may be kept in 16 bits.
    last = list(expected.traces)[-1]
    alone = run_fast(network, spikes, record=[last], **options).traces[last]
    for quantity in ("spikes", "u", "v"):
        assert np.array_equal(getattr(alone, quantity), getattr(expected.traces[last], quantity)), quantity


def windowed(connection, *, loop=False) -> IntegerNetwork:
    """One window, then a population of the same shape over a shortcut, and both read by a third."""
    shape, size = connection.target_shape, connection.shape[0]
    random = np.random.default_rng(11)
    one, two = (
        Population(name=name, shape=shape, du=4000, dv=300, vth=3, bias_mantissa=random.integers(-9, 9, size))
        for name in ("one", "two")
    )
    three = Population(name="three", shape=(7,), dv=200, vth=9, bias_mantissa=np.zeros(7, np.int32))
    dense = [Dense(source=name, target="three", weights=weights_of(random.choice([-1, 1], (7, size)))) for name in
             ("one", "two")]  # fmt: skip
    back = [Dense(source="three", target="one", delay=1, weights=weights_of(random.choice([-2, 3], (size, 7))))]
    return IntegerNetwork(
        name="windowed",
        steps=4,
        inputs=(Input(name="input", shape=connection.source_shape),),
        populations=(one, two, three),
        connections=(
            connection,
            Identity(source="one", target="two", size=size, weight=5),
            *dense,
            *(back if loop else []),
        ),
        readouts=(Readout(population="three", kind="spike_count"),),
    )
