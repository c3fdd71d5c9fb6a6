"""Bias hold-back: recurrent networks with strong biases in chip time, with a staggered reset and without."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from redundant import fits, input_spikes, retimed
from small import SPIKES, dense, network_of, population, shortened
from strategies import spatial_networks

from bitspike.convert.passes.hold import hold
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.errors import UnsupportedError
from bitspike.sim.reference import run_reference


def loop(**neuron):
    """A recurrent population whose first neuron fires by its bias alone."""
    return network_of(
        [population("a", 2, dv=300, **({"bias": [3 * 64 + 5, -70]} | neuron)), population("out", 1)],
        [dense("input", "a", [[1, 1, 1], [1, -1, 1]]), dense("a", "a", [[1, -2], [2, 1]], delay=1),
         dense("a", "out", [[1, 1]])],
        SPIKES,
    )  # fmt: skip


def assert_same(before, after, spikes, names=None):
    """Spikes and membranes of every population of `before`."""
    one, other = run_reference(before, spikes), run_reference(after, spikes)
    for p in before.populations:
        assert np.array_equal(one.traces[p.name].spikes, other.traces[p.name].spikes)
        assert np.array_equal(one.traces[p.name].v, other.traces[p.name].v)


def test_a_clock_brings_the_whole_weight_units():
    assert shortened(hold(loop())) == [
        "network small steps=6",
        "input   input shape=3",
        "lif     clock shape=1 du=4096 dv=4096 vth=0 reset=zero start=0 bias=1..1<<0",
        "dense   input -> a 2x3 bits=1 values={-1,+1} exponent=0 delay=0",
        "dense   a -> a 2x2 bits=2 values=-2..+2 exponent=0 delay=1",
        "dense   clock -> a 2x1 bits=3 values=-1..+4 exponent=0 delay=0",
        "lif     a shape=2 du=4096 dv=300 vth=1 reset=zero start=0 bias=-59..-6<<0",
        "dense   a -> out 1x2 bits=1 values={-1,+1} exponent=0 delay=0",
        "lif     out shape=1 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "readout out spike_count",
    ]


def test_a_recurrent_network_with_a_bias_can_then_be_retimed():
    network, spikes = loop(), spikes_for(loop(), samples=20)
    with pytest.raises(UnsupportedError, match="connection a -> a has a delay of 1 and a has, or is fed by, a bias"):
        retime(network)
    chip = retime(hold(network))
    assert [(c.target, c.delay) for c in chip.outgoing("clock")] == [("a", 1)]
    assert_same(network, chip, spikes)


def test_without_it_the_early_spike_would_count():
    """What retiming refuses, done all the same: the bias fires in step 0 and arrives in the first step of the input."""
    network, spikes = loop(), spikes_for(loop(), samples=20)
    quiet = network.with_populations((replace(network.populations[0], bias_mantissa=[0, 0]), network.populations[1]))
    hasty = retime(quiet).with_populations(tuple(replace(p, start=k + 1) for k, p in enumerate(network.populations)))
    one, other = run_reference(network, spikes), run_reference(hasty, spikes)
    assert not np.array_equal(one.traces["a"].v, other.traces["a"].v)


def test_a_large_bias_takes_two_clocks():
    network = loop(vth=2000)
    network = network.with_populations(
        (replace(network.populations[0], bias_mantissa=[4095, -4000], bias_exponent=7), network.populations[1])
    )
    held = hold(network)
    assert [p.name for p in held.populations][:2] == ["clock", "clock_high"]
    assert [(c.source, c.exponent) for c in held.connections[-2:]] == [("clock", 0), ("clock_high", 7)]
    assert held.population("a").bias.tolist() == [0, 0]
    assert_same(network, retime(held), spikes_for(network))


def test_a_target_without_a_staggered_reset_takes_whole_weight_units_only():
    with pytest.raises(UnsupportedError, match="population a: neuron 0 has a bias of 197; expected whole weight units"):
        hold(loop(), staggered=False)
    held = hold(loop(bias=[192, -64]), staggered=False)
    assert not held.population("a").bias_mantissa.any()


def test_what_cannot_be_held_back_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="population a: a bias and du 9; it can be held back where du is 4096"):
        hold(loop(du=9))
    chip = retime(chain())
    with pytest.raises(UnsupportedError, match="network chain: in chip time; expected no start"):
        hold(chip)


def test_a_clock_by_another_name():
    network = loop()
    renamed = replace(
        network,
        populations=(network.populations[0], replace(network.populations[1], name="clock")),
        connections=(*network.connections[:2], replace(network.connections[2], target="clock")),
        readouts=(replace(network.readout, population="clock"),),
    )
    assert hold(check(renamed)).populations[0].name == "clock_"


@pytest.mark.parametrize("network", [chain(bias=False), loop(bias=[-5, -400])], ids=["no bias", "negative"])
def test_what_needs_no_holding_is_the_same_object(network):
    assert hold(network) is network


def strong(network, whole):
    """`network` without memory of currents, with biases in whole weight units or not."""
    unit = 64 if whole else 1
    return network.with_populations(
        tuple(
            replace(p, du=4096, bias_mantissa=(p.bias_mantissa // unit) * unit, bias_exponent=min(p.bias_exponent, 3))
            for p in network.populations
        )
    )


@settings(max_examples=40)
@given(spatial_networks(starts=False, graded=True), st.data())
def test_the_claim_on_random_recurrent_networks(network, data):
    """In model time and in chip time, with a staggered reset: samples side by side, each from its own start."""
    network = strong(network, whole=False)
    held = hold(network)
    assume(fits(network) and fits(check(held)))
    spikes = data.draw(input_spikes(network))
    assert_same(network, held, spikes)
    chip = retimed(held)
    assume(fits(chip))
    assert_same(network, chip, spikes)


@settings(max_examples=40)
@given(spatial_networks(starts=False), st.data())
def test_the_claim_without_any_reset_at_the_start(network, data):
    """Whole weight units: no population clears its state, and the chip is still at zero when the input arrives."""
    network = strong(network, whole=True)
    fed = all(network.incoming(p.name) for p in network.populations)
    held = hold(network, staggered=False)
    assume(fed and fits(network) and fits(held))
    chip = retimed(held)
    assume(fits(chip))
    latency = chip.latencies()
    never_cleared = chip.with_populations(tuple(replace(p, start=0) for p in chip.populations))
    spikes = data.draw(input_spikes(network))
    later = np.pad(spikes, ((0, 0), (0, max(latency.values())), (0, 0)))
    model, raw = run_reference(network, spikes), run_reference(never_cleared, later)
    for p in network.populations:
        window = slice(latency[p.name], latency[p.name] + spikes.shape[1])
        assert not raw.traces[p.name].v[:, : latency[p.name]].any()
        assert np.array_equal(model.traces[p.name].v, raw.traces[p.name].v[:, window])
        assert np.array_equal(model.traces[p.name].spikes, raw.traces[p.name].spikes[:, window])
