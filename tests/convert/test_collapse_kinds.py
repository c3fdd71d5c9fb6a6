"""Collapse of each kind of layer: the network that it gives computes what torch computes, value for value."""

import numpy as np
import pytest

from bitspike import collapse, verify
from bitspike.convert.network import Conv2d, Dense, SumPool2d
from bitspike.errors import UsageError
from bitspike.samples import SpikeData

torch = pytest.importorskip("torch")

HEAD = """
name = "kinds"
seed = 3
[data]
name = "digits"
steps = 6
[network]
readout = "spike_count"
temperature = 1
bias_exponent = 4
"""
LAYERS = {
    "conv": 'kind = "conv"\nchannels = 5\nkernel = 3\nstride = 2\npadding = 1\nvth = 2\ndv = 300\ndu = 2000\n',
    "pool": 'kind = "pool"\nkernel = 3\nstride = 2\nvth = 2\ndv = 300\ndu = 3000\nreset = "subtract"\n',
    "recurrent": 'kind = "recurrent"\nneurons = 20\nvth = 3\ndv = 300\ndu = 3500\n',
    "dense": "neurons = 20\nvth = 3\ndv = 300\n",
}
STACKS = [
    ("conv",),
    ("pool",),
    ("recurrent",),
    ("dense",),
    ("conv", "conv", "recurrent"),
    ("conv", "pool", "dense"),
    ("pool", "conv", "recurrent", "recurrent"),
]


def recipe(kinds, last="neurons = 10\nvth = 2\ndv = 100\n"):
    from bitspike.train.recipe import parse_recipe

    tables = "".join(f"[[network.layers]]\n{layer}" for layer in (*(LAYERS[kind] for kind in kinds), last))
    training = "[training]\nepochs = 1\nbatch = 128\nrate = 0.05\nspread = 0.5\nmembers = 1\n"
    return parse_recipe(HEAD + tables + training, source="x")


def random_model(found, seed=0):
    """An untrained model with random natural parameters and biases."""
    from bitspike.train.build import build_network

    model = build_network(found)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return model


def random_data(model, samples=20, steps=9):
    random = np.random.default_rng(1)
    spikes = (random.random((samples, steps, model.input_size)) < random.random((samples, 1, 1))).astype(np.uint8)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(samples, np.int64), shape=model.input_shape)


def agrees(model, data, method, seed=0):
    """Assert that no spike, current or membrane of any neuron differs, and that the comparison meant something."""
    network = collapse(model, method, seed=seed)
    result = verify(network, model, data=data, engines=["reference"])
    assert result.passed, str(result)
    assert [one.engine for one in result.engines] == ["reference", "torch"]
    neurons = sum(p.size for p in network.populations)
    assert result.engines[1].compared == len(data) * data.steps * neurons * 3
    assert all(0 < s.mean() < 1 for s, _, _ in model.record(data.spikes).values())
    return network


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_random_networks_of_each_kind_are_equal(kinds):
    model = random_model(recipe(kinds))
    data = random_data(model)
    agrees(model, data, "map")
    for seed in range(3):
        agrees(model, data, "sample", seed)


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_trained_networks_of_each_kind_are_equal(kinds):
    from bitspike.train import fit

    run = fit(recipe(kinds), progress=False)
    test = run.test.first(60)
    agrees(run.model, test, "map")
    agrees(run.model, test, "sample", 7)


def test_an_output_may_be_recurrent():
    model = random_model(recipe(("conv",), 'kind = "recurrent"\nneurons = 10\nvth = 2\n'))
    network = agrees(model, random_data(model), "map")
    assert network.connections[-1].name == "output -> output"


def test_what_each_kind_becomes():
    model = random_model(recipe(("conv", "pool", "recurrent")))
    network = collapse(model)
    conv, pool, dense, recurrent, output = network.connections
    bits = model.map_bits()
    assert network.input.shape == (1, 8, 8)
    assert [p.shape for p in network.populations] == [(5, 4, 4), (5, 1, 1), (20,), (10,)]
    assert isinstance(conv, Conv2d)
    assert (conv.source_shape, conv.kernel, conv.stride, conv.padding) == ((1, 8, 8), (3, 3), (2, 2), (1, 1))
    assert np.array_equal(conv.weights.matrix(), bits["hidden1"])
    assert isinstance(pool, SumPool2d)
    assert (pool.source_shape, pool.kernel, pool.stride, pool.exponent) == ((5, 4, 4), (3, 3), (2, 2), 0)
    for one, name, delay in ((dense, "hidden3", 0), (recurrent, "hidden3.recurrent", 1), (output, "output", 0)):
        assert isinstance(one, Dense)
        assert one.delay == delay
        assert np.array_equal(one.weights.matrix(), bits[name])
    first = network.populations[0].bias_mantissa.reshape(5, 16)
    assert np.array_equal(first, np.repeat(model.populations[0].trained_mantissa()[:, None], 16, axis=1))
    assert not network.populations[1].bias_mantissa.any()


def test_a_kind_that_is_not_known_is_refused(monkeypatch):
    model = random_model(recipe(("dense",)))
    monkeypatch.setattr(type(model.populations[0]), "kind", "tree")
    with pytest.raises(UsageError, match="layer hidden1: kind 'tree'; expected dense, recurrent, conv or pool"):
        collapse(model)
