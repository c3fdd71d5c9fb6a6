"""Graded spikes: worked examples, a slow loop in plain Python, ONNX Runtime, counts and the first divergence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_support import assert_equal, scores_of
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.connections import Identity, SumPool2d
from bitspike.convert.formats import export
from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_file import read, write
from bitspike.convert.ranges import range_proof
from bitspike.convert.retime import in_chip_time, retime
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.samples import SpikeData
from bitspike.sim.compare import first_divergence
from bitspike.sim.counts import count
from bitspike.sim.energy import PAYLOADS, energy
from bitspike.sim.engines.onnx_runtime import run
from bitspike.sim.reference import run_reference
from bitspike.sim.verify import verify


def pair(weight=7, *, vth=4, shift=1, reset="zero", dv=0, second=1, steps=4):
    """One input, a graded neuron, and a read-out behind a synapse of weight `second`."""
    zero = np.zeros(1, int)
    return check(
        IntegerNetwork(
            name="pair",
            steps=steps,
            inputs=(Input(name="input", shape=(1,)),),
            populations=(
                Population(
                    name="n", shape=(1,), dv=dv, vth=vth, reset=reset, bias_mantissa=zero, spike="graded", shift=shift
                ),
                Population(name="out", shape=(1,), dv=4096, vth=VTH_MAX, bias_mantissa=zero),
            ),
            connections=(
                Dense(source="input", target="n", weights=weights_of([[weight]])),
                Dense(source="n", target="out", weights=weights_of([[second]])),
            ),
            readouts=(Readout(population="out", kind="membrane_sum"),),
        )
    )


def ones(network, samples=1):
    return np.ones((samples, network.steps, network.input.size), np.uint8)


def test_the_payload_is_the_membrane_before_its_reset_shifted_down():
    record = run_reference(pair(), ones(pair()))
    assert record.traces["n"].spikes.ravel().tolist() == [3, 3, 3, 3]
    assert record.traces["n"].v.ravel().tolist() == [0, 0, 0, 0]
    assert record.traces["out"].u.ravel().tolist() == [192, 192, 192, 192]
    left = pair(reset="subtract", shift=0, second=-2)
    record = run_reference(left, ones(left))
    assert record.traces["n"].spikes.ravel().tolist() == [7, 10, 13, 16]
    assert record.traces["n"].v.ravel().tolist() == [3 * 64, 6 * 64, 9 * 64, 12 * 64]
    assert record.traces["out"].u.ravel().tolist() == [-128 * g for g in (7, 10, 13, 16)]


def test_a_payload_above_a_byte_is_kept_and_binary_records_stay_bytes():
    large = pair(255, vth=1, shift=0, reset="subtract")
    trace = run_reference(large, ones(large)).traces
    assert trace["n"].spikes.ravel().tolist() == [255, 509, 763, 1017]
    assert (trace["n"].spikes.dtype, trace["out"].spikes.dtype) == (np.int32, np.uint8)


def test_the_least_payload_is_1():
    """A membrane 1/64 above a threshold of 2^shift."""
    network = pair(1, vth=1 << 3, shift=3, steps=9)
    biased = replace(network.populations[0], bias_mantissa=np.array([1]))
    network = check(network.with_populations((biased, network.populations[1])))
    spikes = run_reference(network, ones(network)).traces["n"].spikes.ravel()
    assert spikes.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_an_identity_passes_payloads_and_a_pool_sums_them():
    zero = np.zeros(4, int)
    network = check(
        IntegerNetwork(
            name="passes",
            steps=1,
            inputs=(Input(name="input", shape=(4,)),),
            populations=(
                Population(name="n", shape=(1, 2, 2), dv=0, vth=1, bias_mantissa=zero, spike="graded", shift=0),
                Population(name="same", shape=(4,), dv=0, vth=VTH_MAX, bias_mantissa=zero),
                Population(name="pool", shape=(1, 1, 1), dv=0, vth=VTH_MAX, bias_mantissa=zero[:1]),
            ),
            connections=(
                Dense(source="input", target="n", weights=weights_of(np.diag([2, 3, 1, 200]))),
                Identity(source="n", target="same", size=4, weight=-3),
                SumPool2d(source="n", target="pool", source_shape=(1, 2, 2), kernel=(2, 2), stride=(2, 2)),
            ),
            readouts=(Readout(population="same", kind="membrane_last"),),
        )
    )
    traces = run_reference(network, ones(network)).traces
    assert traces["n"].spikes.ravel().tolist() == [2, 3, 0, 200]
    assert (traces["same"].u.ravel() // 64).tolist() == [-6, -9, 0, -600]
    assert (traces["pool"].u.ravel() // 64).tolist() == [205]


def plain(network, spikes):
    """One sample as lists of Python's own integers, one synapse after the other: {population: (s, u, v)} by steps."""

    def decayed(x, decay):
        return (abs(x * (4096 - decay)) >> 12) * (1 if x >= 0 else -1)

    synapses = {p.name: [[] for _ in range(p.size)] for p in network.populations}
    for c in network.connections:
        for source, row in enumerate(c.deliver(np.eye(c.shape[1], dtype=np.int64)).tolist()):
            for target, weight in enumerate(row):
                if weight:
                    synapses[c.target][target].append((c.source, source, c.delay, weight))
    length = len(spikes) + max(network.latencies().values())
    sent = {network.input.name: spikes.tolist() + [[0] * network.input.size] * (length - len(spikes))}
    found = {p.name: ([], [], []) for p in network.populations}
    state = {p.name: ([0] * p.size, [0] * p.size) for p in network.populations}
    sent |= {p.name: found[p.name][0] for p in network.populations}
    for t in range(length):
        for p in network.populations:
            u, v = ([0] * p.size, [0] * p.size) if t == p.start else state[p.name]
            new = ([], [], [])
            for n in range(p.size):
                a = sum(w * sent[source][t - d][k] for source, k, d, w in synapses[p.name][n] if t >= d)
                current = decayed(u[n], p.du) + 64 * a
                membrane = decayed(v[n], p.dv) + current + int(p.bias[n])
                payload = 0
                if membrane > 64 * p.vth:
                    payload = membrane // (64 * 2**p.shift) if p.spike == "graded" else 1
                    assert payload > 0
                    membrane = 0 if p.reset == "zero" else membrane - 64 * p.vth
                for kept, value in zip(new, (payload, current, membrane), strict=True):
                    kept.append(value)
            state[p.name] = new[1], new[2]
            for kept, values in zip(found[p.name], new, strict=True):
                kept.append(values)
    return {p.name: [rows[p.start : p.start + len(spikes)] for rows in found[p.name]] for p in network.populations}


