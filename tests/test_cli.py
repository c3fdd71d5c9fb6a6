"""The command line: every help text, every mistake in one line with exit code 2, and what the commands print."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from builders import chain, planted_faults

from bitspike.api import load_data
from bitspike.cli import main
from bitspike.convert.formats import FORMATS, load
from bitspike.convert.store import save
from bitspike.sim.reference import run_reference

COMMANDS = (
    "doctor", "demo", "train", "collapse", "export", "import", "lint", "optimise", "lower", "simulate", "verify",
    "energy", "report", "bench",
)  # fmt: skip


@pytest.fixture
def net(tmp_path):
    """A network with the digits' 64 inputs, in a file."""
    save(chain((64, 12, 10), steps=16, seed=2), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def refused(capsys, *arguments):
    """The one line of a user's mistake."""
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("bitspike: ")
    return err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"bitspike {command}" in out
    assert "--json" in out


def test_the_main_help_lists_all_commands_and_no_others(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    listed = [
        line.split()[1] for line in out.partition("Commands")[2].splitlines() if line[:2] == "│ " and line[2] != " "
    ]
    assert tuple(listed) == COMMANDS
    assert run(capsys, "--version")[1].startswith("bitspike 0.")


def test_mistakes_of_the_command_line(capsys, net):
    assert "No such command 'nonsense'" in refused(capsys, "nonsense")
    assert "No such option" in refused(capsys, "verify", net, "--nonsense")
    assert "Missing option '--data'" in refused(capsys, "simulate", net)
    assert "data: found 'nonsense'; expected" in refused(capsys, "simulate", net, "--data", "nonsense")
    assert "engine 'brian'; expected one of" in refused(
        capsys, "simulate", net, "--data", "digits", "--engine", "brian"
    )
    assert "--data: missing" in refused(capsys, "verify", net)
    assert "engine torch: no trained model" in refused(
        capsys, "verify", net, "--data", "digits", "--engine", "torch", "--engine", "reference"
    )
    assert "--install 'cuda'; expected lava, norse, spikingjelly, snntorch" in refused(
        capsys, "doctor", "--install", "cuda"
    )
    assert "chip 'tpu'" in refused(capsys, "lower", net, "--chip", "tpu")
    assert "prices 'mine'" in refused(capsys, "energy", net, "--data", "digits", "--prices", "mine")
    assert "samples: 0; expected 1 or more" in refused(capsys, "simulate", net, "--data", "digits", "--samples", "0")


def test_files_that_are_not_what_they_should_be(capsys, tmp_path, net):
    out = tmp_path / "out" / "other.safetensors"
    assert "none.safetensors: no such file" in refused(capsys, "import", tmp_path / "none.safetensors", "--out", out)
    assert "ending '.pt' names no format" in refused(capsys, "import", _file(tmp_path / "model.pt"), "--out", out)
    cut = _file(tmp_path / "cut.safetensors", net.read_bytes()[:-5])
    assert "is not a readable safetensors file" in refused(capsys, "simulate", cut, "--data", "digits")
    assert "format 'pickle'; expected one of" in refused(capsys, "export", net, "--out", out, "--format", "pickle")
    foreign = _file(tmp_path / "foreign.onnx", _foreign_onnx())
    assert "foreign.onnx" in refused(capsys, "import", foreign, "--out", out)
    damaged = tmp_path / "damaged.net"
    told = refused(capsys, "export", net, "--out", damaged, "--step")
    assert "--step: only format onnx has it; --out is netx" in told
    assert "--data: what --check feeds" in refused(
        capsys, "export", net, "--out", tmp_path / "a.nir", "--data", "digits"
    )
    for option in (["--portable"], ["--encode-soft-reset"], ["--check"], ["--dt", "0.001"]):
        told = refused(capsys, "export", net, "--out", tmp_path / "a.onnx", *option)
        assert f"{option[0]}: only format nir has it; --out is onnx" in told
    assert "dt -1.0; expected 1e-09..1000.0 seconds" in refused(
        capsys, "export", net, "--out", tmp_path / "a.nir", "--dt", "-1"
    )
    assert run(capsys, "export", net, "--out", damaged)[0] == 0
    with h5py.File(damaged, "r+") as file:
        del file["layer/1/weight"]
    assert "weight" in refused(capsys, "import", damaged, "--out", out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def _file(path, content=b"nothing"):
    path.write_bytes(content)
    return path


def _foreign_onnx():
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph).SerializeToString()


def test_a_network_over_24_bits_is_refused(capsys, tmp_path):
    save(chain((64, 12, 10), steps=1 << 18, dv=0), tmp_path / "wide.safetensors")
    np.savez(tmp_path / "long.npz", spikes=np.zeros((1, 12_000, 64), np.uint8), labels=np.zeros(1, np.int64))
    line = refused(capsys, "simulate", tmp_path / "wide.safetensors", "--data", tmp_path / "long.npz")
    assert "population hidden1: membrane v can reach" in line
    assert "the register holds 8388607" in line


@pytest.mark.parametrize("form", FORMATS)
def test_export_and_import_are_inverse(capsys, tmp_path, net, form):
    out = tmp_path / f"out{FORMATS[form].endings[0]}"
    code, text, _ = run(capsys, "export", net, "--out", out)
    assert code == 0
    assert f"{form}, " in text
    assert "read back and equal" in text
    assert run(capsys, "import", out, "--out", tmp_path / "back.safetensors")[0] == 0
    assert load(tmp_path / "back.safetensors") == load(net)


def test_simulate_writes_the_record(capsys, tmp_path, net):
    code, text, _ = run(
        capsys, "simulate", net, "--data", "digits", "--samples", 7, "--out", tmp_path / "r.npz", "--json"
    )
    assert code == 0
    result = json.loads(text)
    assert result["samples"] == 7
    assert 0 <= result["accuracy"] <= 1
    with np.load(tmp_path / "r.npz", allow_pickle=False) as record:
        assert record["hidden1.v"].shape == (7, 16, 12)
        assert record["inputs"].sum() == result["counts"]["input_spikes"]["total"]


def test_verify_says_equal_or_where_not(capsys, tmp_path, net):
    code, text, _ = run(capsys, "verify", net, "--data", "digits", "--samples", 5)
    assert code == 0
    assert "equal: every compared value" in text
    save(chain((64, 12, 10), steps=16, seed=2, dv=301), tmp_path / "other.safetensors")
    code, text, _ = run(
        capsys, "verify", net, "--data", "digits", "--samples", 5, "--against", tmp_path / "other.safetensors"
    )
    assert code == 1
    assert "part at sample 0, step" in text
    code, text, _ = run(
        capsys, "verify", net, "--data", "digits", "--samples", 5, "--against", tmp_path / "other.safetensors", "--json"
    )
    result = json.loads(text)
    assert (code, result["passed"]) == (1, False)
    assert result["engines"][1]["first"]["population"] == "hidden1"


FAULTY = planted_faults(chain((64, 20, 12, 10), steps=16, seed=2))


@pytest.mark.parametrize("fault", FAULTY)
def test_each_planted_fault_ends_with_exit_code_1_and_its_place(capsys, tmp_path, fault):
    """The expected place is found by a search of its own, over both records."""
    network = chain((64, 20, 12, 10), steps=16, seed=2)
    copy, population = FAULTY[fault]
    save(network, tmp_path / "net.safetensors")
    save(copy, tmp_path / "copy.safetensors")
    spikes = load_data("digits", steps=16).spikes[:30]
    left, right = run_reference(network, spikes), run_reference(copy, spikes)
    places = [
        (sample, step)
        for name, trace in left.traces.items()
        for sample, step, _ in np.argwhere((trace.v != right.traces[name].v) | (trace.u != right.traces[name].u))
    ]
    code, text, _ = run(
        capsys, "verify", tmp_path / "net.safetensors", "--data", "digits", "--samples", 30,
        "--against", tmp_path / "copy.safetensors", "--json",
    )  # fmt: skip
    first = json.loads(text)["engines"][1]["first"]
    assert code == 1
    assert (first["population"], (first["sample"], first["step"])) == (population, min(places))


def test_energy(capsys, net):
    code, text, _ = run(capsys, "energy", net, "--data", "digits", "--samples", 5)
    assert code == 0
    assert "simulated before silicon" in text
    code, text, _ = run(capsys, "energy", net, "--data", "digits", "--samples", 5, "--chip", "loihi2", "--json")
    result = json.loads(text)
    assert code == 0
    assert result["energy"] is None
    assert result["counts"]["samples"] == 5


def test_energy_with_other_prices_and_a_step_time(capsys, tmp_path, net):
    common = ("energy", net, "--data", "digits", "--samples", 5)
    own = tmp_path / "own.toml"
    text = 'chip = "loihi2"\ngrade = "illustrative"\nsource = "me"\n\n[[price]]\nevent = "spike"\nvalue = 1\n'
    own.write_text(text, encoding="utf-8")
    assert f"{own}: line 5: price 1, unit: missing; expected one of fJ, pJ, nJ" in refused(
        capsys, *common, "--prices", own
    )
    own.write_text(f'{text}unit = "nJ"\n', encoding="utf-8")
    code, text, _ = run(capsys, *common, "--chip", "loihi2", "--prices", own, "--json")
    result = json.loads(text)
    assert code == 0
    assert result["energy"]["nominal_nj"] == result["counts"]["spikes"]["mean"]
    assert result["energy"]["partial"]
    code, text, _ = run(
        capsys, *common, "--prices", "sanafe", "--prices", "frady2020", "--step-time", "10us",
        "--counts", tmp_path / "counts.csv", "--engine", "reference",
    )  # fmt: skip
    assert code == 0
    assert "a step of 10 us, 18 steps, 1 core; with the static power of the whole chip" in text
    assert (tmp_path / "counts.csv").read_text(encoding="utf-8").startswith("sample,part,name,spikes_in,")
    assert "--step-time '10'; expected a time above 0 with its unit" in refused(capsys, *common, "--step-time", "10")
    assert "ending '.txt'; expected .csv or .json" in refused(capsys, *common, "--counts", tmp_path / "a.txt")
    assert "of chip loihi1; expected prices of chip loihi2" in refused(
        capsys, *common, "--chip", "loihi2", "--prices", "sanafe"
    )
    assert "chip 'tpu'; expected one of loihi1, loihi2" in refused(capsys, *common, "--chip", "tpu")


def test_energy_of_a_committee_in_a_folder(capsys, tmp_path):
    (tmp_path / "committee").mkdir()
    for seed in range(2):
        save(chain((64, 12, 10), steps=16, seed=seed), tmp_path / "committee" / f"member-{seed}.safetensors")
    common = ("energy", tmp_path / "committee", "--data", "digits", "--samples", 5)
    code, text, _ = run(capsys, *common)
    assert code == 0
    assert text.startswith("2 members, all of which run; one alone takes")
    result = json.loads(run(capsys, *common, "--json")[1])
    assert result["energy"]["nominal_nj"] == pytest.approx(sum(result["energy"]["members"]))
    assert [p["population"] for p in result["counts"]["populations"]][:2] == ["0/hidden1", "0/output"]


def test_data_of_ones_own(capsys, tmp_path, net):
    np.savez(tmp_path / "own.npz", spikes=np.ones((2, 16, 64), np.uint8), labels=np.array([1, 2]))
    assert run(capsys, "simulate", net, "--data", tmp_path / "own.npz")[0] == 0
    np.savez(tmp_path / "bad.npz", spikes=np.ones((2, 16, 64), np.uint8))
    assert "holds spikes; expected spikes and labels" in refused(
        capsys, "simulate", net, "--data", tmp_path / "bad.npz"
    )
    np.savez(tmp_path / "bad.npz", spikes=np.full((2, 16, 64), 0.5), labels=np.array([1, 2]))
    assert "spikes are float64" in refused(capsys, "simulate", net, "--data", tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", spikes=np.array([{}], dtype=object), labels=np.array([1]))
    assert "is not a readable npz file" in refused(capsys, "simulate", net, "--data", tmp_path / "bad.npz")
    _file(tmp_path / "bad.npz")
    assert "is not a readable npz file" in refused(capsys, "simulate", net, "--data", tmp_path / "bad.npz")


def test_doctor_tells_what_works(capsys):
    code, text, _ = run(capsys, "doctor", "--json")
    found = json.loads(text)
    assert code == 0
    assert [row["reader"] for row in found["readers"]] == ["norse", "spikingjelly", "snntorch"]
    assert {row["engine"] for row in found["engines"]} >= {"reference", "torch", "onnx", "lava", "netx"}
    assert all(row["works"] for row in found["engines"] if row["engine"] in ("reference", "torch", "onnx"))
    assert "engines:" in run(capsys, "doctor")[1]
    assert json.loads(text)["cluster"]["install"] == "python -m pip install distributed"
    assert "for verify --scheduler: Dask distributed" in run(capsys, "doctor")[1]


def test_the_program_itself_ends_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "bitspike", "simulate", "none.safetensors", "--data", "digits"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "bitspike: none.safetensors: no such file\n"
