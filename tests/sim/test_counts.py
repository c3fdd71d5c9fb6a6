"""Counts against an independent slow count, and energy against a sum by hand."""

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.counts import count
from bitspike.sim.energy import count_run, energy, price
from bitspike.sim.reference import run_reference
from bitspike.targets.prices import GRADES, PRICE_LISTS, price_list


def slow_count(network, record):
    """Synapse by synapse, step by step, in plain Python."""
    fired = {network.input.name: record.inputs, **{name: t.spikes for name, t in record.traces.items()}}
    result = []
    for sample in range(record.samples):
        row = {}
        for p in network.populations:
            operations = spikes = updates = active = 0
            trace = record.traces[p.name]
            for t in range(record.steps):
                for c in network.incoming(p.name):
                    for source in range(fired[c.source].shape[2]):
                        if fired[c.source][sample, t, source]:
                            operations += sum(1 for _ in range(p.size))
                for n in range(p.size):
                    updates += 1
                    spikes += int(trace.spikes[sample, t, n])
                    active += bool(trace.u[sample, t, n] or trace.v[sample, t, n] or trace.spikes[sample, t, n])
            row[p.name] = (operations, spikes, updates, active)
        result.append(row)
    return result


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_the_slow_count(seed):
    network = chain((7, 6, 5, 3), seed=seed, bias=seed % 2 == 0, vth=1)
    record = run_reference(network, spikes_for(network, samples=3, seed=seed, rate=0.2))
    counts = count(network, record)
    for sample, row in enumerate(slow_count(network, record)):
        for p in counts.populations:
            found = p.synaptic_operations[sample], p.spikes[sample], p.updates[sample], p.active_updates[sample]
            assert found == row[p.population]
    assert np.array_equal(counts.input_spikes, record.inputs.sum((1, 2)))
    assert counts.as_json()["synaptic_operations"]["total"] == int(counts.total("synaptic_operations").sum())


def data_for(network, samples=4):
    spikes = spikes_for(network, samples=samples)
    return SpikeData(name="random", spikes=spikes, labels=np.zeros(samples, np.int64))


def test_energy_is_counts_times_published_prices():
    network = chain()
    data = data_for(network)
    counts = count_run(network, data=data)
    sop, updates, active = (counts.total(q).mean() for q in ("synaptic_operations", "updates", "active_updates"))
    estimate = energy(network, data=data)
    expected = (23.6 * sop + 81 * active + 52 * (updates - active) + 1.7 * counts.messages.mean()) / 1000
    assert estimate.nominal_nj == pytest.approx(expected, rel=1e-12)
    assert estimate.low_nj == pytest.approx(expected - 0.029 * active, rel=1e-12)
    assert estimate.high_nj == pytest.approx(expected + 0.029 * (updates - active), rel=1e-12)
    assert sum(term.energy_nj for term in estimate.terms) == pytest.approx(estimate.nominal_nj)
    assert estimate.grade == "simulated before silicon"
    assert estimate.partial
    assert "static power" in estimate.not_included
    assert "spikes sent (this source prices none)" in estimate.not_included
    text = str(estimate)
    assert "prices davies2018 (simulated before silicon; 14 nm, 0.75 V)" in text
    assert "not included:" in text


def test_the_other_price_list_prices_spikes_and_messages_too():
    network = chain()
    estimate = energy(network, data=data_for(network), prices="sanafe")
    assert [term.term for term in estimate.terms][-2:] == ["spikes sent", "messages within a tile"]
    assert estimate.nominal_nj > energy(network, data=data_for(network)).nominal_nj


def test_more_spikes_cost_more():
    network = chain(bias=False)
    quiet, loud = (
        SpikeData(name="", spikes=spikes_for(network, rate=rate), labels=np.zeros(5, np.int64)) for rate in (0.05, 0.6)
    )
    assert energy(network, data=quiet).nominal_nj < energy(network, data=loud).nominal_nj


def test_price_lists_name_grade_and_source():
    for prices in PRICE_LISTS:
        assert prices.grade in GRADES
        assert prices.source
        assert prices.conditions
        assert all(p.energy_pj > 0 for p in prices.prices)


def test_chips_without_prices_are_refused():
    with pytest.raises(UsageError, match="chip 'loihi2': no published prices per event; expected loihi1"):
        price_list("loihi2")
    with pytest.raises(UsageError, match="prices 'mine'; expected davies2018 or sanafe for chip loihi1"):
        price_list("loihi1", "mine")


def test_one_sample_has_no_spread():
    network = chain()
    assert price(count_run(network, data=data_for(network, 1)), price_list("loihi1")).sd_nj == 0.0
