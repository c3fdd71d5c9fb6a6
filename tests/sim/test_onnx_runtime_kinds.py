"""ONNX Runtime against the reference engine on connections of every kind, recurrent ones among them."""

from dataclasses import replace

import numpy as np
import pytest
from builders import spikes_for as some_spikes
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx_support import QUANTITIES, assert_equal, every_kind, scores_of
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.connections import Conv2d, Identity
from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_file import write
from bitspike.convert.onnx_graph import build, scores_name
from bitspike.convert.onnx_nodes import onnx_type
from bitspike.convert.onnx_step import states
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.sim.engines.onnx_runtime import run
from bitspike.sim.record import aligned, padded
from bitspike.sim.reference import run_reference


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_scan_form_of_every_kind_is_the_reference(data):
    network = data.draw(spatial_networks())
    spikes = data.draw(spikes_for(network))
    reference = run_reference(network, spikes)
    assert_equal(run(network, spikes), reference)
    assert np.array_equal(scores_of(network, spikes), reference.scores(network))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_step_form_of_every_kind_is_the_reference(tmp_path_factory, data):
    network = data.draw(spatial_networks())
    spikes = data.draw(spikes_for(network))
    path = tmp_path_factory.mktemp("step") / "net.onnx"
    write(network, path, form="step")
    assert_equal(run(network, spikes, file=path), run_reference(network, spikes))


ALL = st.one_of(spatial_networks(graded=True), networks(graded=True, inputs=(1, 3), heads=True))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_onnxs_own_evaluator_is_the_reference_on_every_kind(data):
    """The second implementation of the operators: scan form, graded spikes, several inputs and answers."""
    network = data.draw(ALL)
    spikes = data.draw(spikes_for(network, samples=(1, 2)))
    model = build(network)
    names = [value.name for value in model.graph.output]
    values = dict(zip(names, ReferenceEvaluator(model).run(None, {"spikes": steps_first(spikes)}), strict=True))
    raw = {
        p.name: tuple(values[f"{p.name}.{q}"].transpose(1, 0, 2) for q in ("spikes", "u", "v"))
        for p in network.populations
    }
    reference = run_reference(network, spikes)
    assert_equal(aligned("evaluator", network, spikes, raw), reference)
    for answer in network.answers():
        assert np.array_equal(values[scores_name(answer)], reference.scores(network, answer))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_onnxs_own_evaluator_of_the_step_form_is_the_reference_on_every_kind(data):
    network = data.draw(ALL)
    spikes = padded(network, data.draw(spikes_for(network, samples=(1, 2))))
    model = build(network, "step")
    evaluator, names = ReferenceEvaluator(model), [value.name for value in model.graph.output]
    types = {
        s.name: next(v.type.tensor_type for v in model.graph.input if v.name == f"{s.name}.in") for s in states(network)
    }
    batch = len(spikes)
    state = {}
    for name, kind in types.items():
        shape = [dim.dim_value or batch for dim in kind.shape.dim]
        state[name] = np.zeros(shape, {onnx_type(t): t for t in ("int8", "int32", "int64")}[kind.elem_type])
    history = {p.name: ([], [], []) for p in network.populations}
    for step in steps_first(spikes):
        fed = {"spikes": step} | {f"{name}.in": value for name, value in state.items()}
        values = dict(zip(names, evaluator.run(None, fed), strict=True))
        state = {name: values[name] for name in state}
        for p in network.populations:
            for kept, quantity in zip(history[p.name], ("spikes", "u", "v"), strict=True):
                kept.append(values[f"{p.name}.{quantity}"])
    raw = {name: tuple(np.stack(kept, axis=1) for kept in parts) for name, parts in history.items()}
    given_spikes = spikes[:, : spikes.shape[1] - max(network.latencies().values())]
    assert_equal(aligned("evaluator", network, given_spikes, raw), run_reference(network, given_spikes))


def steps_first(spikes):
    return spikes.transpose(1, 0, 2).astype(np.int8)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("value", [-256, -129, -128, -127, 127, 128, 255])
