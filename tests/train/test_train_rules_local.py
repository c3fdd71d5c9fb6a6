"""Local losses: the three-factor gradient written out, equal windows and steps, and the chip's own spikes."""

import dataclasses

import numpy as np
import pytest
import torch

from bitspike.train.build import build_network
from bitspike.train.recipe import parse_recipe
from bitspike.train.rules.boxcar import boxcar_width
from bitspike.train.rules.local import LocalRule, random_readout

TEXT = """
name = "small"
seed = 3
[data]
name = "digits"
steps = 6
[network]
readout = "membrane_sum"
temperature = 4
[[network.layers]]
neurons = 12
vth = 2
du = 2048
dv = 700
reset = "subtract"
[[network.layers]]
neurons = 9
vth = 1
dv = 700
reset = "subtract"
[[network.layers]]
neurons = 10
dv = 512
[training]
epochs = 1
sharpness = 1
[rule]
loss = "local"
"""


def made(rule='name = "bisnn-st"', readout="membrane_sum", spread=0.0):
    text = TEXT.replace("membrane_sum", readout).replace("[rule]", f"[rule]\n{rule}")
    if readout == "spike_count":
        text = text.replace("neurons = 10", "neurons = 10\nvth = 2")
    recipe = parse_recipe(text, source="x")
    model = build_network(recipe)
    with torch.no_grad():
        for natural in model.locations():
            natural.add_(torch.sign(natural), alpha=spread)
    return recipe, model


def some_batch(samples=7, steps=6):
    generator = np.random.default_rng(1)
    spikes = (generator.random((samples, steps, 64)) < 0.2).astype(np.uint8)
    labels = generator.integers(0, 10, samples)
    return spikes, torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32)), torch.from_numpy(labels)


