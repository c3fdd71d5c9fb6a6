"""Pruning: text in, text out, and the same traces of all that is read on random networks."""

from dataclasses import replace

import numpy as np
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from redundant import any_networks, assert_same_answers, input_spikes
from small import SPIKES, dense, network_of, population, shortened

from bitspike.convert.connections import Conv2d, Identity, SumPool2d
from bitspike.convert.network import VTH_MAX, Readout
from bitspike.convert.passes.prune import prune
from bitspike.convert.passes.table import size_of
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of


def test_dead_and_silent_neurons_go_and_so_do_their_synapses():
    """Of `a`, neuron 0 stays; 1 leads nowhere, 2 has one synapse and needs two, 3 is silent by its bias."""
    before = network_of(
        [population("a", 4, bias=[0, 0, 0, -200]), population("out", 2)],
        [
            dense("input", "a", [[1, 1, 1], [1, 1, 1], [1, -1, -1], [1, 1, 1]]),
            dense("a", "out", [[2, 0, 2, 3], [2, 0, 1, 1]]),
        ],
        SPIKES,
    )
    assert shortened(prune(before)) == [
        "network small steps=6",
        "input   input shape=3",
        "dense   input -> a 1x3 bits=1 values={-1,+1} exponent=0 delay=0",
        "lif     a shape=1 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   a -> out 2x1 bits=2 values=+2..+2 exponent=0 delay=0",
        "lif     out shape=2 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "readout out spike_count",
    ]
    assert prune(before).connections[0].weights.matrix().tolist() == [[1, 1, 1]]


def test_a_silent_neuron_silences_those_behind_it():
    """`b` could fire if `a` could; both go, and what is read stays, though nothing reaches it any more."""
    before = network_of(
        [population("a", 1, vth=3), population("b", 1), population("out", 2, bias=1)],
        [dense("input", "a", [[1, 1, 1]]), dense("a", "b", [[9]]), dense("b", "out", [[1], [1]])],
        SPIKES,
    )
    assert [p.name for p in prune(before).populations] == ["out"]
    assert prune(before).connections == ()


def test_a_loop_of_silent_neurons_is_silent():
    """Nothing comes in, so nothing goes round; a bias lets it go round for ever."""
    ring = [dense("a", "a", [[0, 9], [9, 0]], delay=1), dense("a", "out", [[1, 1]])]
    quiet = network_of([population("a", 2), population("out", 1, vth=0)], ring, SPIKES)
    assert [p.name for p in prune(quiet).populations] == ["out"]
    loud = quiet.with_populations((population("a", 2, bias=[100, 0]), quiet.populations[1]))
    assert prune(loud) is loud


def test_what_has_not_settled_is_not_taken_for_silent():
    """Fires after 11,000 steps, which no window of 6 shows."""
    slow = network_of([population("out", 1, dv=0, vth=11_000), population("last", 1, vth=0)],
                      [dense("input", "out", [[1, 0, 0]]), dense("out", "last", [[1]])],
                      (Readout(population="last", kind="spike_count"),))  # fmt: skip
    assert [p.name for p in prune(slow).populations] == ["out", "last"]


def test_whole_channels_go_where_windows_are_about():
    """Channel 1 of `a` leads nowhere; the pool drops its counterpart with it, the read-out keeps all."""
    kernels = np.zeros((2, 2, 1, 1), int)
    kernels[:, 0] = 1
    before = network_of(
        [population("a", 2, 2, 2), population("b", 2, 1, 1), population("out", 2, 1, 1)],
        [
            Conv2d(source="input", target="a", source_shape=(1, 2, 2), kernel=(1, 1), weights=weights_of([[2], [2]])),
            SumPool2d(source="a", target="b", source_shape=(2, 2, 2), kernel=(2, 2), stride=(2, 2)),
            Conv2d(source="b", target="out", source_shape=(2, 1, 1), kernel=(1, 1), exponent=1,
                   weights=weights_of(kernels.reshape(2, 2))),
        ],
        SPIKES,
        shape=(1, 2, 2),
    )  # fmt: skip
    after = prune(before)
    assert [p.shape for p in after.populations] == [(1, 2, 2), (1, 1, 1), (2, 1, 1)]
    assert [c.source_shape for c in after.connections] == [(1, 2, 2), (1, 2, 2), (1, 1, 1)]
    assert_same_answers(before, after, spikes_for(before, rate=0.6))


def test_an_identity_from_the_input_keeps_its_targets_and_an_empty_branch_goes_whole():
    before = network_of(
        [population("a", 3, vth=0), population("b", 3, vth=0), population("out", 1, vth=0)],
        [
            Identity(source="input", target="a", size=3),
            Identity(source="input", target="b", size=3),
            dense("a", "out", [[1, 0, 0]]),
        ],
        SPIKES,
    )
    after = prune(before)
    assert [(p.name, p.size) for p in after.populations] == [("a", 3), ("out", 1)]


def test_what_is_read_by_its_membrane_keeps_its_neurons():
    before = network_of(
        [population("out", 3, vth=VTH_MAX)],
        [dense("input", "out", [[1, 1, 1], [0, 0, 0], [1, 0, 0]])],
        (Readout(population="out", kind="membrane_sum"),),
    )
    assert prune(before) is before


def test_nothing_to_prune_gives_the_same_object():
    network = chain()
    assert prune(network) is network


@settings(max_examples=30)
@given(any_networks(), st.data())
def test_the_claim_on_random_networks(network, data):
    after = prune(network)
    assert check(after) is after
    assert prune(after) is after
    old, new = size_of(network), size_of(after)
    assert (new.neurons, new.synapses) <= (old.neurons, old.synapses)
    assert (after is network) == (old == new)
    spikes = data.draw(input_spikes(network))
    assert_same_answers(network, after, spikes)
    longer = data.draw(input_spikes(network, steps=network.steps + 5))
    if not np.any([p.dv == 0 or p.du == 0 for p in network.populations]):
        assert_same_answers(network, replace(after, steps=network.steps), longer)
