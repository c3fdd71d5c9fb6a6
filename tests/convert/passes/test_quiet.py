"""A quiet gap: samples of recurrent networks with strong biases, one after the other in one run."""

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
from bitspike.convert.passes.quiet import gap_of, in_a_row, quiet
from bitspike.convert.retime import retime
from bitspike.errors import RangeError, UnsupportedError
from bitspike.sim.reference import run_reference, step


def loop(**neuron):
    """Excites itself two steps late, and goes on when the input is over."""
    return network_of(
        [population("a", 2, dv=300, **({"bias": [70, -70]} | neuron)), population("out", 1)],
        [dense("input", "a", [[1, 1, 1], [1, -1, 1]]), dense("a", "a", [[3, 3], [3, 3]], delay=2),
         dense("a", "out", [[1, 1]])],
        SPIKES,
    )  # fmt: skip


def stream(network, spikes, period):
    """One run of `spikes`, (steps, neurons), with a staggered reset every `period` steps: spikes and membranes.

    By the definition of a step; what is on its way stays so.
    """
    total = len(spikes) + max(network.latencies().values())
    entering = network.input_spikes(np.pad(spikes, ((0, total - len(spikes)), (0, 0))).astype(np.int64))
    fired = entering | {p.name: np.zeros((total, p.size), np.int64) for p in network.populations}
    membranes = {p.name: np.zeros((total, p.size), np.int64) for p in network.populations}
    state = {p.name: (np.zeros((1, p.size), np.int64),) * 2 for p in network.populations}
    for t in range(total):
        for p in network.populations:
            u, v = state[p.name]
            if t >= p.start and (t - p.start) % period == 0:
                u, v = np.zeros_like(u), np.zeros_like(v)
            a = np.zeros((1, p.size), np.int64)
            for c in network.incoming(p.name):
                if t >= c.delay:
                    a = a + c.deliver(fired[c.source][None, t - c.delay])
            u, v, sent = step(p, u, v, a)
            state[p.name], fired[p.name][t], membranes[p.name][t] = (u, v), sent[0], v[0]
    return fired, membranes


def assert_each_sample_is_alone(network, chip, spikes):
    """`network` sample by sample against `chip` in one run."""
    alone = run_reference(network, spikes)
    steps = spikes.shape[1]
    period = steps + gap_of(chip)
    fired, membranes = stream(chip, in_a_row(chip, spikes), period)
    for p in network.populations:
        start = chip.latencies()[p.name]
        for sample in range(len(spikes)):
            window = slice(start + sample * period, start + sample * period + steps)
            assert np.array_equal(fired[p.name][window], alone.traces[p.name].spikes[sample])
            assert np.array_equal(membranes[p.name][window], alone.traces[p.name].v[sample])


def test_an_input_that_keeps_the_loop_quiet():
    assert [line for line in shortened(quiet(loop())) if "quiet" in line] == [
        "input   quiet shape=1",
        "dense   quiet -> a 2x1 bits=4 values=-11..-11 exponent=0 delay=0",
    ]
    assert gap_of(loop()) == gap_of(retime(quiet(hold(loop())))) == 2


def test_samples_in_a_row():
    network = loop()
    chip = retime(quiet(hold(network)))
    spikes = spikes_for(network, samples=6, rate=0.5)
    assert in_a_row(chip, spikes).shape == (6 * 8, 4)
    assert_each_sample_is_alone(network, chip, spikes)


def test_a_gap_of_silence_alone_is_not_enough():
    network, spikes = loop(), spikes_for(loop(), samples=6, rate=0.5)
    chip = retime(quiet(hold(network)))
    mute = replace(chip, connections=tuple(c for c in chip.connections if c.source != "quiet"))
    with pytest.raises(AssertionError):
        assert_each_sample_is_alone(network, mute, spikes)


def test_what_cannot_be_kept_quiet_is_refused_by_name():
    network = loop()
    alone = replace(network, connections=(dense("a", "out", [[1, 1]], delay=1),))
    with pytest.raises(UnsupportedError, match="population a: fires by its bias alone, and a connection with a delay"):
        quiet(alone)
    with pytest.raises(UnsupportedError, match="in chip time; expected no start: first a gap, then retime"):
        quiet(retime(chain()))


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (
            255,
            UnsupportedError,
            "membrane can exceed the threshold by 40643 weight units; one synapse takes back 32768",
        ),
        (-255, RangeError, "population a: synaptic input can reach -40"),
    ],
)
def test_what_a_register_cannot_hold_is_refused(weight, error, message):
    loud = loop(bias=[4000, 0], bias_exponent=7, vth=0)
    around = dense("a", "a", [[weight, weight]] * 2, delay=1, exponent=6)
    with pytest.raises(error, match=message):
        quiet(replace(loud, connections=(loud.connections[0], around)))


def test_nothing_to_keep_quiet_gives_the_same_object():
    network = chain()
    assert quiet(network) is network


@settings(max_examples=40)
@given(spatial_networks(starts=False), st.data())
def test_the_claims_on_random_networks(network, data):
    strong = network.with_populations(
        tuple(replace(p, du=4096, bias_exponent=min(p.bias_exponent, 3)) for p in network.populations)
    )
    assume(all(network.incoming(p.name) for p in network.populations))
    held = hold(strong)
    assume(fits(strong) and fits(held))
    try:
        silenced = quiet(held)
    except (RangeError, UnsupportedError):
        assume(False)
    chip = retimed(silenced)
    assume(silenced is not held and fits(chip))
    spikes = data.draw(input_spikes(network))
    mute = np.pad(spikes, ((0, 0), (0, 0), (0, 1)))
    one, other = run_reference(strong, spikes), run_reference(silenced, mute)
    for name, trace in one.traces.items():
        assert np.array_equal(trace.v, other.traces[name].v)
    assert_each_sample_is_alone(strong, chip, spikes)
