"""Graded spikes in training: gradients against the expectation, exact evaluation, recipes, files, a run that learns."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitspike import collapse, verify
from bitspike.convert.network import VTH_MAX
from bitspike.convert.store import load, save
from bitspike.errors import BitspikeError, UsageError
from bitspike.samples import SpikeData
from bitspike.train import load_model
from bitspike.train.build import build_finishing, build_network
from bitspike.train.dynamics import noisy_population
from bitspike.train.estimators import IWST, Tempered
from bitspike.train.graded_dynamics import noisy_graded_population
from bitspike.train.layers import DenseLayer, RecurrentLayer
from bitspike.train.loop import Trainer, time_first
from bitspike.train.model import SpikingNetwork
from bitspike.train.modelfile import save_model
from bitspike.train.noise import Logistic, Silent
from bitspike.train.recipe import load_recipe, parse_recipe
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate

STEPS, SAMPLES, NEURONS = 6, 3, 4
HEAD = """
name = "graded"
seed = 3
[data]
name = "digits"
steps = 6
[network]
temperature = 40
bias_exponent = 4
"""
LAYERS = {
    "conv": 'kind = "conv"\nchannels = 5\nstride = 2\npadding = 1\nvth = 2\ndv = 300\nspike = "graded"\nshift = 1\n',
    "pool": 'kind = "pool"\nvth = 2\ndv = 300\nreset = "subtract"\nspike = "graded"\n',
    "recurrent": 'kind = "recurrent"\nneurons = 20\nvth = 3\ndv = 300\n',
    "dense": 'neurons = 20\nvth = 4\ndv = 300\ndu = 3000\nspike = "graded"\nshift = 2\n',
    "binary": "neurons = 20\nvth = 6\ndv = 300\n",
}
STACKS = [
    ("dense",),
    ("conv",),
    ("conv", "pool"),
    ("pool", "conv", "dense"),
    ("dense", "recurrent"),
    ("conv", "binary"),
]


def text(kinds, training="epochs = 1\nbatch = 128\nrate = 0.05\nspread = 0.5\nmembers = 1\n"):
    tables = "".join(f"[[network.layers]]\n{LAYERS[kind]}" for kind in kinds)
    return f"{HEAD}{tables}[[network.layers]]\nneurons = 10\ndv = 100\n[training]\n{training}"


def random_model(kinds, seed=0):
    model = build_network(parse_recipe(text(kinds), source="x"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return model


def draw(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("estimator", [IWST(), Tempered(temper=0.7, noise=Logistic())], ids=str)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (1000, 700), (0, 0)])
def test_the_neurons_are_those_of_binary_spikes_but_for_what_they_send(reset, estimator, du, dv):
    neuron = Neuron(du=du, dv=dv, vth=2, reset=reset, spike="graded", shift=1)
    binary = dataclasses.replace(neuron, spike="binary", shift=0)
    leaves = draw(STEPS, SAMPLES, NEURONS) * 2 + 0.5, draw(STEPS, SAMPLES, NEURONS, seed=6).square(), draw(NEURONS)
    noise = draw(STEPS, SAMPLES, NEURONS, seed=7)
    sent, ratios = noisy_graded_population(*leaves, noise, neuron=neuron, estimator=estimator, floor=0.5)
    bits, same = noisy_population(*leaves, noise, neuron=binary, estimator=estimator, floor=0.5)
    assert 0 < float(bits.mean()) < 1
    assert torch.equal((sent > 0).double(), bits)
    assert torch.equal(sent, sent.round())
    assert float(sent.max()) > 1
    torch.testing.assert_close(ratios, same, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("noise", ["gaussian", "logistic"])
@pytest.mark.parametrize(("vth", "shift", "scale"), [(4, 0, 6.0), (4, 2, 30.0), (0, 0, 4.0), (9, 1, 9.0)])
def test_the_mean_gradient_is_that_of_the_mean_payload(noise, vth, shift, scale):
    """Against the expectation by quadrature, of noise wide enough for the stairs to be even."""
    vth = max(vth, 1 << shift)
    neuron = Neuron(du=4096, dv=4096, vth=vth, spike="graded", shift=shift)
    estimator = IWST() if noise == "gaussian" else IWST(noise=Logistic())
    count = 200_001
    if noise == "gaussian":
        eps = torch.linspace(-8, 8, count, dtype=torch.float64)
        density = torch.exp(-0.5 * eps.square())
    else:
        eps = torch.linspace(-16, 16, count, dtype=torch.float64)
        wide = eps * estimator.noise.deviation
        density = torch.sigmoid(wide) * torch.sigmoid(-wide)
    density = density / density.sum()

    def sent(v, variance):
        mean, spread = (x.expand(1, count, 1) for x in (v, variance))
        bias = torch.zeros(1, dtype=torch.float64)
        payloads, _ = noisy_graded_population(
            mean, spread, bias, eps.reshape(1, -1, 1), neuron=neuron, estimator=estimator, floor=0.01
        )
        return (payloads.flatten() * density).sum()

    for at in (-0.7, 0.3, 1.5):
        v = torch.tensor(vth + at * scale, dtype=torch.float64, requires_grad=True)
        variance = torch.tensor(scale**2, dtype=torch.float64, requires_grad=True)
        sent(v, variance).backward()
        step = 0.02 * scale
        with torch.no_grad():
            by_v = (sent(v + step, variance) - sent(v - step, variance)) / (2 * step)
            wider, narrower = (scale + step) ** 2, (scale - step) ** 2
            by_variance = (sent(v, torch.tensor(wider)) - sent(v, torch.tensor(narrower))) / (wider - narrower)
        assert float(v.grad) == pytest.approx(float(by_v), rel=0.02)
        assert float(variance.grad) == pytest.approx(float(by_variance), rel=0.05, abs=0.002 / 2**shift)


def test_without_noise_the_payload_is_the_membrane_on_the_chips_lattice():
    """The pass with no noise and certain weights sends what the exact evaluation sends."""
    pytest.importorskip("snntorch")
    neuron = Neuron(dv=300, vth=4, reset="subtract", spike="graded", shift=1)
    layer = DenseLayer(name="a", inputs=9, neurons=5, neuron=neuron).double()
    with torch.no_grad():
        layer.natural.copy_(draw(5, 9).sign() * 100)
        layer.bias.copy_(draw(5).round())
    spikes = (draw(7, 4, 9) > 0).double()
    estimator = Surrogate(noise=Silent())
    noise = estimator.noise.draw((7, 4, 5), torch.Generator())
    sent, _ = layer.noisy(spikes, noise.double(), estimator=estimator, floor=0.5, sharpness=1.0)
    bits = {"a": np.sign(layer.natural.detach().numpy()).astype(np.int8)}
    exact, _, _ = layer.evaluate(spikes.float(), bits)
    assert exact.dtype == torch.int32
    assert int(exact.max()) > 1
    assert torch.equal(sent.long(), exact.long())


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_evaluation_is_the_reference_engine_payload_for_payload(kinds, tmp_path):
    model = random_model(kinds)
    random = np.random.default_rng(1)
    spikes = (random.random((12, 6, model.input_size)) < random.random((12, 1, 1))).astype(np.uint8)
    data = SpikeData(name="x", spikes=spikes, labels=np.zeros(12, np.int64), shape=model.input_shape)
    networks = [collapse(model), collapse(model, "sample", seed=4)]
    for network in networks:
        assert verify(network, model, data=data, engines=["reference", "onnx"]).passed
        save(network, tmp_path / "net.safetensors")
        assert load(tmp_path / "net.safetensors") == network
    found = model.record(spikes)
    graded = [layer for layer in model.populations if layer.neuron.graded]
    assert len(graded) == sum("graded" in LAYERS[kind] for kind in kinds)
    for layer in graded:
        assert found[layer.name][0].dtype == np.int32
        assert found[layer.name][0].max() > 1
        assert networks[0].population(layer.name).payload_shift == 6 + layer.shift


@given(
    seed=st.integers(0, 2**32 - 1),
    neuron=st.builds(
        Neuron,
        du=st.sampled_from([4096, 3000]),
        dv=st.integers(0, 4096),
        vth=st.integers(8, 20),
        reset=st.sampled_from(["zero", "subtract"]),
        bias_exponent=st.just(3),
        spike=st.just("graded"),
        shift=st.integers(0, 3),
    ),
)
def test_random_chains_are_the_reference(seed, neuron):
    random = np.random.default_rng(seed)
    layers = [
        DenseLayer(name="hidden1", inputs=20, neurons=6, neuron=neuron),
        DenseLayer(
            name="hidden2", inputs=6, neurons=5, neuron=dataclasses.replace(neuron, vth=4 * neuron.vth, shift=5)
        ),
        DenseLayer(name="output", inputs=5, neurons=3, neuron=Neuron(dv=neuron.dv)),
    ]
    model = SpikingNetwork(layers, steps=6, readout="membrane_sum", temperature=1.0)
    with torch.no_grad():
        for layer in layers:
            layer.natural.copy_(torch.from_numpy(random.standard_normal(layer.natural.shape) + 0.5))
            layer.bias.copy_(torch.from_numpy(random.integers(-9, 90, layer.neurons) / 8))
    spikes = (random.random((3, 6, 20)) < 0.7).astype(np.uint8)
    data = SpikeData(name="x", spikes=spikes, labels=np.zeros(3, np.int64))
    assert verify(collapse(model), model, data=data, engines=["reference"]).passed


def test_sums_of_large_payloads_are_exact():
    """Past 2**24 float32 loses the last bits; the sum is small, and its parts are not."""
    layer = DenseLayer(name="a", inputs=3, neurons=1, neuron=Neuron(vth=5))
    spikes = torch.tensor([[[16777217.0, 2.0**24, 1.0]]], dtype=torch.float64)
    assert layer.summed(spikes, {"a": np.array([[1, -1, 1]], np.int8)}).tolist() == [[[2]]]


def test_the_next_layers_variance_has_the_square_of_the_payload():
    layer = DenseLayer(name="a", inputs=2, neurons=1, neuron=Neuron(vth=5))
    payloads = torch.tensor([[[3.0, 5.0]]], requires_grad=True)
    mean, variance = layer.moments(payloads, 1.0)
    assert variance.tolist() == [[[34.0]]]
    assert torch.autograd.grad((mean + 7 * variance).sum(), payloads)[0].tolist() == [[[0.0, 0.0]]]


def test_a_model_is_written_and_read(tmp_path):
    model = random_model(("conv", "dense"))
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert [layer.neuron for layer in again.populations] == [layer.neuron for layer in model.populations]
    assert "spike=graded, shift=1" in repr(again)
    assert collapse(again) == collapse(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("shift = 2", "shift = 3"), "x: network.layers[0].vth: found 4 with graded spikes of shift 3; expected 8 or"),
        (
            ('spike = "graded"\n', ""),
            "x: network.layers[0].shift: found 2 with binary spikes; expected 0, or spike 'gr",
        ),
        (("shift = 2", "shift = 17"), "x: network.layers[0].shift: found 17; expected a whole number from 0 to 16"),
        (('"graded"', '"ternary"'), "x: network.layers[0].spike: found 'ternary'; expected one of binary, graded"),
        (
            ("neurons = 20", 'kind = "recurrent"\nneurons = 20'),
            "x: network.layers[0].spike: found 'graded' in a recurr",
        ),
        (
            ("dv = 100", 'dv = 100\nspike = "graded"'),
            "x: network.layers[1].spike: found 'graded' with a threshold of 1",
        ),
        (
            ("dv = 100", 'dv = 100\nvth = 3\nspike = "graded"'),
            "x: network.layers[1].spike: found 'graded' in the last layer; expected 'binary'",
        ),
    ],
)
def test_recipes_that_cannot_be_are_told(change, message):
    with pytest.raises(UsageError) as caught:
        parse_recipe(text(("dense",)).replace(*change), source="x")
    assert str(caught.value).startswith(message)


def test_layers_that_cannot_be_are_told():
    graded = Neuron(vth=4, spike="graded")
    with pytest.raises(UsageError, match="spike: found 'graded' in a recurrent layer; expected 'binary'"):
        RecurrentLayer(name="a", inputs=2, neurons=2, neuron=graded)
    last = DenseLayer(name="a", inputs=2, neurons=2, neuron=graded)
    with pytest.raises(UsageError, match=r"layers\[0\]\.spike: found 'graded'; expected 'binary' in what is read out"):
        SpikingNetwork([last], steps=2, readout="spike_count", temperature=1.0)
    with pytest.raises(BitspikeError, match="found 'graded' with a threshold of 131071"):
        Neuron(vth=VTH_MAX, spike="graded")


def test_a_small_network_learns():
    training = "epochs = 3\nbatch = 128\nrate = 0.1\nspread = 0.5\nmembers = 1\n"
    trainer = Trainer(parse_recipe(text(("dense",), training).replace("steps = 6", "steps = 3"), source="x"))
    metrics = [list(trainer.run_epoch())[-1] for _ in range(3)]
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]
    assert metrics[-1]["validation_map"] > 0.4


@pytest.mark.parametrize("family", ["bernoulli", "gaussian", "latent"])
@pytest.mark.parametrize("more", ["", "[finish]\nepochs = 1\n"])
def test_recurrent_layers_read_payloads_with_weights_of_every_kind(family, more):
    """Their own weights may have no variance where the input's are told as 0."""
    training = f"epochs = 2\nbatch = 512\nmembers = 1\n[posterior]\nfamily = '{family}'\n{more}"
    if family == "gaussian":
        training = training.replace("members = 1\n", "members = 1\n[posterior]\nmean = 0.5\n").replace(
            "[posterior]\nfamily", "family"
        )
    trainer = Trainer(parse_recipe(text(("dense", "recurrent"), training), source="x"))
    while not trainer.finished:
        metrics = list(trainer.run_epoch())[-1]
    assert math.isfinite(metrics["loss"])
    model, spikes = trainer.finished_model(), trainer.recipe.data.load("test").spikes[:20]
    logits, _ = model.noisy(
        time_first(spikes), torch.Generator(), estimator=build_finishing(), floor=1.0, sharpness=math.inf
    )
    readouts = model.predict(spikes)[0]
    assert np.array_equal(np.rint(logits.numpy(force=True).astype(np.float64) * 40 * 64), readouts)


def test_the_example_is_a_network_of_graded_spikes():
    recipe = load_recipe(Path(__file__).parents[2] / "examples" / "digits_graded.toml")
    network = collapse(build_network(recipe))
    assert [p.graded for p in network.populations] == [True, True, False]
