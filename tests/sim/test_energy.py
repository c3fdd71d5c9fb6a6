"""Energy against a sum by hand."""

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.energy import energy, price
from bitspike.targets.prices import GRADES, PRICE_LISTS, price_list


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
