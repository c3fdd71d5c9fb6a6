"""Inputs of one population, and how a compiled one is compared with its definition."""

import torch

from bitspike.train.dynamics import noisy_population
from bitspike.train.estimators import IWST
from bitspike.train.noise import Logistic, Silent
from bitspike.train.recurrence import noisy_recurrent_population
from bitspike.train.surrogates import Surrogate

STEPS, SAMPLES = 7, 3
SILENT = Surrogate(function="atan", slope=1.5, noise=Silent())
NARROW = Surrogate(function="atan", slope=1.5, noise=Silent(), width="floor")
ESTIMATORS = [IWST(), IWST(alpha=0.5), IWST(alpha=0.2, noise=Logistic()), IWST(noise=Logistic()), SILENT]


def inputs(neurons, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(STEPS, SAMPLES, neurons, generator=generator) * 2 + 0.5
    variance = torch.randn(STEPS, SAMPLES, neurons, generator=generator).square()
    bias = torch.randn(neurons, generator=generator)
    weights = torch.randn(STEPS, SAMPLES, neurons, generator=generator)
    return mean, variance, bias, weights, torch.tensor([3, 4 + seed])


def forced(bits, estimator):
    """Noise so strong that it alone decides, for the bits that were drawn; none where there is none."""
    return torch.zeros_like(bits) if estimator is SILENT else (2.0 * bits - 1.0) * 1e6


def compare(fused, defined, leaves, weights, factor):
    """Bits equal, and gradients that are the same up to single precision."""
    results = []
    bits = None
    for run in (fused, defined):
        copies = [leaf.clone().requires_grad_() for leaf in leaves]
        bits, squares = run(copies, bits)
        ((weights * bits).sum() + factor * squares).backward()
        results.append((bits.detach(), squares.detach(), [one.grad for one in copies]))
    (bits, squares, found), (bits_too, squares_too, expected) = results
    assert 0 < float(bits.mean()) < 1
    assert torch.equal(bits, bits_too)
    if factor:
        torch.testing.assert_close(squares, squares_too, rtol=1e-4, atol=1e-4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)


def check_moments(run, *, neuron, estimator, factor, neurons=5):
    """Compare `run`, of moments, biases and keys with a floor of 0.5, with the definition, for means and variances."""
    mean, variance, bias, weights, keys = inputs(neurons)

    def fused(leaves, _):
        moments = torch.cat(leaves[:2], dim=-1)
        return run(moments, leaves[2], keys, neuron=neuron, estimator=estimator, summed=factor > 0)

    def defined(leaves, bits):
        bits, ratios = noisy_population(
            *leaves, forced(bits.detach(), estimator), neuron=neuron, estimator=estimator, floor=0.5
        )
        return bits, ratios.square().sum()

    compare(fused, defined, [mean, variance, bias], weights, factor)


def check_means_alone(run, *, neuron, factor, neurons):
    """The same for means alone, whose surrogate has the floor's width."""
    mean, _, bias, weights, keys = inputs(neurons)

    def fused(leaves, _):
        return run(*leaves, keys, neuron=neuron, estimator=NARROW, summed=factor > 0)

    def defined(leaves, _):
        none = torch.zeros_like(mean)
        bits, ratios = noisy_population(leaves[0], none, leaves[1], none, neuron=neuron, estimator=NARROW, floor=0.5)
        return bits, ratios.square().sum()

    compare(fused, defined, [mean, bias], weights, factor)


def check_recurrent(run, *, neuron, estimator):
    """The same for a population that hears its own bits of the step before."""
    mean, variance, bias, weights, keys = inputs(6, seed=1)
    recurrent = torch.tanh(torch.randn(6, 6, generator=torch.Generator().manual_seed(9)))

    def fused(leaves, _):
        moments, feedback = torch.cat(leaves[:2], dim=-1), torch.cat([leaves[3], 1 - leaves[3].square()])
        return run(moments, leaves[2], keys, neuron=neuron, estimator=estimator, recurrent=feedback, summed=True)

    def defined(leaves, bits):
        bits, ratios = noisy_recurrent_population(
            *leaves[:3], forced(bits.detach(), estimator), leaves[3], neuron=neuron, estimator=estimator, floor=0.5
        )
        return bits, ratios.square().sum()

    compare(fused, defined, [mean, variance, bias, recurrent], weights, 0.2)
