"""The torch evaluation against a loop in plain integers, for equality: every spike, current and membrane."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import RangeError, UsageError
from bitspike.train.layers import DenseLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.registers import NEVER, Neuron


def truncated(value, bits):
    return (abs(value) >> bits) * (1 if value >= 0 else -1)


def plain(spikes, layers):
    """Run one sample through (weights, neuron, mantissas) in the same step; return {number: (s, u, v)} as lists."""
    record = {number: ([], [], []) for number in range(len(layers))}
    state = [([0] * len(mantissas), [0] * len(mantissas)) for _, _, mantissas in layers]
    for step in spikes.tolist():
        before = step
        for number, (weights, neuron, mantissas) in enumerate(layers):
            u, v = state[number]
            fired = []
            for n, row in enumerate(weights.tolist()):
                a = sum(w for w, s in zip(row, before, strict=True) if s)
                u[n] = truncated(u[n] * (4096 - neuron.du), 12) + 64 * a
                v[n] = truncated(v[n] * (4096 - neuron.dv), 12) + u[n] + (int(mantissas[n]) << neuron.bias_exponent)
                fired.append(int(v[n] > 64 * neuron.vth))
                if fired[n]:
                    v[n] = 0 if neuron.reset == "zero" else v[n] - 64 * neuron.vth
            for kept, now in zip(record[number], (fired, u, v), strict=True):
                kept.append(list(now))
            before = fired
    return record


neurons = st.builds(
    Neuron,
    du=st.one_of(st.just(4096), st.integers(0, 4096)),
    dv=st.integers(0, 4096),
    vth=st.one_of(st.integers(0, 6), st.just(NEVER)),
    reset=st.sampled_from(["zero", "subtract"]),
    bias_exponent=st.integers(0, 7),
)


@given(
    seed=st.integers(0, 2**32 - 1),
    first=neurons,
    second=neurons,
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4)),
    steps=st.integers(1, 12),
)
def test_torch_equals_plain_integers(seed, first, second, sizes, steps):
    rng = np.random.default_rng(seed)
    layers = []
    for at, neuron in enumerate((first, second)):
        layer = DenseLayer(name=f"layer{at}", inputs=sizes[at], neurons=sizes[at + 1], neuron=neuron)
        with torch.no_grad():
            layer.natural.copy_(torch.from_numpy(rng.standard_normal(layer.natural.shape)))
            layer.bias.copy_(torch.from_numpy(rng.integers(-9, 10, sizes[at + 1]) * neuron.bias_unit))
        layers.append(layer)
    model = SpikingNetwork(layers, steps=steps, readout="spike_count", temperature=1.0)
    spikes = (rng.random((2, steps, sizes[0])) < 0.6).astype(np.uint8)
    bits = model.sample_bits(seed)
    found = model.record(spikes, bits)
    for sample in range(len(spikes)):
        expected = plain(spikes[sample], [(bits[one.name], one.neuron, one.bias_mantissa()) for one in layers])
        for at, layer in enumerate(layers):
            for array, values in zip(found[layer.name], expected[at], strict=True):
                assert np.array_equal(array[sample], np.array(values))


def small(readout="spike_count", vth=2, **options):
    layer = DenseLayer(name="output", inputs=3, neurons=2, neuron=Neuron(vth=vth, **options))
    return SpikingNetwork([layer], steps=4, readout=readout, temperature=2.0)


def test_record_has_the_promised_types_and_shapes():
    spikes, u, v = small().record(np.ones((5, 4, 3), dtype=np.uint8))["output"]
    assert (spikes.dtype, u.dtype, v.dtype) == (np.uint8, np.int32, np.int32)
    assert spikes.shape == u.shape == v.shape == (5, 4, 2)


def test_the_threshold_is_strict_and_sign_of_zero_is_plus():
    model = small(vth=3)
    assert set(model.map_bits()["output"].flatten().tolist()) == {1}
    spikes, _, v = model.record(np.ones((1, 4, 3), dtype=np.uint8))["output"]
    assert spikes[0, :, 0].tolist() == [0, 1, 0, 1]
    assert v[0, :, 0].tolist() == [192, 0, 192, 0]


def test_read_outs_are_integers_and_ties_go_to_the_lowest_class():
    ones = np.ones((1, 4, 3), dtype=np.uint8)
    counts, classes = small().predict(ones)
    assert (counts.tolist(), classes.tolist()) == ([[4, 4]], [0])
    total, _ = small("membrane_sum", vth=NEVER).predict(ones)
    last, _ = small("membrane_last", vth=NEVER).predict(ones)
    assert total.tolist() == [[192 * 10] * 2]
    assert last.tolist() == [[192 * 4] * 2]
    assert total.dtype == last.dtype == classes.dtype == np.int64
    assert small("membrane_sum", vth=NEVER).logits(total).tolist() == [[15.0, 15.0]]


def test_a_register_that_leaves_its_width_is_refused():
    model = small("membrane_sum", vth=NEVER)
    with torch.no_grad():
        model.populations[0].bias.fill_(4095.0)
    with pytest.raises(RangeError) as caught:
        model.record(np.ones((1, 40, 3), dtype=np.uint8))
    assert str(caught.value) == ("output: membrane at step 31 is 8392704; the register holds -8388608 to 8388607")


@pytest.mark.parametrize(
    ("spikes", "bits", "message"),
    [
        (np.zeros((1, 4, 2), np.uint8), None, "input spikes: found shape (1, 4, 2); expected (samples, steps, 3)"),
        (np.full((1, 4, 3), 2, np.uint8), None, "input spikes: found a value other than 0 and 1"),
        (np.zeros((1, 4, 3), np.uint8), {"x": 1}, "weights: found layers x; expected output"),
        (
            np.zeros((1, 4, 3), np.uint8),
            {"output": np.ones((3, 2))},
            "weights of output: found shape (3, 2); expected (2, 3)",
        ),
        (
            np.zeros((1, 4, 3), np.uint8),
            {"output": np.zeros((2, 3))},
            "weights of output: found a value other than -1 and +1",
        ),
    ],
)
def test_wrong_arguments_are_told(spikes, bits, message):
    with pytest.raises(UsageError) as caught:
        small().record(spikes, bits)
    assert str(caught.value) == message


def test_biases_round_to_mantissas_and_clip():
    layer = DenseLayer(name="output", inputs=1, neurons=4, neuron=Neuron(bias_exponent=6))
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.4, -1.6, 9999.0, -9999.0]))
    assert layer.bias_mantissa().tolist() == [1, -2, 4095, -4096]
    rounded = layer.rounded_bias()
    assert rounded.tolist() == [1.0, -2.0, 4095.0, -4096.0]
    rounded.sum().backward()
    assert layer.bias.grad.tolist() == [1.0] * 4


def test_sampled_bits_follow_the_posterior_and_the_seed():
    layer = DenseLayer(name="output", inputs=2000, neurons=3, neuron=Neuron())
    with torch.no_grad():
        layer.natural.copy_(torch.tensor([[20.0], [-20.0], [0.5]]).expand(3, 2000))
    model = SpikingNetwork([layer], steps=1, readout="membrane_sum", temperature=1.0)
    bits = model.sample_bits(3)["output"]
    assert bits.dtype == np.int8
    assert bits[:2].sum(axis=1).tolist() == [2000, -2000]
    assert bits[2].mean() == pytest.approx(np.tanh(0.5), abs=0.06)
    assert np.array_equal(bits, model.sample_bits(3)["output"])
    assert not np.array_equal(bits, model.sample_bits(4)["output"])
