"""The recurrent time loop's backward pass against autograd of the same equations, step by step."""

import pytest
import torch

from bitspike.train.dynamics import lattice, noisy_population, straight_through
from bitspike.train.estimators import IWST, Tempered, noisy_bit
from bitspike.train.gumbel import GumbelRao
from bitspike.train.noise import Logistic
from bitspike.train.recurrence import noisy_recurrent_population
from bitspike.train.registers import Neuron

STEPS, SAMPLES, NEURONS = 6, 3, 4


def kept(state, fraction):
    """Without decay there is nothing to truncate."""
    return state if fraction == 1 else straight_through(state * fraction, lattice(state * fraction))


def unrolled(mean, variance, bias, noise, weights, *, neuron, estimator, floor):
    """The equations of the module's docstring, one tensor at a time."""
    cu, cv = neuron.keep_u, neuron.keep_v
    u = v = var_u = cov = var_v = bit = torch.zeros(SAMPLES, NEURONS, dtype=torch.float64)
    bits, ratios = [], []
    for step in range(STEPS):
        u = kept(u, cu) + mean[step] + bit @ weights.T
        v = kept(v, cv) + u + bias
        var_a = variance[step] + bit.detach().square() @ (1 - weights.square()).T
        var_v = cv**2 * var_v + 2 * cv * cu * cov + (cu**2 * var_u + var_a)
        cov = cv * cu * cov + (cu**2 * var_u + var_a)
        var_u = cu**2 * var_u + var_a
        scale = torch.sqrt(var_v + floor**2)
        unit = estimator.noise.deviation
        bit = noisy_bit(v - neuron.vth, scale / unit, noise[step] * unit, estimator)
        bits.append(bit)
        ratios.append(v / scale)
        if neuron.reset == "zero":
            v, var_v, cov = v * (1 - bit), var_v * (1 - bit.detach()), cov * (1 - bit.detach())
        else:
            v = v - neuron.vth * bit
    return torch.stack(bits), torch.stack(ratios)


def draws(count=STEPS):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    each = (count, SAMPLES, NEURONS)
    leaves = [draw(*each) * 2 + 0.5, draw(*each).square(), draw(NEURONS), torch.tanh(draw(NEURONS, NEURONS))]
    return leaves, draw(*each), draw(*each)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(
    "estimator",
    [IWST(), IWST(alpha=0.5), IWST(noise=Logistic()), Tempered(temper=0.7), GumbelRao(temperature=1.0)],
    ids=str,
)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("auxiliary", [0.0, 0.3])
def test_gradients_are_those_of_the_unrolled_equations(reset, estimator, du, dv, auxiliary):
    neuron = Neuron(du=du, dv=dv, vth=2, reset=reset)
    leaves, noise, weights = draws()
    results = []
    for run in (noisy_recurrent_population, unrolled):
        mean, variance, bias, recurrent = inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        bits, ratios = run(mean, variance, bias, noise, recurrent, neuron=neuron, estimator=estimator, floor=0.5)
        loss = (weights * bits).sum() + auxiliary * ratios.square().sum()
        loss.backward()
        results.append((bits.detach(), ratios.detach(), [one.grad for one in inputs]))
    (bits, ratios, found), (bits_too, ratios_too, expected) = results
    assert 0 < float(bits.mean()) < 1
    assert torch.equal(bits, bits_too)
    torch.testing.assert_close(ratios, ratios_too, rtol=1e-12, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_first_step_is_that_of_a_population_without_recurrence():
    neuron = Neuron(du=1000, dv=700, vth=2)
    (mean, variance, bias, recurrent), noise, _ = draws(1)
    setting = {"neuron": neuron, "estimator": IWST(), "floor": 0.5}
    found = noisy_recurrent_population(mean, variance, bias, noise, recurrent, **setting)
    expected = noisy_population(mean, variance, bias, noise, **setting)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
