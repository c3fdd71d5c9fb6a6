"""The whole family of estimators: both noises, tempered alpha, Gumbel-Rao, surrogates, and one-bit weights."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from bitspike.errors import MissingDependencyError, UsageError
from bitspike.train.estimators import IWST, Tempered, noisy_bit
from bitspike.train.gumbel import GumbelRao, analytic, integrated
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.surrogates import STEEPNESS, Surrogate
from bitspike.train.weights import drawn_weights, mean_gradient

NOISES = [Gaussian(), Logistic()]
FAMILY = [
    *(IWST(alpha=alpha, noise=noise) for noise in NOISES for alpha in ("p", 0.5, 0.3)),
    *(Tempered(temper=temper, noise=noise) for noise in NOISES for temper in (0.0, 0.4, 1.0)),
    *(GumbelRao(temperature=temperature) for temperature in (0.0, 0.5, 1.0, 2.0)),
]


def wide(*values):
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def both(estimator, ratio):
    """J(1) and J(0)."""
    return estimator.factor(wide(ratio, ratio), wide(1, 0), None).tolist()


def kappa_and_alpha(temperature, ratio):
    """Gumbel-Rao as a multiple kappa of the family's member alpha."""
    one, zero = both(GumbelRao(temperature=temperature), ratio)
    p = sigmoid(ratio)
    kappa = (p * one + (1 - p) * zero) / (p * (1 - p))
    return kappa, p * one / (p * one + (1 - p) * zero)


@given(r=st.floats(-4, 4), a=st.floats(-3, 3), b=st.floats(-3, 3), noise=st.sampled_from(NOISES))
def test_half_is_unbiased_for_quadratic_losses_with_either_noise(r, a, b, noise):
    one, zero = both(IWST(alpha=0.5, noise=noise), r)
    p = float(noise.probability(wide(r)))
    found = p * one * (2 * a + b) + (1 - p) * zero * b
    assert found == pytest.approx(float(noise.density(wide(r))) * (a + b), rel=1e-9, abs=1e-12)


@given(z=st.floats(-5, 5), scale=st.floats(0.2, 5))
def test_straight_through_is_the_derivative_of_the_sigmoid(z, scale):
    mean, width = wide(z).requires_grad_(), wide(scale).requires_grad_()
    # By its logarithm: torch's own backward pass of the sigmoid computes p * (1 - p), which loses digits near p = 1.
    torch.nn.functional.logsigmoid(mean / width).exp().sum().backward()
    other, same = wide(z).requires_grad_(), wide(scale).requires_grad_()
    noisy_bit(other, same, wide(0.3), IWST(noise=Logistic())).sum().backward()
    assert float(other.grad) == pytest.approx(float(mean.grad), rel=1e-9, abs=1e-15)
    assert float(same.grad) == pytest.approx(float(width.grad), rel=1e-9, abs=1e-15)


@given(r=st.floats(-20, 20))
def test_reinmax_is_half_the_distance_of_the_bit_from_its_mean(r):
    """ReinMax's backward pass for two classes, as its authors define it: 2 softmax'((b + p) / 2) - softmax'(p) / 2."""
    p = wide(sigmoid(r), sigmoid(-r))
    for bit in (1.0, 0.0):
        middle = (wide(bit, 1 - bit) + p) / 2
        jacobian = 2 * middle[0] * (wide(1, 0) - middle)[0] - 0.5 * p[0] * (wide(1, 0) - p)[0]
        found = float(IWST(alpha=0.5, noise=Logistic()).factor(wide(r), wide(bit)))
        assert found == pytest.approx(abs(bit - sigmoid(r)) / 2, rel=1e-12, abs=1e-15)
        # The logit of one class moves l by 1; the softmax of two classes is the sigmoid of l.
        assert found == pytest.approx(float(jacobian), rel=1e-6, abs=1e-12)


