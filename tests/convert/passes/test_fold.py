"""Folding and common thresholds: text in, text out, and the same spikes on random networks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from redundant import any_networks, assert_same_answers, fits, input_spikes, redundant
from small import SPIKES, dense, network_of, population, shortened
from strategies import networks

from bitspike.convert.connections import Identity, SumPool2d
from bitspike.convert.network import VTH_MAX, Readout
from bitspike.convert.passes.common import common
from bitspike.convert.passes.fold import fold
from bitspike.convert.passes.scale import rescaled, scalable
from bitspike.convert.rules import check


def one(matrix, *, exponent=0, readout="spike_count", **neuron):
    return network_of(
        [population("out", len(matrix), **neuron)],
        [dense("input", "out", matrix, exponent=exponent)],
        (Readout(population="out", kind=readout),),
    )


def test_a_common_factor_leaves_weights_bias_and_threshold():
    """All times 6; the threshold of 33 becomes 5: membranes of 36 and 30 weight units become 6 and 5."""
    before = one([[6, -12, 18], [0, 6, 6]], exponent=1, vth=33, dv=0, bias=[768, -1536])
    assert shortened(fold(before))[2:4] == [
        "dense   input -> out 2x3 bits=2 values=-2..+3 exponent=0 delay=0",
        "lif     out shape=2 du=4096 dv=0 vth=2 reset=zero start=0 bias=-128..64<<0",
    ]
    assert_same_answers(before, fold(before), spikes_for(before, rate=0.7), membranes=False)


@pytest.mark.parametrize(
    ("neuron", "after"),
    [
        # Whole weight units only: 7 / 2 is between two of them.
        ({"vth": 7}, "1x3 bits=2 values=-2..+3 exponent=0 delay=0 vth=3"),
        # A membrane that loses the threshold keeps its lattice only where that is divided too.
        ({"vth": 7, "reset": "subtract"}, "1x3 bits=2 values=-2..+3 exponent=1 delay=0 vth=7"),
        ({"vth": 8, "reset": "subtract"}, "1x3 bits=2 values=-2..+3 exponent=0 delay=0 vth=4"),
        # Truncation would fall differently.
        ({"vth": 8, "dv": 2048}, "1x3 bits=2 values=-2..+3 exponent=1 delay=0 vth=8"),
        ({"vth": 8, "du": 1}, "1x3 bits=2 values=-2..+3 exponent=1 delay=0 vth=8"),
        # 2 / 64 of bias between the lattice of the weights: 7.5 weight units do not lie on whole ones.
        ({"vth": 7, "bias": 2}, "1x3 bits=2 values=-2..+3 exponent=1 delay=0 vth=7"),
        ({"vth": 6, "bias": 2}, "1x3 bits=2 values=-2..+3 exponent=0 delay=0 vth=3"),
        # A payload is shifted by one bit less; without one to spare, all stays.
        ({"vth": 8, "spike": "graded", "shift": 2}, "1x3 bits=2 values=-2..+3 exponent=0 delay=0 vth=4 shift=1"),
        ({"vth": 8, "spike": "graded"}, "1x3 bits=2 values=-2..+3 exponent=1 delay=0 vth=8 shift=0"),
    ],
)
def test_a_factor_is_taken_out_only_where_no_spike_changes(neuron, after):
    before = network_of(
        [population("a", 1, **neuron), population("out", 1, vth=VTH_MAX)],
        [dense("input", "a", [[4, -4, 6]]), dense("a", "out", [[1]])],
        (Readout(population="out", kind="membrane_sum"),),
    )
    folded = fold(before)
    words = " ".join(shortened(folded)[2:4]).split()
    shown = [word for word in words if word.startswith(("1x3", "bits", "values", "exponent", "delay", "vth", "shift"))]
    assert " ".join(shown) == after
    assert_same_answers(before, folded, spikes_for(before, rate=0.6, samples=40), membranes=False)


def test_a_membrane_that_is_read_keeps_its_scale():
    before = one([[4, -4, 6]], readout="membrane_sum", vth=VTH_MAX)
    assert fold(before).population("out") is before.population("out")
    assert fold(before).connections[0].exponent == 1


def test_powers_of_two_go_into_the_exponent_and_leave_one_bit():
    before = one([[2, -2, 2]], exponent=6, dv=77)
    assert shortened(fold(before))[2] == "dense   input -> out 1x3 bits=1 values={-1,+1} exponent=7 delay=0"
    wide = one([[128, -128, 64]], exponent=6, dv=77)
    assert shortened(fold(wide))[2] == "dense   input -> out 1x3 bits=7 values=-64..+64 exponent=7 delay=0"


def test_an_identity_gives_its_scale_away_and_a_pool_its_exponent():
    before = network_of(
        [population("a", 1, 1, 3, vth=10), population("out", 1, 1, 1, vth=8)],
        [
            Identity(source="input", target="a", size=3, weight=-20, exponent=1),
            SumPool2d(source="a", target="out", source_shape=(1, 1, 3), kernel=(1, 3), exponent=3),
        ],
        SPIKES,
        shape=(1, 1, 3),
    )
    assert shortened(fold(before))[2:6] == [
        "identity input -> a 3 weight=-1 exponent=0 delay=0",
        "lif     a shape=1x1x3(3) du=4096 dv=4096 vth=0 reset=zero start=0 bias=0",
        "pool    a -> out 1x1x3->1x1x1 window=1x3 exponent=0 delay=0",
        "lif     out shape=1x1x1(1) du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
    ]


def test_nothing_to_fold_gives_the_same_object():
    network = chain()
    assert fold(network) is network


@settings(max_examples=30)
@given(any_networks(), st.data())
def test_the_claim_of_folding_on_random_networks(network, data):
    after = fold(network)
    assert check(after) is after
    assert fold(after) is after
    assert_same_answers(network, after, data.draw(input_spikes(network)), membranes=False)
    for new, old in zip(after.connections, network.connections, strict=True):
        assert getattr(new, "weights", None) is None or new.weights.bits <= old.weights.bits


def three(*thresholds, factor=1, **neuron):
    """Populations side by side, read together, whose weights are `factor` times their threshold."""
    names = [f"p{k}" for k in range(len(thresholds))]
    return network_of(
        [population(name, 2, vth=vth, **neuron) for name, vth in zip(names, thresholds, strict=True)],
        [dense("input", n, np.array([[1, 2, -1], [2, 3, 1]]) * factor) for n in names],
        [Readout(population=name, kind="spike_count") for name in names],
    )


def test_thresholds_become_equal_by_a_factor():
    before = three(1, 2, 4, dv=0)
    assert [p.vth for p in common(before).populations] == [4, 4, 4]
    assert [c.exponent for c in common(before).connections] == [2, 1, 0]
    assert_same_answers(before, common(before), spikes_for(before, rate=0.6), membranes=False)
    assert common(common(before)) == common(before)


def test_thresholds_become_equal_where_no_membrane_lies_between():
    """Weights of 4, 8 and 12: a threshold of 5 and one of 7 tell 4 from 8 alike; 8 does not."""
    before = three(5, 7, 8, factor=4)
    assert [p.vth for p in common(before).populations] == [5, 5, 8]
    assert common(before).connections == before.connections
    assert_same_answers(before, common(before), spikes_for(before, rate=0.6, samples=40), membranes=False)


@pytest.mark.parametrize(
    "network",
    [three(1, 2, dv=300), three(1, 2, du=9), three(3, 3), three(1, 1000, factor=3), chain()],
    ids=["a decay", "a current", "equal", "weights that do not fit", "a chain"],
)
def test_what_cannot_be_equal_stays_the_same_object(network):
    assert common(network) is network


def test_decays_part_the_groups():
    before = three(1, 2, 4, dv=0)
    apart = before.with_populations((*before.populations[:2], replace(before.populations[2], dv=4096)))
    assert [p.vth for p in common(apart).populations] == [2, 2, 4]


@st.composite
def stretched(draw):
    """Populations that share a threshold, some of them stretched since."""
    several = networks(populations=(3, 5), neurons=5, inputs=(1, 2), heads=True, graded=draw(st.booleans()))
    network = draw(several.flatmap(lambda drawn: redundant(drawn, alike=True)))
    parameters = {"du": 4096, "dv": 4096, "reset": draw(st.sampled_from(["zero", "subtract"]))}
    network = network.with_populations(
        tuple(replace(p, **parameters, vth=max(4, 1 << p.shift) if p.spiking else p.vth) for p in network.populations)
    )
    for name in draw(st.sets(st.sampled_from([p.name for p in network.populations]))):
        p = network.population(name)
        factor = draw(st.sampled_from([2, 3, 4, Fraction(1, 2)]))
        network = (rescaled(network, p, Fraction(factor)) if scalable(network, p) else None) or network
    check(network)
    assume(fits(network))
    return network


@settings(max_examples=30)
@given(stretched(), st.data())
def test_the_claim_of_common_thresholds_on_random_networks(network, data):
    after = common(network)
    event(f"changed: {after is not network}")
    assert check(after) is after
    assert fits(after)
    assert len({p.vth for p in after.populations}) <= len({p.vth for p in network.populations})
    assert_same_answers(network, after, data.draw(input_spikes(network)), membranes=False)
