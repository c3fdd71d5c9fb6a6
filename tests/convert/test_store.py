"""The network's own file: written whole, read exactly, everything else refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain
from safetensors import safe_open
from safetensors.numpy import save_file

from bitspike.convert.network import Dense
from bitspike.convert.store import load, save
from bitspike.convert.weights import weights_of
from bitspike.errors import BitspikeError, FileError, NetworkError


def mixed():
    """A network with every kind of entry: one-bit of both kinds, wider weights, delays, exponents, starts."""
    network = chain((12, 9, 7, 4))
    random = np.random.default_rng(5)
    skip = Dense(source="hidden1", target="output", weights=weights_of(random.integers(-90, 90, (4, 9))), delay=3)
    ones = Dense(
        source="input", target="hidden2", weights=weights_of(random.integers(0, 2, (7, 12))), exponent=2, delay=1
    )
    late = replace(network.populations[1], du=77, reset="subtract", start=2, shape=(7, 1))
    populations = (network.populations[0], late, network.populations[2])
    return replace(network, connections=(*network.connections, skip, ones), populations=populations)


def test_round_trip_is_the_identity(tmp_path):
    for network in (mixed(), chain(seed=4, readout="spike_count")):
        save(network, tmp_path / "net.safetensors")
        assert load(tmp_path / "net.safetensors") == network
        assert load(tmp_path / "net.safetensors").digest() == network.digest()


def test_the_file_is_what_the_format_says(tmp_path):
    """Pins the format: a change of it must change the version."""
    save(mixed(), tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="np") as file:
        metadata = file.metadata()
        entries = {name: (str(file.get_tensor(name).dtype), file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
    assert list(metadata) == ["bitspike.network/1"]
    assert entries == {
        "hidden1.bias": ("int32", (9,)),
        "hidden2.bias": ("int32", (7,)),
        "output.bias": ("int32", (4,)),
        "0.words": ("uint64", (9, 1)),
        "1.words": ("uint64", (7, 1)),
        "2.words": ("uint64", (4, 1)),
        "3.values": ("int16", (4, 9)),
        "4.words": ("uint64", (7, 1)),
    }
    description = json.loads(metadata["bitspike.network/1"])
    assert description["populations"][1] == {
        "name": "hidden2", "shape": [7, 1], "du": 77, "dv": 300, "vth": 2, "reset": "subtract", "bias_exponent": 6,
        "start": 2,
    }  # fmt: skip
    assert description["connections"][4] == {
        "type": "dense", "source": "input", "target": "hidden2", "kind": "01", "columns": 12, "exponent": 2, "delay": 1,
    }  # fmt: skip


def test_the_same_network_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(chain(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_illegal_network_is_not_written(tmp_path):
    with pytest.raises(NetworkError):
        save(replace(chain(), steps=0), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_truncated_files_are_refused_at_every_length(tmp_path):
    save(chain((5, 4, 3)), tmp_path / "net.safetensors")
    whole = (tmp_path / "net.safetensors").read_bytes()
    for length in [*range(0, 64), *range(64, len(whole), 37)]:
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"cut\.safetensors") as caught:
            load(tmp_path / "cut.safetensors")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, a: d.update(steps="16"), "steps is '16'; expected int"),
        (lambda d, a: d.update(steps=True), "steps is True; expected int"),
        (lambda d, a: d.update(extra=1), "network: keys"),
        (lambda d, a: d["populations"][0].pop("dv"), "population: keys"),
        (lambda d, a: d["populations"][0].update(dv=4097), "dv 4097; expected 0..4096"),
        (lambda d, a: d["populations"][0].update(shape="9"), "shape is '9'; expected a list of integers"),
        (lambda d, a: d["connections"][0].update(kind="ternary"), "kind 'ternary'; expected pm1, 01, int"),
        (lambda d, a: d["connections"][0].update(columns=99), "expected (rows, 2) for 99 columns"),
        (lambda d, a: d["connections"].append({}), "connection 2: type None; expected one of dense, conv"),
        (lambda d, a: d.update(connections={}), "connections is dict; expected a list"),
        (lambda d, a: d["readout"].update(kind="mean"), "readout 'mean'; expected"),
        (lambda d, a: a.pop("hidden1.bias"), "no entry 'hidden1.bias'"),
        (lambda d, a: a.update(more=np.zeros(2)), "unexpected entry 'more'"),
        (lambda d, a: a.update({"hidden1.bias": np.zeros(4)}), "entry 'hidden1.bias' is float64; expected int32"),
        (lambda d, a: a.update({"hidden1.bias": np.zeros(3, np.int32)}), "bias of shape (3,); expected (4,)"),
    ],
)
def test_each_foreign_change_is_refused_with_its_name(tmp_path, change, message):
    from bitspike.convert.description import arrays_of, describe

    network = chain((5, 4, 3))
    description, arrays = describe(network), dict(arrays_of(network))
    change(description, arrays)
    metadata = {"bitspike.network/1": json.dumps(description)}
    save_file(arrays, tmp_path / "net.safetensors", metadata=metadata)
    with pytest.raises(BitspikeError) as caught:
        load(tmp_path / "net.safetensors")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "its metadata has nothing; expected 'bitspike.network/1' alone"),
        ({"format": "pt"}, "its metadata has 'format'; expected"),
        ({"bitspike.network/9": "{}"}, "its metadata has 'bitspike.network/9'; expected"),
        ({"bitspike.network/1": "{}", "more": ""}, "its metadata has 'more'; expected"),
        ({"bitspike.network/1": "{"}, "description is not JSON"),
        ({"bitspike.network/1": "[]"}, "network: keys list; expected"),
        ({"bitspike.network/1": "[" * 100_000}, "description is not JSON"),
    ],
)
def test_other_peoples_safetensors_are_refused(tmp_path, metadata, message):
    save_file({"weight": np.zeros(3)}, tmp_path / "net.safetensors", metadata=metadata)
    with pytest.raises(FileError) as caught:
        load(tmp_path / "net.safetensors")
    assert message in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(FileError, match="is not a file"):
        load(tmp_path)
