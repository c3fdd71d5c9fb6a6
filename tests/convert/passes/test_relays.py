"""Relays: the same traces where the chip's longest delay is shorter than a connection's."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from redundant import fits, input_spikes, retimed
from small import SPIKES, dense, network_of, population, shortened
from strategies import networks, spatial_networks

from bitspike.convert.network import VTH_MAX, Readout
from bitspike.convert.retime import in_chip_time, retime
from bitspike.convert.rules import check
from bitspike.errors import UsageError
from bitspike.sim.compare import first_divergence
from bitspike.sim.reference import run_reference


def branches(**neuron):
    """The input reaches `out` at once and by way of `a`, and once more 5 steps late."""
    return network_of(
        [population("a", 2, **neuron), population("out", 2)],
        [
            dense("input", "a", [[1, 1, -1], [1, -1, 1]]),
            dense("a", "out", [[1, 1], [1, -1]]),
            dense("input", "out", [[1, 0, 1], [0, 1, 1]]),
            dense("input", "out", [[-1, 0, 0], [0, 2, 1]], delay=5),
        ],
        SPIKES,
    )


def test_relays_as_text():
    assert shortened(retime(branches(), max_delay=3)) == [
        "network small steps=6",
        "input   input shape=3",
        "identity input -> input_relay1 3 weight=+1 exponent=0 delay=3",
        "lif     input_relay1 shape=3 du=4096 dv=4096 vth=0 reset=zero start=2 bias=0",
        "identity input_relay1 -> input_relay2 3 weight=+1 exponent=0 delay=3",
        "lif     input_relay2 shape=3 du=4096 dv=4096 vth=0 reset=zero start=2 bias=0",
        "dense   input -> a 2x3 bits=1 values={-1,+1} exponent=0 delay=1",
        "lif     a shape=2 du=4096 dv=4096 vth=1 reset=zero start=1 bias=0",
        "dense   a -> out 2x2 bits=1 values={-1,+1} exponent=0 delay=1",
        "dense   input -> out 2x3 bits=1 values={0,+1} exponent=0 delay=2",
        "dense   input_relay2 -> out 2x3 bits=2 values=-1..+2 exponent=0 delay=1",
        "lif     out shape=2 du=4096 dv=4096 vth=1 reset=zero start=2 bias=0",
        "readout out spike_count",
    ]


def test_beyond_the_chips_own_limit():
    network = branches()
    far = replace(network, connections=(*network.connections[:3], replace(network.connections[3], delay=62)))
    chip = retime(far)
    assert max(c.delay for c in chip.connections) == 62
    spikes = spikes_for(replace(far, steps=80), rate=0.7)
    assert first_divergence(far, run_reference(far, spikes), run_reference(chip, spikes)) is None


@pytest.mark.parametrize(
    ("weights", "graded", "payloads"),
    [([1, 2, 1], {"vth": 1}, {0, 2, 3, 4}), ([3, 1, 1], {"vth": 2, "shift": 1}, {0, 1, 2})],
)
def test_payloads_are_passed_on_down_to_one(weights, graded, payloads):
    """A relay has a threshold of 1 weight unit, which a payload of 1 alone would not exceed."""
    network = network_of(
        [population("a", 1, spike="graded", **graded), population("out", 1, vth=VTH_MAX)],
        [dense("input", "a", [weights]), dense("a", "out", [[1]], delay=5)],
        (Readout(population="out", kind="membrane_sum"),),
    )
    spikes = spikes_for(network, rate=0.5, samples=30)
    model = run_reference(network, spikes)
    assert set(np.unique(model.traces["a"].spikes).tolist()) == payloads
    assert first_divergence(network, model, run_reference(retime(network, 2), spikes)) is None


def test_what_needs_no_relay_is_the_same_object():
    chip = retime(chain(), 5)
    assert retime(chip, 5) is chip
    assert retime(chip, 1) is chip
    assert in_chip_time(retime(retime(branches()), 1))


@pytest.mark.parametrize("max_delay", [0, 63])
def test_a_longest_delay_that_no_chip_has_is_refused(max_delay):
    with pytest.raises(UsageError, match=f"max_delay {max_delay}; expected 1..62"):
        retime(chain(), max_delay)


@settings(max_examples=40)
@given(
    st.one_of(
        networks(inputs=(1, 2), delays=(0, 9), starts=False, graded=True), spatial_networks(starts=False, graded=True)
    ),
    st.integers(1, 4),
    st.data(),
)
def test_the_claim_on_random_networks(network, max_delay, data):
    quiet = network.with_populations(
        tuple(replace(p, bias_mantissa=np.minimum(p.bias_mantissa, 0)) for p in network.populations)
    )
    chip = retimed(quiet, max_delay)
    assert check(chip) is chip
    assert in_chip_time(chip)
    assert max((c.delay for c in chip.connections), default=0) <= max_delay
    assert max(chip.latencies().values()) == max(retime(quiet).latencies().values())
    assume(fits(quiet) and fits(chip))
    spikes = data.draw(input_spikes(quiet))
    assert first_divergence(quiet, run_reference(quiet, spikes), run_reference(chip, spikes)) is None
