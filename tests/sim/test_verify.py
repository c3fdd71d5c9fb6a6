"""The proof finds every planted fault, and names the right place."""

import json

import numpy as np
import pytest
from builders import chain, planted_faults, spikes_for

from bitspike.cli import main
from bitspike.convert.retime import retime
from bitspike.convert.store import save
from bitspike.errors import MissingDependencyError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim.engines import ENGINES, Engine
from bitspike.sim.reference import run_reference
from bitspike.sim.run import simulate
from bitspike.sim.verify import verify


def data_for(network, samples=6):
    spikes = spikes_for(network, samples=samples)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(samples, np.int64))


def first_difference(network, left, right):
    """The expected place by a plain search: smallest sample, step, population, found independently of `verify`."""
    order = [p.name for p in network.populations]
    places = []
    for name in order:
        for quantity in ("u", "v", "spikes"):
            x, y = getattr(left.traces[name], quantity), getattr(right.traces[name], quantity)
            places += [(n, t, order.index(name)) for n, t, _ in np.argwhere(x != y)]
    sample, step, index = min(places)
    return sample, step, order[index]


NETWORK = chain((12, 9, 7, 4), steps=20)
FAULTS = planted_faults(NETWORK)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_where_it_is(fault):
    copy, population = FAULTS[fault]
    data = data_for(NETWORK)
    result = verify(NETWORK, data=data, engines=["reference"], against={"copy": copy})
    assert not result.passed
    found = result.engines[1].first
    expected = first_difference(NETWORK, run_reference(NETWORK, data.spikes), run_reference(copy, data.spikes))
    assert (found.sample, found.step, found.population) == expected
    assert found.population == population
    assert found.values[0] != found.values[1]


def test_the_inputs_of_the_diverging_neuron_explain_its_current():
    result = verify(NETWORK, data=data_for(NETWORK), engines=["reference"], against={"copy": FAULTS["weight bit"][0]})
    found = result.engines[1].first
    assert found.quantity == "u"
    assert 64 * sum(weight for _, _, weight in found.inputs) == found.values[0]
    assert found.neuron == 3
    assert ("hidden1", 4) in [(source, index) for source, index, _ in found.inputs]
    assert abs(found.values[0] - found.values[1]) == 128
    text = str(result)
    assert (
        f"reference and copy part at sample {found.sample}, step {found.step}, population hidden2, neuron 3: u is"
        in text
    )
    assert "its inputs in this step:" in text


def test_equal_networks_are_equal_and_every_value_is_counted():
    data = data_for(NETWORK)
    result = verify(NETWORK, data=data, engines=["reference"], against={"chip time": retime(NETWORK)})
    assert result.passed
    assert [r.engine for r in result.engines] == ["reference", "chip time"]
    assert [r.against for r in result.engines] == ["chip time", "reference"]
    assert {r.compared for r in result.engines} == {6 * 20 * (9 + 7 + 4) * 3}
    assert [r.latency for r in result.engines] == [0, 3]
    assert "equal: every compared value" in str(result)
    assert result.as_json()["passed"] is True


def test_differences_are_counted_one_by_one():
    data = data_for(NETWORK)
    copy = FAULTS["threshold"][0]
    left, right = run_reference(NETWORK, data.spikes), run_reference(copy, data.spikes)
    row = verify(NETWORK, data=data, engines=["reference"], against={"copy": copy}).engines[1]
    for field, quantity in (("differing_spikes", "spikes"), ("differing_currents", "u"), ("differing_membranes", "v")):
        expected = sum(
            int((getattr(left.traces[p.name], quantity) != getattr(right.traces[p.name], quantity)).sum())
            for p in NETWORK.populations
        )
        assert getattr(row, field) == expected


