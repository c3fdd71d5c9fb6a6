"""Data of float networks by name, and the commands that run NIR files of other tools."""

import json
from itertools import pairwise

import nir
import numpy as np
import pytest
from shared_data import shared

import bitspike
from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.samples import SignalData
from bitspike.train.event_counts import load_counts


def events(path, **changes):
    fields = {
        "t": [0, 10, 15, 999, 1000, 1500, 3, 4],
        "x": [0, 0, 0, 1, 1, 1, 2, 2],
        "y": [0, 0, 0, 0, 0, 1, 1, 1],
        "p": [0, 0, 0, 1, 1, 0, 0, 0],
        "offsets": [0, 6, 8],
        "labels": [3, 1],
        "shape": [2, 2, 3],
        "duration_us": 1000,
    }
    np.savez(path, **{name: np.array(value) for name, value in (fields | changes).items()})
    return f"events:{path}"


def test_events_are_counted_step_by_step(tmp_path):
    name = events(tmp_path / "own.npz")
    data = load_counts(name, part="all", steps=2)
    assert data.values.shape == (2, 2, 12)
    assert data.values.dtype == np.uint8
    assert data.shape == (2, 2, 3)
    assert data.labels.tolist() == [3, 1]
    first = data.values[0].reshape(2, 2, 2, 3)
    assert first[0, 0, 0, 0] == 3
    assert first[1, 1, 0, 1] == 1
    assert data.values.sum(axis=(1, 2)).tolist() == [4, 2]
    late = load_counts(name, part="all", steps=2, late="last").values[0].reshape(2, 2, 2, 3)
    assert late[1, 1, 0, 1] == 2
    assert late[1, 0, 1, 1] == 1
    bits = bitspike.load_data(name, part="all", steps=2).spikes
    assert np.array_equal(bits, data.values > 0)
    assert data.first(1).values.shape == (1, 2, 12)


def test_what_has_no_events_is_not_counted(tmp_path):
    with pytest.raises(UsageError, match="data digits: has no events with times to count"):
        load_counts("digits")
    with pytest.raises(UsageError, match="late 'first'; expected drop or last"):
        load_counts(events(tmp_path / "own.npz"), late="first")


def test_signals_are_checked():
    with pytest.raises(UsageError, match=r"data x: values of shape \(2, 3\), float64, and labels"):
        SignalData(name="x", values=np.ones((2, 3)), labels=np.zeros(2))
    with pytest.raises(UsageError, match="data x: values are not finite everywhere"):
        SignalData(name="x", values=np.full((1, 1, 1), np.nan), labels=np.zeros(1))
    with pytest.raises(UsageError, match=r"data x: shape \(2, 2\); expected that of 3 numbers"):
        SignalData(name="x", values=np.ones((1, 1, 3)), labels=np.zeros(1), shape=(2, 2))


