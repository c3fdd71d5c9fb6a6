"""ONNX files of every kind of connection: what the graph holds of each, and that a changed one is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
from builders import chain
from onnx_support import body_of, build, every_kind, initializer, refused

from bitspike.convert.connections import Connection, Conv2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.onnx_file import read, write
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError

FORMS = ("scan", "step")
INT8 = onnx.TensorProto.INT8


def test_the_file_is_what_the_format_says_of_every_kind():
    """Pins what each kind of connection is made of."""
    body = body_of(build(every_kind()), "scan")
    tensors = {t.name.removeprefix("step/"): t for t in body.initializer}
    first, again, pool, _, shortcut, back, _ = (
        f"{c.source}.to.{c.target}.delay{c.delay}" for c in every_kind().connections
    )
    assert f"{first}.weights" not in tensors
    parts = [onnx.numpy_helper.to_array(tensors[f"{first}.weights.{part}"]) for part in ("high", "low")]
    assert [part.dtype for part in parts] == [np.int8, np.int8]
    assert parts[1].min() >= 0
    wide = every_kind().connections[0]
    assert np.array_equal(128 * parts[0].astype(int) + parts[1], wide.kernels())
    shapes = {name: (t.data_type, tuple(t.dims)) for name, t in tensors.items()}
    assert shapes[f"{again}.weights"] == (INT8, (4, 4, 1, 1))
    assert shapes[f"{pool}.ones"] == (INT8, (4, 1, 3, 2))
    assert shapes[f"{back}.weights"] == (INT8, (12, 40))
    assert onnx.numpy_helper.to_array(tensors[f"{shortcut}.gain"]) == -2 * 64
    assert not [name for name in tensors if name.startswith(shortcut) and name.endswith("weights")]
    node = next(node for node in body.node if node.name == f"step/{first}.maps.low")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert (node.op_type, attributes) == (
        "ConvInteger",
        {"dilations": [2, 1], "group": 2, "kernel_shape": [2, 2], "pads": [1, 0, 1, 0], "strides": [1, 2]},
    )
    assert {state.name for state in body.input if state.name.endswith(".past.in")} == {
        "step/conv.past.in",
        "step/pool.past.in",
    }


def change_raw(name, place):
    def change(model, body):
        tensor = initializer(body, name)
        raw = bytearray(tensor.raw_data)
        raw[place] ^= 1
        tensor.raw_data = bytes(raw)

    return change


def change_tensor(name, place=0, by=1):
    def change(model, body):
        tensor = initializer(body, name)
        values = np.frombuffer(tensor.raw_data, np.int8).copy()
        values[place] += by
        tensor.raw_data = values.tobytes()

    return change


def change_attribute(node, name, *values):
    def change(model, body):
        found = next(n for n in body.node if n.name.removeprefix("step/") == node)
        next(a for a in found.attribute if a.name == name).ints[:] = values

    return change


def change_connection(index, **values):
    def change(model, body):
        item = next(item for item in model.metadata_props if item.key == "network")
        description = json.loads(item.value)
        description["connections"][index].update(values)
        item.value = json.dumps(description, sort_keys=True, separators=(",", ":"))

    return change


def drop_low_part(model, body):
    body.initializer.remove(initializer(body, "input.to.conv.delay0.weights.low"))


def drop_high_part(model, body):
    body.initializer.remove(initializer(body, "input.to.conv.delay0.weights.high"))


def cut_low_part(model, body):
    tensor = initializer(body, "input.to.conv.delay0.weights.low")
    tensor.dims[0] = 1
    tensor.raw_data = tensor.raw_data[:8]


HUGE = 1 << 23
TAMPERED_KINDS = {
    "low part": (change_tensor("input.to.conv.delay0.weights.low"), "a weight, a bias or the description was changed"),
    "high part": (change_tensor("input.to.conv.delay0.weights.high", by=9), "weights in .*; expected -256..255"),
    "low part dropped": (drop_low_part, "no initialiser '.*input.to.conv.delay0.weights.low'"),
    "high part dropped": (drop_high_part, "no initialiser '.*input.to.conv.delay0.weights'"),
    "parts of two shapes": (cut_low_part, r"parts of shapes \(4, 2, 2, 2\) and \(1, 2, 2, 2\)"),
    "kernel": (change_tensor("conv.to.conv.delay2.weights"), "weights other than -1 and 1"),
    "pool": (change_tensor("conv.to.pool.delay0.ones"), "initializer .*conv.to.pool.delay0.ones: raw_data differs"),
    "shortcut": (change_raw("pool.to.pool.delay3.gain", 0), "initializer .*pool.to.pool.delay3.gain: raw_data differs"),
    "shape": (change_raw("conv.to.pool.delay0.image.shape", 8), "initializer .*.image.shape: raw_data differs"),
    "padding": (
        change_attribute("conv.to.pool.delay0.maps", "pads", 0, 0, 2, 0),
        "node .*conv.to.pool.delay0.maps: attribute pads: ints",
    ),
    "groups": (change_connection(0, groups=4), "weights of 8 columns; expected 4"),
    "shortcut's weight": (change_connection(4, weight=2), "a weight, a bias or the description was changed"),
    "kind": (change_connection(4, type="other"), "type 'other'; expected one of dense, conv, pool, identity"),
    "kind of no name": (change_connection(4, type=["conv"]), r"type \['conv'\]; expected one of dense"),
    "stride": (change_connection(2, stride=[1, 1]), r"it gives shape \(4, 5, 1\); pool has \(4, 3, 1\)"),
    "a huge window": (
        change_connection(
            2, kernel=[2 * HUGE - 5, 2 * HUGE - 5], stride=[HUGE, HUGE], padding=[2 * HUGE - 5, HUGE - 3]
        ),
        r"a window of 16777211x16777211; expected at most 65536 places",
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", TAMPERED_KINDS)
def test_a_tampered_file_of_every_kind_is_refused_too(tmp_path, case, form):
    change, message = TAMPERED_KINDS[case]
    model = build(every_kind(), form)
    change(model, body_of(model, form))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert re.search(message, refused(tmp_path / "net.onnx"))


def test_a_kind_that_is_not_in_the_table_is_refused_by_name():
    network = chain((3, 3))
    # Nothing is asked of it but its kind, its name and its exponent, so the abstract methods may stay abstract.
    unknown = type("Unknown", (Connection,), {"kind": "other"})
    unknown.__abstractmethods__ = frozenset()
    other = unknown(source="input", target="output")
    with pytest.raises(UnsupportedError, match="connection input -> output: of kind other; the ONNX writer has no"):
        build(replace(network, connections=(other,)))


def test_the_size_that_counts_is_the_files_own(tmp_path):
    """A convolution has few weights between many neurons: 2^30 pairs of them here, in a file of some 200 kB."""
    shape = (2, 128, 128)
    bits = weights_of(np.random.default_rng(0).choice([-1, 1], (2, 2)))
    size = int(np.prod(shape))
    population = Population(name="output", shape=shape, dv=9, vth=2, bias_mantissa=np.zeros(size, np.int64))
    network = IntegerNetwork(
        name="large",
        steps=1,
        inputs=(Input(name="input", shape=shape),),
        populations=(population,),
        connections=(Conv2d(source="input", target="output", source_shape=shape, kernel=(1, 1), weights=bits),),
        readouts=(Readout(population="output", kind="spike_count"),),
    )
    write(check(network), tmp_path / "net.onnx")
    assert read(tmp_path / "net.onnx") == network
