"""ONNX files: what they hold, that they read back as they were, and that everything else is refused in one line."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnx_support
import pytest
from builders import chain
from builders import spikes_for as some_spikes
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx_support import body_of, every_kind, initializer, refused
from strategies import networks, spatial_networks

from bitspike.convert import onnx_bytes, onnx_file
from bitspike.convert.description import description_text
from bitspike.convert.network import Dense
from bitspike.convert.onnx_file import open_file, read, write
from bitspike.convert.onnx_graph import build
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import BitspikeError, FileError, NetworkError, RangeError, UnsupportedError, UsageError
from bitspike.sim.record import aligned
from bitspike.sim.reference import run_reference

FORMS = ("scan", "step")
INT8, INT32, INT64 = onnx.TensorProto.INT8, onnx.TensorProto.INT32, onnx.TensorProto.INT64


def mixed():
    """Every kind of weight, a skip with a delay, a start, both resets, an exponent, biases."""
    network = chain((5, 4, 3, 2), steps=6)
    random = np.random.default_rng(5)
    ones = Dense(source="input", target="hidden2", weights=weights_of(random.integers(0, 2, (3, 5))), exponent=2)
    wide = Dense(
        source="hidden1", target="output", weights=IntegerWeights(values=random.integers(-256, 256, (2, 4))), delay=3
    )
    first, second, last = network.populations
    second = replace(second, du=77, reset="subtract", start=2, shape=(3, 1))
    return replace(network, connections=(*network.connections, wide, ones), populations=(first, second, last))


@settings(max_examples=40, deadline=None)
@given(network=st.one_of(networks(), spatial_networks()), form=st.sampled_from(FORMS))
def test_round_trip_is_the_identity_and_the_checker_passes(tmp_path_factory, network, form):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    write(network, path, form=form)
    assert read(path) == network
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 21)]
    assert {node.domain for graph in (model.graph, body_of(model, form)) for node in graph.node} == {""}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_network_gives_the_same_bytes(tmp_path, form):
    write(every_kind(), tmp_path / "a.onnx", form=form)
    write(every_kind(), tmp_path / "b.onnx", form=form)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from onnx_support import build, every_kind\n"
        "sys.stdout.buffer.write(build(every_kind(), sys.argv[2]).SerializeToString(deterministic=True))"
    )
    here = os.path.dirname(onnx_support.__file__)
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": here}
    again = subprocess.run([sys.executable, "-c", script, here, form], capture_output=True, check=True, env=environment)
    assert again.stdout == (tmp_path / "a.onnx").read_bytes()


def test_the_file_is_what_the_format_says():
    """Pins the format: a change of it must change the version."""
    model = build(mixed())
    metadata = {item.key: item.value for item in model.metadata_props}
    assert json.loads(metadata.pop("network"))["populations"][1]["start"] == 2
    assert metadata == {
        "format": "bitspike.onnx",
        "version": "1",
        "form": "scan",
        "digest": mixed().digest(),
        "rounding": "toward zero",
        "threshold": "strict: a spike where v > 64 * vth",
        "reset": "hidden1=zero,hidden2=subtract,output=zero",
        "decay_bits": "12",
        "state_shift": "6",
    }
    shapes = {t.name.removeprefix("step/"): (t.data_type, tuple(t.dims)) for t in body_of(model, "scan").initializer}
    assert shapes["input.to.hidden1.delay0.weights"] == (INT8, (5, 4))
    assert shapes["input.to.hidden2.delay0.weights"] == (INT8, (5, 3))
    assert shapes["hidden1.to.output.delay3.weights"] == (INT32, (4, 2))
    assert shapes["hidden1.to.output.delay3.gain"] == (INT32, ())
    assert shapes["hidden2.bias"] == (INT32, (3,))
    assert shapes["hidden2.threshold"] == (INT32, ())
    assert shapes["hidden2.du.keep"] == (INT64, ())
    assert shapes["hidden2.start"] == (INT64, ())
    outputs = [value.name for value in model.graph.output]
    assert outputs == [
        "scores",
        *(f"{p}.{q}" for p in ("hidden1", "hidden2", "output") for q in ("spikes", "u", "v")),
        *(f"{p}.{q}.final" for p in ("hidden1", "hidden2", "output") for q in ("u", "v")),
        "hidden1.past.final",
        "step.final",
    ]


def test_both_forms_have_the_same_body():
    scan, step = (body_of(build(mixed(), form), form) for form in FORMS)
    plain = [(n.op_type, [i.removeprefix("step/") for i in n.input], n.name.removeprefix("step/")) for n in scan.node]
    traces = [node for node in plain if node[2].endswith(".trace")]
    assert [node for node in plain if node not in traces] == [(n.op_type, list(n.input), n.name) for n in step.node]
    assert len(traces) == 9
    assert [(t.name.removeprefix("step/"), t.raw_data) for t in scan.initializer] == [
        (t.name, t.raw_data) for t in step.initializer
    ]


@pytest.mark.parametrize(("network", "name"), [(mixed(), "hidden2.v"), (every_kind(), "conv.to.pool.delay0.maps")])
def test_names_are_used_once_and_say_where_they_are(network, name):
    model = build(network)
    graphs = (model.graph, body_of(model, "scan"))
    values = [output for graph in graphs for node in graph.node for output in node.output]
    values += [item.name for graph in graphs for item in (*graph.initializer, *graph.input)]
    assert len(values) == len(set(values))
    names = [node.name for graph in graphs for node in graph.node]
    assert all(names)
    assert len(names) == len(set(names))
    assert f"step/{name}" in names


def test_weights_are_stored_once_a_byte_each():
    network = chain((300, 200, 10), readout="spike_count")
    assert build(network).ByteSize() - 300 * 200 - 200 * 10 < 12000


@pytest.mark.parametrize("network", [mixed(), every_kind(), chain((4, 3), readout="membrane_last")])
def test_onnxs_own_evaluator_gives_the_same_integers(network):
    spikes = some_spikes(network, samples=2)
    outputs = [value.name for value in build(network).graph.output]
    feed = {"spikes": spikes.transpose(1, 0, 2).astype(np.int8)}
    values = dict(zip(outputs, ReferenceEvaluator(build(network)).run(None, feed), strict=True))
    raw = {
        p.name: tuple(values[f"{p.name}.{q}"].transpose(1, 0, 2) for q in ("spikes", "u", "v"))
        for p in network.populations
    }
    record, reference = aligned("evaluator", network, spikes, raw), run_reference(network, spikes)
    for name, trace in reference.traces.items():
        for quantity in ("u", "v", "spikes"):
            assert np.array_equal(getattr(record.traces[name], quantity), getattr(trace, quantity))
    assert np.array_equal(values["scores"], reference.scores(network))


def test_the_writer_refuses_what_it_could_not_say_exactly(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    with pytest.raises(UsageError, match="form 'loop'; expected scan or step"):
        write(chain(), path, form="loop")
    with pytest.raises(NetworkError, match="steps 0"):
        write(replace(chain(), steps=0), path)
    with pytest.raises(RangeError, match="population output"):
        write(chain((9000, 3), dv=0, steps=40), path)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    with pytest.raises(UnsupportedError, match="the format's limit here is 100"):
        write(chain(), path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    write(chain(), path)
    before = path.read_bytes()
    monkeypatch.setattr(onnx_file, "read", lambda _: chain(seed=9))
    with pytest.raises(FileError, match="does not read back as the network that was written"):
        write(chain(seed=1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_files_that_are_not_onnx(tmp_path):
    path = tmp_path / "net.onnx"
    assert "no such file" in refused(path)
    for content in (b"\xff" * 50, b"PK\x03\x04 a zip file, or so it says", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        assert refused(path) == "is not a whole ONNX file"
    path.write_bytes(b"")
    assert refused(path) == "is not one of bitspike's ONNX files (format None; expected 'bitspike.onnx')"


def test_onnx_from_elsewhere(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), tmp_path / "net.onnx")
    assert refused(tmp_path / "net.onnx").startswith("is not one of bitspike's ONNX files (format None")


@pytest.mark.parametrize("form", FORMS)
def test_every_truncation_is_refused(tmp_path, form):
    path = tmp_path / "net.onnx"
    write(chain((3, 2)), path, form=form)
    data = path.read_bytes()
    for end in (*range(1, len(data), 97), len(data) - 1):
        path.write_bytes(data[:end])
        refused(path)


def test_no_flipped_byte_gives_another_network(tmp_path):
    network, path = chain((3, 2)), tmp_path / "net.onnx"
    write(network, path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.choice(len(data), 150, replace=False):
        changed = bytearray(data)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        refused(path)


def change_metadata(key, value):
    def change(model, body):
        next(item for item in model.metadata_props if item.key == key).value = value

    return change


def change_network(**values):
    def change(model, body):
        item = next(item for item in model.metadata_props if item.key == "network")
        description = json.loads(item.value)
        description["populations"][0].update(values)
        item.value = json.dumps(description, sort_keys=True, separators=(",", ":"))

    return change


def change_raw(name, place):
    def change(model, body):
        tensor = initializer(body, name)
        raw = bytearray(tensor.raw_data)
        raw[place] ^= 1
        tensor.raw_data = bytes(raw)

    return change


def flip_weight(model, body):
    tensor = initializer(body, "input.to.hidden1.delay0.weights")
    values = np.frombuffer(tensor.raw_data, np.int8).copy()
    values[0] = -values[0]
    tensor.raw_data = values.tobytes()


def change_operator(model, body):
    next(node for node in body.node if node.op_type == "Greater").op_type = "GreaterOrEqual"


def drop_node(model, body):
    del body.node[-1]


def add_unknown_field(model, body):
    model.MergeFromString(b"\x9a\x3e\x01a")


def drop_weights(model, body):
    body.initializer.remove(initializer(body, "input.to.hidden1.delay0.weights"))


def reshape_weights(model, body):
    tensor = initializer(body, "input.to.hidden1.delay0.weights")
    tensor.dims[:] = list(tensor.dims)[::-1]


def inflate_weights(model, body):
    initializer(body, "input.to.hidden1.delay0.weights").dims[:] = [1, 1 << 40]


def float_weights(model, body):
    initializer(body, "input.to.hidden1.delay0.weights").data_type = onnx.TensorProto.FLOAT


TAMPERED = {
    "threshold": (change_raw("hidden1.threshold", 0), "initializer .*hidden1.threshold: raw_data differs"),
    "decay": (change_raw("hidden2.du.keep", 1), "initializer .*hidden2.du.keep: raw_data differs"),
    "weight": (flip_weight, "a weight, a bias or the description was changed: the network has digest"),
    "weight of no network": (change_raw("input.to.hidden1.delay0.weights", 0), "weights other than -1 and 1"),
    "bias": (change_raw("hidden1.bias", 1), "a weight, a bias or the description was changed"),
    "bias between": (change_raw("hidden1.bias", 0), "initializer .*hidden1.bias: raw_data differs"),
    "operator": (change_operator, "op_type 'GreaterOrEqual'; expected 'Greater'"),
    "node dropped": (drop_node, r"\d+ of node; expected \d+"),
    "unknown field": (add_unknown_field, "it holds something that bitspike does not write"),
    "weights dropped": (drop_weights, "no initialiser '.*input.to.hidden1.delay0.weights'"),
    "weights turned": (reshape_weights, r"hidden1: weights of shape \(5, 5\); expected \(4, 5\)"),
    "weights inflated": (inflate_weights, "is not what a network has"),
    "float weights": (float_weights, "is not what a network has"),
    "description": (change_network(vth=3), "a weight, a bias or the description was changed"),
    "illegal description": (change_network(vth=-1), "population hidden1: vth -1; expected 0..131071"),
    "description of wrong types": (change_network(name=["a"]), "no initialiser"),
    "huge exponent": (change_network(bias_exponent=10**40), "bias exponent 10000"),
    "huge shape": (change_network(shape=[10**40]), "."),
    "no JSON": (change_metadata("network", "{"), "its description of the network is damaged"),
    "deep JSON": (change_metadata("network", "[" * 100000), "its description of the network is damaged"),
    "other JSON": (change_metadata("network", "[]"), "its description of the network is damaged"),
    "long JSON": (change_metadata("network", " " * ((1 << 24) + 1)), "longer than 16777216 characters"),
    "format": (change_metadata("format", "x" * 500), "format 'xxxx.*; expected 'bitspike.onnx'"),
    "version": (change_metadata("version", "2"), "version '2'; expected '1'"),
    "form": (change_metadata("form", "loop"), "form 'loop'; expected 'scan' or 'step'"),
    "digest": (change_metadata("digest", "0" * 64), "the file says '000000000000"),
    "semantics": (change_metadata("rounding", "floor"), "metadata_props rounding: value 'floor'; expected 'toward"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_file_is_refused_and_the_place_named(tmp_path, case, form):
    change, message = TAMPERED[case]
    model = build(mixed(), form)
    change(model, body_of(model, form))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=message):
        read(tmp_path / "net.onnx")
    refused(tmp_path / "net.onnx")


def test_numbers_beyond_the_graphs_types_are_refused(tmp_path):
    network = chain((3, 2))
    late = network.with_populations(replace(p, start=1 << 70) for p in network.populations)
    model = build(network, "step")
    change_metadata("network", description_text(late))(model, model.graph)
    change_metadata("digest", late.digest())(model, model.graph)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path / "net.onnx")


def test_a_scan_file_without_a_scan(tmp_path):
    model = build(mixed(), "step")
    change_metadata("form", "scan")(model, model.graph)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert refused(tmp_path / "net.onnx") == "its graph has no Scan; expected one"


@pytest.mark.parametrize("form", FORMS)
def test_external_data_is_refused_and_never_opened(tmp_path, form):
    """The file next door holds the right bytes; it must not be read all the same, whatever its path is."""
    model = build(mixed(), form)
    tensor = initializer(body_of(model, form), "input.to.hidden1.delay0.weights")
    outside = tmp_path / "weights.bin"
    inside = tensor.raw_data
    outside.write_bytes(inside)
    for location in ("weights.bin", str(outside), "../../../etc/passwd"):
        tensor.raw_data = inside
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.ClearField("raw_data")
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        assert "input.to.hidden1.delay0.weights' lies in another file" in refused(tmp_path / "net.onnx")


def test_a_file_too_large_to_read(tmp_path, monkeypatch):
    write(chain(), tmp_path / "net.onnx")
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 1000)
    assert refused(tmp_path / "net.onnx") == "is larger than 1000 bytes, the largest file that is read"


def test_a_file_of_very_many_fields_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    """Two bytes a node, of which protobuf makes 150; and packed numbers, of which it makes eight times as much."""
    monkeypatch.setattr(onnx.ModelProto, "FromString", None)
    packed = b"\x3a" + size(b"\x2a" + size(b"\x3a" + size(bytes(1 << 21))))  # graph.initializer.int64_data
    (tmp_path / "net.onnx").write_bytes(packed)
    assert refused(tmp_path / "net.onnx") == "holds more than 262144 fields; no network has so many"
    monkeypatch.setattr(onnx_bytes, "MAX_FIELDS", 1000)
    (tmp_path / "net.onnx").write_bytes(b"\x3a" + size(b"\x0a\x00" * 2000))  # graph.node
    assert refused(tmp_path / "net.onnx") == "holds more than 1000 fields; no network has so many"


def size(payload):
    """`payload` after its length as a varint."""
    length, octets = len(payload), []
    while length > 127:
        octets.append(length & 127 | 128)
        length >>= 7
    return bytes([*octets, length]) + payload


def test_deeply_nested_messages_are_refused(tmp_path):
    payload = b""
    for _ in range(400):  # graph.node.attribute.g.node.attribute.g ...
        payload = b"\x32" + size(payload)
        payload = b"\x2a" + size(payload)
        payload = b"\x0a" + size(payload)
    (tmp_path / "net.onnx").write_bytes(b"\x3a" + size(payload))
    assert refused(tmp_path / "net.onnx") == "is not a whole ONNX file"


def test_open_file_tells_the_form_and_the_bytes(tmp_path):
    for form in FORMS:
        write(mixed(), tmp_path / "net.onnx", form=form)
        opened = open_file(tmp_path / "net.onnx")
        assert (opened.form, opened.network) == (form, mixed())
        assert opened.data == (tmp_path / "net.onnx").read_bytes()


def test_bytes_that_are_no_fields():
    for data in (b"\x00", b"\x0b", b"\x08", b"\x0a\x05ab", b"\x08" + b"\xff" * 12, b"\x3a\x02\x0a\x05"):
        with pytest.raises(BitspikeError, match="is not a whole ONNX file"):
            onnx_bytes.parse(data)
