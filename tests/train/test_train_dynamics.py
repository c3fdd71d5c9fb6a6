"""The hand-written backward pass of the time loop against autograd of the same equations, step by step."""

import pytest
import torch

from bitspike.train.dynamics import impulse_response, lattice, membrane, noisy_population, straight_through
from bitspike.train.estimators import IWST, Tempered, noisy_bit
from bitspike.train.gumbel import GumbelRao
from bitspike.train.noise import Logistic
from bitspike.train.registers import Neuron

STEPS, SAMPLES, NEURONS = 6, 3, 4


def kept(state, fraction):
    """Without decay there is nothing to truncate."""
    return state if fraction == 1 else straight_through(state * fraction, lattice(state * fraction))


def unrolled(mean, variance, bias, noise, *, neuron, estimator, floor):
    """The equations of the module's docstring, one tensor at a time."""
    cu, cv = neuron.keep_u, neuron.keep_v
    u = v = var_u = cov = var_v = torch.zeros(SAMPLES, NEURONS, dtype=torch.float64)
    bits, ratios = [], []
    for step in range(STEPS):
        u = kept(u, cu) + mean[step]
        v = kept(v, cv) + u + bias
        var_v = cv**2 * var_v + 2 * cv * cu * cov + (cu**2 * var_u + variance[step])
        cov = cv * cu * cov + (cu**2 * var_u + variance[step])
        var_u = cu**2 * var_u + variance[step]
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


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(
    "estimator",
    [IWST(), IWST(alpha=0.5), IWST(noise=Logistic()), Tempered(temper=0.7), GumbelRao(temperature=1.0)],
    ids=str,
)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("auxiliary", [0.0, 0.3])
def test_gradients_are_those_of_the_unrolled_equations(reset, estimator, du, dv, auxiliary):
    generator = torch.Generator().manual_seed(5)
    neuron = Neuron(du=du, dv=dv, vth=2, reset=reset)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    leaves = [draw(STEPS, SAMPLES, NEURONS) * 2 + 0.5, draw(STEPS, SAMPLES, NEURONS).square(), draw(NEURONS)]
    noise, weights = draw(STEPS, SAMPLES, NEURONS), draw(STEPS, SAMPLES, NEURONS)
    results = []
    for run in (
        lambda m, a, b: noisy_population(m, a, b, noise, neuron=neuron, estimator=estimator, floor=0.5),
        lambda m, a, b: unrolled(m, a, b, noise, neuron=neuron, estimator=estimator, floor=0.5),
    ):
        inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        bits, ratios = run(*inputs)
        loss = (weights * bits).sum() + auxiliary * ratios.square().sum()
        loss.backward()
        results.append((bits.detach(), ratios.detach(), [one.grad for one in inputs]))
    (bits, ratios, found), (bits_too, ratios_too, expected) = results
    assert 0 < float(bits.mean()) < 1
    assert torch.equal(bits, bits_too)
    torch.testing.assert_close(ratios, ratios_too, rtol=1e-12, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_variance_is_that_of_the_linear_membrane():
    """With noise of variance 1 in every step, V is the sum of the squared impulse response."""
    neuron = Neuron(du=1000, dv=700)
    ones = torch.ones(STEPS, 1, 1)
    zeros = torch.zeros(STEPS, 1, 1)
    drive = torch.full((STEPS, 1, 1), 3.0)
    _, ratios = noisy_population(drive, ones, torch.zeros(1), zeros, neuron=neuron, estimator=IWST(), floor=0.01)
    response = torch.tensor(impulse_response(neuron, STEPS), dtype=torch.float64)
    scales = membrane(drive, torch.zeros(1), neuron) / ratios
    expected = (response.square().cumsum(0) + 1e-4).sqrt().float()
    torch.testing.assert_close(scales.flatten(), expected)


def test_membrane_read_out_is_truncated_forward_and_linear_backward():
    neuron = Neuron(du=4096, dv=1000)
    drive = torch.tensor([[[3.0]], [[-5.0]], [[2.0]]], requires_grad=True)
    states = membrane(drive, torch.tensor([1.0]), neuron)
    register = 0
    for a, found in zip((3, -5, 2), states.flatten().tolist(), strict=True):
        kept = register * 3096
        register = (abs(kept) >> 12) * (1 if kept > 0 else -1) + 64 * a + 64
        assert found * 64 == register
    states[-1].sum().backward()
    keep = 3096 / 4096
    torch.testing.assert_close(drive.grad.flatten(), torch.tensor([keep**2, keep, 1.0]))
