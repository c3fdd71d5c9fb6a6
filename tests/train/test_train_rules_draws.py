"""The weights of a pass and the natural-gradient step, against autograd and enumeration."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitspike.train.enumeration import exact_gradient, random_network
from bitspike.train.layers import DenseLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.noise import Logistic
from bitspike.train.registers import Neuron
from bitspike.train.rule_recipe import RuleRecipe
from bitspike.train.rules.draws import Bits, Concrete, Signs, build_draw, natural_prior
from bitspike.train.rules.posterior_step import PosteriorStep


def divergence(mean, prior):
    """KL(q || p) of one weight of -1 and +1 with the given mean."""
    up = (1 + mean) / 2
    return up * torch.log(up / prior) + (1 - up) * torch.log((1 - up) / (1 - prior))


@given(natural=st.floats(-6, 6), prior=st.floats(0.01, 0.99))
def test_the_divergence_has_the_gradient_that_the_step_uses(natural, prior):
    mean = torch.tanh(torch.tensor(natural, dtype=torch.float64)).requires_grad_()
    (found,) = torch.autograd.grad(divergence(mean, prior), mean)
    assert float(found) == pytest.approx(natural - natural_prior(prior), rel=1e-6, abs=1e-9)


@given(natural=st.floats(-3, 3), noise=st.floats(-3, 3), tau=st.floats(0.2, 5))
def test_the_scale_of_a_relaxed_weight_is_its_derivative(natural, noise, tau):
    mean = torch.tanh(torch.tensor(natural, dtype=torch.float64)).requires_grad_()
    weight = torch.tanh((torch.atanh(mean) + noise) / tau)
    (expected,) = torch.autograd.grad(weight, mean)
    one = torch.ones((), dtype=torch.float64)
    found = Concrete(tau=tau).mean_gradient(one, weight.detach(), torch.atanh(mean.detach()))
    assert float(found) == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


def test_the_scale_is_taken_element_by_element():
    natural = torch.tensor([0.0, 3.0])
    weights = torch.tensor([0.5, 0.5])
    found = Concrete(tau=1.0).mean_gradient(torch.ones(2), weights, natural)
    alone = [Concrete(tau=1.0).mean_gradient(torch.ones(1), weights[:1], natural[k : k + 1]) for k in (0, 1)]
    assert torch.equal(found, torch.cat(alone))
    assert found[1] > 50 * found[0]


def test_a_certain_posterior_runs_bits_and_passes_gradients():
    natural = torch.tensor([20.0, -20.0])
    draw = Concrete(tau=0.5)
    weights = draw.weights(natural, torch.Generator().manual_seed(0))
    assert weights.tolist() == [1.0, -1.0]
    assert draw.mean_gradient(torch.tensor([3.0, 4.0]), weights, natural).tolist() == [6.0, 8.0]


def test_relaxed_weights_are_above_0_as_often_as_bits_are_1():
    natural = torch.full((200_000,), 0.4)
    share = (Concrete(tau=2.0).weights(natural, torch.Generator().manual_seed(1)) > 0).float().mean()
    bits = Bits().weights(natural, torch.Generator().manual_seed(2))
    assert set(bits.tolist()) == {-1.0, 1.0}
    # Five standard deviations of a mean of so many draws.
    expected, allowed = 1 / (1 + math.exp(-0.8)), 5 * 0.5 / math.sqrt(200_000)
    assert abs(float(share) - expected) < allowed
    assert abs(float((bits > 0).float().mean()) - expected) < allowed


def test_signs_draw_nothing_and_give_their_gradient():
    natural = torch.tensor([0.0, -0.0, -1e-20, 5.0])
    weights = Signs().weights(natural, torch.Generator())
    assert weights.tolist() == [1.0, 1.0, -1.0, 1.0]
    gradient = torch.tensor([1.0, -2.0, 3.0, 4.0])
    assert torch.equal(Signs().mean_gradient(gradient, weights, natural), gradient)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_mean_of_the_drawn_gradient_is_the_exact_one(seed):
    """Bits y = 2 b - 1 with log odds 2 w; alpha = 1/2 is unbiased for a quadratic loss."""
    network = random_network(depth=1, units=6, coupling=1.0, saturation=1.5, seed=seed)
    logistic = Logistic()
    natural = network.offsets[0] * logistic.deviation / 2
    total = torch.zeros(6, dtype=torch.float64)
    for bits in network.states():
        weights = 2 * bits - 1
        chance = torch.sigmoid(2 * natural * weights).prod()
        to_weights = (network.quadratic @ bits + network.linear) / 2
        total += chance * Bits(alpha=0.5).mean_gradient(to_weights, weights, natural)
    to_offsets = total * (1 - torch.tanh(natural).square()) * logistic.deviation / 2
    torch.testing.assert_close(to_offsets, exact_gradient(network, logistic), rtol=1e-9, atol=1e-12)


def one_layer(natural):
    layer = DenseLayer(name="output", inputs=natural.shape[1], neurons=natural.shape[0], neuron=Neuron())
    model = SpikingNetwork([layer], steps=2, readout="membrane_sum", temperature=1.0)
    with torch.no_grad():
        layer.natural.copy_(natural)
    return model


def stepped(rule, natural, gradient, *, rate):
    """Return natural parameters after one step in which every draw has the same gradient."""
    model = one_layer(natural)
    step = PosteriorStep(rule, model)
    step.optimiser.param_groups[0]["lr"] = rate
    weights = step.draw(torch.Generator().manual_seed(3))
    weights["output"].grad = gradient
    step.collect(weights)
    step.apply()
    return model.layers[0].natural.detach()


def test_the_step_rests_at_the_minimum():
    """The minimum of <g, mu> + rho * KL is w = w0 - g / rho."""
    rule = RuleRecipe(name="bisnn-bayes-bits", rho=0.1, prior=0.8)
    gradient = torch.tensor([[0.02, -0.03, 0.0]])
    resting = natural_prior(0.8) - gradient / 0.1
    found = stepped(rule, resting, gradient, rate=5.0)
    torch.testing.assert_close(found, resting, rtol=1e-5, atol=1e-6)
    moved = stepped(rule, resting + 1.0, gradient, rate=5.0)
    torch.testing.assert_close(moved, resting + 0.5, rtol=1e-5, atol=1e-6)


def test_a_probability_of_one_half_pulls_to_0():
    assert natural_prior(0.5) == 0
    assert natural_prior(0.75) == pytest.approx(math.log(3) / 2)
    found = stepped(RuleRecipe(name="bisnn-bayes", rho=0.1), torch.tensor([[2.0]]), torch.zeros(1, 1), rate=5.0)
    assert float(found) == pytest.approx(1.0)


def test_signs_step_by_their_gradient_alone():
    natural = torch.tensor([[0.5, -0.25]])
    found = stepped(RuleRecipe(name="bisnn-st"), natural, torch.tensor([[1.0, -2.0]]), rate=0.5)
    assert found.tolist() == [[0.0, 0.75]]


def test_each_rule_has_its_draw():
    assert build_draw(RuleRecipe(name="bisnn-st")) == Signs()
    assert build_draw(RuleRecipe(name="bisnn-bayes", tau=0.3)) == Concrete(tau=0.3)
    assert build_draw(RuleRecipe(name="bisnn-bayes-bits", alpha=0.5)) == Bits(alpha=0.5)
