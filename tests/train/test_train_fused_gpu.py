"""The kernels for a GPU against the definition and against those of a CPU.

Where torch finds no CUDA device, Triton's own interpreter runs the same kernels on the processor.
"""

import pytest
import torch
from populations import ESTIMATORS, NARROW, SILENT, check_means_alone, check_moments, check_recurrent, inputs
from triton_here import DEVICE, needs_triton

from bitspike.train import fused_gpu
from bitspike.train.estimators import IWST
from bitspike.train.fused import can_run, fused_population
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.population import Settings
from bitspike.train.processes import Share
from bitspike.train.registers import Neuron

pytestmark = needs_triton


def run(moments, bias, keys, *, recurrent=None, neuron, estimator, summed=False, share=None):
    settings = Settings(neuron=neuron, estimator=estimator, floor=0.5, summed=summed, share=share)
    there = [None if one is None else one.to(DEVICE) for one in (moments, bias, keys, recurrent)]
    bits, squares = fused_gpu.population(*there[:3], settings, there[3])
    return bits.cpu(), squares.cpu()


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_bits_and_gradients_are_those_of_the_definition(reset, estimator, du, dv, factor):
    check_moments(run, neuron=Neuron(du=du, dv=dv, vth=2, reset=reset), estimator=estimator, factor=factor)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("du", "dv"), [(4096, 0), (4096, 700), (1000, 700), (0, 0)])
@pytest.mark.parametrize("neurons", [5, 300])
@pytest.mark.parametrize("factor", [0.0, 1e-3])
def test_means_alone_are_a_population_of_the_floors_width(reset, du, dv, neurons, factor):
    neuron = Neuron(du=du, dv=dv, vth=2, reset=reset)
    check_means_alone(run, neuron=neuron, factor=factor, neurons=neurons)


@pytest.mark.parametrize("estimator", [*ESTIMATORS[:2], SILENT], ids=str)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_recurrent_population_is_that_of_the_definition(estimator, reset):
    check_recurrent(run, neuron=Neuron(du=1000, dv=700, vth=2, reset=reset), estimator=estimator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("noise", [Gaussian(), Logistic(), Silent()], ids=str)
def test_a_gpu_draws_the_bits_that_a_processor_draws(noise, dtype):
    """The noise is the same function of keys and places; only what lies within rounding of a threshold may differ."""
    mean, variance, bias, weights, keys = inputs(300, seed=2)
    neuron = Neuron(dv=500, vth=2)
    estimator = SILENT if isinstance(noise, Silent) else IWST(noise=noise)
    share = Share(start=1, stop=4, batch=9)
    results = []
    for one in (run, lambda *args, **named: fused_population(*args, floor=0.5, **named)):
        moments = torch.cat([mean, variance], dim=-1).to(dtype).requires_grad_()
        bits, _ = one(moments, bias, keys, neuron=neuron, estimator=estimator, share=share)
        assert bits.dtype == dtype
        (weights.to(dtype) * bits).float().sum().backward()
        results.append((bits.detach(), moments.grad.float()))
    (bits, gradients), (bits_too, gradients_too) = results
    assert int((bits != bits_too).sum()) <= 3
    same = (bits == bits_too).all(0).repeat(1, 2)
    torch.testing.assert_close(gradients[:, same], gradients_too[:, same], rtol=2e-2, atol=2e-2)


def test_wrong_bits_would_be_seen():
    """What the tests above compare with: another threshold gives other bits."""
    mean, _, bias, _, keys = inputs(300)
    one, other = (run(mean, bias, keys, neuron=Neuron(vth=vth), estimator=NARROW)[0] for vth in (2, 3))
    assert int((one != other).sum()) > 100


def test_without_a_c_compiler_the_definition_runs(monkeypatch):
    """Triton would fail at its first kernel."""
    estimator, gpu = IWST(), torch.device("cuda")
    for compiler in ("/usr/bin/cc", None):
        monkeypatch.setattr(fused_gpu.shutil, "which", lambda _, compiler=compiler: compiler)
        fused_gpu.there.cache_clear()
        assert can_run(estimator, gpu) == (compiler is not None)
    fused_gpu.there.cache_clear()
