"""Coverage equals an independent count, names planted gaps, and does not depend on chunks, engines or latencies."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain, change_population, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_coverage import slow_coverage
from strategies import networks, spatial_networks
from strategies import spikes_for as input_spikes

from bitspike.cli import main
from bitspike.convert import store
from bitspike.convert.network import Dense
from bitspike.convert.retime import retime
from bitspike.convert.weights import weights_of
from bitspike.errors import FileError
from bitspike.samples import SpikeData
from bitspike.sim.certificate_file import read_certificate
from bitspike.sim.coverage.paths import PATHS
from bitspike.sim.coverage.result import describe
from bitspike.sim.coverage.seen import merged, see
from bitspike.sim.ledger import Ledger
from bitspike.sim.reference import run_reference
from bitspike.sim.verify import verify

NETWORK = chain((12, 9, 7, 4), steps=20, du=3000)
HEADS = {path.name: path.head for path in PATHS}


def data_of(spikes):
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(len(spikes), np.int64))


DATA = data_of(spikes_for(NETWORK, samples=11))


def covered(network, data=DATA, **options):
    return verify(
        network, data=data, engines=["reference"], against={"copy": network}, coverage=True, **options
    ).coverage


@settings(max_examples=40)
@given(st.one_of(networks(starts=False, graded=True), spatial_networks(starts=False, graded=True)), st.data())
def test_every_count_is_that_of_plain_loops(network, data):
    spikes = data.draw(input_spikes(network, samples=(1, 3)))
    found = describe(network, see(network, run_reference(network, spikes)), engine="x", steps=network.steps)
    neurons, times, reached, fed = slow_coverage(network, spikes)
    for p in found.populations:
        for path in p.paths:
            key = p.population, HEADS[path.path]
            assert (path.neurons, path.times) == (neurons[key], times[key]), key
        possible = {HEADS[path.path] for path in p.paths}
        assert {head for (name, head), n in times.items() if n and name == p.population} <= possible
        fired = p.neurons - len(p.silent)
        assert fired - p.never_fire == neurons[p.population, "fired"]
        assert not {(p.population, n) for n in p.unreached} & reached
    for number, c in enumerate(found.connections):
        assert c.fed == fed[number]
        assert c.synapses == sum(np.count_nonzero(w) for w in _rows(network.connections[number]))


def _rows(connection):
    return (connection.inputs_of(n)[1] for n in range(connection.shape[0]))


def test_planted_gaps_are_named():
    """Neuron 3 of the second layer has a threshold's worth of inhibition; input 5 never fires."""
    first, second, third = NETWORK.connections
    weights = second.weights.matrix()
    weights[3] = -1
    network = replace(NETWORK, connections=(first, replace(second, weights=weights_of(weights)), third))
    bias = network.population("hidden2").bias_mantissa.copy()
    bias[3] = 0
    network = change_population(network, "hidden2", bias_mantissa=bias)
    bias[4] = 4095  # fires whatever comes
    network = change_population(network, "hidden2", bias_mantissa=bias)
    spikes = DATA.spikes.copy()
    spikes[:, :, 5] = 0
    found = covered(network, data_of(spikes))
    hidden = found.populations[1]
    assert 4 not in hidden.silent
    assert 3 not in hidden.silent  # no input could make it fire, so no data are to blame
    assert hidden.never_fire == 1
    assert found.connections[0].sent == 11
    assert "input -> hidden1: 9 synapses that no spike fed" in found.unclaimed()
    assert not found.complete


def test_silence_is_claimed_for_nothing():
    found = covered(chain((12, 9, 4), bias=False, du=3000), data_of(np.zeros((2, 10, 12), np.uint8)))
    assert found.unclaimed() == (
        "hidden1: 9 neurons that no spike reached",
        "hidden1: 9 neurons that never fired",
        "output: 4 neurons that no spike reached",
        "input -> hidden1: 108 synapses that no spike fed",
        "hidden1 -> output: 36 synapses that no spike fed",
        *(f"hidden1: {path.name} ({path.unseen})" for path in PATHS[:-1]),
        *(f"output: {path.name} ({path.unseen})" for path in PATHS[2:-1]),
    )
    assert found.claimed() == (
        "equality is claimed for 0 of 9 neurons that can fire, 0 of 144 synapses and 0 of 10 paths, on these 2 samples"
    )


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_nothing_depends_on_chunks(chunk):
    assert covered(NETWORK, chunk=chunk) == covered(NETWORK, chunk=11)


def test_every_engine_gives_the_same():
    one, other = (
        verify(NETWORK, data=DATA, engines=engines, coverage=True).coverage
        for engines in (["reference", "fast"], ["fast", "reference"])
    )
    assert one.engine == "reference"
    assert replace(other, engine="reference") == one


def test_chip_time_changes_nothing():
    late, early = covered(retime(NETWORK)), covered(NETWORK)
    bounds = {"u_bounds": (0, 0), "v_bounds": (0, 0)}  # a run that lasts longer may reach more
    assert [replace(p, **bounds) for p in late.populations] == [replace(p, **bounds) for p in early.populations]
    assert [(c.sent, c.fed) for c in late.connections] == [(c.sent, c.fed) for c in early.connections]