def test_kernels_at_the_ends_of_the_types(value, groups):
    """All spikes at once, under a kernel of one value; beyond -127..127 it is split into two parts."""
    geometry = {"source_shape": (4, 5, 6), "kernel": (3, 2), "padding": (1, 2), "stride": (2, 1), "groups": groups}
    weights = IntegerWeights(values=np.full((2, 4 // groups * 6), value))
    network = windowed(Conv2d(source="input", target="output", weights=weights, exponent=1, **geometry))
    spikes = np.ones((2, 3, 120), np.uint8)
    record = run(network, spikes)
    assert np.abs(record.traces["output"].u[:, 0]).max() == 24 // groups * abs(value) * 2 * 64
    assert_equal(record, run_reference(network, spikes))


def test_a_window_that_lies_in_its_padding():
    """Padding wider than the kernel: some targets have no synapse at all, and a place of the kernel has no source."""
    bits = weights_of(np.random.default_rng(2).choice([-1, 1], (3, 18)))
    geometry = {"source_shape": (2, 1, 2), "kernel": (3, 3), "padding": (4, 6), "dilation": (2, 3), "stride": (3, 2)}
    network = windowed(Conv2d(source="input", target="output", weights=bits, **geometry))
    spikes = np.ones((3, 4, 4), np.uint8)
    assert_equal(run(network, spikes), run_reference(network, spikes))
    assert run(network, spikes[:0]).traces["output"].u.shape == (0, 4, network.populations[0].size)


def windowed(connection, *more, **neuron):
    """One population that the input feeds over `connection`."""
    size = connection.shape[0]
    population = Population(
        name="output",
        shape=connection.target_shape,
        bias_mantissa=np.zeros(size, np.int64),
        **({"dv": 90, "vth": 3} | neuron),
    )
    return check(
        IntegerNetwork(
            name="windowed",
            steps=4,
            inputs=(Input(name="input", shape=connection.source_shape),),
            populations=(population,),
            connections=(connection, *more),
            readouts=(Readout(population="output", kind="spike_count"),),
        )
    )


@pytest.mark.parametrize("delay", [1, 2, 5])
@pytest.mark.parametrize("kind", ["conv", "wide conv", "identity", "dense"])
def test_a_population_that_feeds_itself(kind, delay):
    """A single spike goes in; what is seen after it can only have come over the recurrent connection."""
    once = Conv2d(
        source="input",
        target="output",
        source_shape=(1, 4, 4),
        kernel=(1, 1),
        weights=weights_of(np.ones((1, 1), int)),
        exponent=3,
    )
    loop = {"source": "output", "target": "output", "delay": delay, "exponent": 2}
    same = {"source_shape": (1, 4, 4), "kernel": (3, 3), "padding": (1, 1)}
    values = np.arange(-2, 7).reshape(1, 9)
    again = {
        "conv": lambda: Conv2d(**loop, **same, weights=weights_of(values)),
        "wide conv": lambda: Conv2d(**loop, **same, weights=IntegerWeights(values=values * 42 - 60)),
        "identity": lambda: Identity(**loop, size=16, weight=3),
        "dense": lambda: Dense(**loop, weights=weights_of(np.roll(np.eye(16, dtype=int), 1, axis=0) * 5)),
    }[kind]()
    network = windowed(once, again, dv=4096)
    spikes = np.zeros((1, 12, 16), np.uint8)
    spikes[0, 0, 5] = 1
    reference = run_reference(network, spikes)
    first = reference.traces["output"].spikes
    assert first[0, 0].sum() == 1
    assert not first[0, 1:delay].any()
    assert first[0, delay].any()
    assert_equal(run(network, spikes), reference)


def test_a_network_of_every_kind_in_chip_time(tmp_path):
    """Without biases above 0, which a delay would let act too early; the way back takes as long as the way there."""
    trained = every_kind()
    quiet = (replace(p, bias_mantissa=np.minimum(p.bias_mantissa, 0)) for p in trained.populations)
    slow = (replace(c, delay=3) if c.name == "pool -> conv" else c for c in trained.connections)
    trained = replace(trained, populations=tuple(quiet), connections=tuple(slow))
    spikes, chip = some_spikes(trained), retime(trained)
    reference = run_reference(trained, spikes)
    assert max(chip.latencies().values()) == 3
    for form in ("scan", "step"):
        write(chip, tmp_path / "net.onnx", form=form)
        record = run(trained, spikes, file=tmp_path / "net.onnx")
        for name, trace in reference.traces.items():
            assert name == "output" or trace.spikes.any()
            for quantity in QUANTITIES:
                assert np.array_equal(getattr(record.traces[name], quantity), getattr(trace, quantity)), name
