"""Splitting: text in, text out, and every neuron's trace on random networks."""

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from redundant import any_networks, input_spikes
from small import SPIKES, dense, network_of, population, shortened

from bitspike.convert.connections import Conv2d, Identity, SumPool2d
from bitspike.convert.passes.blocks import spatial
from bitspike.convert.passes.split import parts_of, split
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError, UsageError
from bitspike.sim.reference import run_reference


def test_dense_layers_are_cut_by_rows_and_columns_and_identities_by_parts():
    before = network_of(
        [population("a", 5), population("b", 5), population("out", 3)],
        [
            dense("input", "a", np.arange(15).reshape(5, 3)),
            Identity(source="a", target="b", size=5, weight=3, delay=2),
            dense("b", "out", [[0, 0, 1, 1, 1], [0, 0, 1, 0, 1], [1, 0, 0, 0, 0]], delay=1),
        ],
        SPIKES,
    )
    assert shortened(split(before, 2)) == [
        "network small steps=6",
        "input   input shape=3",
        "dense   input -> a_0 1x3 bits=2 values=+0..+2 exponent=0 delay=0",
        "lif     a_0 shape=1 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   input -> a_1 2x3 bits=4 values=+3..+8 exponent=0 delay=0",
        "lif     a_1 shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   input -> a_2 2x3 bits=4 values=+9..+14 exponent=0 delay=0",
        "lif     a_2 shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "identity a_0 -> b_0 1 weight=+3 exponent=0 delay=2",
        "lif     b_0 shape=1 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "identity a_1 -> b_1 2 weight=+3 exponent=0 delay=2",
        "lif     b_1 shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "identity a_2 -> b_2 2 weight=+3 exponent=0 delay=2",
        "lif     b_2 shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   b_1 -> out_0 1x2 bits=1 values={0,+1} exponent=0 delay=1",
        "dense   b_2 -> out_0 1x2 bits=1 values={-1,+1} exponent=0 delay=1",
        "lif     out_0 shape=1 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   b_0 -> out_1 2x1 bits=1 values={0,+1} exponent=0 delay=1",
        "dense   b_1 -> out_1 2x2 bits=1 values={0,+1} exponent=0 delay=1",
        "dense   b_2 -> out_1 2x2 bits=1 values={0,+1} exponent=0 delay=1",
        "lif     out_1 shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "readout out_0 spike_count",
        "readout out_1 spike_count",
    ]


def test_windows_are_cut_by_whole_channels():
    random = np.random.default_rng(3)
    before = network_of(
        [population("a", 4, 2, 2), population("b", 4, 1, 1), population("out", 2)],
        [
            Conv2d(source="input", target="a", source_shape=(2, 3, 3), kernel=(2, 2), groups=2,
                   weights=weights_of(random.choice([-1, 1], (4, 4)))),
            SumPool2d(source="a", target="b", source_shape=(4, 2, 2), kernel=(2, 2)),
            dense("b", "out", random.integers(-3, 4, (2, 4))),
        ],
        SPIKES,
        shape=(2, 3, 3),
    )  # fmt: skip
    after = split(before, 8)
    assert [(p.name, p.shape) for p in after.populations] == [
        ("a_0", (2, 2, 2)), ("a_1", (2, 2, 2)), ("b_0", (2, 1, 1)), ("b_1", (2, 1, 1)), ("out", (2,)),
    ]  # fmt: skip
    assert [(c.kind, c.source, c.target) for c in after.connections] == [
        ("conv", "input", "a_0"), ("conv", "input", "a_1"), ("pool", "a_0", "b_0"), ("pool", "a_1", "b_1"),
        ("dense", "b_0", "out"), ("dense", "b_1", "out"),
    ]  # fmt: skip
    spikes = spikes_for(before, rate=0.6)
    one, other = run_reference(before, spikes), run_reference(after, spikes)
    assert np.array_equal(one.scores(before), other.scores(after))


def test_a_channel_is_never_cut():
    before = network_of(
        [population("out", 2, 1, 3)],
        [SumPool2d(source="input", target="out", source_shape=(2, 1, 4), kernel=(1, 2))],
        SPIKES,
        shape=(2, 1, 4),
    )
    with pytest.raises(UnsupportedError, match="population out: a channel of 3 neurons; parts of at most 2 hold"):
        split(before, 2)
    with pytest.raises(UsageError, match="neurons 0; expected 1 or more"):
        split(before, 0)


def test_names_that_are_taken_are_left_alone():
    before = network_of(
        [population("a", 3), population("a_0", 1), population("out", 1)],
        [dense("input", "a", np.eye(3, dtype=int)), dense("a", "a_0", [[1, 1, 1]]), dense("a_0", "out", [[1]])],
        SPIKES,
    )
    assert [p.name for p in split(before, 2).populations] == ["a__0", "a_1", "a_0", "out"]


def test_nothing_to_split_gives_the_same_object():
    network = chain()
    assert split(network, 9) is network
    assert split(network) is network


@settings(max_examples=30)
@given(any_networks(), st.data())
def test_the_claim_on_random_networks(network, data):
    by_channel = spatial(network)
    channels = [p.size // p.shape[0] for p in network.populations if p.name in by_channel]
    neurons = data.draw(st.integers(max([1, *channels]), max([2, *channels, *(p.size for p in network.populations)])))
    after = split(network, neurons)
    assert check(after) is after
    assert split(after, neurons) is after
    assert max(p.size for p in after.populations) <= neurons
    spikes = data.draw(input_spikes(network))
    one, other = run_reference(network, spikes), run_reference(after, spikes)
    for p in network.populations:
        parts = parts_of(network, neurons)[p.name]
        for quantity in ("u", "v", "spikes"):
            joined = np.concatenate([getattr(other.traces[name], quantity) for name, _ in parts], axis=2)
            assert np.array_equal(joined, getattr(one.traces[p.name], quantity))
    for answer in network.answers():
        assert np.array_equal(one.scores(network, answer), other.scores(after, answer))
