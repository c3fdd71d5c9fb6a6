"""Transformer blocks: attention by its definition, training, and feed-forward parts that collapse exactly."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from bitspike import collapse, verify
from bitspike.errors import UnsupportedError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim.engines.onnx_runtime import run as run_onnx
from bitspike.sim.reference import run_reference
from bitspike.train.attention import AttentionLayer
from bitspike.train.data import load_data
from bitspike.train.estimators import IWST
from bitspike.train.loop import time_first
from bitspike.train.registers import Neuron
from bitspike.train.transformer import BlockShape, TransformerBlock
from bitspike.train.transformer_model import SpikingTransformer, channel_by_channel

SMALL = BlockShape(channels=4, tokens=3, expansion=2, heads=2)
SAMPLES = 5


def randomised(block, seed, *, size=1.5):
    """Give a block random posteriors and biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return block


def random_spikes(seed, *, steps, neurons, sources=1, rate=0.5):
    draws = np.random.default_rng(seed).random((sources, steps, SAMPLES, neurons)) < rate
    return [torch.from_numpy(one).float() for one in draws]


def samples_first(spikes):
    """Bits, (samples, steps, neurons) in uint8, of several populations, their channels behind each other."""
    return torch.cat(spikes, dim=-1).numpy().transpose(1, 0, 2).astype(np.uint8)


