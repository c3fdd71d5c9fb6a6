"""The torch form is the reference on every value; here on torch's CPU device, which runs the same operations."""

import numpy as np
import pytest
from fast_support import assert_same_traces
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.connections import Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import MissingDependencyError, UnsupportedError, UsageError
from bitspike.sim.engines import ENGINES, gpu
from bitspike.sim.reference import run_reference
from bitspike.sim.run import simulate

torch = pytest.importorskip("torch")
ANY = st.one_of(networks(graded=True, inputs=(1, 2), heads=True), spatial_networks(graded=True), spatial_networks())


def assert_equal(network, spikes, device):
    assert_same_traces(run_reference(network, spikes), gpu.run(network, spikes, device=device))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_kind_of_network(data):
    network = data.draw(ANY)
    assert_equal(network, data.draw(spikes_for(network, samples=(1, 3))), "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_kind_of_network_on_cuda(data):
    network = data.draw(ANY)
    assert_equal(network, data.draw(spikes_for(network, samples=(1, 3))), "cuda")


def one(weight=1, **options) -> IntegerNetwork:
    names = ("input", "first", "second")
    first, second = (
        Population(name=name, shape=(1,), dv=300, vth=2, bias_mantissa=np.zeros(1, np.int32), **options)
        for name in names[1:]
    )
    return IntegerNetwork(
        name="one",
        steps=3,
        inputs=(Input(name="input", shape=(1,)),),
        populations=(first, second),
        connections=tuple(
            Dense(source=names[i], target=names[i + 1], weights=weights_of(np.array([[weight]]))) for i in range(2)
        ),
        readouts=(Readout(population="second", kind="spike_count"),),
    )


def test_tiles_are_joined(monkeypatch):
    monkeypatch.setattr(gpu, "TILE", 1)
    assert_equal(one(weight=3), np.array([[[1], [0], [1]], [[0], [1], [1]]], np.uint8), "cpu")


def test_sums_that_a_float_might_not_hold_are_refused(monkeypatch):
    monkeypatch.setattr(gpu, "_FLOAT64", 3)
    with pytest.raises(UnsupportedError, match="connection input -> first: sums up to 3; the gpu engine holds 3"):
        gpu.run(one(weight=3), np.ones((1, 3, 1), np.uint8), device="cpu")


def test_without_a_device_one_line_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device 'cuda', but torch finds no CUDA device; expected one, or engine fast"):
        gpu.run(one(), np.ones((1, 3, 1), np.uint8))
    monkeypatch.setenv("PATH", "")
    assert not ENGINES["gpu"].available
    with pytest.raises(
        MissingDependencyError,
        match="engine gpu is not installed; run: python -m pip install torch, with an NVIDIA driver",
    ):
        simulate(one(), np.ones((1, 3, 1), np.uint8), engine_name="gpu")
