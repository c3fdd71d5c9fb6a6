"""Other tools on the same spikes: NeuroBench's counts equal ours, SpikingJelly's energies follow from ours by hand."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks
from strategies import spikes_for as any_spikes

from bitspike.convert.connections import Identity
from bitspike.convert.rules import check
from bitspike.errors import MissingDependencyError, UnsupportedError
from bitspike.samples import SpikeData
from bitspike.sim.counts import count
from bitspike.sim.peers.table import compare_tools
from bitspike.sim.peers.tools import NEUROBENCH, SPIKINGJELLY, neurobench_counts, spikingjelly_energy
from bitspike.sim.reference import run_reference


@pytest.fixture
def neurobench():
    return pytest.importorskip("neurobench", reason=f"NeuroBench is not installed; run: {NEUROBENCH}")


@pytest.fixture
def spikingjelly():
    return pytest.importorskip("spikingjelly", reason=f"SpikingJelly is not installed; run: {SPIKINGJELLY}")


def assert_neurobench_counts_the_same(network, spikes):
    """Sums stay below 2^24 here, where float32 is exact; NeuroBench rounds the connection sparsity to 4 places."""
    record = run_reference(network, spikes)
    counts, theirs = count(network, record), neurobench_counts(network, record)
    assert theirs.effective_acs == counts.total("effective_operations").sum() / counts.samples
    assert theirs.effective_macs == 0
    spiking, updates = counts.total("spikes").sum(), counts.total("updates").sum()
    # NeuroBench weighs batches by a fraction, which costs a last bit.
    assert round(theirs.activation_sparsity * updates) == updates - spiking
    assert theirs.activation_sparsity == pytest.approx((updates - spiking) / updates, rel=1e-12)
    parameters = sum(c.weights.matrix().size for c in network.connections)
    zeros = sum(np.count_nonzero(c.weights.matrix() == 0) for c in network.connections)
    assert theirs.connection_sparsity == pytest.approx(zeros / parameters, abs=6e-5)
    assert theirs.dense == counts.steps * sum(c.synapses for c in counts.connections)


def test_neurobench_counts_a_chain_the_same(neurobench):
    network = chain(vth=1)
    assert_neurobench_counts_the_same(network, spikes_for(network))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_neurobench_counts_random_networks_the_same(data):
    pytest.importorskip("neurobench", reason=f"NeuroBench is not installed; run: {NEUROBENCH}")
    network = data.draw(st.one_of(networks(), spatial_networks(kinds=("conv", "dense"))))
    assert_neurobench_counts_the_same(network, data.draw(any_spikes(network)))


def test_spikingjelly_by_hand(spikingjelly):
    """Operations of 0.9 pJ, each reading a weight of 4 bytes; an update reads and writes 4 bytes of membrane."""
    network = chain((5, 4, 3), vth=1, steps=4)
    record = run_reference(network, spikes_for(network, samples=2))
    counts, theirs = count(network, record), spikingjelly_energy(network, record)
    operations, updates = (counts.total(q).mean() for q in ("synaptic_operations", "updates"))
    assert theirs.synaptic_operations == operations
    memory = 24.96 * 4 * (operations + 2 * updates)
    assert theirs.simple_memory_nj == pytest.approx(memory / 1000)
    assert theirs.simple_nj > theirs.simple_memory_nj + 0.9 * operations / 1000 * 0.99
    assert theirs.lemaire_memory_nj < theirs.lemaire_nj


def test_the_table_says_each_difference(spikingjelly, neurobench):
    network = chain((5, 4, 3), vth=1, steps=4)
    spikes = spikes_for(network, samples=3)
    data = SpikeData(name="random", spikes=spikes, labels=np.zeros(3, np.int64))
    table = compare_tools(network, data, samples=1)
    assert table.samples == 1
    assert [row.tool for row in table.rows] == [
        "bitspike, davies2018", "bitspike, sanafe", "bitspike, horowitz45", "operations x 23.6 pJ",
        "SpikingJelly, simple", "SpikingJelly, Lemaire", "NeuroBench, effective ACs", "NeuroBench, dense",
    ]  # fmt: skip
    assert all(row.difference for row in table.rows)
    assert "equal to our operations" in table.rows[6].difference
    assert table.rows[3].energy_nj == pytest.approx(0.0236 * table.rows[0].operations)
    assert table.absent == ()
    assert str(table).count("\n") == 1 + 2 * 8
    assert table.as_json()["rows"][0]["tool"] == "bitspike, davies2018"


def test_absent_tools_are_told_with_their_command(monkeypatch):
    monkeypatch.setattr("bitspike.sim.peers.tools.find_spec", lambda name: None)
    network = chain((5, 4, 3), steps=4)
    data = SpikeData(name="random", spikes=spikes_for(network, samples=1), labels=np.zeros(1, np.int64))
    record = run_reference(network, data.spikes)
    with pytest.raises(
        MissingDependencyError, match="NeuroBench is not installed; run: python -m pip install --no-deps"
    ):
        neurobench_counts(network, record)
    table = compare_tools(network, data)
    assert len(table.rows) == 4
    assert table.absent == (
        "SpikingJelly is not installed; run: bitspike doctor --install spikingjelly",
        "NeuroBench is not installed; run: python -m pip install --no-deps neurobench==2.3.0 snntorch tqdm",
    )


def test_a_tool_that_lacks_something_is_told_too(monkeypatch):
    monkeypatch.setattr("bitspike.sim.peers.tools.find_spec", lambda name: None if name == "tqdm" else name)
    network = chain((5, 4, 3), steps=4)
    with pytest.raises(MissingDependencyError, match=r"^NeuroBench lacks tqdm; run: python -m pip install --no-deps"):
        neurobench_counts(network, run_reference(network, spikes_for(network, samples=1)))


def test_what_others_do_not_count_is_refused_by_name(neurobench):
    network = chain((5, 4, 4), steps=4)
    shortcut = Identity(source="hidden1", target="output", size=4)
    wired = check(replace(network, connections=(*network.connections[:1], shortcut)))
    with pytest.raises(UnsupportedError, match="connection hidden1 -> output: kind identity; other tools count dense"):
        neurobench_counts(wired, run_reference(wired, spikes_for(wired)))
