"""Adversarial inputs: reproducible, beyond what data reach, within the range proof, and seen by every engine."""

import json

import numpy as np
import pytest
from builders import chain, change_population, planted_faults, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks

from bitspike.cli import main
from bitspike.convert import store
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import UsageError
from bitspike.samples import SpikeData, SpikeParts, followed_by
from bitspike.sim.adversarial import adversarial
from bitspike.sim.aim import carried_back, drive_of
from bitspike.sim.certificate_file import read_certificate
from bitspike.sim.engines import ENGINES, Engine
from bitspike.sim.verify import verify

NETWORK = chain((12, 9, 7, 4), steps=20, du=3000)
DATA = SpikeData(name="random", spikes=spikes_for(NETWORK, samples=30), labels=np.arange(30))


@pytest.fixture(scope="module")
def result():
    return verify(NETWORK, data=DATA, engines=["reference", "fast"], adversarial=16)


def test_the_same_seed_gives_the_same_inputs():
    one, again, other = (adversarial(NETWORK, 6, steps=7, seed=seed) for seed in (3, 3, 4))
    assert one.spikes.shape == (6, 7, 12)
    assert one.digest() == again.digest() != other.digest()


def test_they_reach_what_data_do_not(result):
    before, after = result.data_coverage, result.coverage
    assert (before.samples, after.samples) == (30, 46)
    assert before.totals()["neurons"][0] < 16
    assert after.totals() == {"neurons": (16, 16), "synapses": (199, 199), "paths": (16, 16)}
    for p, q in zip(before.populations, after.populations, strict=True):
        assert q.v[0] < p.v[0] < p.v[1] < q.v[1]
    assert after.complete
    assert "the 16 adversarial samples add to the data's 30: " in str(result)
    assert "no neuron, synapse or path is left out" in str(result)


def test_extremes_that_follow_from_the_weights_are_met():
    """Behind independent inputs the proof's bounds are reached, and so should the search."""
    network = change_population(chain((10, 6), steps=8, dv=0, readout="membrane_sum", bias=False), "output", du=2000)
    found = verify(network, engines=["reference", "fast"], adversarial=24).coverage.populations[0]
    assert (found.u, found.v) == (found.u_bounds, found.v_bounds)


def test_a_fault_that_only_they_show():
    """A fault of a neuron that never fires on the data: equal there, and found by the search."""
    quiet = SpikeData(name="quiet", spikes=np.zeros((5, 20, 12), np.uint8), labels=np.zeros(5, np.int64))
    network = chain((12, 9, 7, 4), steps=20, bias=False)
    copy, _ = planted_faults(network)["weight bit"]
    asked = {"engines": ["reference"], "against": {"copy": copy}}
    assert verify(network, data=quiet, **asked).passed
    found = verify(network, data=quiet, adversarial=8, **asked)
    assert not found.passed
    assert found.engines[1].first.sample >= 5
    assert found.engines[1].samples == 13


def test_slow_engines_get_them_all(monkeypatch):
    slow = Engine(name="slow", summary="", module="bitspike.sim.engines.reference", samples=2)
    monkeypatch.setitem(ENGINES, "slow", slow)
    only = verify(NETWORK, data=DATA, engines=["reference", "slow"], adversarial=5, chunk=4)
    assert [row.samples for row in only.engines] == [7, 7]
    assert only.passed
    whole = verify(NETWORK, data=DATA, engines=["reference", "slow", "fast"], adversarial=5, chunk=4)
    assert [row.samples for row in whole.engines] == [7, 7, 35]
    assert whole.data_coverage.samples == 30


@settings(max_examples=6, deadline=None)
@given(st.one_of(networks(graded=True, inputs=(1, 2)), spatial_networks(graded=True)), st.integers(1, 5))
def test_any_network_has_them(network, count):
    assert len(adversarial(network, count)) == count
    assert verify(network, engines=["reference", "fast"], adversarial=count).passed


def test_a_network_that_no_input_reaches_has_them_too():
    """The connection is as late as the window is long: no path is taken, and nothing is left to breed from."""
    network = IntegerNetwork(
        name="late",
        steps=1,
        inputs=(Input(name="input", shape=(2,)),),
        populations=(Population(name="one", shape=(1,), dv=0, vth=131071, bias_mantissa=np.zeros(1, np.int32)),),
        connections=(Dense(source="input", target="one", delay=1, weights=weights_of([[1, -1]])),),
        readouts=(Readout(population="one", kind="membrane_sum"),),
    )
    assert len(adversarial(network, 3)) == 3


