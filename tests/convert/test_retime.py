"""Retiming: the same spikes, currents and membranes, `latency` steps later."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import given
from hypothesis import strategies as st

from bitspike.convert.network import Dense
from bitspike.convert.retime import in_chip_time, retime
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.sim.compare import first_divergence
from bitspike.sim.reference import run_reference


def with_skip(network, *, delay=0, seed=0):
    matrix = np.random.default_rng(seed).integers(-3, 4, (network.populations[-1].size, network.input.size))
    return replace(
        network,
        connections=(
            *network.connections,
            Dense(source="input", target="output", weights=weights_of(matrix), delay=delay),
        ),
    )


def test_chip_time_as_text():
    lines = str(retime(with_skip(chain((3, 2, 2, 2), bias=False)))).splitlines()
    times = [
        line.split(" #")[0].split("bits")[0] + " " + line.partition("delay=")[2][:1] for line in lines if "->" in line
    ]
    assert [" ".join(line.split()) for line in times] == [
        "dense input -> hidden1 2x3 1",
        "dense hidden1 -> hidden2 2x2 1",
        "dense hidden2 -> output 2x2 1",
        "dense input -> output 2x3 3",
    ]
    assert [line.partition("start=")[2][:1] for line in lines if line.startswith("lif")] == ["1", "2", "3"]


@given(seed=st.integers(0, 2**32 - 1), dv=st.integers(0, 4096), du=st.sampled_from([500, 4096]), skip=st.booleans())
def test_the_claim_on_random_networks(seed, dv, du, skip):
    network = chain((6, 8, 5, 3), seed=seed, dv=dv, du=du, bias=True, vth=1)
    if skip:
        network = with_skip(network, seed=seed)
    chip = retime(network)
    assert in_chip_time(chip)
    assert not in_chip_time(network)
    spikes = spikes_for(network, seed=seed, samples=4)
    model, late = run_reference(network, spikes), run_reference(chip, spikes)
    assert late.latency == {"input": 0, "hidden1": 1, "hidden2": 2, "output": 3}
    assert first_divergence(network, model, late) is None


def test_strong_biases_do_not_act_before_the_first_input():
    """Without the staggered start a bias over the threshold would fire during the latency."""
    network = chain((4, 6, 5, 3), vth=0)
    population = network.populations[0]
    loud = network.with_populations((replace(population, bias_mantissa=np.full(6, 50)), *network.populations[1:]))
    spikes = spikes_for(loud)
    chip = retime(loud)
    assert first_divergence(loud, run_reference(loud, spikes), run_reference(chip, spikes)) is None
    hasty = chip.with_populations(tuple(replace(p, start=0) for p in chip.populations))
    raw = run_reference(hasty, spikes).traces["hidden1"].spikes
    assert raw[:, 0].any()


def test_a_network_in_chip_time_is_returned_as_it_is():
    chip = retime(chain())
    assert retime(chip) is chip


def test_a_delay_of_its_own_is_kept():
    network = with_skip(chain(bias=False), delay=2)
    chip = retime(network)
    assert chip.connections[-1].delay == 3 + 2
    spikes = spikes_for(network)
    assert first_divergence(network, run_reference(network, spikes), run_reference(chip, spikes)) is None


def test_what_cannot_be_retimed_is_refused_by_name():
    network = chain()
    delayed = replace(
        network, connections=(network.connections[0], replace(network.connections[1], delay=1), network.connections[2])
    )
    loud = delayed.with_populations(
        (replace(delayed.populations[0], bias_mantissa=np.full(9, 3)), *delayed.populations[1:])
    )
    with pytest.raises(UnsupportedError, match="connection hidden1 -> hidden2 has a delay of 1 and hidden1 has"):
        retime(loud)
    started = network.with_populations((replace(network.populations[0], start=1), *network.populations[1:]))
    with pytest.raises(UnsupportedError, match="some populations have a start, yet a connection has delay 0"):
        retime(started)
