"""The range proof: never exceeded by any input, reached where it claims to be sharp, refusals that help."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from builders import chain
from hypothesis import assume, given
from hypothesis import strategies as st

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range, range_proof
from bitspike.convert.weights import weights_of
from bitspike.errors import RangeError
from bitspike.sim.reference import step


def one_population(weights, *, steps=8, exponent=0, **neuron):
    weights = np.asarray(weights)
    defaults = {"du": 4096, "dv": 400, "vth": 3, "bias_mantissa": np.zeros(len(weights), int)}
    return IntegerNetwork(
        name="one",
        steps=steps,
        inputs=(Input(name="input", shape=(weights.shape[1],)),),
        populations=(Population(name="only", shape=(len(weights),), **(defaults | neuron)),),
        connections=(Dense(source="input", target="only", weights=weights_of(weights), exponent=exponent),),
        readouts=(Readout(population="only", kind="spike_count"),),
    )


def extremes(network, spikes):
    """Lowest and highest input, current and membrane before the reset, by the definition, over all samples."""
    p = network.populations[0]
    matrix = network.connections[0].effective().T
    u = v = np.zeros((len(spikes), p.size), np.int64)
    seen = {"input": [0], "u": [0], "v": [0]}
    for t in range(spikes.shape[1]):
        a = spikes[:, t].astype(np.int64) @ matrix
        # A copy that cannot spike shows the membrane before the reset.
        silent = replace(p, vth=1 << 40)
        before = step(silent, u, v, a, overflow="exact")
        seen["input"] += [a.min(), a.max()]
        seen["u"] += [before[0].min(), before[0].max()]
        seen["v"] += [before[1].min(), before[1].max()]
        u, v, _ = step(p, u, v, a)
    return {key: (int(min(values)), int(max(values))) for key, values in seen.items()}


@given(
    seed=st.integers(0, 2**32 - 1),
    neuron=st.fixed_dictionaries(
        {
            "du": st.sampled_from([0, 1, 700, 4095, 4096]),
            "dv": st.sampled_from([0, 1, 300, 2048, 4096]),
            "vth": st.sampled_from([0, 1, 5, 40, 131071]),
            "reset": st.sampled_from(["zero", "subtract"]),
        }
    ),
    bias=st.integers(-40, 40),
    exponent=st.integers(0, 3),
)
def test_no_input_exceeds_the_bound(seed, neuron, bias, exponent):
    random = np.random.default_rng(seed)
    weights = random.integers(-20, 20, (4, 6))
    mantissa = np.full(4, bias)
    network = one_population(weights, steps=30, exponent=exponent, bias_mantissa=mantissa, bias_exponent=3, **neuron)
    proof = range_proof(network)[0]
    assume(max(abs(b) for pair in (proof.u, proof.v) for b in pair) < 1 << 23)
    noise = (random.random((20, 30, 6)) < random.random((20, 1, 1))).astype(np.uint8)
    greedy = np.stack(
        [np.broadcast_to(row > 0, (30, 6)) for row in weights] + [np.broadcast_to(row < 0, (30, 6)) for row in weights]
    )
    found = extremes(network, np.concatenate([noise, greedy.astype(np.uint8)]))
    for key in ("input", "u", "v"):
        low, high = getattr(proof, key)
        assert low <= found[key][0] <= found[key][1] <= high


@pytest.mark.parametrize(("du", "dv", "vth"), [(4096, 4096, 2), (4096, 500, 3), (1000, 0, 4), (0, 2048, 131071)])
def test_exhaustive_inputs_reach_the_bound(du, dv, vth):
    """Three inputs, four steps: all 4096. Input and current are reached exactly, the membrane within a step's input."""
    network = one_population([[1, -1, 1]], steps=4, du=du, dv=dv, vth=vth)
    spikes = np.array(list(itertools.product([0, 1], repeat=12)), np.uint8).reshape(-1, 4, 3)
    found, proof = extremes(network, spikes), range_proof(network)[0]
    assert found["input"] == proof.input == (-1, 2)
    assert found["u"] == proof.u
    assert proof.v[0] == found["v"][0]
    assert found["v"][1] <= proof.v[1] <= found["v"][1] + 64 * 2


def test_a_truncated_decay_settles_at_its_fixed_point():
    proof = range_proof(one_population([[1, 1]], steps=100_000, dv=9, vth=131071))[0]
    # The geometric series says 2 * 64 * 4096 / 9; truncation stops a little earlier, and the run found where.
    assert proof.steps is not None
    assert 9 * proof.v[1] < 2 * 64 * 4096
    assert proof.bits == proof.v[1].bit_length() + 1


def test_a_population_that_never_forgets_is_bounded_by_the_run():
    network = one_population([[1, 1]], dv=0, vth=131071)
    assert range_proof(network, 50)[0].v == (0, 50 * 128)
    assert range_proof(network, 50)[0].steps is None


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (
            {"dv": 0, "vth": 131071},
            "population only: membrane v can reach 8649664; the register holds 8388607 (a shorter",
        ),
        ({"du": 0, "vth": 0}, "population only: current u can reach 10444800; the register holds 8388607 (a shorter"),
    ],
)
def test_networks_over_24_bits_are_refused_with_advice(neuron, message):
    with pytest.raises(RangeError) as caught:
        check_range(one_population([[255, 255]], exponent=3, **neuron), 40)
    assert message in str(caught.value)


def test_a_readout_that_could_reach_its_threshold_is_refused():
    """64 * 3971 + 55 a step: 8388567 after 33 steps, over 64 * 131071 and yet within 24 bits."""
    network = one_population([[255] * 15 + [146]], bias_mantissa=np.array([55]), dv=0, vth=131071)
    with pytest.raises(RangeError, match="a read-out must not spike, and its membrane can reach 8388567"):
        check_range(network, 33)
    assert check_range(network, 32)


def test_the_hardware_accumulator_is_checked():
    wide = one_population(np.full((1, 300), 255))
    with pytest.raises(
        RangeError, match=r"synaptic input can reach 76500; the register holds 32767 \(fewer or smaller"
    ):
        check_range(wide)


def test_a_network_that_fits_is_returned_with_its_bounds():
    proof = check_range(chain())
    assert [bounds.population for bounds in proof] == ["hidden1", "hidden2", "output"]
    assert all(bounds.bits <= 24 for bounds in proof)