@pytest.mark.parametrize(
    "connection",
    [
        Dense(source="a", target="b", weights=weights_of([[1, -2, 3], [4, 0, -6]]), exponent=1),
        Identity(source="a", target="b", size=4, weight=-3),
        SumPool2d(source="a", target="b", source_shape=(2, 4, 5), kernel=(2, 3), stride=(2, 1), padding=(1, 0)),
        Conv2d(
            source="a", target="b", source_shape=(2, 5, 6), kernel=(3, 2), stride=(1, 2), dilation=(2, 1), groups=2,
            weights=weights_of(np.arange(4 * 6).reshape(4, 6) - 11),
        ),
    ],
    ids=lambda c: c.kind,
)  # fmt: skip
def test_carrying_back_is_the_transpose(connection):
    targets, sources = connection.shape
    matrix = connection.deliver(np.eye(sources, dtype=np.int64)).T
    wanted = np.arange(targets) % 3 - 1
    assert np.array_equal(carried_back(connection, wanted), wanted @ matrix)


def test_the_drive_of_a_neuron_behind_others():
    network = chain((3, 2, 2), readout="spike_count")
    first = Dense(source="input", target="hidden1", weights=weights_of([[1, -1, 0], [2, 2, -5]]))
    second = Dense(source="hidden1", target="output", weights=weights_of([[3, -1], [1, 1]]))
    network = type(network)(
        name="x", steps=3, inputs=network.inputs, populations=network.populations, connections=(first, second),
        readouts=network.readouts,
    )  # fmt: skip
    assert drive_of(network, "hidden1", 1).tolist() == [2, 2, -5]
    assert drive_of(network, "output", 0).tolist() == [1 - 2, -1 - 2, 5]


def test_samples_after_others():
    one, more = DATA.first(5), SpikeData(name="more", spikes=DATA.spikes[5:9], labels=DATA.labels[5:9])
    both = followed_by(one, more)
    assert isinstance(both, SpikeParts)
    assert (both.name, len(both), both.digest()) == ("random + more", 9, DATA.first(9).digest())
    assert np.array_equal(both.part(3, 7).labels, [3, 4, 5, 6])
    assert np.array_equal(both.part(6, 9).spikes, DATA.spikes[6:9])
    with pytest.raises(UsageError, match="data random: 20 steps, more: 19; expected the same window"):
        followed_by(one, SpikeData(name="more", spikes=DATA.spikes[:, :19], labels=DATA.labels))


def test_questions_that_make_no_sense():
    with pytest.raises(UsageError, match="adversarial: 0 samples, seed 0; expected 1 or more"):
        adversarial(NETWORK, 0)
    with pytest.raises(UsageError, match="adversarial: 0 steps; expected 1 or more"):
        adversarial(NETWORK, 1, steps=0)
    with pytest.raises(UsageError, match="adversarial: -1 samples; expected 0 or more"):
        verify(NETWORK, engines=["reference", "fast"], adversarial=-1)
    with pytest.raises(UsageError, match="data: none; expected samples, or how many adversarial ones"):
        verify(NETWORK, engines=["reference", "fast"])


def test_the_command_and_its_certificate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store.save(NETWORK, "net.safetensors")
    command = ["verify", "net.safetensors", "--engine", "fast", "--engine", "reference", "--adversarial", "6"]
    assert main([*command, "--seed", "2", "--json", "--certificate-out", "cert.json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert item["data"] == "adversarial:6"
    assert item["data_digest"] == adversarial(NETWORK, 6, seed=2).digest()
    assert read_certificate("cert.json").inputs.command().endswith("--seed 2 --adversarial 6")
    assert main(["verify", "--certificate", "cert.json"]) == 0
    assert "holds, every hash and count is the same" in capsys.readouterr().out
    np.savez("data.npz", spikes=DATA.spikes, labels=DATA.labels)
    assert main([*command, "--data", "data.npz", "--samples", "4", "--certificate-out", "both.json"]) == 0
    assert "the 6 adversarial samples add to the data's 4:" in capsys.readouterr().out
    item = json.loads((tmp_path / "both.json").read_text())
    item["data"]["digest"] = "0" * 64
    (tmp_path / "both.json").write_text(json.dumps(item))
    assert main(["verify", "--certificate", "both.json"]) == 1
    assert "data has changed: the certificate has hash 000000000000, now " in capsys.readouterr().out
    assert main([*command[:-1], "-1"]) == 2
    assert "--adversarial: -1; expected 0 or more" in capsys.readouterr().err
