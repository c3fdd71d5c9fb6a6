"""Layers that read several others: what a recipe may say, what is refused, files, and sums against their definition."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_model, load_run
from bitspike.train.build import build_network
from bitspike.train.estimators import IWST
from bitspike.train.layers import PoolLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.noise import Silent
from bitspike.train.recipe import parse_recipe
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate
from bitspike.train.windows import Window
from bitspike.train.wiring import Wires, terms

HEAD = """
name = "graph"
[data]
name = "digits"
steps = 3
[network]
temperature = 20
"""
LAYERS = """
[[network.layers]]
kind = "conv"
name = "stem"
channels = 3
padding = 1
vth = 1
dv = 1024
[[network.layers]]
kind = "conv"
name = "wide"
sources = ["stem", "input"]
channels = 5
padding = 1
vth = 3
dv = 1024
[[network.layers]]
kind = "conv"
name = "again"
sources = ["stem", "wide"]
shortcuts = ["wide"]
channels = 5
padding = 1
vth = 4
dv = 1024
[[network.layers]]
kind = "pool"
sources = ["again", "stem", "wide"]
vth = 3
dv = 4096
exact = true
[[network.layers]]
neurons = 10
"""
TAIL = """
[training]
epochs = 2
batch = 256
rate = 0.05
spread = 0.5
members = 2
"""
TEXT = HEAD + LAYERS + TAIL


def conv(**keys):
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return f'[[network.layers]]\nkind = "conv"\nchannels = 2\nvth = 1\n{lines}'


def test_a_recipe_says_what_each_layer_reads():
    recipe = parse_recipe(TEXT, source="x")
    assert recipe.network.names == ("stem", "wide", "again", "hidden4", "output")
    assert recipe.network.wires() == (
        Wires(sources=("input",)),
        Wires(sources=("stem", "input")),
        Wires(sources=("stem", "wide"), shortcuts=("wide",)),
        Wires(sources=("again", "stem", "wide")),
        Wires(sources=("hidden4",)),
    )
    assert recipe.network_shapes() == ((1, 8, 8), (3, 8, 8), (5, 8, 8), (5, 8, 8), (5, 4, 4), (10,))
    assert parse_recipe(recipe.to_toml(), source="y") == recipe
    found = build_network(recipe)
    assert [tuple(one.shape) for one in found.posteriors().values()] == [(3, 9), (5, 27), (5, 45), (10, 80)]
    assert found.wires == recipe.network.wires()
    assert terms(recipe.network.names, found.wires) == ((0,), (1,), (2, 1), (3,), (4,))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '["stem", "wide"]\nsh',
            '["later"]\nsh',
            "layers[2].sources: found 'later'; expected earlier ones: input, stem,",
        ),
        (
            '["stem", "wide"]\nsh',
            '["again"]\nsh',
            "layers[2].sources: found 'again'; expected earlier ones: input, stem,",
        ),
        ('["stem", "wide"]\nsh', '["hidden4"]\nsh', "layers[2].sources: found 'hidden4'; expected earlier ones: input"),
        ('["stem", "wide"]\nsh', '["wide", "wide"]\nsh', "layers[2].sources: found 'wide' 2 times; expected each once"),
        (
            '["stem", "wide"]\nsh',
            '"stem"\nsh',
            "layers[2].sources: found 'stem'; expected an array of words of letters",
        ),
        ('["stem", "wide"]\nsh', '["1"]\nsh', "layers[2].sources: found ('1',); expected an array of words of letters"),
        (
            'shortcuts = ["wide"]',
            'shortcuts = ["input"]',
            "layers[2].shortcuts: found 'input'; expected earlier ones: st",
        ),
        (
            'shortcuts = ["wide"]',
            'shortcuts = ["stem"]',
            "layers[2].shortcuts: found stem of shape (3, 8, 8); expected (5, 8, 8), this layer's own",
        ),
        ('name = "wide"', 'name = "stem"', "layers[1].name: found 'stem', which is taken; expected another"),
        ('name = "wide"', 'name = "hidden4"', "layers[3].name: found 'hidden4', which is taken; expected another"),
        ('name = "wide"', 'name = "input"', "layers[1].name: found 'input', which is taken; expected another"),
        ('name = "wide"', 'name = "2"', "layers[1].name: found '2'; expected letters, digits and '_', no digit first"),
        (
            "dv = 4096",
            "dv = 4096\nspike = 'graded'",
            "layers[3].exact: found true with graded spikes; expected spike 'binary', or exact false",
        ),
        ("dv = 4096", "dv = 4095", "layers[3].exact: found true with du 4096 and dv 4095; expected 4096 for both"),
    ],
)
def test_wrong_wires_are_refused_with_their_place(old, new, message):
    assert old in TEXT
    with pytest.raises(UsageError) as caught:
        parse_recipe(TEXT.replace(old, new, 1), source="r")
    assert str(caught.value).startswith(f"r: network.{message}")


def test_sources_of_unequal_shapes_are_refused():
    layers = conv(name="a") + conv(name="b", sources=["a", "input"]) + "[[network.layers]]\nneurons = 10\n"
    with pytest.raises(UsageError) as caught:
        parse_recipe(HEAD + layers + TAIL, source="r")
    assert str(caught.value) == (
        "r: network.layers[1].sources: found a (2, 6, 6), input (1, 8, 8); expected equal shapes, or equal heights and "
        "widths"
    )


def test_a_layer_that_none_reads_is_refused():
    layers = conv(name="a") + conv(name="b", sources=["input"]) + "[[network.layers]]\nneurons = 10\n"
    with pytest.raises(UsageError) as caught:
        parse_recipe(HEAD + layers + TAIL, source="r")
    assert str(caught.value) == (
        "r: network.layers[0]: found 'a', which no layer reads; expected it among the sources or shortcuts of one"
    )


def test_a_layer_whose_current_alone_is_read_trains_and_is_written(tmp_path):
    """Its neurons have biases that nothing depends on."""
    layers = conv(name="a") + conv(name="b", sources=["input"], shortcuts=["a"])
    recipe = parse_recipe(HEAD + layers + "[[network.layers]]\nneurons = 10\n" + TAIL, source="r")
    run = fit(recipe, out=tmp_path / "run", progress=False)
    assert run.model.populations[0].bias.abs().max() == 0
    assert np.array_equal(
        run.model.predict(run.test.spikes[:20])[1], load_run(tmp_path / "run").model.predict(run.test.spikes[:20])[1]
    )


def test_no_samples_are_predicted_as_none():
    model = build_network(parse_recipe(TEXT, source="x"))
    readouts, classes = model.predict(np.zeros((0, model.steps, 64), np.uint8))
    assert (readouts.shape, classes.shape) == ((0, 10), (0,))


def test_a_first_layer_has_nothing_to_read_but_the_input():
    with pytest.raises(
        UsageError, match=r"layers\[0\]\.shortcuts: found 'a'; expected .*none, since this is the first"
    ):
        parse_recipe(HEAD + conv(name="a", shortcuts=["a"]) + "[[network.layers]]\nneurons = 10\n" + TAIL, source="r")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"kernel": 1}, None),
        ({"kernel": 5, "padding": 2}, None),
        ({"kernel": 1, "padding": 4, "stride": 2}, "layers[1].shortcuts: found a second way from input, over"),
    ],
)
def test_windows_of_parallel_ways_must_lie_inside_each_other(second, message):
    text = HEAD + conv(name="a", padding=1) + conv(name="b", sources=["input"], shortcuts=["a"], **second)
    text += "[[network.layers]]\nneurons = 10\n" + TAIL
    if message is None:
        assert parse_recipe(text, source="r").network_shapes()[2] == (2, 8, 8)
        return
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, source="r")
    assert message in str(caught.value)


def test_noisy_sums_are_those_of_the_integers():
    """Mean and variance by hand: W (a + b), and (1 - mu**2) (a + b)**2, not the sum of the squares."""
    recipe = parse_recipe(TEXT, source="x")
    model = build_network(recipe)
    random = torch.Generator().manual_seed(3)
    spikes = torch.randint(0, 2, (3, 4, 64), generator=random).float()
    _, wide, again, *_ = model.populations
    seen = {}

    def spy(layer):
        fire = layer.fire

        def told(inputs, generator, **more):
            bits, squares = fire(inputs, generator, **more)
            seen[layer.name] = (*layer.parted(inputs), bits)
            return bits, squares

        layer.fire = told

    for layer in model.populations:
        spy(layer)
    model.noisy(spikes, random, estimator=IWST(), floor=0.5, sharpness=1.3)
    first = torch.nn.functional.pad(seen["stem"][2], (0, 2 * 64))
    only_input = torch.nn.functional.pad(spikes, (0, 2 * 64))
    wide_mean, wide_variance = wide.moments(seen["stem"][2] + only_input, 1.3)
    assert (seen["stem"][2] + only_input).max() == 2
    torch.testing.assert_close(seen["wide"][0], wide_mean)
    torch.testing.assert_close(seen["wide"][1], wide_variance)
    mean, variance = again.moments(first + seen["wide"][2], 1.3)
    torch.testing.assert_close(seen["again"][0], mean + wide_mean)
    torch.testing.assert_close(seen["again"][1], variance + wide_variance)


def test_a_membrane_read_out_has_the_variance_of_its_shortcuts():
    """The last layer adds the sum of an earlier one; the variance of its logits is that of both sets of weights."""
    text = HEAD.replace("20", "1") + "[[network.layers]]\nneurons = 10\nname = 'a'\nvth = 2\n"
    text += "[[network.layers]]\nneurons = 10\nsources = ['input']\nshortcuts = ['a']\n" + TAIL
    model = build_network(parse_recipe(text, source="x"))
    spikes = torch.ones(3, 4000, 64)
    logits, _ = model.noisy(spikes, torch.Generator().manual_seed(1), estimator=IWST(), floor=0.5)
    silent = Surrogate(noise=Silent())
    mean, _ = model.noisy(spikes, torch.Generator().manual_seed(1), estimator=silent, floor=0.5)
    naturals = torch.stack(model.locations())
    expected = 36.0 * (1 - torch.tanh(naturals).square()).sum((0, 2))
    spread = (logits - mean).var(0) / expected
    # Deviation of a variance of 4000 samples: sqrt(2 / 4000) = 0.022; five of them.
    assert ((spread > 0.89) & (spread < 1.11)).all()


def test_an_exact_pool_is_trained_as_it_runs():
    window = Window(kernel=2, stride=2)
    neuron = Neuron(vth=1, dv=4096)
    pool = PoolLayer(name="a", source_shape=(1, 2, 2), window=window, neuron=neuron, exact=True)
    spikes = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]).float().reshape(4, 1, 4)
    spikes.requires_grad_()
    noise = torch.tensor([9.0, 9.0, -9.0, -9.0]).reshape(4, 1, 1)
    bits, _ = pool.noisy(spikes, noise, estimator=IWST(), floor=0.5, sharpness=1.0)
    assert bits.ravel().tolist() == [0.0, 0.0, 1.0, 1.0]
    assert pool.evaluate(spikes.detach(), {})[0].ravel().tolist() == [0, 0, 1, 1]
    bits.sum().backward()
    slopes = spikes.grad[:, 0, 0]
    assert slopes[1] == slopes[2] > slopes[0] == slopes[3] > 0


def test_wires_of_another_number_of_layers_are_refused():
    pool = PoolLayer(name="a", source_shape=(1, 2, 2), window=Window(kernel=2), neuron=Neuron(vth=1))
    with pytest.raises(UsageError, match="wires: found 2; expected 1, as many as layers"):
        SpikingNetwork([pool], steps=1, readout="spike_count", temperature=1, wires=[Wires(sources=("input",))] * 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(parse_recipe(TEXT, source="x"), out=tmp_path_factory.mktemp("runs") / "whole", progress=False)


def test_a_run_of_a_graph_is_written_and_read(whole):
    again = load_run(whole.folder)
    assert (
        str(again)
        .splitlines()[0]
        .startswith("run graph, seed 0: 1x8x8-3x8x8-5x8x8-5x8x8-5x4x4-10 (5 connections more than a chain), 3 steps, ")
    )
    assert again.model.wires == whole.model.wires
    assert again.model.populations[3].exact
    spikes = whole.test.spikes[:50]
    one, other = whole.model.record(spikes), again.model.record(spikes)
    assert list(one) == ["stem", "wide", "again", "hidden4", "output"]
    for name in one:
        assert all(np.array_equal(a, b) for a, b in zip(one[name], other[name], strict=True))
    values, classes = whole.model.predict(spikes)
    assert np.array_equal(values, one["output"][2].sum(axis=1))
    assert np.array_equal(classes, values.argmax(axis=1))
    resumed = fit(whole.recipe, out=whole.folder, resume=True)
    assert resumed.result == whole.result
    other = dataclasses.replace(whole.recipe.network.layers[1], sources=("stem",))
    layers = (whole.recipe.network.layers[0], other, *whole.recipe.network.layers[2:])
    changed = dataclasses.replace(whole.recipe, network=dataclasses.replace(whole.recipe.network, layers=layers))
    with pytest.raises(
        UsageError, match=r"layers\[1\]\.sources: found \('stem',\); expected \('stem', 'input'\), as in"
    ):
        fit(changed, out=whole.folder, resume=True)


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (1, {"sources": ["again"]}, "layers[1].sources: found 'again'; expected earlier ones: input, stem"),
        (1, {"shortcuts": ["stem"]}, "layers[1].shortcuts: found stem of shape (3, 8, 8); expected (5, 8, 8)"),
        (2, {"sources": ["input"]}, "layers[2].source: found shape (5, 8, 8); expected (1, 8, 8)"),
        (3, {"exact": 1}, "layers[3].exact: found 1; expected true or false"),
        (
            4,
            {"sources": ["hidden4", "stem"]},
            "layers[4].sources: found hidden4 (5, 4, 4), stem (3, 8, 8); expected eq",
        ),
    ],
)
def test_impossible_wires_in_a_file_are_refused(whole, tmp_path, at, change, message):
    source = whole.folder / "model.safetensors"
    with safe_open(source, framework="numpy") as opened:
        header = json.loads(opened.metadata()["bitspike"])
    header["config"]["layers"][at].update(change)
    file = tmp_path / "model.safetensors"
    save_file(load_file(source), file, metadata={"bitspike": json.dumps(header)})
    with pytest.raises(FileError) as caught:
        load_model(file)
    assert str(caught.value).startswith(f"{file}: has an impossible configuration: {message}")


def test_evaluation_in_small_pieces_changes_nothing(whole, monkeypatch):
    spikes = whole.test.spikes[:7]
    before = whole.model.record(spikes)
    monkeypatch.setattr("bitspike.train.model._MOST_AT_ONCE", 3 * 320 * 2)
    after = whole.model.record(spikes)
    for name in before:
        assert all(np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
