"""What the tests of ONNX files and of their engine share: a network of every kind, and a way into the graph."""

import numpy as np
import pytest

from bitspike.convert import onnx_file
from bitspike.convert.connections import Conv2d, Identity, SumPool2d
from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_file import read
from bitspike.convert.onnx_graph import build, scores_name
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import FileError
from bitspike.sim.engines.onnx_runtime import session

__all__ = ["QUANTITIES", "assert_equal", "body_of", "build", "every_kind", "initializer", "refused", "scores_of"]

QUANTITIES = ("u", "v", "spikes")


def every_kind():
    """Wide and narrow kernels in groups, a pool, a shortcut, and populations that feed themselves and one before."""
    random = np.random.default_rng(8)

    def population(name, *shape, **neuron):
        bias = random.integers(-2, 3, int(np.prod(shape)))
        return Population(
            name=name, shape=shape, bias_mantissa=bias, bias_exponent=5, **({"dv": 700, "vth": 2} | neuron)
        )

    def window(source, target, shape, kernel, **more):
        return {"source": source, "target": target, "source_shape": shape, "kernel": kernel, **more}

    bits = weights_of(random.choice([-1, 1], (4, 4)))
    halves = {"groups": 2, "stride": (1, 2), "dilation": (2, 1), "padding": (1, 0)}
    wide = IntegerWeights(values=random.integers(-256, 256, (4, 8)))
    square = weights_of(random.integers(-2, 3, (12, 12)))
    ends = {"source": "pool", "target": "pool"}
    return check(
        IntegerNetwork(
            name="every kind",
            steps=6,
            inputs=(Input(name="input", shape=(4, 5, 4)),),
            populations=(
                population("conv", 4, 5, 2, du=2000, vth=90),
                population("pool", 4, 3, 1),
                population("output", 12, vth=131071),
            ),
            connections=(
                Conv2d(**window("input", "conv", (4, 5, 4), (2, 2)), **halves, weights=wide),
                Conv2d(**window("conv", "conv", (4, 5, 2), (1, 1), delay=2, exponent=5), weights=bits),
                SumPool2d(**window("conv", "pool", (4, 5, 2), (3, 2), stride=(2, 1), padding=(1, 0))),
                Dense(**ends, weights=square, delay=1),
                Identity(**ends, size=12, weight=-2, delay=3),
                Dense(
                    source="pool",
                    target="conv",
                    weights=IntegerWeights(values=random.integers(-9, 9, (40, 12))),
                    delay=1,
                ),
                Dense(source="pool", target="output", weights=square),
            ),
            readouts=(Readout(population="output", kind="membrane_sum"),),
        )
    )


def body_of(model, form):
    return onnx_file.body_of(model, form)


def initializer(graph, name):
    return next(tensor for tensor in graph.initializer if tensor.name.removeprefix("step/") == name)


def refused(path):
    """The error's message: one line that begins with the path."""
    with pytest.raises(FileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 1000
    return message.removeprefix(f"{path}: ")


def assert_equal(record, reference):
    """Same populations, types, shapes and values; no tolerance."""
    assert list(record.traces) == list(reference.traces)
    assert dict(record.latency) == dict(reference.latency)
    for name, trace in reference.traces.items():
        for quantity in QUANTITIES:
            expected, found = getattr(trace, quantity), getattr(record.traces[name], quantity)
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            assert np.array_equal(found, expected), f"{name}.{quantity}"


def scores_of(network, spikes, answer=""):
    """The graph's own read-out."""
    feed = {"spikes": spikes.transpose(1, 0, 2).astype(np.int8)}
    return session(build(network).SerializeToString()).run([scores_name(answer)], feed)[0]
