"""The compiled population against its definition, and its noise against the distribution it claims."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from populations import ESTIMATORS, NARROW, SILENT, check_means_alone, check_moments, check_recurrent, inputs
from scipy import special

from bitspike.train.estimators import IWST, Tempered
from bitspike.train.fused import can_run, draw_keys, fused_population
from bitspike.train.gumbel import GumbelRao
from bitspike.train.layers import ConvLayer, DenseLayer, RecurrentLayer
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.products import conv_moments, dense_moments, stacked
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate
from bitspike.train.windows import Window


def run(moments, bias, keys, **named):
    return fused_population(moments, bias, keys, floor=0.5, **named)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_bits_and_gradients_are_those_of_the_definition(reset, estimator, du, dv, factor):
    check_moments(run, neuron=Neuron(du=du, dv=dv, vth=2, reset=reset), estimator=estimator, factor=factor)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("neurons", [5, 1100])
@pytest.mark.parametrize("factor", [0.0, 1e-3])
def test_means_alone_are_a_population_of_the_floors_width(reset, du, dv, neurons, factor):
    """Without the auxiliary loss by kernels of their own, with it by the others."""
    neuron = Neuron(du=du, dv=dv, vth=2, reset=reset)
    check_means_alone(run, neuron=neuron, factor=factor, neurons=neurons)


def test_means_alone_in_half_precision_and_in_two_threads():
    mean, _, bias, weights, keys = inputs(600)
    before, found = torch.get_num_threads(), []
    for threads, dtype in ((1, torch.float32), (2, torch.float32), (1, torch.bfloat16)):
        torch.set_num_threads(threads)
        leaf = mean.bfloat16().to(dtype).requires_grad_()
        bits, _ = fused_population(leaf, bias, keys, neuron=Neuron(dv=500, vth=2), estimator=NARROW, floor=0.5)
        assert bits.dtype == dtype
        (weights.to(dtype) * bits).float().sum().backward()
        found.append((bits.detach().float(), leaf.grad.float()))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[1], strict=True))
    assert torch.equal(found[0][0], found[2][0])
    torch.testing.assert_close(found[2][1], found[0][1], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kind", [DenseLayer, RecurrentLayer])
def test_a_layer_whose_surrogate_has_the_floors_width_reads_no_variance(kind, monkeypatch):
    """By the kernels and by the definition, which runs where the kernels do not know an estimator."""
    layer = kind(name="a", inputs=60, neurons=30, neuron=Neuron(vth=2, dv=700))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for posterior in layer.posteriors().values():
            posterior.location.copy_(torch.randn(posterior.shape, generator=generator) * 0.3)
    spikes = torch.randint(0, 2, (6, 4, 60), generator=generator).float()
    found = []
    for known in (True, False):
        monkeypatch.setattr("bitspike.train.layers.base.can_run", lambda *_, known=known: known)
        layer.zero_grad()
        bits, _ = layer.noisy(spikes, generator, estimator=NARROW, floor=0.5, sharpness=1.5)
        (bits * torch.arange(30) / 30).sum().backward()
        found.append([bits.detach(), *(one.location.grad.clone() for one in layer.posteriors().values())])
    assert 0 < float(found[0][0].mean()) < 1
    assert torch.equal(found[0][0], found[1][0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    wide, _ = layer.noisy(spikes, generator, estimator=SILENT, floor=0.5, sharpness=1.5)
    layer.zero_grad()
    (wide * torch.arange(30) / 30).sum().backward()
    assert torch.equal(wide.detach(), found[0][0])
    assert not torch.allclose(layer.posterior.location.grad, found[0][1], rtol=1e-2)


@pytest.mark.parametrize("estimator", [*ESTIMATORS[:2], SILENT], ids=str)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_recurrent_population_is_that_of_the_definition(estimator, reset):
    check_recurrent(run, neuron=Neuron(du=1000, dv=700, vth=2, reset=reset), estimator=estimator)


def test_many_neurons_go_through_in_blocks_of_their_own():
    """More than two blocks, the last one not whole."""
    check_moments(run, neuron=Neuron(dv=700, vth=2), estimator=IWST(), factor=1e-3, neurons=1100)


@pytest.mark.parametrize("noise", [Gaussian(), Logistic()], ids=str)
def test_a_bit_has_its_probability(noise):
    ratios = torch.linspace(-4, 4, 33)
    draws = 200_000
    moments = (ratios * 0.5).expand(1, draws, 33).contiguous()
    keys = torch.tensor([1, 2])
    estimator = IWST(noise=noise)
    bits, _ = fused_population(moments, torch.zeros(33), keys, neuron=Neuron(vth=0), estimator=estimator, floor=0.5)
    unit = noise.deviation
    expected = noise.probability(ratios.double() * unit)
    found = bits.double().mean((0, 1))
    spread = (expected * (1 - expected) / draws).sqrt()
    assert float(((found - expected).abs() / spread).max()) < 5


@given(first=st.integers(0, 2**32 - 1), second=st.integers(0, 2**32 - 1))
def test_bits_of_other_places_and_keys_look_independent(first, second):
    def draw(*keys):
        moments = torch.zeros(8, 16, 128)
        words = torch.tensor(keys)
        bits, _ = fused_population(moments, torch.zeros(128), words, neuron=Neuron(vth=0), estimator=IWST(), floor=0.5)
        return 2 * bits - 1

    bits = draw(first, second)
    others = [bits.roll(shift, axis) for axis in (0, 1, 2) for shift in (1, 2, 4)]
    others += [
        draw(first ^ 1, second),
        draw(first, second ^ 1),
        draw((first + 1) % 2**32, second),
        torch.ones_like(bits),
    ]
    # Half an axis further, or one key that differs in the last bit, every product comes twice: the variance is double.
    deviation = math.sqrt(2 * bits.numel())
    assert all(abs(float((bits * other).sum())) < 6 * deviation for other in others)


def test_keys_come_from_the_generator():
    generator = torch.Generator().manual_seed(5)
    first, second = draw_keys(generator), draw_keys(generator)
    assert first.dtype == torch.int64
    assert 0 <= int(first.min()) <= int(first.max()) < 2**32
    assert (first != second).any()
    assert (draw_keys(torch.Generator().manual_seed(5)) == first).all()


def test_the_number_of_threads_changes_nothing():
    mean, variance, bias, weights, keys = inputs(600)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = [one.clone().requires_grad_() for one in (mean, variance, bias)]
        moments = torch.cat(leaves[:2], dim=-1)
        bits, _ = fused_population(moments, leaves[2], keys, neuron=Neuron(vth=2), estimator=IWST(), floor=0.5)
        (weights * bits).sum().backward()
        results.append([bits.detach(), *(one.grad for one in leaves)])
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_half_precision_gives_nearly_the_same_gradients():
    mean, variance, bias, weights, keys = inputs(300)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        moments = torch.cat([mean, variance], dim=-1).bfloat16().to(dtype).requires_grad_()
        bits, _ = fused_population(moments, bias, keys, neuron=Neuron(dv=500, vth=2), estimator=IWST(), floor=0.5)
        assert bits.dtype == dtype
        (weights.to(dtype) * bits).float().sum().backward()
        gradients.append(moments.grad.float().flatten())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=2e-2, atol=2e-2)


def test_only_estimators_that_the_kernels_know_run_there():
    cpu = torch.device("cpu")
    assert all(can_run(estimator, cpu) for estimator in ESTIMATORS)
    assert not can_run(Surrogate(function="atan"), cpu)
    assert not can_run(Surrogate(function="sigmoid", noise=Silent()), cpu)
    assert not can_run(Tempered(temper=0.5), cpu)
    assert not can_run(GumbelRao(temperature=1.0), cpu)
    assert not can_run(IWST(), torch.device("meta"))


@pytest.mark.parametrize("layer", ["dense", "conv"])
def test_one_product_is_both_moments_and_no_gradient_leaves_the_variance(layer):
    generator = torch.Generator().manual_seed(3)
    if layer == "dense":
        made = DenseLayer(name="a", inputs=60, neurons=5, neuron=Neuron())
    else:
        window = Window(kernel=3, stride=2, padding=1)
        made = ConvLayer(name="a", source_shape=(2, 5, 6), channels=3, window=window, neuron=Neuron())
    with torch.no_grad():
        made.natural.copy_(torch.randn(made.natural.shape, generator=generator))
    spikes = torch.randint(0, 2, (4, 3, 60), generator=generator).float()
    results = []
    for moments in (
        lambda x: made.joint_moments(x, 1.5),
        lambda x: torch.cat(made.moments(x, 1.5), dim=-1),
    ):
        made.natural.grad = None
        leaf = spikes.clone().requires_grad_()
        found = moments(leaf)
        (found * torch.arange(found.numel()).reshape(found.shape)).sum().backward()
        results.append((found.detach(), leaf.grad, made.natural.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)


def test_products_keep_bits_exact_in_bfloat16():
    """Whole weights and bits: a product in bfloat16 is the whole sum, rounded once."""
    generator = torch.Generator().manual_seed(4)
    spikes = torch.randint(0, 2, (9, 200), generator=generator)
    weights = torch.randint(0, 2, (6, 200), generator=generator) * 2 - 1
    exact = (spikes @ weights.T).float().bfloat16()
    found = dense_moments(spikes.bfloat16(), stacked(weights.float(), None, torch.bfloat16), 6)
    assert torch.equal(found, exact)
    images, kernels = spikes[:, :196].reshape(9, 1, 14, 14), weights[:, :9].reshape(6, 1, 3, 3)
    exact = torch.nn.functional.conv2d(images.double(), kernels.double()).float().bfloat16()
    found = conv_moments(images.bfloat16(), kernels.bfloat16(), 6, stride=1, padding=0)
    assert torch.equal(found, exact)


def test_the_tail_is_accurate_far_out():
    """The polynomials against scipy, through the probability of a bit that hardly ever comes: its gradient at 1/2."""
    ratios = torch.linspace(-9, 9, 37)
    moments = torch.stack([ratios * 0.5, torch.zeros_like(ratios)]).reshape(1, 2, 37)[:, :1].contiguous()
    moments.requires_grad_()
    estimator = IWST(alpha=0.5)
    keys = torch.tensor([1, 2])
    bits, _ = fused_population(moments, torch.zeros(37), keys, neuron=Neuron(vth=0), estimator=estimator, floor=0.5)
    bits.sum().backward()
    r = ratios.double().numpy() * (2 * bits.detach().double().numpy().ravel() - 1)
    hazard = np.exp(-r * r / 2) / math.sqrt(2 * math.pi) / special.ndtr(r)
    assert np.abs(moments.grad.double().numpy().ravel() / (hazard) - 1).max() < 1e-4
