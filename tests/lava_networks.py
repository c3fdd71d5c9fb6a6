"""One network of each kind that the lowering to Lava takes, with biases of both signs in every layer."""

import numpy as np

from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of

STEPS = 8


class Builder:
    """Puts a network together; each connection gives its target a population."""

    def __init__(self, seed, **inputs):
        self.random = np.random.default_rng(seed)
        self.inputs = inputs
        self.shapes = dict(inputs)
        self.populations, self.connections = [], []

    def bits(self, *shape):
        return weights_of(self.random.choice([-1, 1], shape))

    def population(self, name, shape, **neuron):
        size = int(np.prod(shape))
        defaults = {"du": 4096, "dv": 500, "vth": 1, "bias_mantissa": self.random.integers(-30, 60, size)}
        self.populations.append(Population(name=name, shape=shape, **(defaults | neuron)))
        self.shapes[name] = shape

    def connect(self, connection, **neuron):
        if connection.target not in self.shapes:
            shape = getattr(connection, "target_shape", None) or (connection.shape[0],)
            self.population(connection.target, shape, **neuron)
        self.connections.append(connection)

    def conv(self, source, target, channels, *, kernel=(3, 3), groups=1, neuron=None, **more):
        shape = self.shapes[source]
        weights = self.bits(channels, shape[0] // groups * kernel[0] * kernel[1])
        ends = {"source": source, "target": target, "source_shape": shape}
        self.connect(Conv2d(**ends, weights=weights, kernel=kernel, groups=groups, **more), **neuron or {})

    def pool(self, source, target, *, kernel=(2, 2), neuron=None, **more):
        ends = {"source": source, "target": target, "source_shape": self.shapes[source]}
        self.connect(SumPool2d(**ends, kernel=kernel, **({"stride": kernel} | more)), **neuron or {})

    def dense(self, source, target, size=None, *, neuron=None, **more):
        rows = int(np.prod(self.shapes[target])) if size is None else size
        weights = self.bits(rows, int(np.prod(self.shapes[source])))
        self.connect(Dense(source=source, target=target, weights=weights, **more), **neuron or {})

    def identity(self, source, target, **more):
        size = int(np.prod(self.shapes[source]))
        self.connect(Identity(source=source, target=target, size=size, **more))

    def network(self, name, **answers):
        network = IntegerNetwork(
            name=name,
            steps=STEPS,
            inputs=tuple(Input(name=n, shape=s) for n, s in self.inputs.items()),
            populations=tuple(self.populations),
            connections=tuple(self.connections),
            readouts=tuple(Readout(population=p, kind="spike_count", answer=a) for a, p in answers.items()),
        )
        check_range(check(network))
        return network


def convolution():
    """Stride, padding, dilation and groups, each other in height and width."""
    b = Builder(1, image=(2, 9, 7))
    b.conv("image", "first", 4, kernel=(3, 2), stride=(2, 1), padding=(1, 2))
    b.conv("first", "second", 6, kernel=(2, 3), groups=2, dilation=(2, 1), neuron={"dv": 100})
    b.dense("second", "out", 5)
    return b.network("convolution", out="out")


def pooling():
    """Pools that overlap and pools that are padded, between convolutions."""
    b = Builder(2, image=(2, 8, 8))
    b.conv("image", "first", 3, padding=(1, 1))
    b.pool("first", "small", neuron={"vth": 0})
    b.conv("small", "second", 4, exponent=1)
    b.pool("second", "last", stride=(1, 1), padding=(1, 0), exponent=2, neuron={"vth": 3})
    return b.network("pooling", out="last")


def recurrent():
    """Loops of one and of two populations, behind a layer, so that they are late."""
    b = Builder(3, touch=(12,))
    b.dense("touch", "first", 10, neuron={"du": 3000})
    b.dense("first", "loop", 14, neuron={"vth": 3})
    b.dense("loop", "loop", delay=1)
    b.dense("loop", "out", 4)
    b.dense("out", "loop", delay=2)
    return b.network("recurrent", out="out")


def residual():
    """Branches of depth 1, 2 and 3 that meet, and a window that starts from the input besides."""
    b = Builder(4, image=(3, 6, 6))
    b.conv("image", "stem", 3, padding=(1, 1))
    b.conv("stem", "inner", 3, padding=(1, 1))
    b.conv("inner", "join", 3, padding=(1, 1), neuron={"vth": 2})
    b.identity("stem", "join", weight=2)
    b.conv("image", "join", 3, kernel=(1, 1))
    b.dense("join", "out", 6)
    b.dense("stem", "out")
    return b.network("residual", out="out")


def delays():
    """Delays of their own on dense, windowed and single synapses."""
    b = Builder(5, image=(2, 5, 5))
    b.conv("image", "first", 2, padding=(1, 1), delay=2)
    b.pool("first", "second", kernel=(1, 1), delay=3)
    b.identity("first", "second", weight=-1, delay=1)
    b.dense("second", "out", 4, delay=1)
    return b.network("delays", out="out")


def eyes():
    """Two inputs, one of which a part of the network has to itself, and three answers."""
    b = Builder(6, left=(1, 5, 5), right=(9,))
    b.conv("left", "seen", 2)
    b.dense("right", "heard", 7)
    b.dense("seen", "both", 5)
    b.dense("heard", "both")
    b.dense("right", "alone", 3)
    return b.network("eyes", both="both", seen="seen", alone="alone")


def parts():
    """Two networks in one, which nothing connects, and a population that nothing feeds."""
    b = Builder(7, left=(5,), right=(6,))
    b.dense("left", "one", 4)
    b.dense("right", "two", 4)
    b.population("itself", (3,), vth=2)
    return b.network("parts", one="one", two="two", itself="itself")


def payloads():
    """Graded spikes through every kind of connection, and resets by subtraction."""
    b = Builder(8, image=(2, 6, 6))
    b.conv("image", "first", 2, padding=(1, 1), neuron={"reset": "subtract"})
    b.pool("first", "graded", neuron={"spike": "graded", "vth": 2, "shift": 1, "dv": 2000})
    b.conv("graded", "next", 3, kernel=(2, 2), neuron={"spike": "graded", "vth": 3, "reset": "subtract", "dv": 3000})
    b.identity("next", "twice", weight=-3, delay=1)
    b.dense("next", "twice", neuron={"dv": 4096})
    b.dense("twice", "out", 3)
    return b.network("payloads", out="out")


KINDS = {make.__name__: make for make in (convolution, pooling, recurrent, residual, delays, eyes, parts, payloads)}
