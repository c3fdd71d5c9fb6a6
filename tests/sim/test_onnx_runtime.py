"""ONNX Runtime against the reference engine: equal on every current, membrane and spike, in both forms."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from builders import chain
from builders import spikes_for as some_spikes
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_support import QUANTITIES, assert_equal, scores_of
from strategies import networks, spikes_for

from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_file import write
from bitspike.convert.onnx_graph import build
from bitspike.convert.ranges import check_range
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights, weights_of
from bitspike.errors import EngineError, FileError, RangeError, UnsupportedError, UsageError
from bitspike.sim.engines import engine
from bitspike.sim.engines.onnx_runtime import run
from bitspike.sim.reference import run_reference


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_scan_form_is_the_reference(data):
    network = data.draw(networks())
    spikes = data.draw(spikes_for(network))
    reference = run_reference(network, spikes)
    record = run(network, spikes)
    assert record.engine == "onnx"
    assert np.array_equal(record.inputs, spikes)
    assert_equal(record, reference)
    scores = scores_of(network, spikes)
    assert scores.dtype == np.int64
    assert np.array_equal(scores, reference.scores(network))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_step_form_driven_step_by_step_is_the_reference(tmp_path_factory, data):
    network = data.draw(networks())
    spikes = data.draw(spikes_for(network))
    path = tmp_path_factory.mktemp("step") / "net.onnx"
    write(network, path, form="step")
    assert_equal(run(network, spikes, file=path), run_reference(network, spikes))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_network_in_chip_time_gives_the_trained_one_after_alignment(data):
    trained = data.draw(networks(starts=False, delays=(0, 2)))
    spikes = data.draw(spikes_for(trained))
    try:
        lowered = retime(trained)
        check_range(lowered)
    except (UnsupportedError, RangeError):
        assume(False)
    reference = run_reference(trained, spikes)
    record = run(lowered, spikes)
    for name, trace in reference.traces.items():
        for quantity in QUANTITIES:
            assert np.array_equal(getattr(record.traces[name], quantity), getattr(trace, quantity))
    assert np.array_equal(scores_of(lowered, spikes), reference.scores(trained))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("du", [0, 1, 4095, 4096])
@pytest.mark.parametrize("dv", [0, 1, 4095, 4096])
def test_extreme_decays(du, dv, reset):
    """Each shortcut of the graph (nothing kept, everything kept) beside its neighbour that takes the long way."""
    network = chain((6, 5, 3), du=du, dv=dv, steps=12, readout="spike_count")
    network = network.with_populations(replace(p, reset=reset) for p in network.populations)
    spikes = some_spikes(network)
    reference = run_reference(network, spikes)
    assert reference.traces["hidden1"].spikes.any()
    assert_equal(run(network, spikes), reference)


@pytest.mark.parametrize("names", [("step", "spikes", "scores", "zero"), ("batch", "one", "step", "decay_one")])
@pytest.mark.parametrize("readout", ["spike_count", "membrane_last"])
def test_populations_may_be_called_like_the_graphs_own_values(names, readout):
    source, first, second, last = names
    silent = readout != "spike_count"
    ones = np.ones((2, 2), np.int64)
    network = IntegerNetwork(
        name="names",
        steps=6,
        inputs=(Input(name=source, shape=(2,)),),
        populations=tuple(
            Population(
                name=n,
                shape=(2,),
                du=9,
                dv=9,
                vth=VTH_MAX if silent and n == last else 3,
                bias_mantissa=[5, 0],
                start=k,
            )
            for k, n in enumerate((first, second, last))
        ),
        connections=tuple(
            Dense(source=a, target=b, weights=weights_of(ones), delay=d)
            for a, b, d in ((source, first, 0), (source, first, 1), (first, second, 3), (second, last, 2))
        ),
        readouts=(Readout(population=last, kind=readout),),
    )
    spikes = some_spikes(check(network))
    reference = run_reference(network, spikes)
    assert_equal(run(network, spikes), reference)
    assert np.array_equal(scores_of(network, spikes), reference.scores(network))


@pytest.mark.parametrize("du", [0, 700, 4096])
def test_a_population_that_nothing_feeds_runs_on_its_bias(du):
    network = chain((3, 4, 2), readout="spike_count")
    lonely = Population(name="lonely", shape=(3,), du=du, dv=50, vth=2, bias_mantissa=[3, 100, -7], start=2)
    network = check(replace(network, populations=(*network.populations, lonely)))
    spikes = some_spikes(network)
    reference = run_reference(network, spikes)
    assert reference.traces["lonely"].spikes.any()
    assert_equal(run(network, spikes), reference)


@pytest.mark.parametrize("value", [-256, -128, -127, 127, 128, 255])
def test_weights_at_the_ends_of_the_types(value):
    """All spikes at once: the case in which an 8-bit product with saturation in between would be wrong."""
    network = chain((40, 3), readout="spike_count", bias=False)
    heavy = replace(network.connections[0], weights=weights_of(np.full((3, 40), value)), exponent=1)
    network = check(replace(network, connections=(heavy,)))
    spikes = np.ones((2, 4, 40), np.uint8)
    record = run(network, spikes)
    assert set(record.traces["output"].u[:, 0].ravel().tolist()) == {40 * value * 2 * 64}
    assert_equal(record, run_reference(network, spikes))


def test_the_longest_delay_and_many_words():
    network = chain((150, 70, 4), steps=70, readout="spike_count")
    late = replace(network.connections[0], delay=62)
    network = check(replace(network, connections=(late, network.connections[1])))
    spikes = some_spikes(network)
    assert_equal(run(network, spikes), run_reference(network, spikes))


def test_a_window_may_be_longer_or_shorter_than_the_networks_own():
    network = retime(chain(bias=False))
    for steps in (1, 3, 25):
        spikes = some_spikes(replace(network, steps=steps))
        reference = run_reference(network, spikes)
        assert_equal(run(network, spikes), reference)
        assert np.array_equal(scores_of(network, spikes), reference.scores(network))


@pytest.mark.parametrize("form", ["scan", "step"])
def test_a_file_runs_with_the_network_that_it_holds(tmp_path, form):
    held, other = retime(chain(seed=3, bias=False)), chain(seed=4)
    write(held, tmp_path / "held.onnx", form=form)
    spikes = some_spikes(held)
    record = run(other, spikes, file=tmp_path / "held.onnx")
    assert_equal(record, run_reference(held, spikes))


def test_a_file_is_refused_for_a_run_that_its_range_proof_does_not_cover(tmp_path):
    network = chain((40, 3), dv=0, steps=5, bias=False)
    heavy = replace(network.connections[0], weights=weights_of(np.full((3, 40), 255)))
    network = replace(network, connections=(heavy,))
    write(network, tmp_path / "net.onnx")
    assert run(network, np.ones((1, 5, 40), np.uint8), file=tmp_path / "net.onnx").steps == 5
    with pytest.raises(RangeError, match="population output: membrane v can reach"):
        run(network, np.ones((1, 20, 40), np.uint8), file=tmp_path / "net.onnx")


def test_what_does_not_fit_is_told_in_one_line(tmp_path):
    network = chain((4, 3))
    with pytest.raises(UsageError, match=r"spikes of shape \(1, 10, 5\); expected \(samples, steps, 4\)"):
        run(network, np.zeros((1, 10, 5), np.uint8))
    with pytest.raises(UsageError, match=r"spikes in 0\.\.2; expected 0 and 1"):
        run(network, np.array([[[0, 2, 0, 0]]], np.uint8))
    with pytest.raises(FileError, match="no such file"):
        run(network, np.zeros((1, 10, 4), np.uint8), file=tmp_path / "none.onnx")


def test_an_error_of_the_runtime_is_an_engine_error_of_one_line(monkeypatch):
    network = chain((4, 3))
    wrong = replace(network, inputs=(Input(name="input", shape=(5,)),))
    with pytest.raises(EngineError, match=r"^engine onnx: .+") as caught:
        run(wrong, np.zeros((1, 10, 5), np.uint8))
    assert "\n" not in str(caught.value)


def test_the_engine_is_in_the_table_and_imports_onnx_only_when_it_runs():
    assert engine("onnx").load() is run
    script = (
        "import sys, bitspike.sim.engines.onnx_runtime, bitspike.convert.onnx_file\n"
        "assert not {'onnx', 'onnxruntime', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_number_of_threads_changes_nothing():
    import onnxruntime

    network = chain((200, 120, 10), steps=8, readout="spike_count")
    weights = BinaryWeights.pack(np.random.default_rng(0).choice([-1, 1], (120, 200)))
    network = replace(network, connections=(replace(network.connections[0], weights=weights), network.connections[1]))
    spikes = some_spikes(network, samples=40)
    feed = {"spikes": spikes.transpose(1, 0, 2).astype(np.int8)}
    results = []
    for threads in (1, 3):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        data = build(network).SerializeToString()
        results.append(onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feed))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
