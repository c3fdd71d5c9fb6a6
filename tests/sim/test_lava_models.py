"""Lava's own models against the reference engine: one step with overflow, then whole networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from lava_support import assert_alive, assert_same, feed_forward, needs_lava
from strategies import networks, spatial_networks

from bitspike.convert.network import Population
from bitspike.convert.retime import retime
from bitspike.errors import UnsupportedError
from bitspike.sim.engines import lava_models
from bitspike.sim.reference import STATE_MAX, run_reference, step, truncate
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.repair import import_lava

pytestmark = needs_lava
NEURONS, STEPS = 16, 12


def random_population(random, case):
    """Any parameters that a population may have, the extreme ones often."""
    du = int(random.choice([0, 1, 4095, 4096, int(random.integers(0, 4097))]))
    dv = int(random.choice([0, 1, 4095, 4096, int(random.integers(0, 4097))]))
    return Population(
        name=f"p{case}",
        shape=(NEURONS,),
        du=du,
        dv=dv,
        vth=int(random.choice([0, 131071, int(random.integers(0, 131072))])),
        bias_mantissa=random.integers(-4096, 4096, NEURONS),
        bias_exponent=int(random.integers(0, 8)),
    )


def lif_of_lava(p, inputs):
    """``PyLifModelBitAcc`` with the registers of `p`, fed from a wire."""
    from lava.proc.lif.models import PyLifModelBitAcc

    model = PyLifModelBitAcc({})
    model.u, model.v = np.zeros(p.size, np.int32), np.zeros(p.size, np.int32)
    model.du, model.dv, model.vth = p.du - 1, p.dv, p.vth
    model.bias_mant, model.bias_exp = p.bias_mantissa.astype(np.int16), np.array([p.bias_exponent], np.int16)
    model.a_in, model.s_out = inputs, lava_models.Wire(np.zeros(p.size))
    return model


def test_a_step_with_overflow_is_lavas_step():
    import_lava()
    random = np.random.default_rng(11)
    wraps = saturations = spikes = compared = 0
    for case in range(1000):
        p = random_population(random, case)
        wire = lava_models.Wire(np.zeros(NEURONS, np.int32))
        model = lif_of_lava(p, wire)
        u = v = np.zeros((1, NEURONS), np.int64)
        reach = int(random.choice([50, 3000, 40000, 262143]))
        for t in range(STEPS):
            a = random.integers(-reach, reach + 1, (1, NEURONS))
            wire.send(a[0].astype(np.int32))
            model.run_spk()
            unwrapped = truncate(u * (4096 - p.du), 12) + 64 * a
            decayed = truncate(v * (4096 - p.dv), 12)
            u, v, s = step(p, u, v, a, overflow="lava", when=t)
            assert np.array_equal(u[0], model.u), (case, t)
            assert np.array_equal(v[0], model.v), (case, t)
            assert np.array_equal(s[0], model.s_out.recv()), (case, t)
            wraps += int(np.count_nonzero(unwrapped != u))
            saturations += int(np.count_nonzero(np.abs(decayed + u + p.bias) > STATE_MAX))
            spikes += int(s.sum())
            compared += 3 * NEURONS
    assert wraps > 1000
    assert saturations > 1000
    assert spikes > 1000
    assert compared == 3 * NEURONS * STEPS * 1000


@pytest.mark.parametrize("seed", range(12))
def test_feed_forward_networks_with_biases_in_every_layer(seed):
    network = feed_forward(seed, skips=seed % 2 == 1)
    assert all(p.bias_mantissa.any() for p in network.populations)
    spikes = (np.random.default_rng(seed).random((6, network.steps, network.input.size)) < 0.4).astype(np.uint8)
    expected = run_reference(network, spikes)
    record = lava_models.run(network, spikes)
    assert record.engine == "lava-models"
    assert record.latency == {"input": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    assert assert_same(expected, record) == 3 * 6 * network.steps * sum(p.size for p in network.populations)
    assert_alive(expected)


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_a_delay_of_its_own_runs_each_sample_alone(delay):
    network = feed_forward(3, bias=False, delay=delay, skips=True)
    spikes = (np.random.default_rng(4).random((5, network.steps, network.input.size)) < 0.5).astype(np.uint8)
    expected = run_reference(network, spikes)
    assert_same(expected, lava_models.run(network, spikes))
    assert_alive(expected)


@pytest.mark.parametrize("delay", [1, 3])
def test_biases_before_a_delay_are_kept_quiet_until_the_first_sample(delay):
    """The retiming alone refuses them: a spike that a bias sends early would arrive late enough to count."""
    network = feed_forward(3, delay=delay)
    network = network.with_populations(tuple(replace(p, du=4096) for p in network.populations))
    spikes = (np.random.default_rng(4).random((5, network.steps, network.input.size)) < 0.5).astype(np.uint8)
    with pytest.raises(UnsupportedError, match="or is fed by, a bias that would act before the first input"):
        retime(network)
    program = lower(network)
    assert (program.gap, program.quiet) == (delay, True)
    expected = run_reference(network, spikes)
    assert_same(expected, lava_models.run(network, spikes))
    assert_alive(expected)


@settings(max_examples=60)
@given(
    network=st.one_of(
        networks(delays=(0, 0), starts=False, graded=True, inputs=(1, 3), heads=True),
        networks(delays=(0, 2), starts=False, graded=True),
        networks(delays=(5, 7)),
        spatial_networks(starts=False, graded=True),
    ),
    seed=st.integers(0, 99),
)
def test_any_network_that_lava_can_hold(network, seed):
    """Delays, starts, resets and spikes of any kind; what is refused is refused by name, never wrong."""
    spikes = (np.random.default_rng(seed).random((3, network.steps, network.input_size)) < 0.5).astype(np.uint8)
    try:
        record = lava_models.run(network, spikes)
    except UnsupportedError as error:
        event(str(error).split(":")[0].split(" ")[0])
        return
    event("ran, streamed" if lower(network).streams else "ran, one by one")
    assert_same(run_reference(network, spikes), record)


def test_one_step_and_one_sample():
    network = feed_forward(7, steps=1)
    spikes = np.ones((1, 1, network.input.size), np.uint8)
    assert_same(run_reference(network, spikes), lava_models.run(network, spikes))
