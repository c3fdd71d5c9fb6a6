"""Neurons in 16 bits: exact, or refused; and a run that leaves them is run in 32."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.connections import Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.sim.fast import narrow, neurons
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.reference import run_reference

NEURONS, STEPS = 64, 7
FAR = st.one_of(st.integers(-40, 40), st.sampled_from([-32768, -513, -512, -511, 511, 512, 513, 32767]))
STATE = st.one_of(st.integers(-300, 300), st.integers(-40_000, 40_000), st.sampled_from([-32768, -32767, 32767, 32768]))
KEEP = st.one_of(st.integers(0, 4096), st.sampled_from([0, 1, 4095, 4096]))


def whole(x: int, keep: int) -> int:
    """The decay of the definition, in integers without a width."""
    return (abs(x) * keep >> 12) * (1 if x >= 0 else -1)


def by_definition(inputs, u, v, bias, limits):
    """Spikes, u, v, and all numbers on the way, of one neuron."""
    keep_u, keep_v, threshold, zero, start, _ = limits
    spikes, seen = [], [u, v]
    for step, given_input in enumerate(inputs):
        if step == start:
            u = v = 0
        u = whole(u, keep_u) + 64 * given_input
        membrane = whole(v, keep_v) + u + bias
        seen += [u, membrane]
        spikes.append(int(membrane > threshold))
        v = membrane if membrane <= threshold else 0 if zero else membrane - threshold
    return spikes, u if keep_u else 0, v, seen


@settings(max_examples=300)
@given(st.data())
def test_exact_or_refused(data):
    """Every neuron of a vector, numbers near the ends of the range among them."""
    draw = data.draw
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    pool = np.array(draw(st.lists(FAR, min_size=1, max_size=6)))
    inputs = random.choice(pool, (STEPS, NEURONS)).astype(np.int16)
    states = random.choice(np.array(draw(st.lists(STATE, min_size=1, max_size=4))), (2, NEURONS)).astype(np.int32)
    keep_u, keep_v = draw(KEEP), draw(KEEP)
    if not keep_u:
        states[0] = 0
    bias = random.choice(np.array(draw(st.lists(STATE, min_size=1, max_size=3))), NEURONS).astype(np.int32)
    threshold = draw(st.one_of(st.integers(0, 60_000), st.just(131071 << 6)))
    limits = (
        np.int32(keep_u),
        np.int32(keep_v),
        np.int32(threshold),
        draw(st.booleans()),
        draw(st.integers(-1, STEPS)),
        0,
    )
    short = np.zeros(NEURONS, np.int16)
    most = int(narrow.narrow_bias(bias, short))
    small = short, most, np.zeros(NEURONS, np.int16), np.zeros(NEURONS, np.int16), np.zeros(4 * narrow.LANES, np.int16)
    fired = np.zeros((1, STEPS, NEURONS // 32), np.uint32)
    nothing = np.empty((0, 0, 0), np.int32)
    carried = states[:, None].copy()
    cells = carried, bias, small, limits, (0, STEPS), fired, nothing, nothing
    wide = neurons.run_sample(inputs, 0, cells)

    found = np.unpackbits(fired[0].view(np.uint8), axis=1, bitorder="little")
    seen = []
    for n in range(NEURONS):
        spikes, u, v, on_the_way = by_definition(
            inputs[:, n].tolist(), *states[:, n].tolist(), int(bias[n]), tuple(map(int, limits))
        )
        assert found[:, n].tolist() == spikes
        assert carried[:, 0, n].tolist() == [u, v]
        seen += on_the_way
    if max(map(abs, seen)) < 32767 - abs(bias).max() and abs(inputs).max() < 512:
        assert not wide, "16 bits hold all of this"
    if max(seen) > 32767 or min(seen) < -32768:
        assert wide, "16 bits do not hold this"


def far(bias: int, vth: int, steps: int) -> IntegerNetwork:
    """Membranes that never forget, some of which leave 16 bits late."""
    sizes = 90, 40
    return IntegerNetwork(
        name="far",
        steps=steps,
        inputs=(Input(name="input", shape=(60,)),),
        populations=(
            Population(name="one", shape=(sizes[0],), dv=0, vth=vth, bias_mantissa=np.full(sizes[0], bias)),
            Population(name="two", shape=(sizes[1],), dv=0, vth=131071, bias_mantissa=np.zeros(sizes[1], np.int32)),
        ),
        connections=(
            Dense(source="input", target="one", weights=weights_of(np.random.default_rng(0).choice([-1, 1], (90, 60)))),
            Dense(source="one", target="two", weights=weights_of(np.random.default_rng(1).choice([-1, 1], (40, 90)))),
        ),
        readouts=(Readout(population="two", kind="membrane_sum"),),
    )


@pytest.mark.parametrize("bias", [-700, 0, 700])
@pytest.mark.parametrize("vth", [30, 511, 512, 4000])
def test_samples_that_leave_the_range_and_samples_that_stay(bias, vth):
    network = far(bias, vth, steps=60)
    rates = np.array([0.0, 0.02, 0.3, 0.9])[:, None, None]
    spikes = (np.random.default_rng(2).random((4, 60, 60)) < rates).astype(np.uint8)
    expected = run_reference(network, spikes)
    engine = FastEngine(network)
    for _ in range(2):  # the second run has the first one's arrays, and what it learnt
        for chunk in (None, 7):
            trace = engine.run(spikes, record=["two"], chunk=chunk).traces["two"]
            for quantity in ("spikes", "u", "v"):
                assert np.array_equal(getattr(trace, quantity), getattr(expected.traces["two"], quantity))
