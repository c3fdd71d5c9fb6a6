"""Malicious and broken ONNX and safetensors files: one line, soon, with bounded memory, and no other file touched."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile_files import assert_refused, outcomes
from onnx import TensorProto, helper

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))
import seeds

KEY = "bitspike.network/1"


def onnx_variants(data):
    """Changed models, by name."""
    found = {
        "empty": b"",
        "text": b"network\n" * 40,
        "half": data[: len(data) // 2],
        "last_byte_missing": data[:-1],
        "zeros": bytes(1 << 20),
        "a_million_empty_fields": b"\x3a\x00" * (1 << 20),
        "length_without_end": b"\x3a" + b"\xff" * 9 + b"\x01",
        "groups_without_end": b"\x3b" * 100000,
    }

    def changed(name, change):
        model = onnx.ModelProto.FromString(data)
        change(model)
        found[name] = model.SerializeToString()

    def external(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", "16")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    def huge_dims(model):
        model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]

    def negative_dims(model):
        model.graph.initializer[0].dims[0] = -1

    def circle(model):
        model.graph.node[0].input[0] = model.graph.node[-1].output[0]

    def twice(model):
        model.graph.node.add().CopyFrom(model.graph.node[0])

    def same_name(model):
        model.graph.initializer[1].name = model.graph.initializer[0].name

    def dangling(model):
        model.graph.node[0].input[0] = "nowhere"

    def other_operator(model):
        model.graph.node[0].op_type, model.graph.node[0].domain = "PyOp", "ai.onnx.contrib"

    def function(model):
        model.functions.add().CopyFrom(helper.make_function("x", "f", [], [], [], []))

    def escapes(model):
        model.graph.node[0].name = "\x1b[2J\u202e"

    def text(old, new):
        def change(model):
            (entry,) = (one for one in model.metadata_props if one.key == "network")
            assert old in entry.value
            entry.value = entry.value.replace(old, new, 1)

        return change

    def deep(model):
        (entry,) = (one for one in model.metadata_props if one.key == "network")
        entry.value = "[" * 200000

    def nan(model):
        tensor = model.graph.initializer[0]
        tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.FLOAT, [2], [float("nan"), 1.0]))

    changes = (external, huge_dims, negative_dims, circle, twice, same_name, dangling, other_operator, function,
               escapes, deep, nan)  # fmt: skip
    for change in changes:
        changed(change.__name__, change)
    for name, old, new in TEXTS:
        changed(name, text(old, new))
    nested = helper.make_node("If", ["x"], ["y"], name="deep")
    for _ in range(60):
        graph = helper.make_graph([nested], "g", [], [])
        nested = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph) if _ < 12 else nested
    changed("nested_graphs", lambda model: model.graph.node.add().CopyFrom(nested))
    return found


#: Changes of the description that every file of ours has, by name.
TEXTS = [
    ("huge_steps", '"steps":10', '"steps":1' + "0" * 400),
    ("digits_without_end", '"steps":10', '"steps":' + "1" * 6000),
    ("real_steps", '"steps":10', '"steps":1e9'),
    ("steps_not_a_number", '"steps":10', '"steps":NaN'),
    ("huge_shape", '"shape":[5]', '"shape":[1000000000000,1000000000000]'),
    ("negative_shape", '"shape":[5]', '"shape":[-5]'),
    ("zero_shape", '"shape":[5]', '"shape":[0]'),
    ("shape_of_nothing", '"shape":[5]', '"shape":[]'),
    ("decay", '"dv":300', '"dv":-300'),
    ("a_truth_for_a_number", '"dv":300', '"dv":true'),
    ("name_with_escapes", '"name":"hidden1"', '"name":"\\u001b[2J\\u202e"'),
    ("name_twice", '"name":"hidden1"', '"name":"output"'),
    ("dangling_edge", '"source":"hidden1"', '"source":"nowhere"'),
    ("circle_without_delay", '"source":"input"', '"source":"output"'),
    ("key_twice", '"steps":10', '"steps":10,"steps":11'),
    ("another_key", '"steps":10', '"steps":10,"__reduce__":"os.system"'),
]


def safetensors_variants(data):
    """Changed files, by name."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]

    def packed(text, *, claimed=None):
        raw = text if isinstance(text, bytes) else text.encode()
        return struct.pack("<Q", len(raw) if claimed is None else claimed) + raw + body

    def changed(**entries):
        return packed(json.dumps(header | entries))

    name = next(key for key in header if key.endswith(".bias"))
    tensor = header[name]
    found = {
        "empty": b"",
        "length_alone": data[:8],
        "half": data[: len(data) // 2],
        "last_byte_missing": data[:-1],
        "a_byte_more": data + b"\x00",
        "huge_header": packed(json.dumps(header), claimed=1 << 62),
        "header_beyond_the_file": packed(json.dumps(header), claimed=len(data)),
        "no_json": packed(b"\xff\xfe{}"),
        "deep_json": packed("[" * 200000),
        "pickle": b"cposix\nsystem\n(S'id'\ntR.",
        "no_metadata": packed(json.dumps({k: v for k, v in header.items() if k != "__metadata__"})),
        "two_metadata": changed(__metadata__=header["__metadata__"] | {"x": "y"}),
        "metadata_with_escapes": changed(__metadata__={"\x1b[2J\u202e": "x"}),
        "huge_shape": changed(**{name: tensor | {"shape": [1 << 40, 1 << 40]}}),
        "shape_that_overflows": changed(**{name: tensor | {"shape": [1 << 32, 1 << 32, 4]}}),
        "negative_shape": changed(**{name: tensor | {"shape": [-4]}}),
        "other_type": changed(**{name: tensor | {"dtype": "F32"}}),
        "unknown_type": changed(**{name: tensor | {"dtype": "PICKLE"}}),
        "offsets_beyond": changed(**{name: tensor | {"data_offsets": [0, 1 << 40]}}),
        "offsets_backwards": changed(**{name: tensor | {"data_offsets": [16, 0]}}),
        "overlapping": changed(x=tensor),
        "name_with_escapes": changed(**{"\x1b[2J": tensor | {"data_offsets": [0, 0], "shape": [0]}}),
        "zero_sized": changed(**{name: tensor | {"shape": [0], "data_offsets": [0, 0]}}),
    }
    text = header["__metadata__"][KEY]
    for label, old, new in TEXTS:
        assert old in text, label
        found[f"text_{label}"] = changed(__metadata__={KEY: text.replace(old, new, 1)})
    found["text_deep"] = changed(__metadata__={KEY: "[" * 200000})
    return found


@pytest.mark.parametrize(("reader", "variants", "least"), [
    ("onnx", onnx_variants, 35), ("safetensors", safetensors_variants, 38),
])  # fmt: skip
def test_each_file_is_refused_in_one_line(reader, variants, least, tmp_path):
    paths = []
    for name, content in variants(seeds.reader(reader).files()[0]).items():
        paths.append((reader, tmp_path / f"{name}.{reader}"))
        paths[-1][1].write_bytes(content)
    found = outcomes(paths, tmp_path)
    assert len(paths) >= least
    assert_refused(found, megabytes=300)


def test_no_file_but_the_one_that_was_asked_for_is_opened(tmp_path):
    """The tensor of an ONNX file may name another file; Python tells of each that is opened."""
    from bitspike.convert import onnx_file
    from bitspike.errors import FileError

    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_variants(seeds.reader("onnx").files()[0])["external"])
    opened = []
    watching = [True]
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if watching[0] and event == "open" else None)
    try:
        with pytest.raises(FileError):
            onnx_file.read(path)
    finally:
        watching[0] = False
    assert str(path) in opened
    assert not [name for name in opened if "passwd" in name]


def test_a_line_is_cut_and_made_printable():
    from bitspike.errors import MAX_LETTERS, BitspikeError, FileError

    assert str(BitspikeError("a\x1b[2J\nb\u202e\ud800")) == "a\\x1b[2J\\nb\\u202e\\ud800"
    assert str(FileError("é", "ü")) == "é: ü"
    long = str(BitspikeError("x" * 70000))
    assert long == "x" * MAX_LETTERS + "... (70000 letters)"
    assert np.all([c.isprintable() for c in long])
