"""NIR graphs of strangers that make no sense: each is refused in one line, soon, with bounded memory."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hostile_files import assert_refused, outcomes

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))
import seeds

INF, NAN = np.inf, np.nan
DENSE, SPATIAL = 0, 1
#: Name: which seed, and what is put where; None deletes. A path that ends in ``/*`` is every entry of that group.
EDITS = {
    "nan_weight": (DENSE, {"fc/weight": np.full((4, 5), NAN)}),
    "infinite_weight": (DENSE, {"fc/weight": np.full((4, 5), INF)}),
    "text_weight": (DENSE, {"fc/weight": "weights"}),
    "negative_tau": (DENSE, {"lif/tau": np.full(4, -0.01)}),
    "zero_tau": (DENSE, {"lif/tau": np.zeros(4)}),
    "nan_tau": (DENSE, {"cuba/tau_mem": np.full(3, NAN)}),
    "infinite_tau": (DENSE, {"cuba/tau_syn": np.full(3, INF)}),
    "nan_threshold": (DENSE, {"lif/v_threshold": np.full(4, NAN)}),
    "nan_resistance": (DENSE, {"lif/r": np.full(4, NAN)}),
    "other_length": (DENSE, {"lif/tau": np.full(7, 0.01)}),
    "no_threshold": (DENSE, {"lif/v_threshold": None}),
    "unknown_field": (DENSE, {"lif/v_secret": np.zeros(4)}),
    "unknown_type": (DENSE, {"lif/type": "ALIF"}),
    "type_with_escapes": (DENSE, {"lif/type": "\x1b[2J\u202e"}),
    "type_is_a_number": (DENSE, {"lif/type": 7}),
    "no_type": (DENSE, {"lif/type": None}),
    "negative_delay": (DENSE, {"delay/delay": np.full(3, -0.001)}),
    "nan_delay": (DENSE, {"delay/delay": np.full(3, NAN)}),
    "endless_delay": (DENSE, {"delay/delay": np.full(3, 1e300)}),
    "delay_beyond_the_chip": (DENSE, {"delay/delay": np.full(3, 1e6)}),
    "weights_that_do_not_fit": (DENSE, {"fc/weight": np.ones((4, 6))}),
    "bias_that_does_not_fit": (DENSE, {"fc/bias": np.ones(9)}),
    "scale_that_does_not_fit": (DENSE, {"scale/scale": np.ones(9)}),
    "huge_input": (DENSE, {"input/shape": np.array([1 << 40])}),
    "huge_input_in_parts": (DENSE, {"input/shape": np.array([1 << 20, 1 << 20, 1 << 20])}),
    "negative_input": (DENSE, {"input/shape": np.array([-5])}),
    "empty_input": (DENSE, {"input/shape": np.array([0])}),
    "input_of_nothing": (DENSE, {"input/shape": np.zeros(0, np.int64)}),
    "a_million_dimensions": (DENSE, {"input/shape": np.ones(1 << 20, np.int64)}),
    "no_input": (DENSE, {"input": None}),
    "no_nodes": (DENSE, {"/node/nodes": None}),
    "no_edges": (DENSE, {"/node/edges": None}),
    "edges_of_numbers": (DENSE, {"/node/edges": np.ones((3, 2))}),
    "edges_of_three": (DENSE, {"/node/edges": np.array([["input", "fc", "lif"]], dtype=object)}),
    "dangling_edge": (DENSE, {"/node/edges": [("input", "fc"), ("fc", "nowhere"), ("cuba", "output")]}),
    "edge_with_escapes": (DENSE, {"/node/edges": [("input", "\x1b[2J\u202e")]}),
    "edge_to_itself": (DENSE, {"/node/edges": "+fc fc"}),
    "circle_without_a_neuron": (DENSE, {"/node/edges": "+out scale"}),
    "edge_into_the_input": (DENSE, {"/node/edges": "+lif input"}),
    "sixteen_thousand_edges": (DENSE, {"/node/edges": [("input", "fc")] * 16000}),
    "name_of_nothing_but_spaces": (DENSE, {"lif": "\u00a0"}),
    "graph_in_itself": (DENSE, {"lif/type": "NIRGraph"}),
    "huge_convolution": (SPATIAL, {"conv/input_shape": np.array([1 << 30, 1 << 30])}),
    "huge_padding": (SPATIAL, {"conv/padding": np.array([1 << 40, 1 << 40])}),
    "negative_padding": (SPATIAL, {"conv/padding": np.array([-1, -1])}),
    "stride_of_zero": (SPATIAL, {"conv/stride": np.array([0, 1])}),
    "huge_dilation": (SPATIAL, {"conv/dilation": np.array([1 << 60, 1])}),
    "no_groups": (SPATIAL, {"conv/groups": 0}),
    "groups_that_do_not_fit": (SPATIAL, {"conv/groups": 7}),
    "three_strides": (SPATIAL, {"conv/stride": np.array([1, 1, 1])}),
    "kernel_beyond_the_image": (SPATIAL, {"conv/weight": np.ones((2, 1, 9, 9))}),
    "kernels_of_two_dimensions": (SPATIAL, {"conv/weight": np.ones((2, 3))}),
    "pool_of_zero": (SPATIAL, {"pool/kernel_size": np.array([0, 0])}),
    "huge_pool": (SPATIAL, {"pool/kernel_size": np.array([1 << 40, 2])}),
    "pool_stride_of_zero": (SPATIAL, {"pool/stride": np.array([0, 0])}),
    "flatten_from_no_number": (SPATIAL, {"flat/start_dim": NAN}),
    "flatten_to_infinity": (SPATIAL, {"flat/end_dim": INF}),
    "flatten_of_another_shape": (SPATIAL, {"flat/input_type": np.array([3, 3, 3])}),
}


def edited(data, edits, path):
    """Write the file `data` with `edits` to `path`."""
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        for name, value in edits.items():
            place = name if name.startswith("/") else f"/node/nodes/{name}"
            if value is None:
                del file[place]
            elif name == "lif":
                file.move(place, f"/node/nodes/{value}")
            elif place == "/node/edges":
                _edges(file, value)
            else:
                if place in file:
                    del file[place]
                file[place] = value
    return path


def _edges(file, value):
    pairs = file["/node/edges"].asstr()[()].tolist()
    if isinstance(value, str):
        value = [*pairs, tuple(value[1:].split())]
    del file["/node/edges"]
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    kind = {} if array.dtype.kind == "f" else {"dtype": h5py.string_dtype()}
    file.create_dataset("/node/edges", data=array, **kind)


def test_each_graph_is_refused_in_one_line(tmp_path):
    files = seeds.reader("nir-foreign").files()
    paths = [
        ("nir-foreign", edited(files[number], edits, tmp_path / f"{name}.nir"))
        for name, (number, edits) in EDITS.items()
    ]
    found = outcomes(paths, tmp_path, seconds=200)
    assert_refused(found, megabytes=300)


@pytest.mark.parametrize("name", ["nan_weight", "dangling_edge", "type_with_escapes", "huge_padding"])
def test_the_command_line_tells_it_in_one_line(tmp_path, capfd, name):
    from bitspike.cli import main

    number, edits = EDITS[name]
    path = edited(seeds.reader("nir-foreign").files()[number], edits, tmp_path / "a.nir")
    assert main(["import", str(path), "--dt", "0.001", "--out", str(tmp_path / "b.safetensors")]) == 2
    shown = capfd.readouterr().err
    assert shown.endswith("\n")
    assert shown[:-1].isprintable()
    assert not (tmp_path / "b.safetensors").exists()
