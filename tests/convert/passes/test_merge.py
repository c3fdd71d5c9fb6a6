"""Merging: text in, text out, and the same traces of all that is read on random networks."""

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from redundant import any_networks, assert_same_answers, input_spikes
from small import SPIKES, dense, network_of, population, shortened

from bitspike.convert.connections import Conv2d, Identity
from bitspike.convert.network import Readout
from bitspike.convert.passes.merge import merge
from bitspike.convert.passes.table import size_of
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights, weights_of


def test_duplicates_become_one_and_their_outgoing_weights_add():
    """Neurons 0 and 2 of `a` are the same; 1 has another bias and 3 other weights."""
    before = network_of(
        [population("a", 4, bias=[1, 2, 1, 1]), population("out", 2)],
        [
            dense("input", "a", [[1, -1, 1], [1, -1, 1], [1, -1, 1], [1, 1, 1]]),
            dense("a", "out", [[1, -1, 1, 1], [-1, -1, 1, 1]]),
        ],
        SPIKES,
    )
    after = merge(before)
    assert shortened(after)[2:5] == [
        "dense   input -> a 3x3 bits=1 values={-1,+1} exponent=0 delay=0",
        "lif     a shape=3 du=4096 dv=4096 vth=1 reset=zero start=0 bias=1..2<<0",
        "dense   a -> out 2x3 bits=2 values=-1..+2 exponent=0 delay=0",
    ]
    assert after.connections[1].weights.matrix().tolist() == [[2, -1, 1], [0, -1, 1]]
    assert after.population("a").bias_mantissa.tolist() == [1, 2, 1]


def test_duplicates_of_duplicates_are_found():
    """Rows of `b` that differ only in which of two equal neurons of `a` they read; and twins in a ring."""
    before = network_of(
        [population("a", 2, vth=0), population("b", 2), population("out", 1)],
        [
            dense("input", "a", [[1, 1, 1]] * 2),
            dense("a", "b", [[3, 0], [1, 2]]),
            dense("b", "b", [[0, 1], [1, 0]], delay=1),
            dense("b", "out", [[1, 1]]),
        ],
        SPIKES,
    )
    after = merge(before)
    assert [p.size for p in after.populations] == [1, 1, 1]
    assert [c.weights.matrix().tolist() for c in after.connections] == [[[1, 1, 1]], [[3]], [[1]], [[2]]]
    assert_same_answers(before, after, spikes_for(before, rate=0.5))


@pytest.mark.parametrize(("weight", "left"), [(63, 1), (127, 2), (200, 4)])
def test_sums_beyond_nine_bits_keep_some_apart(weight, left):
    before = network_of(
        [population("a", 4), population("out", 1)],
        [dense("input", "a", [[1, 1, 1]] * 4), dense("a", "out", [[weight] * 4])],
        SPIKES,
    )
    after = merge(before)
    assert after.population("a").size == left
    assert after.connections[1].weights.matrix().tolist() == [[4 * weight // left] * left]
    assert (after is before) == (left == 4)


def test_equal_channels_are_merged_where_windows_are_about():
    kernel = np.array([[1, 0, 2, 1], [0, 0, 1, 1], [1, 0, 2, 1]])
    before = network_of(
        [population("a", 3, 1, 2, bias=[0, 5, 0, 0, 0, 5]), population("out", 2)],
        [
            Conv2d(source="input", target="a", source_shape=(1, 2, 3), kernel=(2, 2), weights=weights_of(kernel)),
            dense("a", "out", np.arange(12).reshape(2, 6)),
        ],
        SPIKES,
        shape=(1, 2, 3),
    )
    after = merge(before)
    assert after.population("a").shape == (2, 1, 2)
    assert after.connections[1].weights.matrix().tolist() == [[0 + 4, 1 + 5, 2, 3], [6 + 10, 7 + 11, 8, 9]]
    assert_same_answers(before, after, spikes_for(before, rate=0.6))


def test_what_is_read_or_has_an_identity_is_left_as_it_is():
    twins = [dense("input", "a", [[1, 1, 1]] * 3), dense("a", "out", [[1, 1, 1]])]
    read = network_of([population("a", 3), population("out", 1)], twins, (Readout(population="a", kind="spike_count"),))
    assert merge(read) is read
    around = [*twins, Identity(source="a", target="a", size=3, delay=1)]
    assert merge(network_of(read.populations, around, SPIKES)).population("a").size == 3
    assert merge(network_of(read.populations, twins, SPIKES)).population("a").size == 1


def test_nothing_to_merge_gives_the_same_object():
    network = chain()
    assert merge(network) is network


def test_one_bit_weights_stay_so_where_none_are_added():
    before = network_of(
        [population("a", 2), population("b", 2), population("out", 1)],
        [dense("input", "a", [[1, -1, 1], [1, 1, 1]]), dense("a", "b", [[1, -1]] * 2), dense("b", "out", [[1, 1]])],
        SPIKES,
    )
    bits = [c.weights.bits for c in merge(before).connections]
    assert bits == [1, 1, 2]
    assert isinstance(merge(before).connections[2].weights, IntegerWeights)


@settings(max_examples=30)
@given(any_networks(), st.data())
def test_the_claim_on_random_networks(network, data):
    after = merge(network)
    assert check(after) is after
    assert merge(after) is after
    assert (after is network) == (size_of(after).neurons == size_of(network).neurons)
    assert_same_answers(network, after, data.draw(input_spikes(network)))
