"""Families of posteriors: moments against draws, integers, gradients, folding, and refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from bitspike.errors import UsageError
from bitspike.train.layers import ConvLayer
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.posteriors import (
    FAMILIES,
    Bernoulli,
    Bernoulli01,
    Family,
    GaussianWeights,
    Latent,
    Prior,
    summed_moments,
)
from bitspike.train.posteriors.gaussian import softplus_inverse
from bitspike.train.registers import Neuron
from bitspike.train.windows import Window

ONE_BIT = {Bernoulli: (-1, 1), Bernoulli01: (0, 1)}


def with_locations(posterior, values):
    with torch.no_grad():
        posterior.location.copy_(torch.as_tensor(values).expand(posterior.shape))
    return posterior


@pytest.mark.parametrize("family", ONE_BIT)
@pytest.mark.parametrize("w", [-1.5, 0.0, 0.4])
def test_moments_of_one_bit_are_those_of_its_two_values(family, w):
    posterior = with_locations(family(1, 1).double(), w)
    low, high = ONE_BIT[family]
    p = 1 / (1 + np.exp(-2 * 3 * w))
    mean, variance = (one.detach() for one in posterior.means_and_variances(3.0))
    assert float(mean) == pytest.approx(low * (1 - p) + high * p)
    assert float(variance) == pytest.approx((low**2 * (1 - p) + high**2 * p) - float(mean) ** 2)


@pytest.mark.parametrize("family", ONE_BIT)
def test_drawn_bits_have_the_moments(family):
    posterior = with_locations(family(2, 4000), [[0.3], [-0.8]])
    drawn = posterior.sample(seed=3, index=5)
    assert set(np.unique(drawn)) == set(ONE_BIT[family])
    mean, variance = posterior.means_and_variances(1.0)
    assert drawn.mean(axis=1) == pytest.approx(mean[:, 0].detach().numpy(), abs=0.05)
    assert drawn.var(axis=1) == pytest.approx(variance[:, 0].detach().numpy(), abs=0.05)
    assert np.array_equal(drawn, posterior.sample(seed=3, index=5))
    assert not np.array_equal(drawn, posterior.sample(seed=4, index=5))
    assert not np.array_equal(drawn, posterior.sample(seed=3, index=6))
    assert posterior.most_probable()[:, 0].tolist() == [1, ONE_BIT[family][0]]


def test_drawn_normal_weights_have_the_moments():
    posterior = with_locations(GaussianWeights(2, 4000), [[11.3], [-40.0]])
    posterior.rho.data.fill_(softplus_inverse(6.0))
    drawn = posterior.sample(seed=3, index=5)
    assert drawn.dtype == np.int8
    assert drawn.mean(axis=1) == pytest.approx([11.3, -40.0], abs=0.5)
    assert drawn.std(axis=1) == pytest.approx([6.0, 6.0], abs=0.3)
    assert not np.array_equal(drawn, posterior.sample(seed=3, index=6))
    assert posterior.most_probable()[:, 0].tolist() == [11, -40]
    mean, variance = posterior.means_and_variances(2.0)
    assert mean[:, 0].tolist() == [11.0, -40.0]
    assert variance.shape == (1, 4000)
    assert variance[0, 0].item() == pytest.approx(9.0)


@given(
    values=st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=8),
    bits=st.integers(2, 8),
    seed=st.integers(0, 2**63 - 1),
)
def test_normal_weights_round_to_the_integers_of_their_bits(values, bits, seed):
    posterior = with_locations(GaussianWeights(1, len(values), bits=bits), [values])
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = [min(max(round(one), low), high) for one in values]
    assert posterior.most_probable().tolist() == [expected]
    mean, _ = posterior.means_and_variances(1.0)
    assert mean.tolist() == [expected]
    drawn = posterior.sample(seed=seed, index=0)
    assert low <= drawn.min() <= drawn.max() <= high
    assert np.array_equal(posterior.checked(drawn, name="a"), drawn)


def test_gradients_pass_straight_through_rounding_and_sign():
    weight = torch.tensor([[1.0, 2.0, -3.0, 4.0]])
    for posterior, expected in (
        (GaussianWeights(1, 4, bits=3), [1.0, 2.0, -3.0, 4.0]),
        (Latent(1, 4), [1.0, 2.0, 0.0, 0.0]),
        (Latent(1, 4, clip=False), [1.0, 2.0, -3.0, 4.0]),
    ):
        with_locations(posterior, [[0.2, -1.0, 1.1, -9.0]])
        mean, _ = posterior.means_and_variances(7.0)
        (weight * mean).sum().backward()
        assert posterior.location.grad.tolist() == [expected]


def test_latent_weights_are_signs_without_noise():
    posterior = with_locations(Latent(1, 4), [[0.0, -0.0, -1e-30, 2.0]])
    mean, variance = posterior.means_and_variances(1.0)
    assert variance is None
    assert mean.tolist() == [[1.0, 1.0, -1.0, 1.0]]
    assert posterior.most_probable().tolist() == posterior.sample(seed=1, index=2).tolist() == [[1, 1, -1, 1]]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("sharpness", [1.0, 7.0])
def test_folding_takes_the_sharpness_in_for_good(name, sharpness):
    posterior = Family(name=name).make(3, 5)
    posterior.initialise(seed=1, index=0, spread=2.0, scale=0.5)
    before = posterior.means_and_variances(sharpness)
    most_probable = posterior.most_probable()
    posterior.fold(sharpness)
    after = posterior.means_and_variances(1.0)
    for one, other in zip(before, after, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other)
    assert np.array_equal(posterior.most_probable(), most_probable)


def test_initial_normal_weights_have_the_ratio_of_the_paper():
    posterior = GaussianWeights(100, 100)
    posterior.initialise(seed=1, index=0, spread=30.0, scale=0.5)
    sigma = float(posterior.deviation(1.0).detach())
    assert sigma == pytest.approx(15.0)
    assert float((posterior.location.detach() / sigma).square().mean()) == pytest.approx(4 / 3, rel=0.05)
    assert float(posterior.location.detach().abs().max()) <= 30


@pytest.mark.parametrize("deviation", [1e-40, 1e-20, 0.1, 20.0, 1e4])
def test_a_deviation_is_found_again_however_small(deviation):
    rho = torch.tensor(softplus_inverse(deviation))
    assert torch.isfinite(rho)
    assert float(functional.softplus(rho)) == pytest.approx(max(deviation, 1e-30), rel=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_moments_of_a_convolution_are_those_of_every_window(name):
    window = Window(kernel=3, stride=2, padding=1)
    layer = ConvLayer(
        name="a", source_shape=(2, 5, 6), channels=3, window=window, neuron=Neuron(vth=2), family=Family(name=name)
    ).double()
    layer.posterior.initialise(seed=1, index=0, spread=4.0, scale=0.5)
    spikes = torch.randint(0, 2, (4, 3, 60), generator=torch.Generator().manual_seed(1)).double()
    columns = functional.unfold(spikes.reshape(12, 2, 5, 6), 3, stride=2, padding=1).transpose(1, 2)
    mean, variance = layer.moments(spikes, 1.5)
    matrix, spread = layer.posterior.means_and_variances(1.5)
    full = torch.zeros_like(matrix) if spread is None else spread.expand(matrix.shape)
    for found, weights in ((mean, matrix), (variance, full)):
        expected = (columns @ weights.T).transpose(1, 2).reshape(4, 3, layer.neurons)
        torch.testing.assert_close(found, expected)
    assert bool(variance.any()) == (name != "latent")


def test_no_gradient_goes_from_the_variance_to_the_spikes():
    for posterior in (Bernoulli(2, 3), GaussianWeights(2, 3)):
        spikes = torch.ones(4, 3, requires_grad=True)
        mean, variance = summed_moments(functional.linear, spikes, *posterior.means_and_variances(1.0))
        assert mean.shape == variance.shape == (4, 2)
        variance.sum().backward()
        assert spikes.grad is None


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("bernoulli", [[0, 1]], "weights of a: found a value other than -1 and +1"),
        ("latent", [[2, 1]], "weights of a: found a value other than -1 and +1"),
        ("bernoulli01", [[-1, 1]], "weights of a: found a value other than 0 and +1"),
        ("gaussian", [[-9, 1]], "weights of a: found -9 to 1; expected -8 to 7"),
        ("gaussian", [[0.5, 1]], "weights of a: found float64 that are not whole; expected integers"),
        ("gaussian", [[np.inf, 1]], "weights of a: found float64 that are not whole; expected integers"),
        ("gaussian", [1, 1], "weights of a: found shape (2,); expected (1, 2)"),
    ],
)
def test_weights_of_another_family_are_refused(name, weights, message):
    with pytest.raises(UsageError) as caught:
        Family(name=name, bits=4).make(1, 2).checked(weights, name="a")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cauchy"}, "family: found 'cauchy'; expected one of bernoulli, bernoulli01, gaussian, latent"),
        ({"name": "gaussian", "bits": 9}, "bits: found 9; expected a whole number from 2 to 8"),
    ],
)
def test_impossible_families_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        Family(**options)
    assert str(caught.value) == message


def test_a_posterior_prints_what_it_is():
    assert "gaussian, 2 x 3" in repr(GaussianWeights(2, 3))


@pytest.mark.parametrize(("name", "slope"), [("bernoulli", 1.0), ("bernoulli01", 0.5)])
def test_a_natural_gradient_is_the_one_to_the_mean(name, slope):
    """It is the ordinary one divided by the derivative of the mean, so that it does not vanish."""
    plain, natural = (Family(name=name, natural=flag).make(3, 4) for flag in (False, True))
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    factors = torch.arange(1.0, 13.0).reshape(3, 4)
    found = []
    for one in (plain, natural):
        with torch.no_grad():
            one.location.copy_(values)
        mean, variance = one.means_and_variances(2.0)
        (factors * (mean + 0.3 * variance)).sum().backward()
        found.append((mean.detach(), variance.detach(), one.location.grad))
    (mean, variance, ordinary), (mean_too, variance_too, to_mean) = found
    torch.testing.assert_close(mean, mean_too)
    torch.testing.assert_close(variance, variance_too)
    derivative = 1 - torch.tanh(2.0 * values).square()
    torch.testing.assert_close(to_mean * derivative, ordinary, rtol=1e-4, atol=1e-5)
    assert float((to_mean / (2.0 * slope * factors)).abs().min()) > 0.3


def test_natural_gradients_are_for_one_bit_families():
    with pytest.raises(UsageError, match=r"natural: found True with family latent; expected bernoulli or bernoulli01"):
        PosteriorRecipe(family="latent", natural=True)


@pytest.mark.parametrize("name", ["bernoulli", "bernoulli01"])
def test_a_natural_gradient_of_the_divergence_is_the_one_to_the_mean(name):
    """dKL/dmu = w - w0 times the sharpness, as the likelihood's: the prior's pull does not vanish."""
    posterior, prior = Family(name=name, natural=True).make(2, 3), Prior(probability=0.3)
    with torch.no_grad():
        posterior.location.copy_(torch.tensor([[-9.0, -1.0, 0.0], [0.5, 2.0, 12.0]]))
    posterior.kl(prior, sharpness=2.0).backward()
    torch.testing.assert_close(posterior.location.grad, 2.0 * (2.0 * posterior.location.detach() - prior.natural))
    plain = Family(name=name).make(2, 3)
    plain.load_state_dict(posterior.state_dict())
    assert torch.equal(plain.kl(prior, sharpness=2.0), posterior.kl(prior, sharpness=2.0))


@pytest.mark.parametrize("natural", [True, False])
def test_likelihood_and_prior_meet_at_the_posterior(natural):
    """With a loss of -mu and one divergence from an even prior the best natural parameter is 1."""
    posterior = Family(natural=natural).make(1, 1)
    optimiser = torch.optim.Adam(posterior.parameters(), lr=0.02)
    for _ in range(600):
        optimiser.zero_grad()
        (posterior.kl(Prior()) - posterior.means(1.0).sum()).backward()
        optimiser.step()
    assert float(posterior.location.detach()) == pytest.approx(1, abs=1e-2)
