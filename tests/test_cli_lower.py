"""``bitspike lower``: what it prints, what it refuses, and the same from Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import chain

import bitspike
import bitspike.targets.chips
from bitspike.cli import main
from bitspike.convert.store import save
from bitspike.errors import UnsupportedError, UsageError
from bitspike.targets.partition import LimitError

TINY = Path(bitspike.targets.chips.__file__).parent / "tiny.toml"


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.safetensors"
    save(chain((64, 40, 10)), path)
    return path


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    return code, *capsys.readouterr()


def test_the_table_and_the_registers(capsys, net):
    code, text, _ = run(capsys, "lower", net, "--chip", "loihi1")
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == "chain on loihi1: 1 core of 128; lower bound 1 (by neurons); first-fit 1"
    assert lines[2].split()[:3] == ["0", "50", "5%"]
    assert lines[2].endswith("hidden1[0:40], output[0:10]")
    assert "lava    chain latency=2 samples=stream" in lines


def test_json(capsys, net):
    code, text, _ = run(capsys, "lower", net, "--json")
    result = json.loads(text)
    assert code == 0
    assert (result["chip"], result["run"], result["refused"]) == ("loihi2", None, None)
    assert result["partition"]["cores"] == 1
    [core] = result["partition"]["per_core"]
    assert core["storage"] == {"input -> hidden1": "dense", "hidden1 -> output": "dense"}
    assert [n["name"] for n in result["registers"]["neurons"]] == ["hidden1", "output"]


def test_with_data_cores_are_placed_and_drawn(capsys, tmp_path, net):
    spikes = np.random.default_rng(0).integers(0, 2, (3, 10, 64), np.uint8)
    np.savez(tmp_path / "data.npz", spikes=spikes, labels=np.zeros(3, np.int64))
    own = tmp_path / "own.toml"
    text = TINY.read_text(encoding="utf-8")
    for name, low, high in (("synapse_bits", 2048, 8192), ("input_axons", 32, 128), ("state_bits", 24, 25)):
        text = text.replace(f"{name} = {{ value = {low}", f"{name} = {{ value = {high}")
    own.write_text(text.replace('name = "tiny"', 'name = "own"'), encoding="utf-8")
    command = ("lower", net, "--chip", own, "--data", tmp_path / "data.npz")
    code, text, _ = run(capsys, *command)
    assert code == 0
    assert text.startswith("chain on own: 4 cores of 16; lower bound 4 (by neurons)")
    assert "placement on 2x4 tiles of 2 cores" in text
    assert "time that the busiest core" in text
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = json.loads(run(capsys, *command, "--figure", tmp_path / "mesh.svg", "--json")[1])
    assert result["run"]["placement"]["seed"] == 0
    again = json.loads(run(capsys, *command, "--seed", "3", "--json")[1])
    assert again["run"]["placement"]["seed"] == 3
    assert result["figure"] == str(tmp_path / "mesh.svg")
    assert result["run"]["samples"] == 3
    assert "<svg" in (tmp_path / "mesh.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--chip", "tiny"),
            "network chain does not fit tiny: population hidden1: one neuron: 64 input axons, limit 32",
        ),
        (("--chip", "tpu"), "chip 'tpu'; expected one of loihi1, loihi2, tiny, or a file FILE.toml"),
        (("--chip", "no.toml"), "no.toml: No such file or directory"),
        (("--figure", "mesh.svg"), "--figure: draws what a run does; expected --data beside it"),
    ],
)
def test_refusals(capsys, net, options, message):
    code, out, err = run(capsys, "lower", net, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"bitspike: {message}")
    assert err.count("\n") == 1


def test_from_python(net):
    network = bitspike.load(net)
    found = bitspike.lower(network, chip="loihi1")
    assert found.partition.core_of("hidden1").tolist() == [0] * 40
    assert found.program.latency == 2
    assert found.mapped is None
    assert found.occupancy() == [pytest.approx(2 / 8)]
    with pytest.raises(LimitError, match="does not fit tiny"):
        bitspike.lower(network, chip="tiny")
    with pytest.raises(UsageError, match="chip 'tpu'"):
        bitspike.lower(network, chip="tpu")


def test_what_lava_has_no_registers_for_is_told_and_partitioned_all_the_same(net, monkeypatch):
    def refuse(network):
        raise UnsupportedError("connection a -> b: too odd")

    monkeypatch.setattr("bitspike.sim.lowering.lava_registers", refuse)
    found = bitspike.lower(bitspike.load(net), chip="loihi1")
    assert (found.program, found.as_json()["refused"]) == (None, "connection a -> b: too odd")
    assert str(found).endswith("\n\nno registers of Lava: connection a -> b: too odd")
    assert found.partition.core_count == 1
