"""Passes with given weights: equal to the collapsed network, and their gradients to a plain loop's by autograd."""

import math

import numpy as np
import pytest
import torch

from bitspike.train.dynamics import lattice, noisy_population, straight_through
from bitspike.train.estimators import IWST, Tempered
from bitspike.train.layers import ConvLayer, DenseLayer, PoolLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.registers import Neuron
from bitspike.train.rules.boxcar import Boxcar, boxcar_width, fan_in
from bitspike.train.rules.passes import noisy_pass, weighted_pass
from bitspike.train.windows import Window

MEMORY = {"du": 2048, "dv": 700}


def dense_network(readout, reset="zero"):
    last = Neuron(vth=3, du=2048, dv=512) if readout == "spike_count" else Neuron(du=3000, dv=300)
    layers = [
        DenseLayer(name="hidden1", inputs=12, neurons=9, neuron=Neuron(vth=2, reset=reset, **MEMORY)),
        DenseLayer(name="hidden2", inputs=9, neurons=7, neuron=Neuron(vth=1, reset=reset, **MEMORY)),
        DenseLayer(name="output", inputs=7, neurons=4, neuron=last),
    ]
    return initialised(SpikingNetwork(layers, steps=10, readout=readout, temperature=2.0))


def image_network():
    conv = ConvLayer(
        name="hidden1", source_shape=(1, 4, 4), channels=3, window=Window(kernel=3, padding=1), neuron=Neuron(vth=1)
    )
    pool = PoolLayer(
        name="hidden2", source_shape=(3, 4, 4), window=Window(kernel=2, stride=2), neuron=Neuron(vth=1, dv=512)
    )
    out = DenseLayer(name="output", inputs=12, neurons=4, neuron=Neuron(), source_shape=(3, 2, 2))
    return initialised(SpikingNetwork([conv, pool, out], steps=10, readout="membrane_sum", temperature=2.0))


def initialised(model):
    model.initialise(5, spread=1.0)
    with torch.no_grad():
        for number, bias in enumerate(model.biases()):
            bias.copy_(torch.linspace(-1, 1, len(bias)) + 0.2 * number)
    return model


def signs(model):
    return {name: torch.from_numpy(bits.astype(np.float32)) for name, bits in model.map_bits().items()}


def some_spikes(model, samples=20, steps=10):
    return (np.random.default_rng(3).random((samples, steps, model.input_size)) < 0.4).astype(np.uint8)


def as_input(spikes):
    return torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32))


NETWORKS = {
    "spike count": lambda: dense_network("spike_count"),
    "spike count, subtract": lambda: dense_network("spike_count", "subtract"),
    "membrane sum": lambda: dense_network("membrane_sum"),
    "membrane last": lambda: dense_network("membrane_last", "subtract"),
    "image": image_network,
}


