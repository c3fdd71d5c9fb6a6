"""Networks whose layers read several others: the collapsed network computes what torch computes, value for value."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike import collapse, export, load, verify
from bitspike.convert.network import Conv2d, Dense, SumPool2d
from bitspike.convert.ranges import check_range
from bitspike.convert.retime import in_chip_time, retime
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.samples import SpikeData

torch = pytest.importorskip("torch")

HEAD = """
name = "graph"
[data]
name = "digits"
steps = 5
[network]
readout = "spike_count"
temperature = 1
bias_exponent = 4
"""
OUTPUT = "neurons = 10\nvth = 2\ndv = 100\n"
TAIL = "[training]\nepochs = 1\nbatch = 256\nrate = 0.05\nspread = 0.5\nmembers = 1\n"
CONV = 'kind = "conv"\npadding = 1\ndv = 1024\n'
DENSE = "neurons = 12\nvth = 3\ndv = 300\n"
STEM = f'{CONV}channels = 4\nvth = 1\nname = "stem"\n'
GRAPHS = {
    "sum": (
        STEM,
        f'{CONV}channels = 4\nvth = 3\nname = "b"\n',
        f'{CONV}channels = 5\nvth = 4\nsources = ["stem", "b"]\n',
    ),
    "input": (STEM, f'{CONV}channels = 5\nvth = 2\nsources = ["stem", "input"]\n'),
    "padded": (
        f'{CONV}channels = 2\nvth = 1\nname = "few"\n',
        f'{CONV}channels = 6\nvth = 3\nname = "many"\n',
        f'{CONV}channels = 3\nstride = 2\nvth = 4\nsources = ["few", "many"]\n',
    ),
    "padded pool": (
        f'{CONV}channels = 2\nvth = 1\nname = "few"\n',
        f'{CONV}channels = 6\nvth = 3\nname = "many"\n',
        'kind = "pool"\nvth = 2\ndv = 4096\nsources = ["many", "few"]\n',
    ),
    "padded dense": (
        f'{CONV}channels = 2\nvth = 1\nname = "few"\n',
        f'{CONV}channels = 3\nvth = 3\nname = "many"\n',
        f'{DENSE}sources = ["few", "many"]\n',
    ),
    "dense": (f'{DENSE}name = "a"\n', f'{DENSE}name = "b"\n', f'{DENSE}sources = ["b", "a"]\n'),
    "recurrent": (
        f'{DENSE}name = "a"\n',
        'kind = "recurrent"\nneurons = 12\nvth = 3\ndv = 300\nname = "b"\nshortcuts = ["a"]\n',
        f'{DENSE}sources = ["a", "b"]\nshortcuts = ["b"]\n',
    ),
    "shortcuts": (
        STEM,
        f'{CONV}channels = 4\nvth = 3\nname = "b"\nshortcuts = ["stem"]\n',
        f'{CONV}channels = 4\nvth = 4\nshortcuts = ["b"]\n',
    ),
    "shortcut twice": (
        f'{DENSE}name = "a"\n',
        f'{DENSE}name = "b"\nsources = ["input"]\nshortcuts = ["a"]\n',
        f'{DENSE}name = "c"\nshortcuts = ["a", "b"]\n',
    ),
    "shortcut of another window": (
        STEM,
        'kind = "conv"\nkernel = 1\nchannels = 4\nvth = 2\ndv = 1024\nsources = ["input"]\nshortcuts = ["stem"]\n',
    ),
    "shortcut of a pool": (
        STEM,
        'kind = "pool"\nkernel = 2\nvth = 1\ndv = 2000\nname = "p"\n',
        'kind = "conv"\nkernel = 2\nstride = 2\nchannels = 4\nvth = 2\nsources = ["stem"]\nshortcuts = ["p"]\n',
    ),
    "residual": (
        STEM,
        'kind = "residual"\nchannels = 4\nblocks = 2\ndv = 1024\n',
        'kind = "residual"\nchannels = 6\nblocks = 1\nstride = 2\ndv = 1024\n',
    ),
}


def recipe(tables, head=HEAD, last=OUTPUT):
    from bitspike.train.recipe import parse_recipe

    return parse_recipe(head + "".join(f"[[network.layers]]\n{one}" for one in (*tables, last)) + TAIL, source="x")


def random_model(found, seed=0):
    """An untrained model with random natural parameters and biases."""
    from bitspike.train.build import build_network

    model = build_network(found)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return model


def random_data(model, samples=8, steps=7):
    random = np.random.default_rng(1)
    spikes = (random.random((samples, steps, model.input_size)) < random.random((samples, 1, 1))).astype(np.uint8)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(samples, np.int64), shape=model.input_shape)


def agrees(network, model, data, *engines):
    """Assert that no spike, current or membrane of any neuron differs."""
    result = verify(network, model, data=data, engines=["reference", *engines])
    assert result.passed, str(result)
    assert [one.engine for one in result.engines] == ["reference", *engines, "torch"]
    neurons = sum(p.size for p in network.populations)
    assert all(one.compared == len(data) * data.steps * neurons * 3 for one in result.engines)


@pytest.mark.parametrize("name", GRAPHS)
def test_random_graphs_are_equal_in_model_time_and_in_chip_time(name):
    model = random_model(recipe(GRAPHS[name]))
    data = random_data(model)
    for label in ("map", "sample"):
        network = collapse(model, label, seed=5)
        agrees(network, model, data)
        chip = retime(network) if name != "recurrent" else None
        if chip is not None:
            assert in_chip_time(chip)
            check_range(chip)
            agrees(chip, model, data)
    assert all(0 < s.mean() < 1 for s, _, _ in model.record(data.spikes).values())


@pytest.mark.parametrize("name", ["padded pool", "shortcuts", "residual", "shortcut twice"])
def test_graphs_are_equal_in_onnx_runtime_and_read_back(name, tmp_path):
    pytest.importorskip("onnxruntime")
    model = random_model(recipe(GRAPHS[name]))
    network = collapse(model)
    agrees(network, model, random_data(model), "onnx")
    export(network, tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx") == network


def test_one_connection_a_source_with_the_same_weights():
    model = random_model(recipe(GRAPHS["padded"]))
    network = collapse(model)
    _, _, few, many, _ = network.connections
    bits = model.map_bits()["hidden3"]
    assert (few.name, many.name) == ("few -> hidden3", "many -> hidden3")
    assert isinstance(few, Conv2d)
    assert np.array_equal(few.weights.matrix(), bits[:, : 2 * 9])
    assert np.array_equal(many.weights.matrix(), bits)
    assert few.source_shape == (2, 8, 8)
    pool = collapse(random_model(recipe(GRAPHS["padded pool"]))).incoming("hidden3")
    assert [type(one) for one in pool] == [SumPool2d, Conv2d]
    assert isinstance(pool[1].weights, BinaryWeights)
    assert (pool[1].weights.low, pool[1].weights.high) == (0, 1)


def test_a_source_that_is_reached_twice_has_one_connection_of_the_sum():
    model = random_model(recipe(GRAPHS["shortcut twice"]))
    network = collapse(model)
    bits = model.map_bits()
    both, (own, back) = network.incoming("b")[0], network.incoming("c")
    assert isinstance(both.weights, IntegerWeights)
    assert np.array_equal(both.weights.matrix(), bits["b"].astype(int) + bits["a"])
    assert np.array_equal(own.weights.matrix(), bits["c"])
    assert isinstance(back, Dense)
    assert np.array_equal(back.weights.matrix(), bits["b"].astype(int) + 2 * bits["a"])


def test_a_trained_residual_network_is_equal_everywhere():
    from bitspike.train import fit

    run = fit(recipe(GRAPHS["residual"]), progress=False)
    data = run.test.first(12)
    network = collapse(run.model)
    agrees(network, run.model, data)
    chip = retime(network)
    agrees(chip, run.model, data)
    assert max(c.delay for c in chip.connections) == 5
    assert replace(chip, populations=network.populations, connections=network.connections) == network


@st.composite
def graphs(draw):
    """Tables of two to five layers that each read any earlier ones, with shortcuts where shapes are equal."""
    spatial = draw(st.booleans())
    tables, names = [], ["input"]
    for at in range(draw(st.integers(2, 5))):
        sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        if not spatial and "input" in sources:
            sources = ["input"]
        channels = 3 if draw(st.booleans()) else draw(st.integers(1, 4))
        size = f"{CONV}channels = {channels}\n" if spatial else "neurons = 9\ndv = 700\n"
        equal = [
            name for name, width in zip(names[1:], widths(tables), strict=True) if width == channels or not spatial
        ]
        shortcuts = draw(st.lists(st.sampled_from(equal), max_size=2, unique=True)) if equal else []
        wires = f"sources = {sources}\nshortcuts = {shortcuts}\n".replace("'", '"')
        tables.append(f'{size}vth = {draw(st.integers(1, 4))}\nname = "l{at}"\n{wires}')
        names.append(f"l{at}")
    # A recipe has no layer that none reads.
    kept = tables[-1:]
    for at in range(len(tables) - 2, -1, -1):
        kept = [tables[at], *kept] if any(f'"l{at}"' in one.split("sources")[1] for one in kept) else kept
    return kept


def widths(tables):
    return [int(one.split("channels = ")[1].split("\n")[0]) if "channels" in one else 0 for one in tables]


@settings(max_examples=10, deadline=None)
@given(graphs(), st.integers(0, 2**16))
def test_any_small_graph_is_equal(tables, seed):
    model = random_model(recipe(tables), seed)
    data = random_data(model, samples=2, steps=4)
    network = collapse(model, "sample", seed=seed)
    agrees(network, model, data)
    agrees(retime(network), model, data)