def updated(recipe, model, *, rate=1.0, bias_rate=1.0, batch=None):
    """Return what one update changed in each parameter, and the update's results."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    rule = LocalRule(recipe, model)
    for group, lr in zip(rule.optimiser.param_groups, (rate, bias_rate, 0.0), strict=True):
        group["lr"] = lr
    _, spikes, labels = batch or some_batch()
    results = rule.update(spikes, labels, torch.Generator().manual_seed(0), 1.0)
    return {name: value.detach() - before[name] for name, value in model.named_parameters()}, results


def softmax(values):
    shifted = np.exp(values - values.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def three_factors(layer, number, fed, record, *, seed, labels, burn_in):
    """Return dL/dw and dL/dbias of a hidden layer by the formula, from the exact record of the collapsed network."""
    fired, _, after = record[layer.name]
    before_reset = after / 64 + layer.vth * fired
    width = boxcar_width(layer, 1.0)
    from_threshold = before_reset - layer.vth
    slope = ((from_threshold > -width / 2) & (from_threshold <= width / 2)) / width
    readout = random_readout(seed, number, classes=10, neurons=layer.neurons).numpy().astype(np.float64)
    error = softmax(fired @ readout) - np.eye(10)[labels][:, None]
    steps = fired.shape[1]
    factor = (error @ readout.T) * slope / len(labels) / (steps - burn_in)
    current = trace = np.zeros((len(labels), fed.shape[2]))
    bias_trace = 0.0
    to_weights, to_bias = np.zeros((layer.neurons, fed.shape[2])), np.zeros(layer.neurons)
    for step in range(steps):
        current = current * layer.neuron.keep_u + fed[:, step]
        trace = trace * layer.neuron.keep_v + current
        bias_trace = bias_trace * layer.neuron.keep_v + 1
        if step >= burn_in:
            to_weights += factor[:, step].T @ trace
            to_bias += factor[:, step].sum(0) * bias_trace
    return to_weights, to_bias


@pytest.mark.parametrize("burn_in", [0, 4])
def test_the_gradient_has_the_paper_s_three_factors(burn_in):
    recipe, model = made(f'name = "bisnn-st"\nburn_in = {burn_in}')
    fed, _, labels = batch = some_batch()
    record = model.record(fed)
    expected = []
    before = fed
    for number, layer in enumerate(model.populations[:-1]):
        expected.append(three_factors(layer, number, before, record, seed=3, labels=labels.numpy(), burn_in=burn_in))
        before = record[layer.name][0]
    changes, _ = updated(recipe, model, batch=batch)
    for number, (to_weights, to_bias) in enumerate(expected):
        assert np.abs(to_weights).max() > 1e-3
        for key, gradient in (("posterior.location", to_weights), ("bias", to_bias)):
            found = -changes[f"layers.{number}.{key}"].numpy()
            np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("readout", ["membrane_sum", "membrane_last", "spike_count"])
def test_the_logits_are_those_of_the_collapsed_network(readout):
    recipe, model = made(readout=readout)
    spikes, _, _ = batch = some_batch()
    values, _ = model.predict(spikes)
    _, (logits, error) = updated(recipe, model, batch=batch)
    unit = 1 if readout == "spike_count" else 64
    assert np.array_equal((logits.double() * 4 * unit).round().long().numpy(), values)
    assert not logits.requires_grad
    assert error > 0


def test_a_membrane_read_out_has_the_exact_gradient_of_the_losses_so_far():
    recipe, model = made()
    fed, _, labels = batch = some_batch()
    before = torch.from_numpy(model.record(fed)["hidden2"][0].astype(np.float64))
    natural = model.layers[2].natural.detach()
    weights = torch.where(natural >= 0, 1.0, -1.0).double().requires_grad_()
    v = total = torch.zeros(7, 10, dtype=torch.float64)
    losses = []
    for step in range(6):
        decayed = v * (4096 - 512) / 4096
        v = decayed + (torch.trunc(decayed * 64) / 64 - decayed).detach() + before[:, step] @ weights.T
        total = total + v
        losses.append(torch.nn.functional.cross_entropy(total * 6 / (step + 1) / 4, labels))
    torch.stack(losses).mean().backward()
    changes, _ = updated(recipe, model, batch=batch)
    torch.testing.assert_close(-changes["layers.2.posterior.location"].double(), weights.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("readout", ["membrane_sum", "membrane_last", "spike_count"])
def test_steps_one_by_one_are_the_window_at_once(readout):
    """With certain weights every draw is the same, and only the order of sums differs."""
    rule = 'name = "bisnn-bayes"\nrho = 0.01\nprior = 0.7\nburn_in = 2\ndraw = "{}"'
    found = [updated(*made(rule.format(draw), readout, spread=20.0)) for draw in ("window", "step")]
    for name, change in found[0][0].items():
        assert change.abs().max() > 1e-4, name
        torch.testing.assert_close(change, found[1][0][name], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[0][1][0], found[1][1][0])


def test_one_update_a_step_sums_what_one_a_window_averages():
    """With a rate too small to change a sign, the updates of a window add up."""
    recipe, model = made('name = "bisnn-st"\nburn_in = 2')
    window, _ = updated(recipe, model, rate=1e-3, bias_rate=1e-3)
    recipe, model = made('name = "bisnn-st"\nburn_in = 2\nupdate = "step"')
    with torch.no_grad():
        for bias in model.biases():
            assert float(bias.abs().max()) == 0
    steps, _ = updated(recipe, model, rate=1e-3, bias_rate=1e-3)
    for name, change in window.items():
        torch.testing.assert_close(4 * change, steps[name], rtol=0.02, atol=1e-6)


def test_layers_hear_nothing_of_later_ones():
    changes = []
    for flipped in (False, True):
        recipe, model = made()
        if flipped:
            with torch.no_grad():
                model.layers[1].natural.neg_()
        changes.append(updated(recipe, model)[0])
    assert torch.equal(changes[0]["layers.0.posterior.location"], changes[1]["layers.0.posterior.location"])
    assert not torch.equal(changes[0]["layers.1.posterior.location"], changes[1]["layers.1.posterior.location"])


def test_random_readouts_are_signs_of_their_own():
    one, other = (random_readout(0, number, classes=10, neurons=400) for number in (0, 1))
    assert torch.equal(one, random_readout(0, 0, classes=10, neurons=400))
    assert not torch.equal(one, other)
    assert not torch.equal(one, random_readout(1, 0, classes=10, neurons=400))
    torch.testing.assert_close(one.abs(), torch.full_like(one, 0.05))
    # Six standard deviations of 4000 signs.
    assert abs(float(torch.sign(one).mean())) < 6 / 4000**0.5


def test_pooling_has_no_loss_of_its_own():
    text = TEXT.replace("[rule]", '[rule]\nname = "bisnn-st"').replace(
        "neurons = 12", 'kind = "conv"\nchannels = 3\npadding = 1'
    )
    text = text.replace("neurons = 9", 'kind = "pool"')
    recipe = parse_recipe(text, source="x")
    model = build_network(recipe)
    changes, (logits, _) = updated(dataclasses.replace(recipe), model)
    assert set(changes) == {
        "layers.0.posterior.location",
        "layers.0.bias",
        "layers.2.posterior.location",
        "layers.2.bias",
    }
    assert all(change.abs().max() > 0 for change in changes.values())
    values, _ = model.predict(some_batch()[0])
    assert logits.shape == values.shape


@pytest.mark.parametrize("rule", ['name = "bisnn-st"', 'name = "bisnn-bayes-bits"\nupdate = "step"'])
def test_a_read_out_alone_learns(rule):
    """It has no population that spikes before it."""
    recipe, _ = made(rule)
    network = dataclasses.replace(recipe.network, layers=recipe.network.layers[-1:])
    recipe = dataclasses.replace(recipe, network=network)
    changes, (logits, loss) = updated(recipe, build_network(recipe))
    assert logits.shape == (7, 10)
    assert np.isfinite(loss)
    assert all(change.abs().sum() > 0 for change in changes.values())