@pytest.mark.parametrize("made", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("draws", [1, 10])
def test_bits_run_as_the_collapsed_network(made, draws):
    model = made()
    spikes = some_spikes(model)
    values, _ = model.predict(spikes)
    assert len(np.unique(values)) > 5
    with torch.no_grad():
        outputs = weighted_pass(model, as_input(spikes), [signs(model)] * draws, boxcar=1.0)
    unit = 1 if model.readout == "spike_count" else 64
    # The temperature is a power of two, so that the logits are exact.
    found = outputs.logits.double().numpy() * model.temperature * unit
    assert np.array_equal(found, values)


@pytest.mark.parametrize("readout", ["spike_count", "membrane_sum"])
def test_the_steps_have_the_window_s_logits_as_their_mean(readout):
    model = dense_network(readout)
    outputs = weighted_pass(model, as_input(some_spikes(model)), [signs(model)], boxcar=1.0)
    assert outputs.steps.shape == (10, 20, 4)
    torch.testing.assert_close(outputs.steps.mean(0), outputs.logits)


def test_the_last_membrane_has_no_steps():
    model = dense_network("membrane_last")
    assert weighted_pass(model, as_input(some_spikes(model)), [signs(model)], boxcar=1.0).steps is None


def test_the_boxcar_has_the_paper_s_edges_and_area_1():
    ratio = torch.tensor([-0.5, -0.4999, 0.0, 0.5, 0.5001])
    assert Boxcar().factor(ratio, torch.zeros(5), None).tolist() == [0, 1, 1, 1, 0]
    conv, pool, out = image_network().populations
    assert [fan_in(layer) for layer in (conv, pool, out)] == [9, 4, 12]
    assert boxcar_width(out, 2.0) == 2 * math.sqrt(12)
    assert boxcar_width(pool, 1.0) == 2


class Spike(torch.autograd.Function):
    """1[z > 0], with a boxcar of the given width."""

    @staticmethod
    def forward(ctx, value, width):
        ctx.save_for_backward(value)
        ctx.width = width
        return (value > 0).to(value.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (value,) = ctx.saved_tensors
        half = ctx.width / 2
        return gradient * ((value > -half) & (value <= half)) / ctx.width, None


def plain_loop(currents, bias, neuron, *, width, detached):
    """The same population, written with autograd alone."""
    u = v = torch.zeros_like(currents[0])
    bits = []
    for current in currents:
        if detached:
            u, v = u.detach(), v.detach()
        u = straight_through(u * neuron.keep_u, lattice(u * neuron.keep_u)) + current
        v = straight_through(v * neuron.keep_v, lattice(v * neuron.keep_v)) + u + bias
        bits.append(Spike.apply(v - neuron.vth, width))
        v = v * (1 - bits[-1]) if neuron.reset == "zero" else v - neuron.vth * bits[-1]
    return torch.stack(bits)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("detached", [False, True])
def test_gradients_are_those_of_a_plain_loop(reset, detached):
    neuron = Neuron(vth=2, reset=reset, **MEMORY)
    generator = torch.Generator().manual_seed(1)
    currents = torch.randint(-3, 5, (8, 6, 5), generator=generator).double()
    bias = torch.linspace(-0.5, 0.5, 5).double()
    to_bits = torch.randn(8, 6, 5, generator=generator).double()
    results = []
    for plain in (True, False):
        inputs = [currents.clone().requires_grad_(), bias.clone().requires_grad_()]
        if plain:
            found = plain_loop(*inputs, neuron, width=3.0, detached=detached)
        else:
            none = torch.zeros_like(currents)
            found, _ = noisy_population(
                inputs[0],
                none,
                inputs[1],
                none,
                neuron=neuron,
                estimator=Boxcar(),
                floor=3.0,
                through_time=not detached,
            )
        (found * to_bits).sum().backward()
        results.append((found.detach(), *(one.grad for one in inputs)))
    assert 0 < results[0][0].mean() < 1
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    assert results[0][1].abs().sum() > 0


def test_within_a_step_mean_and_variance_have_the_gradients_of_one_step():
    """One step at a time with the state put in by hand is what stays of the gradient."""
    generator = torch.Generator().manual_seed(2)
    neuron = Neuron(vth=1, dv=4096)  # forgets all: every step is the first one
    mean = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64)
    variance = torch.rand(5, 4, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64)
    results = []
    for through_time in (True, False):
        inputs = [mean.clone().requires_grad_(), variance.clone().requires_grad_()]
        bits, ratio = noisy_population(
            *inputs,
            torch.zeros(3, dtype=torch.float64),
            noise,
            neuron=neuron,
            estimator=IWST(),
            floor=0.5,
            through_time=through_time,
        )
        (bits.sum() + ratio.square().sum()).backward()
        results.append([one.grad for one in inputs])
    for one, other in zip(*results, strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("made", NETWORKS.values(), ids=NETWORKS)
def test_the_noisy_pass_is_the_loop_s_own_step_by_step(made):
    model = made()
    spikes = as_input(some_spikes(model))
    outputs = noisy_pass(model, spikes, torch.Generator().manual_seed(4), estimator=IWST(), floor=0.5, sharpness=1.5)
    logits, auxiliary = model.noisy(
        spikes, torch.Generator().manual_seed(4), estimator=IWST(), floor=0.5, sharpness=1.5, auxiliary=True
    )
    assert auxiliary > 0
    torch.testing.assert_close(outputs.logits, logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs.auxiliary, auxiliary)


def test_without_memory_gradients_within_steps_are_all_there_are():
    layers = [
        DenseLayer(name="hidden1", inputs=6, neurons=5, neuron=Neuron(vth=1, dv=4096)),
        DenseLayer(name="output", inputs=5, neurons=3, neuron=Neuron()),
    ]
    model = initialised(SpikingNetwork(layers, steps=4, readout="membrane_sum", temperature=1.0))
    spikes = as_input(some_spikes(model, samples=8, steps=4))
    found = []
    for through_time in (True, False):
        model.zero_grad()
        outputs = noisy_pass(
            model,
            spikes,
            torch.Generator().manual_seed(6),
            # Not one of the kernels', which draw their noise in another way.
            estimator=Tempered(),
            floor=0.5,
            sharpness=1.0,
            through_time=through_time,
        )
        outputs.logits.square().sum().backward()
        found.append([one.grad.clone() for one in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
