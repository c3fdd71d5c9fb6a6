"""The general recurrent loop against the one for weights of -1 and +1, and against plain populations."""

import pytest
import torch

from bitspike.train.dynamics import noisy_population
from bitspike.train.estimators import IWST
from bitspike.train.noise import Logistic
from bitspike.train.recurrence import noisy_recurrent_population
from bitspike.train.recurrence_spread import noisy_spread_population
from bitspike.train.registers import Neuron

STEPS, SAMPLES, NEURONS = 6, 3, 4


def draws():
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    each = (STEPS, SAMPLES, NEURONS)
    leaves = [draw(*each) * 2 + 0.5, draw(*each).square(), draw(NEURONS), torch.tanh(draw(NEURONS, NEURONS))]
    return leaves, draw(*each), draw(*each)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("estimator", [IWST(), IWST(alpha=0.5, noise=Logistic())], ids=str)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (1000, 700)])
def test_one_bit_weights_give_what_their_own_loop_gives(reset, estimator, du, dv):
    setting = {"neuron": Neuron(du=du, dv=dv, vth=2, reset=reset), "estimator": estimator, "floor": 0.5}
    leaves, noise, weights = draws()
    results = []
    for general in (False, True):
        mean, variance, bias, recurrent = inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        if general:
            spread = 1 - recurrent.square()
            found = noisy_spread_population(mean, variance, bias, noise, recurrent, spread=spread, **setting)
        else:
            found = noisy_recurrent_population(mean, variance, bias, noise, recurrent, **setting)
        ((weights * found[0]).sum() + 0.3 * found[1].square().sum()).backward()
        results.append((found[0].detach(), found[1].detach(), [one.grad for one in inputs]))
    (bits, ratios, grads), (bits_too, ratios_too, grads_too) = results
    assert 0 < float(bits.mean()) < 1
    assert torch.equal(bits, bits_too)
    torch.testing.assert_close(ratios, ratios_too, rtol=1e-12, atol=1e-12)
    for one, other in zip(grads, grads_too, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_shared_variances_are_those_of_every_target_and_none_are_zeros():
    (mean, variance, bias, recurrent), noise, _ = draws()
    setting = {"neuron": Neuron(dv=700, vth=2), "estimator": IWST(), "floor": 0.5}
    shared = torch.rand(1, NEURONS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = [
        noisy_spread_population(mean, variance, bias, noise, recurrent, spread=spread, **setting)
        for spread in (shared, shared.expand(NEURONS, NEURONS), None, torch.zeros(1, NEURONS, dtype=torch.float64))
    ]
    for one, other in (results[:2], results[2:]):
        assert torch.equal(one[0], other[0])
        torch.testing.assert_close(one[1], other[1])
    assert not torch.equal(results[0][1], results[2][1])


def test_without_recurrent_weights_it_is_a_plain_population():
    (mean, variance, bias, recurrent), noise, _ = draws()
    setting = {"neuron": Neuron(du=1000, dv=700, vth=2), "estimator": IWST(), "floor": 0.5}
    silent = torch.zeros_like(recurrent)
    found = noisy_spread_population(mean, variance, bias, noise, silent, spread=None, **setting)
    expected = noisy_population(mean, variance, bias, noise, **setting)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