@given(seed=st.integers(0, 10**6), heads=st.sampled_from([1, 2, 4]), shift=st.integers(0, 3), vth=st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_attention_is_the_products_of_bits_by_head_and_its_threshold_is_raised_by_the_scale(seed, heads, shift, vth):
    neuron = Neuron(vth=vth, dv=4096)
    layer = AttentionLayer(name="a", channels=4, tokens=3, heads=heads, shift=shift, neuron=neuron)
    steps = 2
    (spikes,) = random_spikes(seed, steps=steps, neurons=36, rate=0.7)
    query, key, value = spikes.numpy().astype(np.int64).reshape(steps, SAMPLES, 3, 4, 3).transpose(2, 0, 1, 3, 4)
    expected = np.zeros((steps, SAMPLES, 4, 3), np.int64)
    for head in np.split(np.arange(4), heads):
        for target in range(3):
            for other in range(3):
                score = (query[:, :, head, target] * key[:, :, head, other]).sum(-1)
                expected[:, :, head, target] += score[..., None] * value[:, :, head, other]
    assert np.array_equal(layer.summed(spikes, {}).numpy().reshape(expected.shape), expected)
    fired, _, _ = layer.evaluate(spikes, {})
    assert np.array_equal(fired.numpy().reshape(expected.shape), expected / 2**shift > vth)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("sources", [1, 3])
@pytest.mark.parametrize("method", ["map", "sample"])
def test_a_feed_forward_part_collapses_exactly(steps, sources, method):
    shape = dataclasses.replace(
        SMALL,
        shift=0,
        projection=Neuron(vth=0, dv=2048),
        attention=Neuron(vth=0, dv=2048),
        hidden=Neuron(vth=1, dv=512, du=2048),
        output=Neuron(vth=0, reset="subtract"),
    )
    block = randomised(TransformerBlock(shape, sources=sources, number=2), steps)
    spikes = random_spikes(steps, steps=steps, neurons=12, sources=sources)
    states = block.evaluate(spikes, block.collapsed_bits(7 if method == "sample" else None))
    network = collapse(block.feed_forward_network(steps=steps), method, seed=7)
    assert [p.shape for p in network.populations] == [(8, 3, 1), (4, 3, 1)]
    assert network.input.shape == (4 * (sources + 1), 3, 1)
    read = samples_first([*spikes, states["block_attention"][0].float()])
    assert states["block_attention"][0].any()
    for found in (run_reference(network, read), run_onnx(network, read)):
        for name in ("block_hidden", "block_output"):
            trace, expected = found.traces[name], [part.numpy().transpose(1, 0, 2) for part in states[name]]
            assert 0 < expected[0].mean() < 1
            for one, other in zip((trace.spikes, trace.u, trace.v), expected, strict=True):
                assert np.array_equal(one, other)


def test_a_feed_forward_part_has_any_number_of_tokens_and_is_verified():
    block = randomised(TransformerBlock(SMALL), 3)
    trained = block.feed_forward_network(6, steps=2)
    network = collapse(trained)
    spikes = (np.random.default_rng(0).random((SAMPLES, 2, 48)) < 0.5).astype(np.uint8)
    data = SpikeData(name="random", spikes=spikes, labels=np.zeros(SAMPLES, np.int64))
    found = verify(network, trained, data=data, engines=["reference", "torch", "onnx"])
    assert found.passed
    assert found.engines[1].compared > 0
    # Tokens do not hear each other: three of six are the block's own three.
    few = run_reference(
        collapse(block.feed_forward_network(steps=2)), spikes.reshape(SAMPLES, 2, 8, 6)[..., :3].reshape(SAMPLES, 2, 24)
    )
    many = run_reference(network, spikes).traces["block_output"].spikes.reshape(SAMPLES, 2, 4, 6)
    assert many.any()
    assert np.array_equal(few.traces["block_output"].spikes.reshape(SAMPLES, 2, 4, 3), many[..., :3])


@pytest.mark.parametrize("method", ["map", "sample"])
def test_a_whole_block_and_a_model_are_refused(method):
    model = SpikingTransformer(SMALL, inputs=4, depth=1, classes=2, temperature=1.0)
    for whole in (model.parts[0], model):
        with pytest.raises(UnsupportedError, match="no multiplication of two activities") as raised:
            collapse(whole, method)
        assert "attention: found products of spike trains" in str(raised.value)
        assert "keep the attention in torch and collapse block.feed_forward_network(tokens)" in str(raised.value)


def test_tokens_share_all_weights():
    block = randomised(TransformerBlock(SMALL), 5)
    (spikes,) = random_spikes(1, steps=3, neurons=12)
    order = [2, 0, 1]

    def permuted(one):
        return one.reshape(3, SAMPLES, -1, 3)[..., order].reshape(3, SAMPLES, -1)

    straight, turned = block.evaluate([spikes]), block.evaluate([permuted(spikes)])
    for name, states in straight.items():
        assert torch.equal(permuted(states[0]), turned[name][0])
    assert not torch.equal(straight["block_output"][0], turned["block_output"][0])


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("sources", [1, 2])
def test_a_certain_posterior_without_noise_is_the_evaluation(steps, sources):
    # Membranes without memory lie half a weight off every threshold.
    lone = Neuron(vth=1, dv=4096, bias_exponent=5)
    shape = dataclasses.replace(SMALL, projection=lone, attention=lone, hidden=lone, output=lone)
    block = randomised(TransformerBlock(shape, sources=sources), 6, size=200.0)
    with torch.no_grad():
        for layer in block.populations:
            layer.bias.fill_(0.5)
    spikes = random_spikes(8, steps=steps, neurons=12, sources=sources)
    mixed, output = block.noisy(spikes, torch.Generator().manual_seed(0), estimator=IWST(), floor=1e-4)
    states = block.evaluate(spikes)
    assert torch.equal(mixed, states["block_attention"][0].float())
    assert torch.equal(output, states["block_output"][0].float())
    assert 0 < mixed.mean() < 1
    assert 0 < output.mean() < 1


@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_reach_every_weight_and_bias(steps):
    model = SpikingTransformer(SMALL, inputs=4, depth=2, classes=3, temperature=4.0)
    model.initialise(0, spread=0.5)
    (spikes,) = random_spikes(0, steps=steps, neurons=12)
    logits = model.noisy(spikes, torch.Generator().manual_seed(0), estimator=IWST(alpha=0.5), floor=1.0)
    functional.cross_entropy(logits, torch.arange(SAMPLES) % 3).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_small_model_learns_the_digits_and_its_feed_forward_parts_collapse_exactly():
    steps, tokens = 2, 8
    parts = {part: load_data("digits", part=part, steps=steps) for part in ("train", "validation")}
    spikes = {part: channel_by_channel(data.spikes, tokens) for part, data in parts.items()}
    shape = BlockShape(channels=16, tokens=tokens, expansion=2, heads=2)
    model = SpikingTransformer(shape, inputs=8, depth=2, classes=10, temperature=20.0)
    model.initialise(0, spread=0.5)
    adam = torch.optim.Adam([{"params": model.locations()}, {"params": model.biases(), "lr": 0.02}], lr=0.03)
    generator = torch.Generator().manual_seed(0)
    inputs, labels = time_first(spikes["train"]), torch.from_numpy(parts["train"].labels.copy())
    losses = []
    for epoch in range(5):
        losses.append(0.0)
        for rows in torch.randperm(len(labels), generator=generator).split(64):
            logits = model.noisy(inputs[:, rows], generator, estimator=IWST(), floor=1.0, sharpness=1.0 + epoch)
            loss = functional.cross_entropy(logits, labels[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses[-1] += float(loss.detach()) * len(rows) / len(labels)
    assert losses[-1] < 0.6 * losses[0]
    values, classes = model.predict(spikes["validation"])
    assert values.shape == (180, 10)
    assert (classes == parts["validation"].labels).mean() > 0.5
    states = model.record(spikes["validation"])
    read = [states["stem"][0]]
    for block in model.parts:
        read.append(states[block.attention.name][0])
        record = run_reference(collapse(block.feed_forward_network(steps=steps)), np.concatenate(read, axis=2))
        for name, trace in record.traces.items():
            assert trace.spikes.any()
            for one, other in zip((trace.spikes, trace.u, trace.v), states[name], strict=True):
                assert np.array_equal(one, other)
        read.append(states[block.output.name][0])


def test_rows_of_an_image_become_tokens():
    spikes = np.arange(12, dtype=np.uint8).reshape(1, 2, 6)
    assert channel_by_channel(spikes, 2).tolist() == [[[0, 3, 1, 4, 2, 5], [6, 9, 7, 10, 8, 11]]]
    with pytest.raises(UsageError, match=r"tokens: found 4 for spikes of shape \(1, 2, 6\); expected a divisor"):
        channel_by_channel(spikes, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "heads: found 3; expected a divisor of the 4 channels"),
        ({"shift": 7}, "shift: found 7; expected 0 to 6"),
        ({"tokens": 1 << 14}, "heads: found 16384 tokens .* reach 32768; expected below 32768"),
        ({"attention": Neuron(vth=100_000)}, "shift: found 1 with a threshold of 100000"),
        ({"tokens": 0}, "tokens: found 0; expected 1 or more"),
        ({"output": Neuron(vth=1, spike="graded")}, "output.spike: found 'graded'; expected 'binary'"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        TransformerBlock(dataclasses.replace(SMALL, **change))


def test_impossible_arguments_are_refused():
    block = TransformerBlock(SMALL, sources=2)
    with pytest.raises(UsageError, match=r"block: found spikes of shapes \(1, 5, 12\); expected 2 of 12 neurons"):
        block.evaluate(random_spikes(0, steps=1, neurons=12))
    with pytest.raises(UsageError, match="tokens: found 0; expected 1 or more"):
        block.feed_forward_network(0)
    with pytest.raises(UsageError, match="sources: found 0; expected 1 or more"):
        TransformerBlock(SMALL, sources=0)
    with pytest.raises(UsageError, match="depth: found 0; expected 1 or more"):
        SpikingTransformer(SMALL, inputs=4, depth=0, classes=2, temperature=1.0)
    with pytest.raises(UsageError, match=r"found shape \(1, 1, 13\); expected bits, \(samples, steps, 12\)"):
        SpikingTransformer(SMALL, inputs=4, depth=1, classes=2, temperature=1.0).predict(np.ones((1, 1, 13), np.uint8))
    with pytest.raises(UsageError, match=r"found shape \(1, 1, 12\); expected bits, \(samples, steps, 36\)"):
        block.feed_forward_network().record(np.ones((1, 1, 12), np.uint8))
