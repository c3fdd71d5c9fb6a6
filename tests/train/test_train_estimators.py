"""Properties of the IW-ST family, by exact enumeration, by autograd and far from the threshold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitspike.train.estimators import IWST, noisy_bit


def phi(r):
    return math.exp(-r * r / 2) / math.sqrt(2 * math.pi)


def cdf(r):
    return 0.5 * math.erfc(-r / math.sqrt(2))


def gradients(mean, scale, noise, alpha, weight=1.0):
    mean = torch.tensor([mean], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([scale], dtype=torch.float64, requires_grad=True)
    bit = noisy_bit(mean, scale, torch.tensor([noise], dtype=torch.float64), IWST(alpha=alpha))
    (weight * bit).sum().backward()
    return float(bit.detach()), float(mean.grad), float(scale.grad)


@given(r=st.floats(-4, 4), scale=st.floats(0.1, 10), a=st.floats(-3, 3), b=st.floats(-3, 3), c=st.floats(-3, 3))
def test_half_is_unbiased_for_quadratic_losses(r, scale, a, b, c):
    """E over the bit of f'(b) J(b) equals d/dz E f(b) for f(x) = a x**2 + b x + c."""
    p = cdf(r)
    found = 0.0
    for bit, probability in ((1.0, p), (0.0, 1 - p)):
        slope = 2 * a * bit + b
        ratio = torch.tensor([r], dtype=torch.float64)
        jacobian = float(IWST(alpha=0.5).factor(ratio, torch.tensor([bit], dtype=torch.float64))) / scale
        found += probability * slope * jacobian
    exact = phi(r) / scale * ((a + b + c) - c)
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-12)


@given(r=st.floats(-6, 6), alpha=st.floats(0, 1))
def test_every_member_is_unbiased_for_linear_losses(r, alpha):
    p = cdf(r)
    ratio = torch.tensor([r, r], dtype=torch.float64)
    at_one, at_zero = IWST(alpha=alpha).factor(ratio, torch.tensor([1.0, 0.0], dtype=torch.float64)).tolist()
    assert p * at_one + cdf(-r) * at_zero == pytest.approx(phi(r), rel=1e-8)


@given(z=st.floats(-5, 5), scale=st.floats(0.2, 5), noise=st.floats(-3, 3))
def test_plain_straight_through_is_the_derivative_of_phi(z, scale, noise):
    mean = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    width = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    torch.special.ndtr(mean / width).backward()
    _, to_mean, to_scale = gradients(z, scale, noise, "p")
    assert to_mean == pytest.approx(float(mean.grad), rel=1e-12, abs=1e-300)
    assert to_scale == pytest.approx(float(width.grad), rel=1e-12, abs=1e-300)


@given(
    z=st.floats(-5, 5),
    scale=st.floats(0.2, 5),
    noise=st.floats(-3, 3),
    alpha=st.one_of(st.just("p"), st.floats(0, 1)),
)
def test_gradient_to_the_scale_is_minus_r_times_that_to_the_mean(z, scale, noise, alpha):
    _, to_mean, to_scale = gradients(z, scale, noise, alpha, weight=1.7)
    assert to_scale == pytest.approx(-z / scale * to_mean, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("r", [-1e4, -40.0, -7.0, 7.0, 40.0, 1e4])
@pytest.mark.parametrize("bit", [0.0, 1.0])
def test_far_from_the_threshold_nothing_overflows(dtype, r, bit):
    """The hazard phi(q) / Phi(q) tends to -q below, and to 0 above."""
    found = float(IWST(alpha=0.5).factor(torch.tensor([r], dtype=dtype), torch.tensor([bit], dtype=dtype)))
    q = r if bit else -r
    if q > 0:
        assert 0 <= found < 1e-9
    else:
        x = -q
        assert found == pytest.approx(0.5 * x / (1 - 1 / x**2 + 3 / x**4 - 15 / x**6 + 105 / x**8), rel=1e-5)


def test_a_certain_bit_has_no_gradient():
    assert gradients(0.0, 0.0, 1.0, 0.5) == (0.0, 0.0, 0.0)
    assert gradients(1.0, 0.0, -9.0, "p")[0] == 1.0