either = st.one_of(networks(graded=True, steps=(1, 8)), spatial_networks(graded=True, steps=(1, 6)))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_reference_is_the_plain_loop_and_keeps_to_its_bounds(data):
    network = data.draw(either)
    spikes = data.draw(spikes_for(network, samples=(1, 2)))
    record = run_reference(network, spikes)
    proof = {bounds.population: bounds for bounds in range_proof(network)}
    for p in network.populations:
        trace = record.traces[p.name]
        assert trace.spikes.max() <= proof[p.name].payload <= p.payload_max
        assert trace.spikes.min() >= 0
        low, high = proof[p.name].u
        assert low <= trace.u.min() <= trace.u.max() <= high
    for sample in range(len(spikes)):
        expected = plain(network, spikes[sample])
        for p in network.populations:
            trace = record.traces[p.name]
            for array, values in zip((trace.spikes, trace.u, trace.v), expected[p.name], strict=True):
                assert array[sample].tolist() == values


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_onnx_runtime_is_the_reference(data):
    network = data.draw(either)
    spikes = data.draw(spikes_for(network))
    reference = run_reference(network, spikes)
    record = run(network, spikes)
    assert_equal(record, reference)
    assert all(record.traces[p.name].spikes.dtype == p.spike_dtype for p in network.populations)
    assert np.array_equal(scores_of(network, spikes), reference.scores(network))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_step_form_is_the_reference_and_reads_back(tmp_path_factory, data):
    network = data.draw(either)
    spikes = data.draw(spikes_for(network))
    path = tmp_path_factory.mktemp("step") / "net.onnx"
    write(network, path, form="step")
    assert read(path) == network
    assert_equal(run(network, spikes, file=path), run_reference(network, spikes))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_chip_time_gives_the_same_payloads(data):
    network = data.draw(networks(graded=True, starts=False, delays=(0, 0)))
    spikes = data.draw(spikes_for(network))
    chip = retime(network)
    assert in_chip_time(chip)
    assert first_divergence(network, run_reference(network, spikes), run_reference(chip, spikes)) is None


def test_a_spike_is_counted_once_whatever_its_payload():
    network = pair(255, vth=1, shift=0, reset="subtract")
    record = run_reference(network, ones(network, 2))
    counts = count(network, record)
    assert counts.populations[0].spikes.tolist() == [4, 4]
    assert counts.populations[1].synaptic_operations.tolist() == [4, 4]
    assert counts.messages.tolist() == [8, 8]
    assert counts.graded_messages.tolist() == [4, 4]
    assert counts.as_json()["graded_messages"]["total"] == 8


def test_payloads_are_named_as_not_priced():
    network = pair()
    data = SpikeData(name="ones", spikes=ones(network), labels=np.zeros(1, np.int64))
    assert PAYLOADS in energy(network, data=data).not_included
    binary = network.with_populations(tuple(replace(p, spike="binary", shift=0) for p in network.populations))
    assert PAYLOADS not in energy(binary, data=data).not_included


def test_payloads_are_compared_and_told():
    network = pair(7, vth=4, shift=1)
    data = SpikeData(name="ones", spikes=ones(network), labels=np.zeros(1, np.int64))
    assert verify(network, data=data, engines=["reference", "onnx"]).passed
    first, second = network.populations
    other = network.with_populations((replace(first, shift=0), second))
    result = verify(network, data=data, engines=["reference"], against={"finer": other})
    divergence = result.engines[1].first
    assert (divergence.population, divergence.quantity, divergence.values) == ("n", "spikes", (3, 7))
    assert result.engines[1].differing_spikes == 4
    spikes = ones(network)
    faulty = run_reference(network, spikes)
    faulty.traces["out"].u[0, 2] += 1
    place = first_divergence(network, run_reference(network, spikes), faulty)
    assert place.inputs == (("n", 0, 3),)


def test_formats_of_binary_spikes_refuse_by_name(tmp_path):
    message = "population n: graded spikes; {} takes binary spikes only, today"
    for ending, writer in (("net", "the NetX writer"), ("nir", "the NIR writer")):
        with pytest.raises(UnsupportedError, match=message.format(writer)):
            export(pair(), tmp_path / f"network.{ending}")
    assert list(tmp_path.iterdir()) == []
