"""Layers of each kind: moments against their definition, shapes, files, and runs that are stopped and go on."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_model, load_run
from bitspike.train import run as run_module
from bitspike.train.checkpoint import save_checkpoint
from bitspike.train.estimators import IWST
from bitspike.train.layers import ConvLayer, DenseLayer, PoolLayer, RecurrentLayer
from bitspike.train.loop import Trainer
from bitspike.train.model import SpikingNetwork
from bitspike.train.posteriors import summed_moments
from bitspike.train.recipe import parse_recipe
from bitspike.train.registers import Neuron
from bitspike.train.windows import Window

TEXT = """
name = "kinds"
[data]
name = "digits"
steps = 4
[network]
temperature = 20
[[network.layers]]
kind = "conv"
channels = 6
padding = 1
vth = 3
dv = 1024
[[network.layers]]
kind = "pool"
vth = 1
dv = 1024
[[network.layers]]
kind = "recurrent"
neurons = 16
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 3
batch = 256
rate = 0.05
spread = 0.5
members = 2
"""


def conv(stride=2, padding=1):
    window = Window(kernel=3, stride=stride, padding=padding)
    layer = ConvLayer(name="a", source_shape=(2, 5, 6), channels=3, window=window, neuron=Neuron(vth=2)).double()
    with torch.no_grad():
        layer.natural.copy_(torch.randn(layer.natural.shape, generator=torch.Generator().manual_seed(2)))
    return layer


def test_moments_of_a_convolution_are_those_of_every_window():
    layer = conv()
    spikes = torch.randint(0, 2, (4, 3, 60), generator=torch.Generator().manual_seed(1)).double()
    columns = functional.unfold(spikes.reshape(12, 2, 5, 6), 3, stride=2, padding=1).transpose(1, 2)
    results = []
    for inputs, moments in (
        (spikes.clone().requires_grad_(), lambda x: layer.moments(x, 1.5)),
        (
            columns.clone().requires_grad_(),
            lambda x: summed_moments(functional.linear, x, *layer.posterior.means_and_variances(1.5)),
        ),
    ):
        layer.natural.grad = None
        mean, variance = moments(inputs)
        if mean.shape[-1] != layer.neurons:
            mean, variance = (one.transpose(1, 2).reshape(4, 3, layer.neurons) for one in (mean, variance))
        weight = torch.arange(mean.numel()).reshape(mean.shape)
        (weight * (mean + 2 * variance)).sum().backward()
        results.append((mean.detach(), variance.detach(), layer.natural.grad, inputs.grad))
    (mean, variance, to_natural, to_spikes), (mean_too, variance_too, to_natural_too, to_columns) = results
    assert mean.shape == (4, 3, 3 * 3 * 3)
    torch.testing.assert_close(mean, mean_too)
    torch.testing.assert_close(variance, variance_too)
    torch.testing.assert_close(to_natural, to_natural_too)
    folded = functional.fold(to_columns.transpose(1, 2), (5, 6), 3, stride=2, padding=1)
    torch.testing.assert_close(to_spikes, folded.reshape(4, 3, 60))


def test_neurons_of_a_channel_share_its_bias():
    layer = conv(stride=1)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.4, -2.0, 3.0]))
    assert layer.shape == (3, 5, 6)
    assert layer.bias_mantissa().tolist() == [1] * 30 + [-2] * 30 + [3] * 30
    layer.rounded_bias().sum().backward()
    assert layer.bias.grad.tolist() == [30.0] * 3


def test_a_pool_counts_and_has_no_variance():
    layer = PoolLayer(name="a", source_shape=(2, 4, 5), window=Window(kernel=3, stride=2), neuron=Neuron(vth=2))
    mean, variance = layer.moments(torch.ones(2, 1, 40), 1.0)
    assert layer.shape == (2, 1, 2)
    assert mean.tolist() == [[[9.0] * 4]] * 2
    assert not variance.any()
    assert list(layer.parameters()) == []
    assert layer.bias_mantissa().tolist() == [0] * 4
    noise = torch.zeros(2, 1, 4)
    bits, ratios = layer.defined(mean, variance, noise, estimator=IWST(), floor=0.5, sharpness=1.0)
    assert bits.tolist() == [[[1.0] * 4]] * 2
    assert ratios.tolist() == [[[18.0] * 4]] * 2


def test_bits_have_names_and_recurrent_ones_words_of_their_own():
    layers = [
        RecurrentLayer(name="hidden1", inputs=7, neurons=7, neuron=Neuron(vth=3)),
        DenseLayer(name="output", inputs=7, neurons=7, neuron=Neuron(vth=3)),
    ]
    model = SpikingNetwork(layers, steps=2, readout="spike_count", temperature=1.0)
    bits = model.sample_bits(4)
    assert list(bits) == list(model.map_bits()) == ["hidden1", "hidden1.recurrent", "output"]
    plain = [DenseLayer(name=one.name, inputs=7, neurons=7, neuron=Neuron(vth=3)) for one in layers]
    same = SpikingNetwork(plain, steps=2, readout="spike_count", temperature=1.0).sample_bits(4)
    assert all(np.array_equal(bits[name], same[name]) for name in ("hidden1", "output"))
    assert not any(np.array_equal(bits["hidden1.recurrent"], one) for one in same.values())
    spikes = np.zeros((1, 2, 7), np.uint8)
    with pytest.raises(UsageError, match=r"found layers hidden1, output; expected hidden1, hidden1\.recurrent, output"):
        model.record(spikes, same)
    with pytest.raises(UsageError, match=r"weights of hidden1\.recurrent: found shape \(7, 6\); expected \(7, 7\)"):
        model.record(spikes, {**bits, "hidden1.recurrent": bits["hidden1"][:, 1:]})


def test_the_membrane_of_a_recurrent_layer_cannot_be_read():
    layer = RecurrentLayer(name="output", inputs=3, neurons=2, neuron=Neuron())
    with pytest.raises(UsageError, match=r"layers\[0\]\.kind: found 'recurrent'; expected 'dense' with membrane_sum"):
        SpikingNetwork([layer], steps=2, readout="membrane_sum", temperature=1.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(parse_recipe(TEXT, source="x"), out=tmp_path_factory.mktemp("runs") / "whole", progress=False)


def test_a_run_of_all_kinds_is_written_and_read(whole):
    again = load_run(whole.folder)
    assert str(again).splitlines()[0].startswith("run kinds, seed 0: 1x8x8-6x8x8-6x4x4-16-10, 4 steps, ")
    assert again.recipe == whole.recipe
    assert [layer.kind for layer in again.model.populations] == ["conv", "pool", "recurrent", "dense"]
    for seed in range(2):
        bits, found = whole.model.sample_bits(seed), again.model.sample_bits(seed)
        assert all(np.array_equal(bits[name], found[name]) for name in bits)
    for one, other in zip(whole.model.populations, again.model.populations, strict=True):
        assert (one.shape, one.source_shape, one.neuron) == (other.shape, other.source_shape, other.neuron)
        assert np.array_equal(one.bias_mantissa(), other.bias_mantissa())
    assert set(load_file(whole.folder / "model.safetensors")) == {
        "hidden1.natural", "hidden1.bias_mantissa", "hidden3.natural", "hidden3.recurrent", "hidden3.bias_mantissa",
        "output.natural", "output.bias_mantissa",
    }  # fmt: skip
    assert "padding" in repr(whole.recipe)
    assert "8x8" in repr(whole.model)


def test_a_stopped_run_of_all_kinds_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop_after_one(trainer, path):
        save_checkpoint(trainer, path)
        raise StoppedError

    monkeypatch.setattr(run_module, "save_checkpoint", stop_after_one)
    with pytest.raises(StoppedError):
        fit(whole.recipe, out=tmp_path / "run", progress=False)
    monkeypatch.undo()
    fit(whole.recipe, out=tmp_path / "run", resume=True, progress=False)
    for name in ("recipe.toml", "model.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes(), name
    layers = (
        dataclasses.replace(whole.recipe.network.layers[0], kernel=5, padding=2),
        *whole.recipe.network.layers[1:],
    )
    other = dataclasses.replace(whole.recipe, network=dataclasses.replace(whole.recipe.network, layers=layers))
    with pytest.raises(UsageError, match=r"network\.layers\[0\]\.kernel: found 5; expected 3, as in the run"):
        fit(other, out=whole.folder, resume=True)
    swapped = TEXT.replace('"recurrent"', '"dense"')
    with pytest.raises(UsageError, match=r"network\.layers\[2\]\.kind: found 'dense'; expected 'recurrent', as in"):
        fit(parse_recipe(swapped, source="x"), out=whole.folder, resume=True)


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (0, {"kernel": 11}, "layers[0].kernel: found 11 over shape (1, 8, 8); expected at most 10, its smaller side"),
        (0, {"kind": "tree"}, "layers[0].kind: found 'tree'; expected one of dense, recurrent, conv, pool"),
        (1, {"padding": 1}, "layers[1].padding: found an unknown key; expected one of name, kind, du,"),
        (1, {"source_height": 4}, "layers[1].source: found shape (6, 4, 8); expected (6, 8, 8)"),
        (2, {"inputs": 95}, "layers[2].inputs: found 95; expected 96"),
        (3, {"kind": "recurrent"}, "layers[3].kind: found 'recurrent'; expected 'dense' with membrane_sum"),
    ],
)
def test_impossible_layers_in_a_file_are_refused(whole, tmp_path, at, change, message):
    source = whole.folder / "model.safetensors"
    with safe_open(source, framework="numpy") as opened:
        header = json.loads(opened.metadata()["bitspike"])
    header["config"]["layers"][at].update(change)
    file = tmp_path / "model.safetensors"
    save_file(load_file(source), file, metadata={"bitspike": json.dumps(header)})
    with pytest.raises(FileError) as caught:
        load_model(file)
    assert str(caught.value).startswith(f"{file}: has an impossible configuration: {message}")


def test_sizes_that_do_not_fit_the_tensors_are_refused_before_they_take_memory(whole, tmp_path):
    source = whole.folder / "model.safetensors"
    with safe_open(source, framework="numpy") as opened:
        header = json.loads(opened.metadata()["bitspike"])
    header["config"]["layers"][3]["neurons"] = 1 << 24
    file = tmp_path / "model.safetensors"
    save_file(load_file(source), file, metadata={"bitspike": json.dumps(header)})
    with pytest.raises(FileError, match=r"output\.natural: found float32 of shape \(10, 16\); expected .*16777216, 16"):
        load_model(file)


def test_a_small_convolution_learns():
    text = TEXT.replace("batch = 256", "batch = 64").replace('kind = "recurrent"', 'kind = "dense"')
    trainer = Trainer(parse_recipe(text, source="x"))
    metrics = [list(trainer.run_epoch())[-1] for _ in range(3)]
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]
    assert metrics[-1]["validation_map"] > 0.4