@given(r=st.floats(-8, 8), noise=st.sampled_from(NOISES), temper=st.floats(0, 1))
def test_tempered_alpha_is_its_formula(r, noise, temper):
    p, q = (float(noise.probability(wide(x))) for x in (r, -r))
    alpha = p**temper / (p**temper + q**temper)
    density = float(noise.density(wide(r)))
    one, zero = both(Tempered(temper=temper, noise=noise), r)
    assert one == pytest.approx(density * alpha / p, rel=1e-9)
    assert zero == pytest.approx(density * (1 - alpha) / q, rel=1e-9)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_tempering_goes_from_half_to_straight_through(noise):
    ratio, bits = torch.linspace(-9, 9, 41).double(), torch.arange(41).double() % 2
    for temper, alpha in ((0.0, 0.5), (1.0, "p")):
        found = Tempered(temper=temper, noise=noise).factor(ratio, bits)
        torch.testing.assert_close(found, IWST(alpha=alpha, noise=noise).factor(ratio, bits), rtol=1e-11, atol=0)


@pytest.mark.parametrize("q", [-30.0, -9.0, -3.0, -0.7, -0.61, -0.6, -1e-3, 0.0, 1e-6, 0.01, 0.62, 1.0, 4.0, 12.0])
def test_gumbel_rao_at_one_is_its_integral(q):
    """Against scipy's adaptive quadrature of the definition, and against the 256 nodes."""
    dense = lambda z: 0.25 / math.cosh(z / 2) ** 2  # noqa: E731
    integral, _ = quad(lambda z: dense(z) * dense(z - q) / sigmoid(q), 0, 60, epsabs=1e-15, epsrel=1e-13, limit=200)
    assert float(analytic(wide(q))) == pytest.approx(integral, abs=1e-12, rel=1e-10)
    assert float(integrated(wide(q), 1.0)) == pytest.approx(float(analytic(wide(q))), rel=1e-10)


def test_gumbel_rao_at_one_is_a_sixth_at_the_threshold():
    assert both(GumbelRao(), 0.0) == pytest.approx([1 / 6, 1 / 6], rel=1e-15)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 0.95, 1.05, 3.0])
@pytest.mark.parametrize("q", [-25.0, -2.0, 0.0, 3.0, 10.0])
def test_gumbel_rao_at_any_temperature_is_its_integral(temperature, q):
    dense = lambda z: 0.25 / math.cosh(max(-600, min(600, z)) / 2) ** 2  # noqa: E731
    integral = sum(
        quad(lambda z: dense(z / temperature) / temperature * dense(z - q) / sigmoid(q), low, high, epsrel=1e-12)[0]
        for low, high in ((0, temperature), (temperature, 8), (8, 30), (30, 90))
    )
    assert float(integrated(wide(q), temperature)) == pytest.approx(integral, rel=1e-9)
    found = float(GumbelRao(temperature=temperature).factor(wide(q), wide(1.0)))
    assert found == pytest.approx(integral, rel=3e-6)


def test_gumbel_rao_towards_temperature_zero_is_half():
    ratio, bits = torch.linspace(-6, 6, 25).double(), torch.arange(25).double() % 2
    limit = IWST(alpha=0.5, noise=Logistic()).factor(ratio, bits)
    torch.testing.assert_close(GumbelRao(temperature=0).factor(ratio, bits), limit, rtol=1e-14, atol=0)
    torch.testing.assert_close(GumbelRao(temperature=1e-4).factor(ratio, bits), limit, rtol=2e-4, atol=0)


@pytest.mark.parametrize(
    ("temperature", "ratio", "kappa", "alpha"),
    [
        (0.1, -3, 1.012, 0.438), (0.1, -1, 0.997, 0.468), (0.1, 0, 0.992, 0.5),
        (0.5, -3, 1.259, 0.234), (0.5, -1, 0.924, 0.375), (0.5, 0, 0.858, 0.5),
        (1.0, -3, 1.604, 0.125), (1.0, -1, 0.768, 0.324), (1.0, 0, 0.667, 0.5),
        (2.0, -3, 1.644, 0.072), (2.0, -1, 0.523, 0.290), (2.0, 0, 0.429, 0.5),
    ],
)  # fmt: skip
def test_gumbel_rao_as_a_scaled_member_of_the_family(temperature, ratio, kappa, alpha):
    assert kappa_and_alpha(temperature, float(ratio)) == pytest.approx((kappa, alpha), abs=6e-4)
    assert kappa_and_alpha(temperature, float(-ratio)) == pytest.approx((kappa, 1 - alpha), abs=6e-4)


