"""Several inputs and several read-outs: one value, told apart by name, in every engine and file that takes them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_support import assert_equal, scores_of
from strategies import networks
from strategies import spikes_for as spikes_strategy

from bitspike.cli import main
from bitspike.convert import netx_file, onnx_file, store
from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import BitspikeError, NetworkError, UnsupportedError, UsageError
from bitspike.sim.compare import first_divergence
from bitspike.sim.counts import count
from bitspike.sim.engines import onnx_runtime, trained
from bitspike.sim.reference import run_reference
from bitspike.sim.run import simulate

several = networks(inputs=(1, 3), heads=True, delays=(0, 62), graded=True)
#: Files and sessions take long the first time.
patient = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])


def two_eyes():
    """Two inputs, of which the second is late, a shared layer, and two heads beside the membrane."""
    random = np.random.default_rng(4)

    def population(name, size, **more):
        return Population(name=name, shape=(size,), bias_mantissa=np.zeros(size, int), **({"dv": 512, "vth": 1} | more))

    def dense(source, target, rows, columns, **more):
        weights = weights_of(random.choice([-1, 1], (rows, columns)))
        return Dense(source=source, target=target, weights=weights, **more)

    return check(
        IntegerNetwork(
            name="two eyes",
            steps=7,
            inputs=(Input(name="left", shape=(3,)), Input(name="right", shape=(2, 2))),
            populations=(
                population("both", 5),
                population("where", 3),
                population("more", 2),
                population("what", 4, vth=VTH_MAX),
            ),
            connections=(
                dense("left", "both", 5, 3),
                dense("right", "both", 5, 4, delay=2),
                dense("both", "where", 3, 5),
                dense("left", "where", 3, 3, delay=1),
                dense("both", "more", 2, 5),
                dense("both", "what", 4, 5),
            ),
            readouts=(
                Readout(population="what", kind="membrane_sum", answer="what"),
                Readout(population="more", kind="spike_count"),
                Readout(population="where", kind="spike_count"),
            ),
        )
    )


def test_the_text_has_a_line_for_each():
    text = str(two_eyes()).splitlines()
    assert text[1:3] == ["input   left shape=3", "input   right shape=2x2"]
    assert text[-3:] == [
        "readout what membrane_sum answer=what",
        "readout more spike_count",
        "readout where spike_count",
    ]


def test_one_of_each_has_the_digest_it_always_had():
    assert chain().digest() == "02b87be8fe39837480b0ddfd6f3d8d9530cff55c8263fb67aaf1f49dd9837023"
    assert chain().readout == chain().readouts[0]
    assert two_eyes().digest() != replace(two_eyes(), inputs=two_eyes().inputs[::-1]).digest()


def test_the_only_one_is_asked_for_where_there_are_several():
    with pytest.raises(UsageError, match="network two eyes: inputs left, right; expected one"):
        _ = two_eyes().input
    with pytest.raises(UsageError, match="network two eyes: read-outs what, more, where; expected one"):
        _ = two_eyes().readout


def test_two_inputs_are_one_whose_weights_lie_side_by_side():
    network, record = two_eyes(), run_reference(two_eyes(), spikes_for(two_eyes(), rate=0.6))
    left, right = (c.weights.matrix() for c in network.connections[:2])
    alone = np.hstack([network.connections[3].weights.matrix(), np.zeros((3, 4), int)])
    gathered = np.pad(record.inputs[:, :-2, 3:], ((0, 0), (2, 0), (0, 0)))
    one = replace(
        network,
        inputs=(Input(name="left", shape=(7,)),),
        connections=(
            replace(network.connections[0], weights=weights_of(np.hstack([left, right]))),
            network.connections[2],
            replace(network.connections[3], weights=weights_of(alone)),
            *network.connections[4:],
        ),
    )  # fmt: skip
    other = run_reference(check(one), np.concatenate([record.inputs[..., :3], gathered], axis=2))
    assert record.traces["what"].spikes.sum() == 0
    assert record.traces["where"].spikes.any()
    for name, trace in record.traces.items():
        assert np.array_equal(trace.v, other.traces[name].v)


def test_answers_are_read_by_name_and_their_parts_joined():
    network = two_eyes()
    record = run_reference(network, spikes_for(network))
    assert np.array_equal(record.scores(network, "what"), record.traces["what"].v.sum(axis=1))
    joined = record.scores(network, "")
    assert np.array_equal(joined[:, :2], record.traces["more"].spikes.sum(axis=1))
    assert np.array_equal(joined[:, 2:], record.traces["where"].spikes.sum(axis=1))
    assert np.array_equal(record.predictions(network, ""), joined.argmax(axis=1))
    with pytest.raises(UsageError, match="answer None; expected one of 'what', ''"):
        record.scores(network)
    only = replace(network, readouts=network.readouts[1:])
    assert np.array_equal(record.scores(only), joined)


def test_counts_take_all_inputs():
    network = two_eyes()
    record = run_reference(network, spikes_for(network))
    counted = count(network, record)
    assert np.array_equal(counted.input_spikes, record.inputs.sum(axis=(1, 2)))
    both = counted.populations[0]
    assert np.array_equal(both.synaptic_operations, 5 * counted.input_spikes)


def test_a_divergence_names_the_inputs_by_name():
    network = two_eyes()
    spikes = np.ones((1, 7, 7), np.uint8)
    changed = network.with_populations((replace(network.populations[0], vth=7), *network.populations[1:]))
    found = first_divergence(network, run_reference(network, spikes), run_reference(changed, spikes))
    assert {source for source, _, _ in found.inputs} <= {"left", "right"}
    assert found.population == "both"


def test_data_of_another_width_are_refused_with_all_widths():
    with pytest.raises(UsageError, match=r"data has 3 neurons; the network's inputs \(left 3, right 4\) have 7"):
        simulate(two_eyes(), np.zeros((1, 7, 3), np.uint8))


def test_the_command_tells_the_accuracy_of_each_answer(capsys, tmp_path):
    network = two_eyes()
    store.save(network, tmp_path / "a.safetensors")
    spikes = spikes_for(network, samples=9)
    record = run_reference(network, spikes)
    labels = record.predictions(network, "what")
    np.savez(tmp_path / "own.npz", spikes=spikes, labels=labels)
    arguments = ["simulate", str(tmp_path / "a.safetensors"), "--data", str(tmp_path / "own.npz")]
    assert main([*arguments, "--json"]) == 0
    share = float(np.mean(record.predictions(network, "") == labels))
    assert json.loads(capsys.readouterr().out)["accuracy"] == {"what": 1.0, "": share}
    assert main(arguments) == 0
    assert f"accuracy 1.0000 of answer 'what', {share:.4f} of answer ''" in capsys.readouterr().out


@patient
@given(several, st.data())
def test_files_and_onnx_runtime(tmp_path_factory, network, data):
    folder = tmp_path_factory.mktemp("several")
    store.save(network, folder / "a.safetensors")
    assert store.load(folder / "a.safetensors") == network
    onnx_file.write(network, folder / "a.onnx")
    assert onnx_file.read(folder / "a.onnx") == network
    spikes = data.draw(spikes_strategy(network))
    reference = run_reference(network, spikes)
    assert_equal(onnx_runtime.run(network, spikes), reference)
    for answer in network.answers():
        assert np.array_equal(scores_of(network, spikes, answer), reference.scores(network, answer))


def test_the_step_graph_takes_them_too(tmp_path):
    network = two_eyes()
    onnx_file.write(network, tmp_path / "a.onnx", form="step")
    spikes = spikes_for(network)
    record = onnx_runtime.run(network, spikes, file=tmp_path / "a.onnx")
    assert_equal(record, run_reference(network, spikes))


def test_names_never_meet_in_the_graph():
    """Answers and populations called like what the graph makes of other names."""
    network = two_eyes()
    names = {"what": "v", "more": "of", "where": "start"}
    renamed = replace(
        network,
        populations=tuple(replace(p, name=names.get(p.name, p.name)) for p in network.populations),
        connections=tuple(replace(c, target=names.get(c.target, c.target)) for c in network.connections),
        readouts=tuple(
            replace(r, population=names[r.population], answer=answer)
            for r, answer in zip(network.readouts, ["v", "of", "start"], strict=True)
        ),
    )
    spikes = spikes_for(check(renamed))
    reference = run_reference(renamed, spikes)
    for answer in ("v", "of", "start"):
        assert np.array_equal(scores_of(renamed, spikes, answer), reference.scores(renamed, answer))


def test_retiming_begins_at_every_input():
    network = two_eyes()
    chip = retime(network)
    assert chip.latencies() == {"left": 0, "right": 0, "both": 1, "where": 2, "more": 2, "what": 2}
    spikes = spikes_for(network)
    left, right = run_reference(network, spikes), run_reference(chip, spikes)
    assert first_divergence(network, left, right) is None


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (netx_file.contents, "inputs left, right; the NetX writer takes one input only, today"),
        (
            lambda n: trained.run(replace(n, collapse="map"), np.zeros((1, 7, 7), np.uint8), model=object()),
            "inputs left, right; engine torch takes one input only, today",
        ),
    ],
)
def test_what_takes_one_input_says_so(write, message):
    with pytest.raises(UnsupportedError, match=message):
        write(two_eyes())


def test_what_takes_one_read_out_says_so():
    network = chain(readout="spike_count")
    two = replace(network, readouts=(*network.readouts, Readout(population="hidden1", kind="spike_count")))
    with pytest.raises(UnsupportedError, match="read-outs output, hidden1; the NetX writer takes one read-out only"):
        netx_file.contents(two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ()}, "network two eyes: no input; expected one or more"),
        ({"readouts": ()}, "network two eyes: no read-out; expected one or more"),
        ({"inputs": (Input(name="left", shape=(3,)),) * 2}, "name 'left' is used 2 times"),
        ({"readouts": (Readout(population="where", kind="spike_count"),) * 2},
         "read-outs: population where is read 2 times in one answer; expected once"),
        ({"readouts": (Readout(population="where", kind="spike_count", answer="a b"),)},
         "answer 'a b': expected letters, digits and _"),
        ({"readouts": (Readout(population="where", kind="spike_count", answer="x"),
                       Readout(population="what", kind="membrane_sum", answer="x"))},
         "answer x: spike_count, membrane_sum joined in one answer; expected the same kind"),
    ],
)  # fmt: skip
def test_illegal_ones_are_refused(change, message):
    with pytest.raises(NetworkError, match=message):
        check(replace(two_eyes(), **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"inputs": d["inputs"][:1]}, "inputs is a list of 1; expected two or more, or input"),
        (lambda d: d | {"readouts": {}}, "readouts is dict; expected a list"),
        (lambda d: d | {"input": d["inputs"][0]}, "network: keys"),
        (lambda d: d | {"readouts": [{**d["readouts"][0], "answer": ""}, d["readouts"][1]]}, "answer is ''"),
    ],
)
def test_a_description_that_the_writer_would_not_write_is_refused(change, message):
    from bitspike.convert.description import arrays_of, describe, network_from

    network = two_eyes()
    assert network_from(json.dumps(describe(network)), arrays_of(network)) == network
    with pytest.raises(BitspikeError, match=message):
        network_from(json.dumps(change(describe(network))), arrays_of(network))