@pytest.fixture
def foreign(tmp_path):
    """A NIR file of 64 inputs and 10 LIF neurons that says nothing of a step."""
    rng = np.random.default_rng(0)
    ones = np.ones(10, np.float32)
    nodes = {
        "input": nir.Input(np.array([64])),
        "fc": nir.Affine(rng.normal(0, 0.5, (10, 64)).astype(np.float32), np.zeros(10, np.float32)),
        "lif": nir.LIF(tau=0.01 * ones, r=ones, v_leak=0 * ones, v_threshold=0.1 * ones),
        "output": nir.Output(np.array([10])),
    }
    nir.write(tmp_path / "foreign.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    return tmp_path / "foreign.nir"


def told(capsys, *words, code=0):
    assert main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_foreign_file_runs_on_the_float_engine(capsys, tmp_path, foreign):
    out = tmp_path / "record.npz"
    data = ("--data", "digits", "--steps", 8, "--samples", 5)
    text = told(capsys, "simulate", foreign, *data, "--dt", 1e-3, "--out", out, "--trace", "lif")
    assert "foreign on 5 samples of digits:test, engine float: accuracy" in text
    assert "note: reset to v_reset, as NIR says" in text
    network = bitspike.from_nir(foreign, dt=1e-3)
    signals = bitspike.load_signals("digits", steps=8).first(5)
    record = bitspike.simulate(network, data=signals, record=["lif"])
    with np.load(out) as saved:
        assert np.array_equal(saved["lif.spikes"], record.traces["lif"].spikes)
        assert saved["lif.count"].sum() > 0
    found = json.loads(
        told(capsys, "simulate", foreign, *data, "--dt", 1e-3, "--reset", "subtract", "--single", "--json")
    )
    assert found["engine"] == "float (float32)"
    assert found["accuracy"] is not None
    assert "reset by 'subtract' was asked for" in found["notes"]


def test_real_values_of_ones_own(capsys, tmp_path, foreign):
    np.savez(tmp_path / "values.npz", values=np.full((2, 5, 8, 8), 0.25))
    text = told(capsys, "simulate", foreign, "--data", tmp_path / "values.npz", "--dt", 1e-3)
    assert "foreign on 2 samples of values.npz, engine float\n" in text


def test_mistakes_about_float_networks(capsys, tmp_path, foreign):
    data = ("--data", "digits")
    assert "give dt (--dt)" in told(capsys, "simulate", foreign, *data, "--steps", 8, code=2)
    assert "give the steps of a sample (--steps)" in told(capsys, "simulate", foreign, *data, "--dt", 1e-3, code=2)
    words = (*data, "--dt", 1e-3, "--steps", 8)
    assert "has no events with times to count" in told(capsys, "simulate", foreign, *words, "--counts", code=2)
    assert "no population 'lof'; there are lif" in told(capsys, "simulate", foreign, *words, "--trace", "lof", code=2)
    assert "expected a name ending in .npz" in told(capsys, "simulate", foreign, *words, "--out", "record.txt", code=2)
    own = tmp_path / "own.safetensors"
    from builders import chain

    from bitspike.convert.store import save

    save(chain((64, 10)), own)
    assert "--dt: for NIR files of other tools" in told(capsys, "simulate", own, *data, "--dt", 1e-3, code=2)
    assert "--trace: for NIR files of other" in told(capsys, "simulate", own, *data, "--trace", "lif", code=2)
    with pytest.raises(UsageError, match="a float network does not know its window"):
        bitspike.simulate(bitspike.from_nir(foreign, dt=1e-3), data="digits")


def test_our_own_nir_runs_in_real_numbers_too(capsys, tmp_path):
    from builders import chain

    bitspike.export(chain((64, 16, 10)), tmp_path / "own.nir")
    data = ("--data", "digits", "--samples", 20)
    integers = json.loads(told(capsys, "simulate", tmp_path / "own.nir", *data, "--json"))
    reals = json.loads(
        told(capsys, "simulate", tmp_path / "own.nir", *data, "--engine", "float", "--steps", 16, "--json")
    )
    assert integers["engine"] == "reference"
    assert reals["engine"] == "float (float64)"
    assert any("metadata dt" in note for note in reals["notes"])


def test_the_recorded_trace_of_norse_from_the_command_line(capsys, tmp_path):
    x, _, spikes = np.loadtxt(shared("nir/01_lif_traces/lif_norse.csv"), delimiter=",").T
    np.savez(tmp_path / "trace.npz", values=x[None, :, None])
    words = ("--dt", 1e-4, "--data", tmp_path / "trace.npz", "--out", tmp_path / "out.npz")
    told(capsys, "simulate", shared("nir/lif_norse.nir"), *words)
    with np.load(tmp_path / "out.npz") as saved:
        assert np.array_equal(saved["output.1"][0, :, 0], spikes)


def test_the_recorded_counts_of_the_convolutional_network(capsys, tmp_path):
    reference = np.load(shared("nir/cnn_sinabs_test100_reference.npz"))
    data = ("--data", f"nmnist:{shared('nmnist/nmnist_small.zip')}", "--steps", 300, "--counts", "--late", "last")
    words = ("--reset", "subtract", "--samples", 12, "--out", tmp_path / "out.npz", "--single")
    told(capsys, "simulate", shared("nir/cnn_sinabs.nir"), *data, *words)
    with np.load(tmp_path / "out.npz") as saved:
        assert np.array_equal(saved["12.count"], reference["out_counts"][:12])
        assert np.array_equal(saved["1.count"], reference["layer0_counts"][:12].reshape(12, -1))


@pytest.mark.slow
def test_all_recorded_counts_of_the_convolutional_network():
    reference = np.load(shared("nir/cnn_sinabs_test100_reference.npz"))
    network = bitspike.from_nir(shared("nir/cnn_sinabs.nir"), reset="subtract")
    name = f"nmnist:{shared('nmnist/nmnist_small.zip')}"
    signals = bitspike.load_signals(name, steps=300, counts=True, late="last")
    record = bitspike.simulate(network, data=signals)
    assert np.array_equal(record.counts["12"], reference["out_counts"])
    assert np.array_equal(record.counts["1"].reshape(100, 16, 16, 16), reference["layer0_counts"])
    assert record.accuracy(signals.labels) == 0.98


def test_a_foreign_file_is_put_onto_the_lattice(capsys, tmp_path, foreign):
    out = tmp_path / "net.safetensors"
    words = ("--dt", 1e-3, "--data", "digits", "--steps", 8, "--samples", 40, "--out", out)
    text = told(capsys, "import", foreign, *words)
    assert "network foreign, quantised" in text
    assert "held out: 40 samples x 8 steps" in text
    assert "note: reset to v_reset, as NIR says" in text
    assert f"{out}: written, read back and equal" in text
    report = json.loads(told(capsys, "import", foreign, *words, "--bits", 4, "--json"))
    assert report["digest"] == bitspike.load(out).digest()
    assert "accuracy" in told(capsys, "simulate", out, "--data", "digits", "--samples", 5)


def test_mistakes_about_the_lattice(capsys, tmp_path, foreign):
    out = ("--out", tmp_path / "net.safetensors")
    assert "holds real numbers; expected samples" in told(capsys, "import", foreign, "--dt", 1e-3, *out, code=2)
    np.savez(tmp_path / "values.npz", values=np.full((8, 5, 64), 0.25))
    words = ("--dt", 1e-3, "--data", tmp_path / "values.npz")
    assert "real values; expected spikes" in told(capsys, "import", foreign, *words, *out, code=2)
    from builders import chain

    bitspike.export(chain((64, 10)), tmp_path / "own.nir")
    assert "--dt: for NIR files of other" in told(capsys, "import", tmp_path / "own.nir", "--dt", 1, *out, code=2)


def test_lint_ends_with_1_where_a_file_has_errors(capsys, foreign):
    assert "warning dt " in told(capsys, "lint", foreign)
    assert json.loads(told(capsys, "lint", foreign, "--dt", 1e-3, "--json"))["dt"] == 1e-3
    import h5py

    with h5py.File(foreign, "r+") as file:
        file["node/nodes/lif/tau"][0] = -1
    assert main(["lint", str(foreign)]) == 1
    assert "node lif (LIF): tau reaches -1" in capsys.readouterr().out
    foreign.write_bytes(b"no")
    assert "is not a readable NIR file" in told(capsys, "lint", foreign, code=2)