def test_a_spike_that_arrives_after_the_window_feeds_nothing():
    last = NETWORK.connections[-1]
    late = replace(NETWORK, connections=(*NETWORK.connections[:-1], replace(last, delay=20)))
    found = covered(late)
    assert (found.connections[-1].sent, found.connections[-1].fed) == (0, 0)
    assert found.populations[-1].unreached == (0, 1, 2, 3)
    assert found.connections[-1].connection == "hidden2 -> output delay 20"


def test_zero_weights_feed_nothing():
    network = chain((3, 2), steps=3, readout="spike_count")
    dense = Dense(source="input", target="output", weights=weights_of([[1, 0, 0], [0, 0, 2]]))
    spikes = np.zeros((1, 3, 3), np.uint8)
    spikes[0, 0, :2] = 1
    found = covered(replace(network, connections=(dense,)), data_of(spikes))
    assert found.populations[0].unreached == (1,)
    assert (found.connections[0].synapses, found.connections[0].fed) == (2, 1)


def test_what_is_printed_and_in_json():
    result = verify(NETWORK, data=DATA, engines=["reference", "fast"], coverage=True)
    text = str(result)
    assert "coverage, counted in the run of reference on 11 samples of 20 steps:" in text
    assert result.coverage.claimed() in text
    assert all(line in text for line in result.coverage.unclaimed())
    item = json.loads(json.dumps(result.as_json()))
    assert item["coverage"]["not_claimed"] == list(result.coverage.unclaimed())
    assert item["coverage"]["populations"][0]["silent"] == list(result.coverage.populations[0].silent)
    without = verify(NETWORK, data=DATA, engines=["reference", "fast"])
    assert without.coverage is None
    assert without.as_json()["coverage"] is None


def test_a_ledger_keeps_it(tmp_path):
    path = tmp_path / "a.partial"
    whole = covered(NETWORK, chunk=4, ledger=Ledger(path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3]) + "\n")
    assert covered(NETWORK, chunk=4, ledger=Ledger(path, resume=True)) == whole
    with pytest.raises(FileError, match="is of another verification: coverage True; expected False"):
        verify(
            NETWORK, data=DATA, engines=["reference"], against={"copy": NETWORK}, chunk=4,
            ledger=Ledger(path, resume=True),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda seen: seen["populations"][0].update(marks="AAAA"), r"seen: neurons \[3, 7, 4"),
        (lambda seen: seen["populations"][0].update(marks="A"), "marks are not base64"),
        (lambda seen: seen["populations"][0].update(marks=1), "marks are int; expected a text"),
        (lambda seen: seen["populations"][0].update(counts=[1]), "expected a list of 7 whole numbers"),
        (lambda seen: seen["populations"][0].update(extremes=[0, 0, 0, 0.5]), "expected a list of 4 whole numbers"),
        (lambda seen: seen["populations"].append(3), "seen population: keys int"),
        (lambda seen: seen["connections"][0].update(arrived=True), "arrived is True; expected int"),
        (lambda seen: seen.update(populations=seen["connections"]), "seen population: keys arrived, marks"),
        (lambda seen: seen.clear(), "seen: keys ; expected connections, populations, samples"),
    ],
)
def test_a_damaged_ledger_is_refused(tmp_path, change, said):
    path = tmp_path / "a.partial"
    covered(NETWORK, chunk=4, ledger=Ledger(path))
    head, first = path.read_text().splitlines()[:2]
    chunk = json.loads(first)
    change(chunk["seen"])
    path.write_text(f"{head}\n{json.dumps(chunk)}\n")
    with pytest.raises(FileError, match=said):
        covered(NETWORK, chunk=4, ledger=Ledger(path, resume=True))


def test_samples_add_up():
    parts = [see(NETWORK, run_reference(NETWORK, DATA.spikes[rows])) for rows in (slice(0, 4), slice(4, 11))]
    assert merged(parts) == see(NETWORK, run_reference(NETWORK, DATA.spikes))


def test_the_command_and_its_certificate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store.save(NETWORK, "net.safetensors")
    np.savez("data.npz", spikes=DATA.spikes, labels=DATA.labels)
    command = ["verify", "net.safetensors", "--data", "data.npz", "--engine", "fast", "--engine", "reference"]
    assert main([*command, "--coverage", "--certificate-out", "cert.json"]) == 0
    assert "equality is claimed for" in capsys.readouterr().out
    assert dict(read_certificate("cert.json").coverage)["hidden1: neurons"] == 9
    assert main(["verify", "--certificate", "cert.json"]) == 0
    assert "holds, every hash and count is the same" in capsys.readouterr().out
    item = json.loads((tmp_path / "cert.json").read_text())
    assert item["command"].endswith("--coverage")
    item["coverage"]["hidden1: neurons that never fired"] += 1
    del item["coverage"]["hidden2: neurons"]
    (tmp_path / "cert.json").write_text(json.dumps(item))
    assert main(["verify", "--certificate", "cert.json"]) == 1
    said = capsys.readouterr().out.splitlines()[-2:]
    silent = len(covered(NETWORK).populations[0].silent)
    assert said == [
        f"  coverage of hidden1: neurons that never fired: {silent + 1} in the certificate, now {silent}",
        "  coverage of hidden2: neurons: none in the certificate, now 7",
    ]
    for wrong, message in ((3, "coverage: int; expected numbers by name"), ({"x": -1}, "coverage: x is -1")):
        (tmp_path / "cert.json").write_text(json.dumps(item | {"coverage": wrong}))
        with pytest.raises(FileError, match=message):
            read_certificate("cert.json")
