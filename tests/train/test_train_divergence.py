"""Divergences from the prior against their definitions, their derivatives, and the bound on saturation."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from bitspike.errors import UsageError
from bitspike.train.posteriors import Bernoulli, Bernoulli01, GaussianWeights, Latent, Prior
from bitspike.train.posteriors.divergence import bernoulli_divergence, gaussian_divergence

naturals = st.lists(st.floats(-8, 8), min_size=1, max_size=6)
probabilities = st.floats(0.001, 0.999)
means = st.lists(st.floats(-100, 100), min_size=1, max_size=6)
deviations = st.floats(0.01, 100)


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


@given(naturals, probabilities)
def test_the_bernoulli_divergence_is_its_definition(values, probability):
    expected = 0.0
    for w in values:
        one = 1 / (1 + math.exp(-2 * w))
        expected += one * math.log(one / probability) + (1 - one) * math.log((1 - one) / (1 - probability))
    found = bernoulli_divergence(doubles(values), Prior(probability=probability))
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert float(found) >= -1e-12


@given(naturals, probabilities)
def test_its_derivative_to_the_mean_is_the_distance_of_natural_parameters(values, probability):
    """dKL/dmu = w - w0 (arXiv 2012.08300), by autograd through mu itself."""
    prior = Prior(probability=probability)
    mu = torch.tanh(doubles(values)).requires_grad_()
    bernoulli_divergence(torch.atanh(mu), prior).backward()
    expected = torch.atanh(mu.detach()) - 0.5 * math.log(probability / (1 - probability))
    torch.testing.assert_close(mu.grad, expected, rtol=1e-6, atol=1e-6)


def test_a_posterior_at_its_prior_has_no_divergence_and_certain_bits_a_finite_one():
    prior = Prior(probability=0.9)
    assert float(bernoulli_divergence(doubles([prior.natural] * 3), prior)) == pytest.approx(0, abs=1e-15)
    certain = bernoulli_divergence(doubles([500.0, -500.0]), Prior())
    assert float(certain) == pytest.approx(2 * math.log(2), rel=1e-12)


@given(means, deviations, deviations)
def test_the_gaussian_divergence_is_that_of_torch(values, deviation, width):
    found = gaussian_divergence(doubles(values), doubles([deviation]), Prior(deviation=width))
    expected = kl_divergence(Normal(doubles(values), doubles(deviation)), Normal(doubles(0.0), doubles(width))).sum()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(means, deviations)
def test_a_prior_of_its_own_for_each_weight_is_the_best_one(values, deviation):
    mean, sigma = doubles(values), doubles([deviation])
    least = gaussian_divergence(mean, sigma, Prior())
    each = [
        gaussian_divergence(one, sigma, Prior(deviation=float(torch.sqrt(sigma**2 + one**2)))) for one in mean.split(1)
    ]
    torch.testing.assert_close(least, torch.stack(each).sum(), rtol=1e-9, atol=1e-9)
    for width in (0.3, 3.0, 30.0):
        assert float(gaussian_divergence(mean, sigma, Prior(deviation=width))) >= float(least) - 1e-9


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), columns=st.integers(1, 40), spread=st.floats(0.1, 60))
def test_no_neuron_is_driven_further_than_the_means_and_deviation_allow(seed, rows, columns, spread):
    """r**2 <= ||mu||**2 / sigma**2 (Cauchy and Schwarz), and the divergence bounds the right side from above."""
    generator = torch.Generator().manual_seed(seed)
    mean = spread * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    inputs = torch.randint(0, 3, (20, columns), generator=generator).double()
    inputs[:, 0] += 1
    sigma = 0.5 * spread
    ratio = (inputs @ mean.T) / (sigma * inputs.square().sum(1, keepdim=True).sqrt())
    limit = mean.square().sum(1) / sigma**2
    assert bool((ratio.square() <= limit * (1 + 1e-12)).all())
    # exp(2 KL) is the product of 1 + mu**2 / sigma**2 over a row's weights: at least 1 more than their sum.
    for row, bound in zip(mean, limit, strict=True):
        divergence = gaussian_divergence(row, doubles([sigma]), Prior())
        assert float(bound) <= math.expm1(2 * float(divergence)) * (1 + 1e-9)


def test_each_family_has_its_own():
    prior = Prior(probability=0.3, deviation=2.0)
    torch.manual_seed(0)
    for family, expected in (
        (Bernoulli, lambda w: bernoulli_divergence(2 * w, prior)),
        (Bernoulli01, lambda w: bernoulli_divergence(2 * w, prior)),
    ):
        posterior = family(3, 4).double()
        torch.nn.init.normal_(posterior.location)
        found = posterior.kl(prior, sharpness=2.0)
        torch.testing.assert_close(found, expected(posterior.location))
        assert found.requires_grad
    posterior = GaussianWeights(3, 4).double()
    torch.nn.init.normal_(posterior.location)
    found = posterior.kl(prior, sharpness=2.0)
    torch.testing.assert_close(found, gaussian_divergence(posterior.location, posterior.deviation(2.0), prior))
    found.backward()
    assert posterior.rho.grad.abs() > 0
    assert float(Latent(3, 4).kl(prior)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.0}, "probability: found 1.0; expected a number above 0 and below 1"),
        ({"deviation": -1.0}, "deviation: found -1.0; expected a number from 0"),
    ],
)
def test_impossible_priors_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        Prior(**options)
    assert str(caught.value) == message