def test_questions_that_make_no_sense_are_refused():
    data = data_for(NETWORK)
    with pytest.raises(UsageError, match="engines: only reference; expected two or more"):
        verify(NETWORK, data=data, engines=["reference"])
    with pytest.raises(UsageError, match="engine 'brian'; expected one of reference, fast, torch"):
        verify(NETWORK, data=data, engines=["reference", "brian"])
    with pytest.raises(UsageError, match="engine torch: no trained model"):
        verify(NETWORK, data=data, engines=["reference", "torch"])
    with pytest.raises(
        UsageError, match=r"copy: population hidden1 has \(steps, neurons\) \(20, 8\); expected \(20, 9\)"
    ):
        verify(NETWORK, data=data, engines=["reference"], against={"copy": chain((12, 8, 7, 4))})
    with pytest.raises(UsageError, match="copy: no population 'hidden2'; it has hidden1, output"):
        verify(NETWORK, data=data, engines=["reference"], against={"copy": chain((12, 9, 4))})
    with pytest.raises(UsageError, match="data has 12 neurons; the network's input has 3"):
        simulate(chain((3, 2, 2)), data)
    with pytest.raises(UsageError, match=r"spikes of shape \(3, 12\), float64; expected integers"):
        simulate(NETWORK, np.zeros((3, 12)))
    with pytest.raises(UsageError, match="at least one sample"):
        simulate(NETWORK, np.zeros((0, 3, 12), int))
    with pytest.raises(UsageError, match="expected 0 or 1"):
        simulate(NETWORK, np.full((1, 3, 12), -1))


def test_an_engine_that_is_not_installed_says_how_to_get_it(monkeypatch):
    absent = Engine(name="absent", summary="", module="none", needs=("no_such.package",), install="pip install it")
    monkeypatch.setitem(ENGINES, "absent", absent)
    with pytest.raises(MissingDependencyError, match="engine absent is not installed; run: pip install it"):
        simulate(NETWORK, data_for(NETWORK), engine_name="absent")


def test_folders_that_an_uninstallation_left_behind_are_no_engine(monkeypatch, tmp_path):
    (tmp_path / "ghost" / "package").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert not Engine(name="ghost", summary="", module="none", needs=("ghost.package",)).available
    (tmp_path / "ghost" / "package" / "__init__.py").touch()
    assert Engine(name="ghost", summary="", module="none", needs=("ghost.package",)).available


def test_slow_engines_get_fewer_samples_unless_told(monkeypatch):
    slow = Engine(name="slow", summary="", module="bitspike.sim.engines.reference", samples=2)
    monkeypatch.setitem(ENGINES, "slow", slow)
    calls = []
    result = verify(
        NETWORK, data=data_for(NETWORK), engines=["reference", "slow"], notify=lambda *call: calls.append(call)
    )
    assert [r.samples for r in result.engines] == [2, 2]
    assert calls == [("reference", 0, 2), ("slow", 1, 2)]
    assert verify(NETWORK, data=data_for(NETWORK), engines=["reference", "slow"], samples=4).engines[1].samples == 4


def test_every_member_of_a_committee(tmp_path, capsys, monkeypatch):
    members = tmp_path / "members"
    members.mkdir()
    for number in range(3):
        save(chain((12, 9, 7, 4), steps=20, seed=number), members / f"member-{number}.safetensors")
    data = data_for(NETWORK)
    np.savez(tmp_path / "data.npz", spikes=data.spikes, labels=data.labels)
    command = [
        "verify",
        str(members),
        "--data",
        str(tmp_path / "data.npz"),
        "--engine",
        "reference",
        "--engine",
        "fast",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 3 members are equal on all engines"

    wrong = chain((12, 9, 7, 4), steps=20, seed=1).digest()

    def faulty(network, spikes):
        return run_reference(FAULTS["threshold"][0] if network.digest() == wrong else network, spikes)

    monkeypatch.setattr(Engine, "load", lambda engine: faulty if engine.name == "fast" else run_reference)
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {name: item["passed"] for name, item in found["members"].items()} == {
        "member-0": True, "member-1": False, "member-2": True,
    }  # fmt: skip
    assert found["passed"] is False
    assert main([*command, "--certificate-out", "x.json"]) == 2
    assert "a committee's folder; expected no --certificate-out" in capsys.readouterr().err