@given(r=st.floats(-6, 6), alpha=st.floats(0, 1), slope=st.floats(-3, 3), noise=st.sampled_from(NOISES))
def test_variance_for_a_linear_loss_is_its_formula(r, alpha, slope, noise):
    p, q = (float(noise.probability(wide(x))) for x in (r, -r))
    density = float(noise.density(wide(r)))
    one, zero = (slope * factor for factor in both(IWST(alpha=alpha, noise=noise), r))
    mean = p * one + q * zero
    variance = p * (one - mean) ** 2 + q * (zero - mean) ** 2
    assert variance == pytest.approx(density**2 * slope**2 * (alpha - p) ** 2 / (p * q), rel=1e-6, abs=1e-14)
    if noise == Logistic() and alpha == 0.5:
        assert variance == pytest.approx(p * q * (0.5 - p) ** 2 * slope**2, rel=1e-6, abs=1e-14)


@settings(max_examples=30)
@given(z=st.floats(-5, 5), scale=st.floats(0.2, 5), eps=st.floats(-3, 3), at=st.integers(0, len(FAMILY) - 1))
def test_gradient_to_the_scale_is_minus_r_times_that_to_the_mean(z, scale, eps, at):
    mean, width = wide(z).requires_grad_(), wide(scale).requires_grad_()
    (1.7 * noisy_bit(mean, width, wide(eps), FAMILY[at])).sum().backward()
    assert float(width.grad) == pytest.approx(-z / scale * float(mean.grad), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("estimator", FAMILY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_from_the_threshold_every_estimator_is_finite_and_accurate(estimator, dtype):
    ratio = torch.cat([torch.linspace(-40, 40, 321), torch.tensor([-1e4, -88.0, 88.0, 1e4])])
    for bit in (0.0, 1.0):
        bits = torch.full_like(ratio, bit)
        found = estimator.factor(ratio.to(dtype), bits.to(dtype), None)
        assert torch.isfinite(found).all()
        assert (found >= 0).all()
        exact = estimator.factor(ratio.double(), bits.double(), None)
        torch.testing.assert_close(found.double(), exact, rtol=3e-4 if dtype == torch.float32 else 1e-12, atol=1e-30)


def test_draws_have_a_deviation_of_one_and_the_noise_its_distribution():
    for noise in NOISES:
        drawn = noise.draw((200_000,), torch.Generator().manual_seed(3))
        assert float(drawn.std()) == pytest.approx(1.0, abs=0.01)
        assert torch.isfinite(drawn).all()
        for r in (-1.0, 0.5):
            expected = float(noise.probability(wide(r * noise.deviation)))
            assert float((r + drawn > 0).double().mean()) == pytest.approx(expected, abs=0.005)
    again = torch.randn(7, generator=torch.Generator().manual_seed(3))
    assert torch.equal(Gaussian().draw((7,), torch.Generator().manual_seed(3)), again)
    assert Silent().draw((2, 3), torch.Generator()).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("function", STEEPNESS)
def test_surrogates_are_snntorchs(function):
    pytest.importorskip("snntorch")
    x, slope = torch.linspace(-3, 3, 61), 5.0
    formula = {
        "atan": slope / 2 / (1 + (math.pi / 2 * slope * x) ** 2),
        "fast_sigmoid": 1 / (1 + slope * x.abs()) ** 2,
        "sigmoid": slope * torch.sigmoid(slope * x) * torch.sigmoid(-slope * x),
    }[function]
    surrogate = Surrogate(function=function, slope=slope)
    torch.testing.assert_close(surrogate.derivative(x), formula, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(surrogate.factor(x - 1, torch.zeros_like(x), torch.ones_like(x)), formula)
    assert torch.isfinite(surrogate.derivative(torch.tensor([-1e4, -40.0, 40.0, 1e4]))).all()
    mean = torch.zeros(1, requires_grad=True)
    noisy_bit(mean, torch.full((1,), 2.0), torch.full((1,), 0.4), surrogate).sum().backward()
    assert float(mean.grad) == pytest.approx(float(surrogate.derivative(torch.tensor([0.4]))) / 2)


def test_a_missing_snntorch_is_told_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "snntorch", None)
    monkeypatch.setitem(sys.modules, "snntorch.surrogate", None)
    with pytest.raises(MissingDependencyError, match=r"is not installed; run: python -m pip install 'bitspike\[snnt"):
        Surrogate().check_installed()


def test_estimators_do_not_import_snntorch():
    """The optional part is paid for by its own estimator alone."""
    folder = Path(importlib.import_module("bitspike.train").__file__).parent
    for file in folder.glob("*.py"):
        assert "\nimport snntorch" not in file.read_text(encoding="utf-8")
        assert "\nfrom snntorch" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IWST(alpha=1.5), "alpha: found 1.5; expected a number from 0 to 1"),
        (lambda: IWST(alpha="q"), "alpha: found 'q'; expected a number from 0 to 1"),
        (lambda: Tempered(temper=-0.1), "temper: found -0.1; expected a number from 0 to 1"),
        (lambda: GumbelRao(temperature=-1.0), "temperature: found -1.0; expected a number from 0"),
        (lambda: Surrogate(function="relu"), "surrogate: found 'relu'; expected one of atan, fast_sigmoid, sigmoid"),
        (lambda: Surrogate(width="floor"), "width: found 'floor'; expected 'posterior' where there is noise"),
        (lambda: Surrogate(slope=0.0), "slope: found 0.0; expected a number above 0"),
        (
            lambda: drawn_weights(wide(0.0), wide(0.0), IWST()),
            "estimator.noise: found Gaussian(); expected Logistic() for one-bit weights",
        ),
        (
            lambda: mean_gradient(wide(1.0), wide(1.0), wide(0.0), Surrogate(noise=Logistic())),
            "estimator: found a surrogate; expected one that depends on the weights alone",
        ),
    ],
)
def test_impossible_estimators_are_refused(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


LOGISTIC = [one for one in FAMILY if one.noise == Logistic()]


@settings(max_examples=40)
@given(w=st.floats(-3, 3), eps=st.floats(-4, 4), slope=st.floats(-2, 2), at=st.integers(0, len(LOGISTIC) - 1))
def test_weights_take_the_estimators_gradient(w, eps, slope, at):
    natural = wide(w).requires_grad_()
    y = drawn_weights(natural, wide(eps), LOGISTIC[at])
    assert float(y.detach()) == (1.0 if 2 * w + eps > 0 else -1.0)
    (slope * y).sum().backward()
    to_mean = mean_gradient(wide(slope), y.detach(), natural.detach(), LOGISTIC[at])
    assert float(natural.grad) == pytest.approx((1 - math.tanh(w) ** 2) * float(to_mean), rel=1e-10, abs=1e-300)


@given(w=st.floats(-4, 4), slope=st.floats(-2, 2), alpha=st.floats(0, 1))
def test_importance_weights_of_one_bit_weights(w, slope, alpha):
    p = sigmoid(2 * w)
    for alpha_, at_plus, at_minus in (("p", 1.0, 1.0), (0.5, 0.5 / p, 0.5 / (1 - p)), (alpha, alpha / p, None)):
        estimator = IWST(alpha=alpha_, noise=Logistic())
        found = mean_gradient(wide(slope, slope), wide(1, -1), wide(w, w), estimator).tolist()
        assert found[0] == pytest.approx(slope * at_plus, rel=1e-9, abs=1e-12)
        if at_minus is not None:
            assert found[1] == pytest.approx(slope * at_minus, rel=1e-9, abs=1e-12)


@given(w=st.floats(-3, 3), a=st.floats(-2, 2), b=st.floats(-2, 2))
def test_half_is_unbiased_for_quadratic_losses_of_a_weight(w, a, b):
    """E over y of w(y) f'(y) equals d/dmu E f(y) = (f(1) - f(-1)) / 2 for f = a y**2 + b y."""
    p = sigmoid(2 * w)
    estimator = IWST(alpha=0.5, noise=Logistic())
    plus, minus = mean_gradient(wide(2 * a + b, b - 2 * a), wide(1, -1), wide(w, w), estimator).tolist()
    assert p * plus + (1 - p) * minus == pytest.approx(b, rel=1e-9, abs=1e-12)


def test_weights_far_from_undecided_stay_finite():
    natural = torch.linspace(-60, 60, 121, requires_grad=True)
    for estimator in LOGISTIC:
        y = drawn_weights(natural, torch.zeros_like(natural), estimator)
        (gradient,) = torch.autograd.grad(y.sum(), natural)
        assert torch.isfinite(gradient).all()
        for bits in (y.detach(), -y.detach()):
            assert torch.isfinite(mean_gradient(torch.ones(121), bits, natural.detach(), estimator)).all()
    assert np.allclose(mean_gradient(torch.ones(1), torch.ones(1), torch.full((1,), 40.0), LOGISTIC[1]), 0.5)
