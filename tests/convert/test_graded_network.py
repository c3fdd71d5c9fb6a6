"""Graded spikes in the integer network: rules, text, files, and the range proof, loops among them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_support import assert_equal
from strategies import networks, spatial_networks

from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.description import arrays_of, describe, network_from
from bitspike.convert.network import VTH_MAX, Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range, range_proof
from bitspike.convert.rules import check, find_faults
from bitspike.convert.store import load, save
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import BitspikeError, RangeError, UsageError
from bitspike.sim.engines.onnx_runtime import run
from bitspike.sim.reference import run_reference


def graded_chain(**changes):
    first, *rest = chain(vth=4).populations
    return chain(vth=4).with_populations((replace(first, **({"spike": "graded", "shift": 2} | changes)), *rest))


def test_a_network_without_graded_spikes_is_what_it_was():
    """Digests stand in files: this one was written down before graded spikes came."""
    assert chain().digest() == "02b87be8fe39837480b0ddfd6f3d8d9530cff55c8263fb67aaf1f49dd9837023"
    assert "spike" not in str(chain())
    assert not any("spike" in item for item in describe(chain())["populations"])


def test_the_digest_and_the_text_tell_graded_spikes():
    found = [graded_chain(), graded_chain(shift=1), graded_chain(spike="binary", shift=0)]
    assert len({network.digest() for network in found}) == 3
    assert len({str(network) for network in found}) == 3
    assert found[2] == chain(vth=4)
    line = next(line for line in str(found[0]).splitlines() if line.startswith("lif     hidden1"))
    assert " reset=zero start=0 spike=graded shift=2 bias=" in line


@settings(max_examples=40)
@given(network=st.one_of(networks(graded=True), spatial_networks(graded=True)))
def test_files_hold_graded_spikes(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("store") / "net.safetensors"
    save(network, path)
    assert load(path) == network
    assert load(path).digest() == network.digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spike": "binary"}, "population: keys .*; expected|spike 'binary'; expected 'graded', or no such key"),
        ({"shift": True}, "population hidden1: shift is True; expected int"),
        ({"shift": 3}, "population hidden1: vth 4 with graded spikes; expected 2\\^shift = 8 or more, below 131071"),
        ({"payload": 1}, "population: keys .*payload.*; expected"),
    ],
)
def test_descriptions_that_nobody_writes_are_refused(changes, message):
    description = describe(graded_chain())
    description["populations"][0] |= changes
    with pytest.raises(BitspikeError, match=message):
        network_from(json.dumps(description), arrays_of(graded_chain()))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"spike": "ternary"}, "population hidden1: spike 'ternary'; expected binary or graded"),
        ({"spike": "binary"}, "population hidden1: shift 2 of binary spikes; expected 0"),
        ({"shift": 17}, "population hidden1: shift 17; expected 0..16"),
        ({"shift": -1}, "population hidden1: shift -1; expected 0..16"),
        ({"shift": 3}, "population hidden1: vth 4 with graded spikes; expected 2^shift = 8 or more, below 131071"),
        (
            {"vth": VTH_MAX},
            "population hidden1: vth 131071 with graded spikes; expected 2^shift = 4 or more, below 131071",
        ),
    ],
)
def test_the_rules(changes, fault):
    assert list(find_faults(graded_chain(**changes))) == [fault]


def test_a_shift_is_an_integer():
    with pytest.raises(UsageError, match=r"population hidden1: shift 0\.5; expected an integer"):
        graded_chain(shift=0.5)


def test_payloads_are_not_a_spike_count():
    network = chain(readout="spike_count", vth=4)
    *rest, last = network.populations
    graded = network.with_populations((*rest, replace(last, spike="graded")))
    assert list(find_faults(graded)) == [
        "readout spike_count: output sends graded spikes; expected binary ones, or a membrane"
    ]


def one(connection, *more, vth=3, shift=0, steps=6, first_weight=1, **graded):
    """Graded neurons that the input drives one by one, and a read-out that `connection` feeds."""
    sources = connection.shape[1]
    shape = getattr(connection, "source_shape", (sources,))
    targets = connection.shape[0]
    return check(
        IntegerNetwork(
            name="one",
            steps=steps,
            inputs=(Input(name="input", shape=shape),),
            populations=(
                Population(
                    name="n",
                    shape=shape,
                    vth=vth,
                    bias_mantissa=np.zeros(sources, int),
                    spike="graded",
                    shift=shift,
                    **({"dv": 0} | graded),
                ),
                Population(
                    name="out",
                    shape=getattr(connection, "target_shape", (targets,)),
                    dv=4096,
                    vth=VTH_MAX,
                    bias_mantissa=np.zeros(targets, int),
                ),
            ),
            connections=(Identity(source="input", target="n", size=sources, weight=first_weight), connection, *more),
            readouts=(Readout(population="out", kind="membrane_sum"),),
        )
    )


def test_the_bound_of_a_payload_and_of_what_it_feeds():
    """Weight 7 a step, threshold 4: at most 4 + 7 before a spike."""
    feeds = Dense(source="n", target="out", weights=weights_of([[1, -1], [1, 1], [-1, -1]]))
    network = one(feeds, first_weight=7, vth=4)
    proof = range_proof(network)
    assert (proof[0].v, proof[0].payload) == ((0, 11 * 64), 11)
    assert (proof[1].input, proof[1].payload) == ((-22, 22), 1)
    assert range_proof(one(feeds, first_weight=7, vth=4, shift=2))[1].input == (-4, 4)


def test_a_summed_input_of_payloads_that_may_leave_its_width_is_refused():
    feeds = Dense(source="n", target="out", weights=weights_of(np.full((1, 20), 8)))
    check_range(one(feeds, first_weight=200, vth=4))
    with pytest.raises(RangeError) as caught:
        check_range(one(feeds, first_weight=201, vth=4))
    assert str(caught.value) == (
        "population out: synaptic input can reach 32800; the register holds 32767 "
        "(fewer or smaller weights, or a smaller exponent, would help)"
    )


def test_a_loop_that_damps_is_proven_and_one_that_grows_is_refused():
    """A payload is a quarter of the membrane; it comes back with weight 1, and then with weight 4."""
    feeds = Dense(source="n", target="out", weights=weights_of([[1]]))
    back = Identity(source="n", target="n", size=1, delay=1)
    damped = one(feeds, back, first_weight=30, vth=4, shift=2, dv=4096, steps=40)
    proof = check_range(damped)
    record = run_reference(damped, np.ones((1, 40, 1), np.uint8))
    assert record.traces["n"].spikes.max() == 9
    # v <= 30 + g and g <= v / 4 settle at 39 and 9.
    assert (proof[0].payload, proof[0].v) == (9, (0, 39 * 64))
    growing = one(feeds, replace(back, weight=5), first_weight=30, vth=4, shift=2, dv=4096, steps=40)
    with pytest.raises(RangeError, match="population n: synaptic input can reach"):
        check_range(growing)


def test_a_population_that_reads_a_later_one():
    """The payload that leads back is not known when the earlier population is bounded."""
    ahead = Dense(source="n", target="out", weights=weights_of([[1]]))
    network = one(ahead, first_weight=60, vth=8, shift=3, dv=4096)
    first, last = network.populations
    middle = replace(first, name="m")
    loop = check(
        replace(
            network,
            populations=(first, middle, last),
            connections=(
                network.connections[0],
                Dense(source="n", target="m", weights=weights_of([[4]])),
                Dense(source="m", target="n", weights=weights_of([[-3]]), delay=2),
                Dense(source="m", target="out", weights=weights_of([[1]])),
            ),
        )
    )
    proof = {bounds.population: bounds for bounds in check_range(loop)}
    # n: 60, payload 7; m: 28, payload 3; back to n: -9.
    assert [proof[name].payload for name in ("n", "m")] == [7, 3]
    assert proof["n"].input == (-9, 60)


@pytest.mark.parametrize(
    ("kind", "weight", "steps", "least"),
    [
        ("conv", 1, 20, 2), ("conv", 127, 20, 1000), ("conv", 200, 18, 2000), ("wide conv", 16, 8, 100),
        ("pool", 1, 20, 2), ("pool", 128, 20, 1000), ("pool", 255, 20, 3000),
    ],
)  # fmt: skip
def test_payloads_of_several_digits_in_onnx_runtime(kind, weight, steps, least):
    """Payloads of up to 13 bits through windows, which ONNX Runtime takes in digits of 7 bits."""
    geometry = {"source": "n", "target": "out", "source_shape": (2, 3, 3), "kernel": (2, 2), "padding": (1, 0)}
    random = np.random.default_rng(weight)
    wide = IntegerWeights(values=np.array([[200, -255, 1, 0, 9, 0, 0, 0]]))
    feeds = {
        "conv": lambda: Conv2d(**geometry, weights=weights_of(random.choice([-1, 1], (3, 8)))),
        "wide conv": lambda: Conv2d(**geometry, weights=wide),
        "pool": lambda: SumPool2d(**geometry),
    }[kind]()
    network = one(feeds, first_weight=weight, vth=1, reset="subtract", steps=steps)
    check_range(network)
    spikes = (random.random((4, steps, 18)) < 0.9).astype(np.uint8)
    reference = run_reference(network, spikes)
    assert reference.traces["n"].spikes.max() >= least
    assert_equal(run(network, spikes), reference)
