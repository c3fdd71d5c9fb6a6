"""Collapse of each family of posteriors through each kind of layer: the reference engine computes what torch does."""

import numpy as np
import pytest

from bitspike import collapse, verify
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.samples import SpikeData

torch = pytest.importorskip("torch")

HEAD = """
name = "families"
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
    "dense": "neurons = 20\nvth = {vth}\ndv = 300\n",
    "conv": 'kind = "conv"\nchannels = 5\nstride = 2\npadding = 1\nvth = {vth}\ndv = 300\ndu = 2000\n',
    "recurrent": 'kind = "recurrent"\nneurons = 20\nvth = {vth}\ndv = 300\ndu = 3500\n',
}
FAMILIES = {
    "bernoulli": ('family = "bernoulli"\nprior = 0.3\nkl = 0.1\n', 3, BinaryWeights),
    "bernoulli01": ('family = "bernoulli01"\n', 9, IntegerWeights),
    "gaussian": ('family = "gaussian"\nmean = 40\n', 90, IntegerWeights),
    "gaussian of 3 bits": ('family = "gaussian"\nmean = 4\nbits = 3\nkl = 0.1\n', 9, IntegerWeights),
    "latent": ('family = "latent"\nclip = false\n', 3, BinaryWeights),
}


def recipe(family, kind):
    from bitspike.train.recipe import parse_recipe

    lines, vth, _ = FAMILIES[family]
    tables = "".join(
        f"[[network.layers]]\n{layer}" for layer in (LAYERS[kind], LAYERS["dense"], "neurons = 10\nvth = {vth}\n")
    )
    training = "[training]\nepochs = 1\nbatch = 128\nrate = 0.05\nmembers = 1\n"
    return parse_recipe(f"{HEAD}{tables}{training}[posterior]\n{lines}".replace("{vth}", str(vth)), source="x")


def agrees(model, data, method, **options):
    """Assert that no spike, current or membrane of any neuron differs, and that the comparison meant something."""
    networks = collapse(model, method, **options)
    for network in networks if method == "committee" else [networks]:
        result = verify(network, model, data=data, engines=["reference"])
        assert result.passed, str(result)
        neurons = sum(p.size for p in network.populations)
        assert result.engines[1].compared == len(data) * data.steps * neurons * 3
    return networks


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_networks_are_equal(family, kind):
    from bitspike.train.build import build_network

    model = build_network(recipe(family, kind))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for bias in model.biases():
            bias.copy_(torch.randn(bias.shape, generator=generator))
    random = np.random.default_rng(1)
    spikes = (random.random((12, 9, 64)) < random.random((12, 1, 1))).astype(np.uint8)
    data = SpikeData(name="random", spikes=spikes, labels=np.zeros(12, np.int64), shape=model.input_shape)
    assert all(0 < s.mean() < 1 for s, _, _ in model.record(spikes).values())
    network = agrees(model, data, "map")
    assert all(isinstance(one.weights, FAMILIES[family][2]) for one in network.connections)
    bits = model.map_bits()
    for one, weights in zip(network.connections, bits.values(), strict=True):
        assert np.array_equal(one.weights.matrix(), weights)
    committee = agrees(model, data, "committee", members=2, seed=4)
    assert committee.members[0] == agrees(model, data, "sample", seed=4)
    same = [one.connections for one in committee if one.connections == network.connections]
    assert len(same) == (2 if family == "latent" else 0)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_networks_are_equal(family, kind):
    from bitspike.train import fit

    run = fit(recipe(family, kind), progress=False)
    test = run.test.first(30)
    agrees(run.model, test, "map")
    agrees(run.model, test, "sample", seed=7)
