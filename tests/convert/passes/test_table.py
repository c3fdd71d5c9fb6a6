"""All passes by name, the runner, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import spikes_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redundant import any_networks, assert_same_answers, fits, input_spikes
from small import SPIKES, dense, network_of, population

from bitspike import optimise
from bitspike.cli import main
from bitspike.convert.network import Input
from bitspike.convert.passes.blocks import spatial
from bitspike.convert.passes.table import PASSES, SMALLER, Size, run_passes, size_of
from bitspike.convert.retime import in_chip_time
from bitspike.convert.store import load, save
from bitspike.errors import NetworkError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim.answers import compare_answers
from bitspike.sim.reference import run_reference


def wasteful():
    """Two neurons that are the same, one that leads nowhere, and weights that are twice what they need to be."""
    return network_of(
        [population("a", 4, vth=2), population("out", 2)],
        [
            dense("input", "a", [[2, -2, 2], [2, 2, 2], [2, -2, 2], [2, 2, -2]]),
            dense("a", "out", [[1, 1, 1, 0], [1, -1, 1, 0]]),
        ],
        SPIKES,
    )


def test_the_passes_that_make_a_network_smaller():
    before = wasteful()
    after = run_passes(before)
    assert size_of(before) == Size(populations=2, connections=2, neurons=6, synapses=20)
    assert size_of(after) == Size(populations=2, connections=2, neurons=4, synapses=10)
    assert after.population("a").vth == 1
    assert [c.weights.bits for c in after.connections] == [1, 2]
    assert_same_answers(before, after, spikes_for(before, rate=0.7), membranes=False)
    assert run_passes(after) is after


def test_options_stand_behind_a_colon():
    split = run_passes(wasteful(), ("prune", "split:2", "retime:1"))
    assert [p.name for p in split.populations] == ["a_0", "a_1", "out"]
    assert in_chip_time(split)
    assert optimise is run_passes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "shrink",
            "pass 'shrink'; expected one of fold, merge, prune, common, hold, quiet, split, fan-in, fan-in-binary, ",
        ),
        ("prune:3", "pass 'prune:3'; prune takes no number"),
        ("split:few", "pass 'split:few'; expected a whole number of neurons after the colon"),
        ("split:", "pass 'split:'; expected a whole number of neurons after the colon"),
        ("split:-1", "pass 'split:-1'; expected a whole number of neurons after the colon"),
        ("split:99999999999", "pass 'split:99999999999'; expected a whole number"),
        ("retime:0", "max_delay 0; expected 1..62"),
    ],
)
def test_what_is_no_pass_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        run_passes(wasteful(), ("prune", text))


def test_an_illegal_network_is_refused_before_any_pass():
    with pytest.raises(NetworkError, match="steps 0"):
        run_passes(replace(wasteful(), steps=0), ())


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_says_what_it_does(name):
    assert PASSES[name].load().__doc__.startswith(("`network`", "The legal network"))
    assert PASSES[name].load().__module__ == PASSES[name].module


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command(capsys, tmp_path):
    save(wasteful(), tmp_path / "a.safetensors")
    code, out, err = run(capsys, "optimise", tmp_path / "a.safetensors", "--out", tmp_path / "b.safetensors")
    assert (code, err) == (0, "")
    words = [line.split() for line in out.splitlines()]
    assert words[:5] == [
        ["populations", "connections", "neurons", "synapses"],
        ["before", "2", "2", "6", "20"],
        ["fold", "2", "2", "6", "20"],
        ["merge", "2", "2", "5", "15"],
        ["prune", "2", "2", "4", "10"],
    ]
    assert load(tmp_path / "b.safetensors") == run_passes(wasteful())


def test_the_command_as_json(capsys, tmp_path):
    save(wasteful(), tmp_path / "a.safetensors")
    arguments = ("optimise", tmp_path / "a.safetensors", "--pass", "prune", "--pass", "split:2", "--json")
    code, out, _ = run(capsys, *arguments, "--out", tmp_path / "b.onnx")
    found = json.loads(out)
    assert code == 0
    assert found["before"] == {"populations": 2, "connections": 2, "neurons": 6, "synapses": 20}
    assert found["after"] == {"populations": 3, "connections": 4, "neurons": 5, "synapses": 15}
    assert [(row["pass"], row["changed"]) for row in found["passes"]] == [("prune", True), ("split:2", True)]
    assert found["changed"]
    assert found["format"] == "onnx"


def test_the_command_compares_the_answers_on_data(capsys, tmp_path):
    save(wasteful(), tmp_path / "a.safetensors")
    spikes = spikes_for(wasteful(), samples=12, rate=0.6)
    np.savez(tmp_path / "own.npz", spikes=spikes, labels=np.zeros(12, int))
    arguments = ("optimise", tmp_path / "a.safetensors", "--out", tmp_path / "b.safetensors")
    code, out, _ = run(capsys, *arguments, "--data", tmp_path / "own.npz", "--samples", 10)
    assert code == 0
    assert "equal: 20 scores of 10 samples" in out
    _, out, _ = run(capsys, *arguments, "--data", tmp_path / "own.npz", "--json")
    assert json.loads(out)["answers"] == {
        "passed": True, "samples": 12, "compared": 24, "differing": 0, "first": None,
    }  # fmt: skip
    code, _, err = run(capsys, *arguments, "--samples", 10)
    assert (code, err) == (2, "bitspike: --samples: no data; expected --data too\n")


def test_no_file_appears_where_answers_differ(capsys, tmp_path, monkeypatch):
    """As a pass with a fault would make them."""
    broken = wasteful().with_populations(tuple(replace(p, vth=5) for p in wasteful().populations))
    monkeypatch.setattr("bitspike.convert.passes.prune.prune", lambda network: broken)
    save(wasteful(), tmp_path / "a.safetensors")
    np.savez(tmp_path / "own.npz", spikes=spikes_for(wasteful(), samples=12, rate=0.6), labels=np.zeros(12, int))
    arguments = ("optimise", tmp_path / "a.safetensors", "--pass", "prune", "--data", tmp_path / "own.npz")
    code, out, _ = run(capsys, *arguments, "--out", tmp_path / "b.safetensors")
    assert code == 1
    assert "scores differ, first in sample" in out
    assert not (tmp_path / "b.safetensors").exists()


def test_answers_that_differ_are_counted():
    network, spikes = wasteful(), spikes_for(wasteful(), samples=12, rate=0.6)
    data = SpikeData(name="own", spikes=spikes, labels=np.zeros(12, int))
    other = network.with_populations((replace(network.populations[0], vth=5), network.populations[1]))
    found = compare_answers(network, other, data)
    one, two = run_reference(network, spikes).scores(network), run_reference(other, spikes).scores(other)
    assert found.differing == int((one != two).sum()) > 0
    assert found.first == int(np.flatnonzero((one != two).any(axis=1))[0])
    assert str(found) == f"{found.differing} of 24 scores differ, first in sample {found.first}"
    extended = replace(network, inputs=(*network.inputs, Input(name="more", shape=(2,))))
    assert compare_answers(network, extended, data).passed
    with pytest.raises(UsageError, match="networks small and small: other inputs or answers; expected the same"):
        compare_answers(extended, network, data)


def test_mistakes_leave_no_file(capsys, tmp_path):
    save(wasteful(), tmp_path / "a.safetensors")
    arguments = ("optimise", tmp_path / "a.safetensors", "--pass", "squeeze", "--out", tmp_path / "b.safetensors")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("bitspike: pass 'squeeze'; expected one of fold, merge")
    assert not (tmp_path / "b.safetensors").exists()


@settings(max_examples=30)
@given(any_networks(alike=True), st.lists(st.sampled_from([*SMALLER, "common"]), min_size=2, max_size=4), st.data())
def test_passes_one_after_the_other(network, names, data):
    after = run_passes(network, names)
    assert fits(after)
    assert_same_answers(network, after, data.draw(input_spikes(network)), membranes=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alike"),
    [("fold", False), ("merge", False), ("prune", False), ("split", False), ("fold", True), ("common", True)],
)
def test_every_claim_on_many_networks(name, alike):
    changed = []

    @settings(max_examples=400, suppress_health_check=list(HealthCheck))
    @given(any_networks(alike=alike), st.data())
    def claim(network, data):
        by_channel = spatial(network)
        channels = max([1, *(p.size // p.shape[0] for p in network.populations if p.name in by_channel)])
        after = run_passes(network, (f"split:{channels + 1}" if name == "split" else name,))
        changed.append(after is not network)
        assert_same_answers(network, after, data.draw(input_spikes(network)), membranes=False)

    claim()
    assert np.mean(changed) > 0.02
